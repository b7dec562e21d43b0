//! Accuracy along the spectrum, by channels per segment: every seed a dot, the mean a line, its interval a
//! band, and under it what the points cost.

use crate::analysis::{Analysis, PointSummary, held_equal};
use crate::numbers::{percent, plural, short_width};

use super::axis::{Frame, LABEL, TICK, padded, spread, wrapped};
use super::canvas::{Anchor, Canvas, Marker, Style};
use super::costs;
use super::font::{shortened, text_width};
use super::palette::{FAINT, GRID};
use super::series::{
    Series, is_by_width, is_ordered, is_spectrum, other_values, place, series, spectrum_value,
};

/// All figures are this wide: at 600 pixels their smallest letters are still 10 high.
pub(super) const WIDTH: f64 = 780.0;
/// Room for names and numbers at the left.
pub(super) const LEFT: f64 = 72.0;
/// Room around everything.
pub(super) const MARGIN: f64 = 20.0;
const ACCURACY_HEIGHT: f64 = 320.0;
const COSTS_HEIGHT: f64 = 116.0;

/// Draws the headline figure.
pub(super) fn draw(analysis: &Analysis) -> Canvas {
    let lines = series(analysis);
    let names = lines.iter().map(|line| text_width(&line.label, LABEL, false));
    let right = WIDTH - MARGIN - 28.0 - names.fold(costs::label_width(), f64::max).min(WIDTH / 3.0);
    let title = wrapped(analysis.study.title(), WIDTH - 2.0 * MARGIN, TITLE, true);
    let subtitle = subtitle(analysis, &lines);
    let top = head_height(&title, &subtitle) + 34.0;
    let mut canvas = Canvas::new(WIDTH, top, analysis.verdict.to_string());
    head(&mut canvas, &title, &subtitle);

    let bottom = top + ACCURACY_HEIGHT;
    let frame =
        Frame { left: LEFT, right, top, bottom, x: across(analysis, lines.len()), y: score_range(analysis) };
    paper(&mut canvas, &frame, analysis);
    frame.draw_rows(&mut canvas, 7, true);
    frame.name_rows(&mut canvas, &format!("test {} (%)", analysis.study.metric));
    // Lines that share positions on the x axis are shifted sideways.
    let others = lines.len().saturating_sub(1) as f64;
    let aside = |k: usize| f64::min(8.0, 40.0 / others.max(1.0)) * (k as f64 - others / 2.0);
    for (k, line) in lines.iter().enumerate() {
        band(&mut canvas, &frame, line, aside(k));
    }
    for (k, line) in lines.iter().enumerate() {
        means(&mut canvas, &frame, line, aside(k), is_ordered(analysis));
    }
    direct_labels(&mut canvas, &frame, &lines);
    let below = name_points(&mut canvas, &frame, analysis);
    let costs = Frame { top: below + 52.0, bottom: below + 52.0 + COSTS_HEIGHT, ..frame };
    costs::draw(&mut canvas, costs, analysis, &lines);
    canvas.height = costs.bottom + MARGIN;
    canvas
}

