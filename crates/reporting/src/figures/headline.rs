//! Accuracy against decoupling level: every seed a dot, the mean a line, its
//! interval a band, and under it what the points cost.

use crate::{
    analysis::{Analysis, PointSummary},
    numbers::count,
};

use super::{
    axis::{Frame, decimals, padded, spread, stagger, text_width, wrapped},
    canvas::{Anchor, Canvas, Marker, Style},
    costs,
    palette::{Colour, FAINT, INK},
    series::{SEGMENTS, Series, is_spectrum, series},
};

const WIDTH: f64 = 920.0;
const LEFT: f64 = 78.0;

/// Draws the headline figure.
pub(super) fn draw(analysis: &Analysis) -> Canvas {
    let lines = series(analysis);
    let labels = lines.iter().map(|line| text_width(&line.label, 13.0)).fold(0.0, f64::max);
    let right = WIDTH - 40.0 - labels.max(costs::LABEL_WIDTH);
    let title = wrapped(&title(analysis), 78);
    let top = 34.0 + 26.0 * title.len() as f64 + 44.0;
    let height = top + 330.0 + 96.0 + 150.0 + 24.0;
    let mut canvas = Canvas::new(WIDTH, height);
    head(&mut canvas, &title, &subtitle(analysis));

    let frame = Frame {
        left: LEFT,
        right,
        top,
        bottom: top + 330.0,
        x: across(analysis),
        y: accuracy_range(analysis),
    };
    let digits = decimals(frame.y, 7);
    frame.draw_rows(&mut canvas, 7, |value| format!("{value:.digits$}"));
    frame.name_rows(&mut canvas, "test accuracy (%)", 54.0);
    for line in &lines {
        band(&mut canvas, &frame, line);
    }
    for line in &lines {
        means(&mut canvas, &frame, line, lines.len());
    }
    direct_labels(&mut canvas, &frame, &lines);
    let below = name_points(&mut canvas, &frame, analysis);
    let costs = Frame { top: below + 52.0, bottom: below + 52.0 + 110.0, ..frame };
    costs::draw(&mut canvas, costs, analysis, &lines);
    canvas
}

fn title(analysis: &Analysis) -> String {
    let study = &analysis.study;
    if study.question.is_empty() { study.name.clone() } else { study.question.clone() }
}

/// Data, budget, seeds, and what the marks mean.
fn subtitle(analysis: &Analysis) -> Vec<String> {
    let study = &analysis.study;
    let seeds = analysis.points.iter().map(PointSummary::finished).max().unwrap_or(0);
    let budget = study.held.as_ref().map_or("equal width".to_owned(), |held| format!("equal {held}"));
    let epochs = study.epochs.map(|epochs| count(epochs, "epoch"));
    let facts = [Some(study.data.clone()), Some(budget), Some(count(seeds, "seed")), epochs];
    vec![
        facts.into_iter().flatten().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join(" · "),
        "small dots: seeds; large marks: mean; bars and band: its 95 % interval".to_owned(),
    ]
}

/// Title and subtitle of any figure.
pub(super) fn head(canvas: &mut Canvas, title: &[String], subtitle: &[String]) {
    let mut y = 34.0;
    for line in title {
        canvas.text(line, (24.0, y), Style::new(19.0, Anchor::Start).bold());
        y += 26.0;
    }
    for line in subtitle {
        canvas.text(line, (24.0, y), Style::new(13.0, Anchor::Start).coloured(FAINT));
        y += 19.0;
    }
}

/// The range of the x axis, with room for marks at its ends.
fn across(analysis: &Analysis) -> (f64, f64) {
    if is_spectrum(analysis) { (-0.04, 1.04) } else { (-0.6, analysis.points.len().max(1) as f64 - 0.4) }
}

/// From the lowest to the highest thing that is drawn, in percent. An interval
/// far wider than the seeds is cut, so that the means stay apart.
fn accuracy_range(analysis: &Analysis) -> (f64, f64) {
    let seeds =
        analysis.points.iter().flat_map(|point| point.accuracies.iter().map(|(_, accuracy)| *accuracy));
    let (low, high) = padded(seeds.map(|value| 100.0 * value), 0.5, 0.0);
    let room = 1.5 * (high - low);
    let ends = analysis.points.iter().filter_map(|point| point.interval).flat_map(|i| [i.low, i.high]);
    let ends = ends.map(|end| (100.0 * end).clamp((low - room).max(0.0), (high + room).min(100.0)));
    padded(ends.chain([low, high]), 0.5, 0.05)
}

