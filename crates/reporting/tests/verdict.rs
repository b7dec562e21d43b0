//! What the verdict says, and that it says no more than the runs do.

use decouple_reporting::Analysis;

mod made_up;
use made_up::measured;

/// Accuracies that scatter by `spread` about `mean` and share the luck of their seed.
fn seeds<const N: usize>(mean: f64, spread: f64) -> [Option<f64>; N] {
    let own = [0.3, -0.8, 0.5, 0.9, -0.6, -0.3, 0.7, -0.7];
    let turn = (mean * 1e4) as usize;
    std::array::from_fn(|k| Some(mean + 0.004 * own[(k + 3) % 8] + spread * own[(k + turn) % 8]))
}

fn along(segments: &[(&str, f64)], spread: f64) -> Analysis {
    type Row<'a> = (Vec<(&'a str, &'a str)>, [Option<f64>; 4]);
    let rows: Vec<Row<'_>> =
        segments.iter().map(|(count, mean)| (vec![("segments", *count)], seeds(*mean, spread))).collect();
    measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>())
}

#[test]
fn every_kind_of_answer() {
    let clear = along(&[("1", 0.85), ("4", 0.87), ("per-channel", 0.90)], 0.001);
    let flat = along(&[("1", 0.8812), ("4", 0.8815), ("per-channel", 0.8821)], 0.002);
    let partly = along(&[("1", 0.85), ("4", 0.8790), ("16", 0.8802), ("per-channel", 0.8798)], 0.001);
    let single =
        measured(&[(&[("segments", "1")], &[Some(0.85)]), (&[("segments", "per-channel")], &[Some(0.86)])]);
    let lost = measured(&[
        (&[("segments", "1")], &[Some(0.85), None, Some(0.852)]),
        (&[("segments", "per-channel")], &[None, None, None]),
    ]);
    let alone = measured(&[(&[], &[Some(0.85), Some(0.86)])]);
    let answers: Vec<String> = [
        ("clear", clear),
        ("flat", flat),
        ("partly", partly),
        ("single", single),
        ("lost", lost),
        ("alone", alone),
    ]
    .iter()
    .map(|(name, analysis)| format!("{name}:\n  {}", analysis.verdict.sentences.join("\n  ")))
    .collect();
    insta::assert_snapshot!("answers", answers.join("\n"));
}

fn crossed(effects: [f64; 4], spread: f64) -> Analysis {
    let cell = |segments: &'static str, activation: &'static str, mean| {
        ([("segments", segments), ("intermediate", activation)], seeds::<4>(mean, spread))
    };
    let rows = [
        cell("1", "none", 0.85 + effects[0]),
        cell("per-channel", "none", 0.87 + effects[1]),
        cell("1", "relu", 0.85 + effects[2]),
        cell("per-channel", "relu", 0.87 + effects[3]),
    ];
    measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>())
}

#[test]
fn an_interaction_is_told_from_effects_that_add_up() {
    // The activation helps at one segment and hurts at one a channel.
    let opposite = crossed([0.0, 0.0, 0.01, -0.02], 0.001);
    let interaction = opposite.interaction.as_ref().unwrap();
    assert!(interaction.is_shown());
    let contrast = &interaction.contrasts[0];
    assert_eq!((contrast.from.as_str(), contrast.to.as_str(), contrast.seeds), ("none", "relu", 4));
    assert!(contrast.at_low > 0.0 && contrast.at_high < 0.0);
    assert!(contrast.interval.unwrap().contains(-0.03), "{contrast:?}");
    assert!(opposite.verdict.sentences[0].starts_with("The effect of intermediate depends on segments"));

    let additive = crossed([0.0, 0.0, 0.01, 0.01], 0.002);
    assert!(!additive.interaction.as_ref().unwrap().is_shown());
    assert!(additive.verdict.to_string().contains("is not shown to depend"), "{}", additive.verdict);
    insta::assert_snapshot!("interaction", format!("{}\n{}", opposite.verdict, additive.verdict));
}

#[test]
fn flat_means_that_no_pair_differs_by_more() {
    let flat = along(&[("1", 0.8812), ("4", 0.8815), ("per-channel", 0.8821)], 0.002);
    let margin = flat.contests[0].flat_within.unwrap();
    let means: Vec<f64> = flat.points.iter().filter_map(|point| point.mean).collect();
    for a in &means {
        for b in &means {
            assert!((a - b).abs() < margin);
        }
    }
    assert_eq!(along(&[("1", 0.85)], 0.001).contests[0].flat_within, None, "one point is no curve");
}

#[test]
fn the_reference_comparison_names_what_pairing_bought() {
    let analysis = along(&[("1", 0.86), ("4", 0.87), ("per-channel", 0.90)], 0.0002);
    assert_eq!((analysis.reference, analysis.contests[0].reference), (Some(2), Some(2)));
    for comparison in &analysis.contests[0].against_reference {
        assert!(comparison.difference.mean < 0.0);
        assert!(comparison.difference.correlation.unwrap() > 0.9, "{comparison:?}");
        assert!(comparison.p_holm.unwrap() < 1e-3);
        assert!(!comparison.interval.unwrap().contains(0.0));
    }
}

#[test]
fn points_tested_on_other_images_are_not_compared() {
    let cell = |coupling: &'static str, segments: &'static str, mean| {
        ([("data.coupling", coupling), ("segments", segments)], seeds::<4>(mean, 0.002))
    };
    let rows = [
        cell("0", "1", 0.65),
        cell("0", "per-channel", 0.88),
        cell("1", "1", 0.98),
        cell("1", "per-channel", 0.96),
    ];
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let [uncoupled, coupled] = analysis.contests.as_slice() else { panic!("{:?}", analysis.contests) };
    assert_eq!((uncoupled.best, coupled.best), (Some(1), Some(2)));
    assert_eq!((uncoupled.reference, coupled.reference), (Some(1), Some(3)));
    assert!(analysis.points.iter().all(|point| point.probability_best.is_some_and(|p| p == 0.0 || p == 1.0)));
    insta::assert_snapshot!("contests", analysis.verdict.sentences.join("\n"));
}
