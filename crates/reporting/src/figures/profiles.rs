//! Training profiles, as in the paper's figures 6 to 10: loss and accuracy against gradient descent steps,
//! with the epochs beneath them, one line per point.

use decouple_experiment::Metric;

use crate::analysis::{Analysis, CurvePoint, PointSummary, Spread, grouped};
use crate::numbers::{along_axis, short_count};

use super::axis::{Frame, LABEL, TICK, few_values, flowed, padded, round_values, wrapped};
use super::canvas::{Anchor, Canvas, Marker, Style};
use super::font::{shortened, text_width};
use super::headline::{LEFT, TITLE, WIDTH, head, head_height};
use super::palette::{Colour, FAINT, INK, category, ordered};
use super::series::{is_spectrum, series, spectrum_value};

const HEIGHT: f64 = 260.0;
/// Room above a panel for its name, and below it for two axes.
const ABOVE: f64 = 36.0;
const BELOW: f64 = 72.0;
const GAP: f64 = 86.0;
const RIGHT: f64 = 24.0;
/// More small panels than these would be too small to read.
const MOST_PANELS: usize = 6;
/// More lines than these in one panel cannot be told apart.
const MOST_LINES: usize = 16;

/// A quantity of an epoch: its name, the unit that it is shown in, and its value.
type Quantity = (&'static str, f64, fn(&CurvePoint) -> Option<Spread>);

/// A line of a panel.
struct Profile<'a> {
    label: String,
    point: &'a PointSummary,
    colour: Colour,
    /// Lines also differ in their dashes, so that they differ in grey.
    dash: f64,
}

/// A panel: its title, its quantity, and its lines.
struct Panel<'a> {
    title: String,
    quantity: Quantity,
    profiles: Vec<Profile<'a>>,
}

/// Draws the profiles, if any run has finished an epoch: a panel for loss and one for accuracy; where
/// another axis is crossed with the segments, a panel of accuracy for each of its values. None if a panel would
/// have too many lines to read.
pub(super) fn draw(analysis: &Analysis) -> Option<Canvas> {
    let last = analysis.points.iter().filter_map(|point| point.curve.last()).max_by_key(|row| row.step)?;
    let panels = panels(analysis);
    if panels.iter().any(|panel| panel.profiles.len() > MOST_LINES) {
        return None;
    }
    let title = wrapped("Training profiles", WIDTH - 2.0 * LEFT, TITLE, true);
    let subtitle =
        [format!("{} · line: mean over seeds · band: lowest to highest seed", analysis.study.name)];
    let keys = keys(&panels);
    let (key_rows, first) = (keys.last().map_or(0, |(_, row, _)| row + 1), head_height(&title, &subtitle));
    let top = first + 14.0 + 22.0 * key_rows as f64;
    let rows = panels.len().div_ceil(2);
    let row_height = ABOVE + HEIGHT + BELOW;
    let mut canvas = Canvas::new(
        WIDTH,
        top + row_height * rows as f64 + 4.0,
        format!("Loss and {} while training, against steps and epochs.", analysis.study.metric),
    );
    head(&mut canvas, &title, &subtitle);
    for (profile, row, x) in keys {
        let y = first + 12.0 + 22.0 * row as f64;
        canvas.line(vec![(x, y), (x + 26.0, y)], profile.colour, 2.5, profile.dash);
        let label = shortened(&profile.label, WIDTH - x - 36.0, TICK);
        canvas.text(label, (x + 32.0, y), Style::new(TICK, Anchor::Start));
    }
    let each = (WIDTH - LEFT - RIGHT - GAP) / 2.0;
    // Panels of one quantity share a scale, so that they can be compared.
    let shared = (panels.iter().all(|panel| panel.quantity.0 == panels[0].quantity.0))
        .then(|| range(panels.iter().flat_map(|panel| &panel.profiles), panels[0].quantity));
    for (k, panel) in panels.iter().enumerate() {
        let left = LEFT + (each + GAP) * (k % 2) as f64;
        let top = top + ABOVE + row_height * (k / 2) as f64;
        let frame = Frame {
            left,
            right: left + each,
            top,
            bottom: top + HEIGHT,
            x: (0.0, last.step as f64 * 1.01),
            y: shared.unwrap_or_else(|| range(panel.profiles.iter(), panel.quantity)),
        };
        draw_steps(&mut canvas, &frame, epoch_steps(analysis));
        draw_panel(&mut canvas, &frame, panel);
    }
    Some(canvas)
}