fn band(canvas: &mut Canvas, frame: &Frame, line: &Series<'_>) {
    let ends: Vec<(f64, f64, f64)> = line
        .points
        .iter()
        .filter_map(|(x, point)| point.interval.map(|interval| (*x, interval.low, interval.high)))
        .collect();
    let inside = |y: f64| frame.down(100.0 * y).clamp(frame.top, frame.bottom);
    if ends.len() > 1 {
        let upper = ends.iter().map(|&(x, _, high)| (frame.across(x), inside(high)));
        let lower = ends.iter().rev().map(|&(x, low, _)| (frame.across(x), inside(low)));
        canvas.area(upper.chain(lower).collect(), line.colour, 0.12);
    }
    for (x, low, high) in ends {
        let x = frame.across(x);
        canvas.line(vec![(x, inside(low)), (x, inside(high))], line.colour, 1.5, 0.0);
        for end in [low, high].map(inside) {
            canvas.line(vec![(x - 4.0, end), (x + 4.0, end)], line.colour, 1.5, 0.0);
        }
    }
}

/// The line of means with its marks, and a dot for each seed beside them.
fn means(canvas: &mut Canvas, frame: &Frame, line: &Series<'_>, lines: usize) {
    let places: Vec<(f64, f64)> = line
        .points
        .iter()
        .filter_map(|(x, point)| point.mean.map(|mean| frame.place(*x, 100.0 * mean)))
        .collect();
    if places.len() > 1 {
        canvas.line(places.clone(), line.colour, 2.0, line.dash);
    }
    for (x, point) in &line.points {
        for (k, (_, accuracy)) in point.accuracies.iter().enumerate() {
            // Seeds with the same accuracy stand beside each other.
            let side = if lines > 1 { 0.0 } else { 9.0 + 4.0 * (k % 3) as f64 };
            let (x, y) = frame.place(*x, 100.0 * accuracy);
            canvas.mark(Marker::Circle, (x + side, y), 2.3, line.colour, 0.55);
        }
    }
    for place in places {
        canvas.mark(line.marker, place, 5.0, line.colour, 1.0);
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
    let places = spread(&ends.iter().map(|(y, _)| *y).collect::<Vec<_>>(), 18.0);
    for ((_, line), y) in ends.iter().zip(places) {
        canvas.mark(line.marker, (frame.right + 14.0, y), 4.5, line.colour, 1.0);
        canvas.text(
            &line.label,
            (frame.right + 24.0, y),
            Style::new(13.0, Anchor::Start).coloured(line.colour),
        );
    }
}

/// Names the points under the axis; returns where the names end.
fn name_points(canvas: &mut Canvas, frame: &Frame, analysis: &Analysis) -> f64 {
    let mut names: Vec<(f64, String)> = Vec::new();
    for (index, point) in analysis.points.iter().enumerate() {
        let (x, name) = match point.value(SEGMENTS) {
            Some(segments) => (frame.across(point.level), segments.to_owned()),
            None => (frame.across(index as f64), point.label.clone()),
        };
        let is_known = names.iter().any(|(place, known)| *known == name && (place - x).abs() < 12.0);
        if !is_known {
            names.push((x, name));
        }
    }
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let widths: Vec<(f64, f64)> = names.iter().map(|(x, name)| (*x, text_width(name, 13.0))).collect();
    let places = stagger(&widths);
    let second = if places.contains(&Some(1)) { 17.0 } else { 0.0 };
    for ((x, name), line) in names.iter().zip(places) {
        canvas.line(vec![(*x, frame.bottom), (*x, frame.bottom + 5.0)], INK, 1.0, 0.0);
        if let Some(line) = line {
            canvas.text(
                name,
                (*x, frame.bottom + 16.0 + 17.0 * line as f64),
                Style::new(13.0, Anchor::Middle),
            );
        }
    }
    if !is_spectrum(analysis) {
        return frame.bottom + 24.0 + second;
    }
    paper(canvas, frame, analysis);
    let middle = (frame.left + frame.right) / 2.0;
    let name =
        "segments, placed by decoupling level (left: regular convolution; right: one segment a channel)";
    canvas.text(name, (middle, frame.bottom + 44.0 + second), Style::new(13.0, Anchor::Middle));
    frame.bottom + 48.0 + second
}

/// The paper's two points, above the axis: Inception at 3 to 4 segments and
/// Xception at one a channel.
fn paper(canvas: &mut Canvas, frame: &Frame, analysis: &Analysis) {
    let mean_level = |names: &[&str]| {
        let points = analysis.points.iter().filter(|p| p.value(SEGMENTS).is_some_and(|s| names.contains(&s)));
        let levels: Vec<f64> = points.map(|point| point.level).collect();
        (!levels.is_empty()).then(|| levels.iter().sum::<f64>() / levels.len() as f64)
    };
    for (name, level) in [("Inception", mean_level(&["3", "4"])), ("Xception", mean_level(&["per-channel"]))]
    {
        let Some(level) = level else { continue };
        let x = frame.across(level);
        let grey: Colour = FAINT;
        let tip = frame.bottom - 3.0;
        canvas.area(vec![(x - 5.0, tip - 8.0), (x + 5.0, tip - 8.0), (x, tip)], grey, 1.0);
        canvas.text(name, (x, tip - 17.0), Style::new(12.0, Anchor::Middle).coloured(grey));
    }
}
