//! The smooth curve over the group width: its band, the points it was fitted to, and its best
//! width.

use crate::analysis::{Analysis, PointSummary, SpectrumCurve};
use crate::numbers::short_width;
use crate::statistics::grid;

use super::axis::{Frame, LABEL, padded, spread, wrapped};
use super::canvas::{Anchor, Canvas, Marker, Style};
use super::font::{shortened, text_width};
use super::headline::{LEFT, MARGIN, TITLE, WIDTH, head, head_height};
use super::palette::{Colour, FAINT, category};
use super::series::other_values;

const HEIGHT: f64 = 300.0;
/// Room for the intervals of the best widths, a row a line.
const ROW: f64 = 16.0;

/// A line of a curve as it is drawn.
struct Line<'a> {
    name: String,
    curve: &'a SpectrumCurve,
    index: usize,
    colour: Colour,
}

/// Draws the curves of a study, if it has any.
pub(super) fn draw(analysis: &Analysis) -> Option<Canvas> {
    let lines = lines(analysis);
    let whole = lines.first()?.curve.curve.range();
    let ends = lines.iter().map(|line| line.curve.curve.range());
    let ends = ends.fold((whole.low, whole.high), |ends, own| (ends.0.min(own.low), ends.1.max(own.high)));
    let title = wrapped("The best width of a group", WIDTH - 2.0 * MARGIN, TITLE, true);
    let subtitle = [
        "a smooth curve over the logarithm of channels per segment, with its 95 % band · dots: means of the points".to_owned(),
        "bars below: 95 % interval of the best width".to_owned(),
    ];
    let names = lines.iter().map(|line| text_width(&line.name, LABEL, false));
    let right = WIDTH - MARGIN - 28.0 - names.fold(20.0, f64::max).min(WIDTH / 3.0);
    let top = head_height(&title, &subtitle) + 14.0;
    let below = ROW * (lines.len() as f64 + 1.0);
    let mut canvas = Canvas::new(WIDTH, top + HEIGHT + below + 66.0, "A smooth curve over the group width.");
    head(&mut canvas, &title, &subtitle);
    let room = 0.04 * (ends.1 - ends.0).max(1e-9);
    let frame = Frame {
        left: LEFT,
        right,
        top,
        bottom: top + HEIGHT,
        x: (ends.0 - room, ends.1 + room),
        y: range(analysis, &lines),
    };
    frame.draw_rows(&mut canvas, 7, true);
    frame.name_rows(&mut canvas, &format!("test {} (%)", analysis.study.metric));
    for line in &lines {
        draw_line(&mut canvas, &frame, line, analysis);
    }
    let base = Frame { bottom: frame.bottom + below, ..frame };
    for (row, line) in lines.iter().enumerate() {
        draw_best(&mut canvas, &frame, line, frame.bottom + ROW * (row as f64 + 1.0));
    }
    name_lines(&mut canvas, &frame, &lines);
    let ticks = ticks(ends).into_iter().map(|width| (base.across(width.ln()), short_width(width)));
    let second = base.name_columns(&mut canvas, &ticks.collect::<Vec<_>>());
    base.name_below(&mut canvas, "channels per segment (geometric mean over the layers)", 42.0 + second);
    Some(canvas)
}

fn lines(analysis: &Analysis) -> Vec<Line<'_>> {
    let all =
        analysis.curves.iter().flat_map(|curve| (0..curve.lines.len()).map(move |index| (curve, index)));
    let named = all.enumerate().map(|(k, (curve, index))| {
        let name = other_values(&[&curve.lines[index].at[..], &curve.shared].concat());
        Line { name, curve, index, colour: category(k) }
    });
    named.collect()
}

