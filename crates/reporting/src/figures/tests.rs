//! Layout: nothing is drawn off the page or over another label, whatever the data.

use decouple_experiment::{Axis, MetricsRow, Outcome};
use proptest::prelude::*;

use super::annotations::Annotations;
use super::axis::{decimals, few_values, round_values, spread, stagger, wrapped};
use super::canvas::Shape;
use super::*;
use decouple_spectrum::cost::Cost;

use crate::analysis::{RunOutcome, RunRow, Study, summarise};

/// An analysis of made-up runs: `accuracy(point, seed)`, `None` for one that diverged.
fn analysis(
    segments: &[&str],
    others: &[&str],
    seeds: u64,
    accuracy: impl Fn(usize, u64) -> Option<f64>,
) -> Analysis {
    let mut runs = Vec::new();
    for (k, other) in others.iter().enumerate() {
        for (i, value) in segments.iter().enumerate() {
            for seed in 0..seeds {
                let accuracy = accuracy(k * segments.len() + i, seed);
                let level = i as f64 / segments.len().saturating_sub(1).max(1) as f64;
                let mut point = vec![("segments".to_owned(), (*value).to_owned())];
                if others.len() > 1 {
                    point.push(("intermediate".to_owned(), (*other).to_owned()));
                }
                runs.push(RunRow {
                    id: format!("{k}-{i}-{seed}"),
                    point,
                    seed,
                    outcome: RunOutcome::Over(
                        accuracy.map_or(Outcome::Diverged { step: 3 }, |_| Outcome::Finished),
                    ),
                    level,
                    group_width: Some(2f64.powi(segments.len() as i32 - i as i32)),
                    width: Some(1.0),
                    costs: Cost {
                        parameters: 1000 + i as u64,
                        macs: 5000,
                        activations: 300,
                        ..Cost::default()
                    },
                    raw_score: accuracy,
                    steps: Some(10),
                    train_secs: accuracy.map(|_| 3.0 + level),
                    images_per_sec: Some(100.0),
                    epochs: (1..4)
                        .map(|epoch| MetricsRow {
                            epoch,
                            step: 5 * epoch,
                            train_loss: 2.0 / epoch as f64,
                            train_accuracy: 0.3 * epoch as f64,
                            learning_rate: 0.1,
                            ..MetricsRow::default()
                        })
                        .collect(),
                    ..RunRow::default()
                });
            }
        }
    }
    let mut axes = vec![Axis { name: "segments".to_owned(), values: vec![], zipped_with: None }];
    if others.len() > 1 {
        axes.push(Axis { name: "intermediate".to_owned(), values: vec![], zipped_with: None });
    }
    let study = Study { name: "a".into(), question: "Why? ".repeat(40), axes, ..Study::default() };
    summarise(study, runs, Vec::new())
}

/// Left, right, top and bottom of a text, as it is laid out.
fn extent(text: &str, place: (f64, f64), style: &canvas::Style) -> [f64; 4] {
    let width = font::text_width(text, style.size, style.bold);
    let (before, after) = match style.anchor {
        canvas::Anchor::Start => (0.0, width),
        canvas::Anchor::Middle => (width / 2.0, width / 2.0),
        canvas::Anchor::End => (width, 0.0),
    };
    if style.upwards {
        return [place.0 - style.size / 2.0, place.0 + style.size / 2.0, place.1 - before, place.1 + after];
    }
    [place.0 - before, place.0 + after, place.1 - style.size / 2.0, place.1 + style.size / 2.0]
}

#[track_caller]
fn assert_tidy(canvas: &Canvas) {
    let (width, height) = (canvas.width, canvas.height);
    let assert_on_page = |(x, y): &(f64, f64)| {
        assert!((-1.0..=width + 1.0).contains(x) && (-1.0..=height + 1.0).contains(y), "({x}, {y})");
    };
    let mut texts: Vec<(&str, [f64; 4])> = Vec::new();
    for shape in &canvas.shapes {
        match shape {
            Shape::Line { points, .. } | Shape::Area { points, .. } => {
                for place in points {
                    assert_on_page(place);
                }
            }
            Shape::Mark { place, .. } => assert_on_page(place),
            Shape::Text { text, place, style } => {
                let [left, right, top, bottom] = extent(text, *place, style);
                assert!(
                    left >= 0.0 && right <= width && top >= 0.0 && bottom <= height,
                    "{text} is off the page"
                );
                for (other, [l, r, t, b]) in &texts {
                    let apart = right <= *l || *r <= left || bottom <= *t || *b <= top;
                    assert!(apart, "`{text}` stands over `{other}`");
                }
                texts.push((text, [left, right, top, bottom]));
            }
        }
    }
}