/// Data, budget, seeds, and what the marks mean.
fn subtitle(analysis: &Analysis, lines: &[Series<'_>]) -> Vec<String> {
    let study = &analysis.study;
    let finished = || analysis.points.iter().map(PointSummary::finished);
    let seeds = match (finished().min().unwrap_or(0), finished().max().unwrap_or(0)) {
        (least, most) if least == most => plural(most, "seed"),
        (least, most) => format!("{least} to {most} seeds"),
    };
    let budget = held_equal(study.held.as_deref());
    let epochs = study.epochs.map(|epochs| plural(epochs, "epoch"));
    let facts = [Some(study.data.clone()), Some(budget), Some(seeds), epochs];
    let facts: Vec<String> = facts.into_iter().flatten().filter(|fact| !fact.is_empty()).collect();
    vec![
        facts.join(" · "),
        format!("small dots: seeds · large marks: mean · {}: 95 % interval of the mean", intervals(lines)),
    ]
}

/// What shows intervals: a band only along a line of several points.
fn intervals(lines: &[Series<'_>]) -> &'static str {
    let with_interval = |line: &Series<'_>| line.points.iter().filter(|(_, p)| p.interval.is_some()).count();
    let has_band = lines.iter().any(|line| line.is_band && with_interval(line) > 1);
    if has_band { "bars and band" } else { "bars" }
}

/// Size of a figure's title.
pub(super) const TITLE: f64 = 19.0;

/// Where the title and the subtitle end.
pub(super) fn head_height(title: &[String], subtitle: &[String]) -> f64 {
    MARGIN + 26.0 * title.len() as f64 + 20.0 * subtitle.len() as f64 + 6.0
}

/// Title and subtitle of any figure.
pub(super) fn head(canvas: &mut Canvas, title: &[String], subtitle: &[String]) {
    let mut y = MARGIN + 12.0;
    for line in title {
        canvas.text(line, (MARGIN, y), Style::new(TITLE, Anchor::Start).bold());
        y += 26.0;
    }
    for line in subtitle {
        canvas.text(line, (MARGIN, y), Style::new(LABEL, Anchor::Start).coloured(FAINT));
        y += 20.0;
    }
}

/// The range of the x axis, with room for marks at its ends.
fn across(analysis: &Analysis, lines: usize) -> (f64, f64) {
    let room = if lines > 1 { 0.07 } else { 0.04 };
    if !is_spectrum(analysis) {
        return (-0.6, analysis.points.len().max(1) as f64 - 0.4);
    }
    let places = || (0..analysis.points.len()).map(|index| place(analysis, index));
    let (low, high) = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let length = high - low;
    // A single position is centred.
    if length > 0.0 {
        (low - room * length, high + room * length)
    } else {
        (low.min(0.0) - 1.0, high.max(0.0) + 1.0)
    }
}

/// The range of everything drawn, in percent. An interval far wider than the range of the seeds is cut, so
/// that the means stay distinguishable.
pub(super) fn score_range(analysis: &Analysis) -> (f64, f64) {
    let seeds = analysis.points.iter().flat_map(|point| point.scores.iter().map(|(_, score)| *score));
    let (low, high) = padded(seeds.map(|value| 100.0 * value), 0.5, 0.0);
    let room = 1.5 * (high - low);
    let ends = analysis.points.iter().filter_map(|point| point.interval).flat_map(|i| [i.low, i.high]);
    let ends = ends.map(|end| (100.0 * end).clamp((low - room).max(0.0), (high + room).min(100.0)));
    padded(ends.chain([low, high]), 0.5, 0.05)
}

fn band(canvas: &mut Canvas, frame: &Frame, line: &Series<'_>, aside: f64) {
    let ends: Vec<(f64, f64, f64)> = line
        .points
        .iter()
        .filter_map(|(x, point)| point.interval.map(|interval| (*x, interval.low, interval.high)))
        .collect();
    if ends.len() > 1 && line.is_band {
        let upper = ends.iter().map(|&(x, _, high)| (frame.across(x) + aside, frame.share(high)));
        let lower = ends.iter().rev().map(|&(x, low, _)| (frame.across(x) + aside, frame.share(low)));
        canvas.area(upper.chain(lower).collect(), line.colour, 0.10);
    }
}

/// The line of means with its marks and intervals, and a dot for each seed.
fn means(canvas: &mut Canvas, frame: &Frame, line: &Series<'_>, aside: f64, is_ordered: bool) {
    let at = |x: f64, share: f64| (frame.across(x) + aside, frame.down(100.0 * share));
    let places: Vec<(f64, f64)> =
        line.points.iter().filter_map(|(x, point)| point.mean.map(|mean| at(*x, mean))).collect();
    if places.len() > 1 && is_ordered {
        canvas.line(places, line.colour, 2.0, line.dash);
    }
    for (x, point) in &line.points {
        if let Some(interval) = point.interval {
            let x = frame.across(*x) + aside;
            let ends = [interval.low, interval.high];
            canvas.line(ends.map(|end| (x, frame.share(end))).to_vec(), line.colour, 1.2, 0.0);
            // One that is cut, at 100 % or at the edge, does not end there.
            for end in ends.into_iter().filter(|end| frame.share(*end) == frame.down(100.0 * end)) {
                let y = frame.share(end);
                canvas.line(vec![(x - 4.0, y), (x + 4.0, y)], line.colour, 1.2, 0.0);
            }
        }
    }
    for (x, point) in &line.points {
        for (seed, score) in &point.scores {
            let says = format!("{}, seed {seed}: {:.2} %", point.label, 100.0 * score);
            let (x, y) = at(*x, *score);
            let side = if line.label.is_empty() { 9.0 } else { 0.0 };
            canvas.datum(Marker::Circle, (x + side, y), 2.8, line.colour, 0.6, says);
        }
        if let Some(mean) = point.mean {
            let interval = point.interval.map_or(String::new(), |interval| {
                format!(" ({} to {})", percent(interval.low), percent(interval.high))
            });
            let says = format!("{}: mean {:.2} %{interval}", point.label, 100.0 * mean);
            canvas.datum(line.marker, at(*x, mean), 5.0, line.colour, 1.0, says);
        }
    }
}

/// The name of each line at its right end.
fn direct_labels(canvas: &mut Canvas, frame: &Frame, lines: &[Series<'_>]) {
    let ends: Vec<(f64, &Series<'_>)> = lines
        .iter()
        .filter(|line| !line.label.is_empty())
        .filter_map(|line| {
            let mean = line.points.iter().rev().find_map(|(_, point)| point.mean)?;
            Some((frame.down(100.0 * mean), line))
        })
        .collect();
    let places = spread(&ends.iter().map(|(y, _)| *y).collect::<Vec<_>>(), 20.0);
    for ((_, line), y) in ends.iter().zip(places) {
        canvas.mark(line.marker, (frame.right + 18.0, y), 4.5, line.colour);
        canvas.text(
            shortened(&line.label, WIDTH - frame.right - 32.0, LABEL),
            (frame.right + 28.0, y),
            Style::new(LABEL, Anchor::Start).coloured(line.colour),
        );
    }
}

/// Names the points under the axis; returns where the names end.
fn name_points(canvas: &mut Canvas, frame: &Frame, analysis: &Analysis) -> f64 {
    let mut names: Vec<(f64, String)> = Vec::new();
    for (index, point) in analysis.points.iter().enumerate() {
        let is_segments = point.value("segments").is_some() && is_by_width(analysis);
        let name = match (spectrum_value(&point.point), point.point.as_slice()) {
            (Some(value), _) => match point.group_width.filter(|_| is_segments) {
                Some(width) => format!("{value} ({})", short_width(width)),
                None if value == "all" && is_by_width(analysis) => {
                    let width = point.group_width.unwrap_or(f64::NAN);
                    format!("{value} ({})", short_width(width))
                }
                None => value.to_owned(),
            },
            (None, [(_, value)]) => value.clone(),
            (None, _) => other_values(&point.point),
        };
        let x = frame.across(place(analysis, index));
        let is_known = names.iter().any(|(place, known)| *known == name && (place - x).abs() < 12.0);
        if !is_known {
            names.push((x, name));
        }
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let deeper = if is_spectrum(analysis) {
        frame.name_columns(canvas, &names)
    } else {
        frame.name_even_columns(canvas, &names)
    };
    let name = match analysis.study.axes.as_slice() {
        _ if is_spectrum(analysis) && !is_by_width(analysis) => {
            "segments, placed by decoupling level, the most decoupled at the left"
        }
        axes if axes.iter().any(|axis| axis.name == "segments") => {
            "segments (channels per segment: the mean over layers, on a logarithmic scale)"
        }
        _ if is_spectrum(analysis) => "channels per segment (the mean over layers, on a logarithmic scale)",
        [axis] => axis.name.as_str(),
        _ => return frame.bottom + 26.0 + deeper,
    };
    frame.name_below(canvas, name, 42.0 + deeper);
    frame.bottom + 48.0 + deeper
}

/// Marks the paper's two points, above the frame and down to the axis: Inception at 3 to 4 segments and
/// Xception at one per channel.
fn paper(canvas: &mut Canvas, frame: &Frame, analysis: &Analysis) {
    let levels = |names: &[&str]| -> Option<(f64, f64)> {
        let points = analysis.points.iter().enumerate();
        let points = points.filter(|(_, point)| point.value("segments").is_some_and(|s| names.contains(&s)));
        let level = points.map(|(index, _)| place(analysis, index));
        level.fold(None, |range, level| match range {
            None => Some((level, level)),
            Some((low, high)) => Some((f64::min(low, level), f64::max(high, level))),
        })
    };
    let known = [("Inception", levels(&["3", "4"])), ("Xception", levels(&["per-channel"]))];
    for (name, range) in known.into_iter().filter_map(|(name, range)| Some((name, range?))) {
        let (left, right) = (frame.across(range.0) - 7.0, frame.across(range.1) + 7.0);
        let corners =
            vec![(left, frame.top), (right, frame.top), (right, frame.bottom), (left, frame.bottom)];
        canvas.area(corners, GRID, 0.5);
        let middle = (left + right) / 2.0;
        canvas.area(
            vec![(middle - 5.0, frame.top - 9.0), (middle + 5.0, frame.top - 9.0), (middle, frame.top - 1.0)],
            FAINT,
            1.0,
        );
        canvas.text(name, (middle, frame.top - 19.0), Style::new(TICK, Anchor::Middle).coloured(FAINT));
    }
}
