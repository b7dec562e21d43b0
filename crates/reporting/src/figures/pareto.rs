//! Test accuracy against the cost of a network, one panel per known cost, with the Pareto-optimal points.

use std::collections::HashSet;

use decouple_experiment::Held;

use crate::analysis::{Analysis, PointSummary, changes_images};
use crate::numbers::{along_axis, percent, seconds, short_count};

use super::annotations::Annotations;
use super::axis::{Frame, TICK, few_values, flowed, padded, wrapped};
use super::canvas::{Anchor, Canvas, Marker, Style};
use super::font::{shortened, text_width};
use super::headline::{LEFT, TITLE, WIDTH, head, head_height, score_range};
use super::palette::{Colour, FAINT, INK, ordered};
use super::series::{Series, series, spectrum_value};

const HEIGHT: f64 = 270.0;
const GAP: f64 = 26.0;
const RIGHT: f64 = 20.0;

/// One panel: the name of a cost, its value, how a value is written and the budget that holds it equal.
type Panel = (&'static str, fn(&PointSummary) -> Option<f64>, fn(f64) -> String, Held);

const PANELS: [Panel; 3] = [
    (
        "parameters",
        |point| Some(point.costs.parameters as f64),
        |value| short_count(value as u64),
        Held::Parameters,
    ),
    (
        "multiply-adds per image",
        |point| Some(point.costs.macs as f64),
        |value| short_count(value as u64),
        Held::Macs,
    ),
    ("step time (ms)", |point| point.step_secs().map(|secs| 1e3 * secs), seconds, Held::StepTime),
];

/// A point as a panel shows it.
struct Dot<'a> {
    cost: f64,
    mean: f64,
    point: &'a PointSummary,
    marker: Marker,
    colour: Colour,
}

/// Draws the panels, if at least two points have finished runs, and all are tested on the same images and trained as
/// long: what longer training costs is in none of the panels, so it would seem to be free.
pub(super) fn draw(analysis: &Analysis) -> Option<Canvas> {
    if analysis.study.axis_names().any(|axis| changes_images(axis) || axis == "training.epochs") {
        return None;
    }
    let lines = series(analysis);
    let finished = analysis.points.iter().filter(|point| point.mean.is_some()).count();
    if finished < 2 {
        return None;
    }
    let title =
        wrapped(&format!("{} against cost", analysis.study.metric.title()), WIDTH - 40.0, TITLE, true);
    let mut subtitle =
        vec![format!("{} · a stepped line joins the Pareto-optimal points", analysis.study.name)];
    if lines.len() > 1 {
        subtitle.push("the colour is the decoupling level, from dark (0) to bright (1)".to_owned());
    }
    let first = head_height(&title, &subtitle) + 18.0;
    let keys = if lines.len() > 1 { keys(&lines) } else { Vec::new() };
    let top = first + keys.last().map_or(0.0, |(_, (row, _))| 30.0 + 22.0 * *row as f64) + 16.0;
    let summary = format!("Test {} against what a network costs.", analysis.study.metric);
    let mut canvas = Canvas::new(WIDTH, top + HEIGHT + 62.0, summary);
    head(&mut canvas, &title, &subtitle);
    for (line, (row, x)) in keys {
        let y = first + 22.0 * row as f64;
        canvas.mark(line.marker, (x + 5.0, y), 4.5, FAINT);
        let label = shortened(&line.label, WIDTH - x - 20.0, TICK);
        canvas.text(label, (x + 15.0, y), Style::new(TICK, Anchor::Start));
    }
    // The quantity held equal has almost one value: its panel would show only rounding.
    let is_held = |panel: &&Panel| analysis.study.held.as_deref() == Some(panel.3.name());
    let panels: Vec<(&Panel, Vec<Dot<'_>>)> = (PANELS.iter())
        .filter(|panel| !is_held(panel))
        .map(|panel| (panel, dots(&lines, panel.1)))
        .filter(|(_, dots)| !dots.is_empty())
        .collect();
    let gaps = GAP * (panels.len() as f64 - 1.0);
    let each = (WIDTH - LEFT - RIGHT - gaps) / panels.len() as f64;
    for (k, (panel, dots)) in panels.into_iter().enumerate() {
        let left = LEFT + (each + GAP) * k as f64;
        let costs = dots.iter().map(|dot| dot.cost);
        let middle = costs.clone().sum::<f64>() / dots.len() as f64;
        let frame = Frame {
            left,
            right: left + each,
            top,
            bottom: top + HEIGHT,
            x: padded(costs, 0.02 * middle.abs().max(1e-9), 0.12),
            y: score_range(analysis),
        };
        let name = format!("test {} (%)", analysis.study.metric);
        draw_panel(&mut canvas, &frame, panel, dots, (k == 0).then_some(&name));
    }
    Some(canvas)
}

fn dots<'a>(lines: &[Series<'a>], cost: fn(&PointSummary) -> Option<f64>) -> Vec<Dot<'a>> {
    let all = lines.iter().flat_map(|line| line.points.iter().map(move |(_, point)| (line, *point)));
    let several = lines.len() > 1;
    let mut dots: Vec<Dot<'_>> = all
        .filter_map(|(line, point)| {
            let level = (1000.0 * point.level).round().clamp(0.0, 1000.0) as usize;
            let colour = if several { ordered(level, 1001) } else { line.colour };
            Some(Dot { cost: cost(point)?, mean: point.mean?, point, marker: line.marker, colour })
        })
        .collect();
    // The cheapest first; of equally cheap ones, the best first.
    dots.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.mean.total_cmp(&a.mean)));
    dots
}