#[test]
fn figures_of_many_shapes_are_tidy_and_repeat() {
    let spectrum = ["1", "2", "3", "4", "8", "16", "32", "64", "per-channel"];
    let cases = [
        analysis(&spectrum, &[""], 8, |point, seed| {
            Some(0.85 + 0.01 * ((point * 7 + seed as usize * 3) % 5) as f64)
        }),
        analysis(&spectrum[..5], &["none", "relu", "elu"], 3, |point, seed| {
            Some(0.85 + 0.002 * (point as f64 + seed as f64))
        }),
        analysis(&["3"], &[""], 1, |_, _| Some(0.9)),
        // So near to 100 % that the widest number, `100.0`, stands beside the axis.
        analysis(&["1", "per-channel"], &[""], 1, |_, _| Some(0.9997)),
        analysis(&["1", "per-channel"], &[""], 2, |point, _| (point > 0).then_some(0.5)),
        analysis(&["1", "per-channel"], &[""], 2, |_, _| None),
        analysis(&[], &[""], 0, |_, _| None),
    ];
    for case in &cases {
        for Figure { name, canvas, .. } in all(case) {
            assert_tidy(&canvas);
            let (svg, png) = (canvas.svg(TextSetting::File), canvas.png().unwrap());
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(png.starts_with(&[0x89, b'P', b'N', b'G']), "{name}");
            assert_eq!((svg, png), (canvas.svg(TextSetting::File), canvas.png().unwrap()));
        }
    }
}

#[test]
fn every_line_has_a_key_in_the_figure_of_costs() {
    let others = ["none", "relu", "a rather long name of an activation", "another rather long name", "elu"];
    let case = analysis(&["1", "4", "per-channel"], &others, 2, |point, _| Some(0.9 - 0.01 * point as f64));
    let figure = all(&case).into_iter().find(|figure| figure.name == "pareto").unwrap();
    assert_tidy(&figure.canvas);
    for other in others {
        let mut texts = figure.canvas.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text),
            _ => None,
        });
        assert!(texts.any(|text| text.contains(other)), "{other}");
    }
}

/// The same runs with their axes named otherwise.
fn renamed(case: Analysis, names: &[(&str, &str)]) -> Analysis {
    let new = |name: &mut String| {
        if let Some((_, new)) = names.iter().find(|(old, _)| old == name) {
            *name = (*new).to_owned();
        }
    };
    let (mut study, mut runs) = (case.study, case.runs);
    study.axes.iter_mut().for_each(|axis| new(&mut axis.name));
    runs.iter_mut().flat_map(|run| &mut run.point).for_each(|(axis, _)| new(axis));
    summarise(study, runs, Vec::new())
}

#[test]
fn lengths_of_training_have_no_figure_of_costs() {
    let case = |name| {
        let case =
            analysis(&["1", "per-channel"], &["8", "32"], 2, |point, _| Some(0.8 + 0.01 * point as f64));
        renamed(case, &[("intermediate", name)])
    };
    let has_costs = |case: &Analysis| all(case).iter().any(|figure| figure.name == "pareto");
    assert!(has_costs(&case("kernel")));
    assert!(!has_costs(&case("training.epochs")), "32 epochs cost more than 8");
    assert!(!has_costs(&case("data.coupling")));
}

