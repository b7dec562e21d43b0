//! The tries that chose each point's recipe.

use decouple_experiment::{Outcome, Try};

use crate::analysis::{Analysis, distinct};

use super::axis::{Frame, padded, wrapped};
use super::canvas::{Canvas, Marker};
use super::headline::{LEFT, MARGIN, TITLE, WIDTH, head, head_height};
use super::palette::{Colour, FAINT, category};
use super::series::{other_values, spectrum_value};

const HEIGHT: f64 = 260.0;

/// Draws the tries of a study that tunes.
pub(super) fn draw(analysis: &Analysis) -> Option<Canvas> {
    let tries = &analysis.study.tries;
    let shares = tries.iter().filter_map(|tried| tried.score).map(|share| 100.0 * share);
    shares.clone().next()?;
    let title = wrapped("The tries that chose each point's recipe", WIDTH - 2.0 * MARGIN, TITLE, true);
    let subtitle = [
        "large marks: chosen · small marks: trained to the end".to_owned(),
        "with an arrow: stopped early, where it stood; at the end it would have stood elsewhere, mostly higher"
            .to_owned(),
    ];
    let top = head_height(&title, &subtitle) + 14.0;
    let metric = analysis.study.metric;
    let mut canvas = Canvas::new(WIDTH, top + HEIGHT + 74.0, format!("Validation {metric} of every try."));
    head(&mut canvas, &title, &subtitle);
    let points = distinct(tries.iter().map(|tried| tried.point.as_slice()));
    let frame = Frame {
        left: LEFT,
        right: WIDTH - MARGIN - 28.0,
        top,
        bottom: top + HEIGHT,
        x: (-0.6, points.len() as f64 - 0.4),
        y: padded(shares, 0.5, 0.08),
    };
    frame.draw_rows(&mut canvas, 6, true);
    frame.name_rows(&mut canvas, &format!("validation {metric} (%)"));
    let mut drawn = vec![0; points.len()];
    for tried in tries {
        let point = points.iter().position(|known| *known == tried.point).unwrap_or(0);
        let each = tries.iter().filter(|other| other.point == tried.point).count();
        let (place, k) = (point as f64, drawn[point]);
        drawn[point] += 1;
        // The tries of a point side by side, in the order of the settings.
        let aside = 0.6 * (k as f64 + 0.5) / each as f64 - 0.3;
        draw_try(&mut canvas, &frame, place + aside, tried);
    }
    name_points(&mut canvas, &frame, &points);
    Some(canvas)
}

fn draw_try(canvas: &mut Canvas, frame: &Frame, place: f64, tried: &Try) {
    let Some(score) = tried.score else { return };
    let (x, y) = frame.place(place, 100.0 * score);
    let says = format!(
        "learning rate {}, weight decay {}: {:.2} % after epoch {}",
        tried.setting.learning_rate,
        tried.setting.weight_decay,
        100.0 * score,
        tried.epochs
    );
    let (radius, colour): (f64, Colour) = match tried.outcome {
        _ if tried.is_chosen => (6.0, category(1)),
        Outcome::Finished => (3.5, category(0)),
        _ => (3.5, FAINT),
    };
    if matches!(tried.outcome, Outcome::Stopped { .. }) {
        canvas.line(vec![(x, y), (x, y - 13.0)], colour, 1.2, 0.0);
        canvas.area(vec![(x - 3.5, y - 11.0), (x + 3.5, y - 11.0), (x, y - 17.0)], colour, 1.0);
    }
    canvas.datum(Marker::Circle, (x, y), radius, colour, 1.0, says);
}

fn name_points(canvas: &mut Canvas, frame: &Frame, points: &[&[(String, String)]]) {
    let name = |point: &[(String, String)]| {
        let segments = spectrum_value(point).map(str::to_owned).into_iter();
        let names: Vec<String> =
            segments.chain([other_values(point)]).filter(|name| !name.is_empty()).collect();
        names.join(", ")
    };
    let names: Vec<(f64, String)> =
        points.iter().enumerate().map(|(k, point)| (frame.across(k as f64), name(point))).collect();
    frame.name_columns(canvas, &names);
    if points.iter().all(|point| spectrum_value(point).is_some()) {
        frame.name_below(canvas, "the spectrum", 58.0);
    }
}