fn panels(analysis: &Analysis) -> Vec<Panel<'_>> {
    let held_out = |point: &PointSummary| point.curve.iter().any(|row| row.validation_score.is_some());
    let is_held_out = analysis.points.iter().any(held_out);
    let score: Quantity = match (is_held_out, analysis.study.metric) {
        (true, Metric::Accuracy) => ("validation accuracy (%)", 100.0, |row| row.validation_score),
        (true, Metric::MeanPrecision) => ("validation MAP@100 (%)", 100.0, |row| row.validation_score),
        (false, Metric::Accuracy) => ("training accuracy (%)", 100.0, |row| row.train_accuracy),
        (false, Metric::MeanPrecision) => ("training top-1 (%)", 100.0, |row| row.train_accuracy),
    };
    let lines = series(analysis);
    if is_spectrum(analysis) && lines.len() > 1 && lines.len() <= MOST_PANELS {
        let panel = |line: &super::series::Series<'_>| line.label.clone();
        return (lines.iter())
            .map(|line| Panel {
                title: format!("{} · {}", panel(line), score.0),
                quantity: score,
                profiles: profiles(&line.points.iter().map(|(_, point)| *point).collect::<Vec<_>>(), true),
            })
            .collect();
    }
    let points: Vec<&PointSummary> = analysis.points.iter().collect();
    let loss: Quantity = ("training loss", 1.0, |row| row.train_loss);
    let panel = |quantity: Quantity| Panel {
        title: quantity.0.to_owned(),
        quantity,
        profiles: profiles(&points, is_spectrum(analysis) && lines.len() == 1),
    };
    vec![panel(loss), panel(score)]
}

fn profiles<'a>(points: &[&'a PointSummary], along_spectrum: bool) -> Vec<Profile<'a>> {
    let label = |point: &PointSummary| match (point.value("segments"), spectrum_value(&point.point)) {
        (Some("1"), _) if along_spectrum => "1 segment".to_owned(),
        (Some(segments), _) if along_spectrum => segments.to_owned(),
        (None, Some(width)) if along_spectrum => {
            crate::analysis::label(&[("channels-per-segment".to_owned(), width.to_owned())])
        }
        _ => point.label.clone(),
    };
    // From dark to bright by level, as elsewhere.
    let rank = |point: &PointSummary| points.iter().filter(|other| other.level < point.level).count();
    let profile = |(k, point): (usize, &&'a PointSummary)| Profile {
        label: label(point),
        point,
        colour: if along_spectrum { ordered(rank(point), points.len()) } else { category(k) },
        dash: [0.0, 6.0, 3.0][k % 3],
    };
    points.iter().enumerate().map(profile).filter(|profile| !profile.point.curve.is_empty()).collect()
}

/// Every label once, with its row and its place in the row.
fn keys<'p, 'a>(panels: &'p [Panel<'a>]) -> Vec<(&'p Profile<'a>, usize, f64)> {
    let profiles = panels.iter().flat_map(|panel| &panel.profiles);
    let keys = grouped(profiles, |profile| &profile.label).into_iter().map(|(_, alike)| alike[0]);
    let keys: Vec<&Profile<'_>> = keys.collect();
    let places = flowed(keys.iter().map(|profile| 50.0 + text_width(&profile.label, TICK, false)));
    keys.into_iter().zip(places).map(|(profile, (row, x))| (profile, row, x)).collect()
}