#[test]
fn only_what_is_in_order_is_joined() {
    let lines = |name: &str, values: &[&str]| {
        let case = analysis(values, &[""], 1, |point, _| Some(0.8 + 0.01 * point as f64));
        let canvas = headline(&renamed(case, &[("segments", name)]));
        // Of means, and of costs.
        [2.0, 1.5].map(|of| {
            let is_one = |shape: &&Shape| matches!(shape, Shape::Line { width, .. } if *width == of);
            canvas.shapes.iter().filter(is_one).count()
        })
    };
    assert_eq!(lines("segments", &["16", "1", "2"]), [1, 4], "placed by level");
    assert_eq!(lines("training.batch", &["1", "2", "16"]), [1, 4]);
    assert_eq!(lines("training.batch", &["16", "1", "2"]), [0, 0]);
    assert_eq!(lines("intermediate", &["none", "relu"]), [0, 0]);
}

#[test]
fn letters_of_a_question_are_escaped() {
    let mut case = analysis(&["1"], &[""], 1, |_, _| Some(0.9));
    case.study.question = "Is <a> & \"b\" better?".to_owned();
    let svg = all(&case)[0].canvas.svg(TextSetting::Page);
    assert!(svg.contains("&lt;a&gt; &amp;") && !svg.contains("<a>"));
}

#[test]
fn names_of_crowded_marks_stand_apart() {
    let mut canvas = Canvas::new(300.0, 300.0, "");
    let mut labels = Annotations::new([0.0, 300.0, 0.0, 300.0]);
    let marks: Vec<(f64, f64)> =
        (0..6).map(|k| (100.0 + 9.0 * f64::from(k % 3), 150.0 + f64::from(k))).collect();
    for &mark in &marks {
        labels.keep_off_mark(mark, 6.0);
        labels.keep_off_line((mark.0, 0.0), (mark.0, 300.0));
    }
    for &mark in &marks {
        labels.write(&mut canvas, "per-channel", mark);
    }
    assert_tidy(&canvas);
    let names = canvas.shapes.iter().filter_map(|shape| match shape {
        Shape::Text { text, place, style } => Some(extent(text, *place, style)),
        _ => None,
    });
    let names: Vec<[f64; 4]> = names.collect();
    assert_eq!(names.len(), 6, "there is room for all");
    for [left, right, top, bottom] in names {
        let hidden = |&(x, y): &(f64, f64)| left < x && x < right && top < y && y < bottom;
        assert!(!marks.iter().any(hidden), "a name stands over a mark");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_data_breaks_a_figure(
        values in prop::collection::vec(prop::option::of(prop_oneof![0.0..=1.0f64, 0.99..=1.0f64]), 1..24),
        seeds in 1..5u64,
        points in 1..7usize,
    ) {
        let names = ["1", "2", "3", "7", "30", "200", "per-channel"];
        let case = analysis(&names[..points], &[""], seeds, |point, seed| {
            values[(point * 5 + seed as usize) % values.len()]
        });
        for figure in all(&case) {
            assert_tidy(&figure.canvas);
        }
    }

    #[test]
    fn round_values_are_inside_and_few(low in -1e3..1e3f64, width in 1e-3..1e3f64, most in 1..9usize) {
        let values = round_values((low, low + width), most);
        prop_assert!(values.len() <= most + 1);
        prop_assert!(few_values((low, low + width), most.max(2)).len() >= 2);
        for value in &values {
            prop_assert!((low - 1e-6 * width..=low + width * (1.0 + 1e-6)).contains(value));
            let digits = decimals((low, low + width), most);
            let shown: f64 = format!("{value:.digits$}").parse().unwrap();
            prop_assert!((shown - value).abs() < 1e-6 * width, "{value} is shown as {shown}");
        }
    }

    #[test]
    fn labels_move_apart(places in prop::collection::vec(0.0..300.0f64, 1..9)) {
        let mut moved = spread(&places, 16.0);
        moved.sort_by(f64::total_cmp);
        prop_assert!(moved.windows(2).all(|pair| pair[1] - pair[0] > 16.0 - 1e-6));
    }
}

#[test]
fn labels_take_a_second_line_and_then_none() {
    assert_eq!(
        stagger(&[(0.0, 20.0), (10.0, 20.0), (15.0, 20.0), (60.0, 20.0)]),
        [Some(0), Some(1), None, Some(0)]
    );
    let width = font::text_width("aa bb", 13.0, false);
    assert_eq!(wrapped("aa bb  cc", width, 13.0, false), ["aa bb", "cc"]);
}