/// The legend of marks: each line with its row and its place in the row.
fn keys<'l, 'a>(lines: &'l [Series<'a>]) -> Vec<(&'l Series<'a>, (usize, f64))> {
    let widths = lines.iter().map(|line| 35.0 + text_width(&line.label, TICK, false));
    lines.iter().zip(flowed(widths)).collect()
}

/// `name`: of the rows, in the first panel.
fn draw_panel(canvas: &mut Canvas, frame: &Frame, panel: &Panel, dots: Vec<Dot<'_>>, name: Option<&String>) {
    frame.draw_rows(canvas, 6, name.is_some());
    if let Some(name) = name {
        frame.name_rows(canvas, name);
    }
    let mut last = String::new();
    let values = few_values(frame.x, 4);
    for (&value, text) in values.iter().zip(along_axis(&values, panel.2)) {
        let x = frame.across(value);
        let half = text_width(&text, TICK, false) / 2.0;
        // A number beyond the panel's edge could collide with one of the next panel.
        if text == last || x - half < frame.left - GAP / 3.0 || x + half > frame.right + GAP / 3.0 {
            continue;
        }
        canvas.line(vec![(x, frame.bottom), (x, frame.bottom + 5.0)], INK, 1.0, 0.0);
        canvas.text(&text, (x, frame.bottom + 17.0), Style::new(TICK, Anchor::Middle).coloured(FAINT));
        last = text;
    }
    frame.name_below(canvas, panel.0, 40.0);

    let front = front(&dots);
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for dot in front.iter().map(|&index| &dots[index]) {
        let place = frame.place(dot.cost, 100.0 * dot.mean);
        steps.push((place.0, steps.last().map_or(frame.bottom, |last| last.1)));
        steps.push(place);
    }
    steps.extend(steps.last().map(|last| (frame.right, last.1)));
    let mut labels = Annotations::new([frame.left, frame.right + 16.0, frame.top - 12.0, frame.bottom]);
    for pair in steps.windows(2) {
        labels.keep_off_line(pair[0], pair[1]);
    }
    canvas.line(steps, FAINT, 1.5, 0.0);

    for dot in &dots {
        let (x, y) = frame.place(dot.cost, 100.0 * dot.mean);
        if let Some(interval) = dot.point.interval {
            let [low, high] = [interval.low, interval.high].map(|end| (x, frame.share(end)));
            canvas.line(vec![low, high], dot.colour, 1.0, 0.0);
            labels.keep_off_line(low, high);
        }
        labels.keep_off_mark((x, y), 6.0);
    }
    for dot in &dots {
        let place = frame.place(dot.cost, 100.0 * dot.mean);
        let says =
            format!("{}: {} %, {} {}", dot.point.label, percent(dot.mean), (panel.2)(dot.cost), panel.0);
        canvas.datum(dot.marker, place, 5.0, dot.colour, 1.0, says);
    }
    let axes = distinguishing_axes(&dots);
    for dot in &dots {
        let own: Vec<&str> = axes.iter().map(|&axis| dot.point.point[axis].1.as_str()).collect();
        let name = spectrum_value(&dot.point.point).map_or_else(|| own.join(", "), str::to_owned);
        labels.write(canvas, &name, frame.place(dot.cost, 100.0 * dot.mean));
    }
}

/// Indices of as few axes as distinguish the points: one of two that vary together is enough.
fn distinguishing_axes(dots: &[Dot<'_>]) -> Vec<usize> {
    let mut axes: Vec<usize> = (0..dots.first().map_or(0, |dot| dot.point.point.len())).collect();
    let count = |axes: &[usize]| {
        let values = |dot: &Dot<'_>| axes.iter().map(|&axis| dot.point.point[axis].1.clone()).collect();
        dots.iter().map(values).collect::<HashSet<Vec<String>>>().len()
    };
    for axis in (0..axes.len()).rev() {
        let fewer: Vec<usize> = axes.iter().copied().filter(|&other| other != axis).collect();
        if count(&fewer) == dots.len() {
            axes = fewer;
        }
    }
    axes
}

/// Indices of the Pareto-optimal dots, from cheap to expensive: no dot of equal or lower cost is better.
/// `dots` are sorted by cost.
fn front(dots: &[Dot<'_>]) -> Vec<usize> {
    let mut best = f64::NEG_INFINITY;
    let mut front = Vec::new();
    for (index, dot) in dots.iter().enumerate() {
        if dot.mean > best {
            best = dot.mean;
            front.push(index);
        }
    }
    front
}