/// From the lowest to the highest mean and end of a band, in percent. A band far wider than the range of the
/// means is cut, so that the means stay distinguishable.
fn range(analysis: &Analysis, lines: &[Line<'_>]) -> (f64, f64) {
    let points = lines.iter().flat_map(|line| &line.curve.lines[line.index].points);
    let means = points.filter_map(|&index| analysis.points[index].mean);
    let own = |line: &Line<'_>| grid(line.curve.lines[line.index].range);
    let places = || lines.iter().flat_map(|line| own(line).into_iter().map(move |x| (line, x)));
    let middles = places().map(|(line, x)| line.curve.curve.mean(x, &line.curve.lines[line.index].shape));
    let (low, high) = padded(means.chain(middles).map(|share| 100.0 * share), 0.5, 0.0);
    let room = 0.5 * (high - low);
    let bands =
        places().filter_map(|(line, x)| line.curve.curve.band(x, &line.curve.lines[line.index].shape));
    let ends = bands.flat_map(|band| [band.low, band.high]);
    let ends = ends.map(|end| (100.0 * end).clamp(low - room, high + room));
    padded(ends.chain([low, high]), 0.5, 0.05)
}

fn draw_line(canvas: &mut Canvas, frame: &Frame, line: &Line<'_>, analysis: &Analysis) {
    let (curve, own) = (&line.curve.curve, &line.curve.lines[line.index]);
    let at = |x: f64, share: f64| (frame.across(x), frame.share(share));
    let bands: Vec<(f64, f64, f64)> = (grid(own.range).into_iter())
        .filter_map(|x| curve.band(x, &own.shape).map(|band| (x, band.low, band.high)))
        .collect();
    let upper = bands.iter().map(|&(x, _, high)| at(x, high));
    let lower = bands.iter().rev().map(|&(x, low, _)| at(x, low));
    canvas.area(upper.chain(lower).collect(), line.colour, 0.12);
    let middle = grid(own.range).into_iter().map(|x| at(x, curve.mean(x, &own.shape))).collect();
    canvas.line(middle, line.colour, 2.0, 0.0);
    for point in own.points.iter().map(|&index| &analysis.points[index]) {
        let (Some(width), Some(mean)) = (point.group_width, point.mean) else { continue };
        canvas.datum(Marker::Circle, at(width.ln(), mean), 4.0, line.colour, 1.0, says(point, mean));
    }
}

fn says(point: &PointSummary, mean: f64) -> String {
    format!("{}: mean {:.2} %", point.label, 100.0 * mean)
}

/// The interval of the best width, with the best of the curve itself as a mark.
fn draw_best(canvas: &mut Canvas, frame: &Frame, line: &Line<'_>, y: f64) {
    let own = &line.curve.lines[line.index];
    let (Some(best), Some(highest)) = (own.best, own.highest) else { return };
    let ends = [best.interval.low, best.interval.high].map(|x| (frame.across(x), y));
    canvas.line(ends.to_vec(), line.colour, 2.0, 0.0);
    for (x, y) in ends {
        canvas.line(vec![(x, y - 4.0), (x, y + 4.0)], line.colour, 1.5, 0.0);
    }
    let says = format!(
        "{}: best at {} channels per segment, 95 % interval {} to {}",
        line.name,
        short_width(highest.exp()),
        short_width(best.interval.low.exp()),
        short_width(best.interval.high.exp())
    );
    canvas.datum(Marker::Diamond, (frame.across(highest), y), 4.5, line.colour, 1.0, says);
}

/// The name of each line at its right end.
fn name_lines(canvas: &mut Canvas, frame: &Frame, lines: &[Line<'_>]) {
    let named: Vec<&Line<'_>> = lines.iter().filter(|line| !line.name.is_empty()).collect();
    let places: Vec<f64> = named
        .iter()
        .map(|line| {
            let own = &line.curve.lines[line.index];
            frame.share(line.curve.curve.mean(own.range.high, &own.shape))
        })
        .collect();
    for (line, y) in named.iter().zip(spread(&places, 20.0)) {
        let text = shortened(&line.name, WIDTH - frame.right - 22.0, LABEL);
        canvas.text(text, (frame.right + 14.0, y), Style::new(LABEL, Anchor::Start).coloured(line.colour));
    }
    if named.is_empty() {
        canvas.text(
            "best",
            (frame.right + 14.0, frame.bottom + ROW),
            Style::new(LABEL, Anchor::Start).coloured(FAINT),
        );
    }
}

/// Powers of two within the ends.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    (0..20)
        .map(|power| f64::from(1 << power))
        .filter(|width| (low - 0.1..=high + 0.1).contains(&width.ln()))
        .collect()
}