/// Steps of an epoch, where all points have equally many.
fn epoch_steps(analysis: &Analysis) -> Option<f64> {
    let rows = analysis.points.iter().flat_map(|point| &point.curve);
    let mut ratios = rows.filter(|row| row.epoch > 0).map(|row| row.step as f64 / row.epoch as f64);
    let first = ratios.next()?;
    (first > 0.0 && ratios.all(|ratio| (ratio - first).abs() < 1e-6 * first)).then_some(first)
}

fn range<'p>(profiles: impl Iterator<Item = &'p Profile<'p>>, (_, unit, value): Quantity) -> (f64, f64) {
    let spreads = profiles.flat_map(|profile| profile.point.curve.iter().filter_map(value));
    padded(spreads.flat_map(|spread| [spread.low, spread.high]).map(|value| unit * value), 0.01, 0.04)
}

/// The axis of steps, and under it that of epochs.
fn draw_steps(canvas: &mut Canvas, frame: &Frame, epoch_steps: Option<f64>) {
    let tick = Style::new(TICK, Anchor::Middle).coloured(FAINT);
    let steps = few_values(frame.x, 4);
    let shown = along_axis(&steps, |step| short_count(step as u64));
    for (&step, shown) in steps.iter().zip(shown) {
        let x = frame.across(step);
        canvas.line(vec![(x, frame.bottom), (x, frame.bottom + 5.0)], INK, 1.0, 0.0);
        canvas.text(shown, (x, frame.bottom + 17.0), tick);
    }
    let name = Style::new(TICK, Anchor::End).coloured(FAINT);
    canvas.text("steps", (frame.left - 14.0, frame.bottom + 17.0), name);
    let Some(steps) = epoch_steps else { return };
    let second = frame.bottom + 34.0;
    canvas.line(vec![(frame.left, second), (frame.right, second)], FAINT, 0.6, 0.0);
    canvas.text("epochs", (frame.left - 14.0, second + 15.0), name);
    for epoch in round_values((frame.x.0 / steps, frame.x.1 / steps), 5) {
        if epoch.fract() == 0.0 {
            let x = frame.across(epoch * steps);
            canvas.line(vec![(x, second), (x, second + 4.0)], FAINT, 0.6, 0.0);
            canvas.text(epoch.to_string(), (x, second + 15.0), tick);
        }
    }
}

fn draw_panel(canvas: &mut Canvas, frame: &Frame, panel: &Panel<'_>) {
    let (_, unit, value) = panel.quantity;
    frame.draw_rows(canvas, 6, true);
    let title = wrapped(&panel.title, frame.right - frame.left + RIGHT, LABEL, true);
    for (line, above) in title.into_iter().rev().zip(0..) {
        let y = frame.top - 16.0 - 17.0 * f64::from(above);
        canvas.text(line, (frame.left, y), Style::new(LABEL, Anchor::Start).bold());
    }
    // Each row's mean, lowest and highest seed.
    let rows = |profile: &Profile<'_>| -> Vec<[(f64, f64); 3]> {
        let place = |row: &CurvePoint| {
            let spread = value(row)?;
            let at = |y: f64| frame.place(row.step as f64, unit * y);
            Some([spread.mean, spread.low, spread.high].map(at))
        };
        profile.point.curve.iter().filter_map(place).collect()
    };
    for profile in &panel.profiles {
        let rows = rows(profile);
        if rows.len() > 1 {
            let upper = rows.iter().map(|[_, _, high]| *high);
            let lower = rows.iter().rev().map(|[_, low, _]| *low);
            canvas.area(upper.chain(lower).collect(), profile.colour, 0.12);
        }
    }
    for profile in &panel.profiles {
        let means: Vec<(f64, f64)> = rows(profile).iter().map(|[mean, ..]| *mean).collect();
        if let [only] = means.as_slice() {
            canvas.mark(Marker::Circle, *only, 3.0, profile.colour);
        }
        canvas.line(means, profile.colour, 1.8, profile.dash);
    }
}
