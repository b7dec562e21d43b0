//! Learning curves: training loss and accuracy against epoch, a line a point.

use crate::analysis::{Analysis, CurvePoint, PointSummary, Spread};

use super::{
    axis::{Frame, decimals, padded, round_values, text_width, wrapped},
    canvas::{Anchor, Canvas, Style},
    headline::head,
    palette::{Colour, FAINT, INK, category, ordered},
    series::is_spectrum,
};

const WIDTH: f64 = 1040.0;
const TOP: f64 = 104.0;
const HEIGHT: f64 = 320.0;

/// One panel: a quantity of an epoch, in the unit that is shown.
type Panel = (&'static str, f64, fn(&CurvePoint) -> Option<Spread>);

/// Draws the curves, if any run has finished an epoch.
pub(super) fn draw(analysis: &Analysis) -> Option<Canvas> {
    let points: Vec<&PointSummary> = analysis.points.iter().filter(|point| !point.curve.is_empty()).collect();
    let epochs = points.iter().flat_map(|point| point.curve.iter().map(|row| row.epoch)).max()?;
    let held_out = points.iter().any(|p| p.curve.iter().any(|row| row.validation_accuracy.is_some()));
    let panels: [Panel; 2] = [
        ("training loss", 1.0, |row| row.train_loss),
        if held_out {
            ("validation accuracy (%)", 100.0, |row| row.validation_accuracy)
        } else {
            ("training accuracy (%)", 100.0, |row| row.train_accuracy)
        },
    ];
    let colours: Vec<Colour> =
        (0..points.len())
            .map(|k| {
                if is_spectrum(analysis) && points.len() < 12 {
                    ordered(k, points.len())
                } else {
                    category(k)
                }
            })
            .collect();
    let legend =
        points.iter().map(|point| text_width(&point.label, 13.0)).fold(0.0, f64::max).min(300.0) + 40.0;
    let height = (TOP + HEIGHT + 70.0).max(TOP + 22.0 * points.len() as f64 + 40.0);
    let mut canvas = Canvas::new(WIDTH, height);
    let title = format!("Learning curves: {}", analysis.study.name);
    let subtitle =
        format!("{} · mean over seeds; band from the lowest to the highest seed", analysis.study.data);
    head(&mut canvas, &wrapped(&title, 90), &[subtitle]);

    let each = (WIDTH - legend - 2.0 * 78.0 - 24.0) / 2.0;
    for (k, panel) in panels.iter().enumerate() {
        let left = 78.0 + (each + 78.0) * k as f64;
        let x = (1.0 - 0.03 * epochs as f64, epochs as f64 * 1.01);
        let frame =
            Frame { left, right: left + each, top: TOP, bottom: TOP + HEIGHT, x, y: range(&points, panel) };
        draw_panel(&mut canvas, &frame, panel, &points, &colours);
    }
    for (k, (point, colour)) in points.iter().zip(&colours).enumerate() {
        let (x, y) = (WIDTH - legend, TOP + 10.0 + 22.0 * k as f64);
        canvas.line(vec![(x, y), (x + 22.0, y)], *colour, 3.0, dash(k));
        canvas.text(&point.label, (x + 30.0, y), Style::new(13.0, Anchor::Start));
    }
    Some(canvas)
}

/// Lines differ in their dashes too, so that they differ in grey.
fn dash(index: usize) -> f64 {
    [0.0, 6.0, 3.0][index % 3]
}

fn range(points: &[&PointSummary], (_, unit, value): &Panel) -> (f64, f64) {
    let spreads = points.iter().flat_map(|point| point.curve.iter().filter_map(value));
    padded(spreads.flat_map(|spread| [spread.low, spread.high]).map(|value| unit * value), 0.01, 0.04)
}

fn draw_panel(
    canvas: &mut Canvas,
    frame: &Frame,
    (name, unit, value): &Panel,
    points: &[&PointSummary],
    colours: &[Colour],
) {
    let digits = decimals(frame.y, 6);
    frame.draw_rows(canvas, 6, |value| format!("{value:.digits$}"));
    canvas.text(*name, (frame.left, frame.top - 14.0), Style::new(13.0, Anchor::Start));
    for epoch in round_values((1.0, frame.x.1), 6).into_iter().filter(|epoch| epoch.fract() == 0.0) {
        let x = frame.across(epoch);
        canvas.line(vec![(x, frame.bottom), (x, frame.bottom + 5.0)], INK, 1.0, 0.0);
        canvas.text(
            format!("{epoch}"),
            (x, frame.bottom + 16.0),
            Style::new(12.0, Anchor::Middle).coloured(FAINT),
        );
    }
    canvas.text(
        "epoch",
        ((frame.left + frame.right) / 2.0, frame.bottom + 38.0),
        Style::new(13.0, Anchor::Middle),
    );
    for (k, (point, colour)) in points.iter().zip(colours).enumerate() {
        let rows: Vec<(f64, Spread)> =
            point.curve.iter().filter_map(|row| Some((row.epoch as f64, value(row)?))).collect();
        let at = |x: f64, y: f64| frame.place(x, unit * y);
        let upper = rows.iter().map(|(x, spread)| at(*x, spread.high));
        let lower = rows.iter().rev().map(|(x, spread)| at(*x, spread.low));
        if rows.len() > 1 {
            canvas.area(upper.chain(lower).collect(), *colour, 0.10);
        }
        canvas.line(rows.iter().map(|(x, spread)| at(*x, spread.mean)).collect(), *colour, 2.0, dash(k));
    }
}
