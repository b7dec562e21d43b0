//! The costs of the points relative to the reference, which show what was held equal and what drifted.

use crate::analysis::{Analysis, PointSummary};

use super::axis::{Frame, LABEL, TICK, padded, spread};
use super::canvas::{Anchor, Canvas, Marker, Style};
use super::font::{shortened, text_width};
use super::palette::category;
use super::series::{Series, is_ordered, other_values, spectrum_value};

/// One quantity of a point: its name, its mark, its colour's index and its value.
type Quantity = (&'static str, Marker, usize, fn(&PointSummary) -> Option<f64>);

const QUANTITIES: [Quantity; 4] = [
    ("parameters", Marker::Circle, 0, |point| Some(point.costs.parameters as f64)),
    ("multiply-adds", Marker::Square, 1, |point| Some(point.costs.macs as f64)),
    ("activations", Marker::Diamond, 3, |point| Some(point.costs.activations as f64)),
    ("step time", Marker::Triangle, 2, PointSummary::step_secs),
];

/// Room for the names at the right.
pub(super) fn label_width() -> f64 {
    QUANTITIES.iter().map(|(name, ..)| text_width(name, TICK, false)).fold(0.0, f64::max)
}

/// Draws the costs of the line that the reference is on.
pub(super) fn draw(canvas: &mut Canvas, frame: Frame, analysis: &Analysis, lines: &[Series<'_>]) {
    let Some(reference) = analysis.reference.map(|index| &analysis.points[index]) else { return };
    let own = |line: &&Series<'_>| line.points.iter().any(|(_, point)| point.point == reference.point);
    let Some(line) = lines.iter().find(own).or(lines.first()) else { return };
    let relative = |of: fn(&PointSummary) -> Option<f64>| -> Vec<(f64, f64)> {
        let Some(unit) = of(reference).filter(|unit| *unit > 0.0) else { return Vec::new() };
        line.points.iter().filter_map(|(x, point)| Some((*x, of(point)? / unit))).collect()
    };
    let curves: Vec<(&Quantity, Vec<(f64, f64)>)> = QUANTITIES
        .iter()
        .map(|quantity| (quantity, relative(quantity.3)))
        .filter(|(_, curve)| !curve.is_empty())
        .collect();
    let values = curves.iter().flat_map(|(_, curve)| curve.iter().map(|(_, value)| *value));
    let (_, high) = padded(values.chain([1.0]), 0.2, 0.05);
    let frame = Frame { y: (0.0, high), ..frame };
    let of_line = if lines.len() > 1 { format!(" of {}", line.label) } else { String::new() };
    let name = spectrum_value(&reference.point).map_or_else(|| other_values(&reference.point), str::to_owned);
    let title = format!("cost{of_line}, relative to {name}");
    // The names of the lines begin where the frame ends.
    let title = shortened(&title, frame.right - frame.left, LABEL);
    canvas.text(title, (frame.left, frame.top - 18.0), Style::new(LABEL, Anchor::Start).bold());
    frame.draw_rows(canvas, 4, true);
    let ends: Vec<f64> = curves.iter().map(|(_, curve)| frame.down(curve[curve.len() - 1].1)).collect();
    for (((name, marker, colour, _), curve), y) in curves.iter().zip(spread(&ends, 18.0)) {
        let colour = category(*colour);
        let places: Vec<(f64, f64)> = curve.iter().map(|&(x, value)| frame.place(x, value)).collect();
        if places.len() > 1 && is_ordered(analysis) {
            canvas.line(places.clone(), colour, 1.5, 0.0);
        }
        for (place, (_, value)) in places.into_iter().zip(curve) {
            canvas.datum(*marker, place, 3.5, colour, 1.0, format!("{name}: {value:.3} of the reference"));
        }
        canvas.mark(*marker, (frame.right + 18.0, y), 3.5, colour);
        canvas.text(*name, (frame.right + 28.0, y), Style::new(TICK, Anchor::Start).coloured(colour));
    }
}
