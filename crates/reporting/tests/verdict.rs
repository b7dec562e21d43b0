//! What the verdict says, and that it says no more than the runs do.

use decouple_experiment::{Metric, Outcome};
use decouple_reporting::Analysis;
use decouple_reporting::analysis::{Interaction, RunOutcome, RunRow, Study, power_plan, summarise};
use decouple_reporting::statistics::{Estimate, holm, same_image_by_image, same_within_seeds};

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
    // The activation helps at one segment and hurts at one per channel.
    let opposite = crossed([0.0, 0.0, 0.01, -0.02], 0.001);
    let [interaction] = opposite.interactions.as_slice() else { panic!("{:?}", opposite.interactions) };
    assert!(interaction.is_shown());
    let contrast = &interaction.contrasts[0];
    assert_eq!((contrast.from.as_str(), contrast.to.as_str(), contrast.seeds), ("none", "relu", 4));
    assert!(contrast.at_low > 0.0 && contrast.at_high < 0.0);
    assert!(contrast.interval.unwrap().contains(-0.03), "{contrast:?}");
    assert!(opposite.verdict.sentences[0].starts_with("The effect of intermediate depends on segments"));
    // A list of experiments still says whether the best is told from others.
    assert_eq!(opposite.verdict.summary, opposite.verdict.sentences[..3]);

    let additive = crossed([0.0, 0.0, 0.01, 0.01], 0.002);
    assert!(!additive.interactions[0].is_shown());
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
fn one_difference_has_one_interval() {
    let analysis = along(&[("1", 0.86), ("4", 0.87), ("per-channel", 0.90)], 0.0002);
    let contest = &analysis.contests[0];
    assert_eq!((analysis.reference, contest.reference, contest.best), (Some(2), Some(2), Some(2)));
    for row in &contest.against_reference {
        let below = contest.comparisons.iter().find(|other| other.point == row.comparison.point).unwrap();
        assert_eq!(below.estimate.value, -row.comparison.estimate.value);
        assert_eq!(
            (below.interval.low, below.interval.high),
            (-row.comparison.interval.high, -row.comparison.interval.low)
        );
        assert!(row.p_holm.unwrap() < 1e-2, "{row:?}");
        assert_eq!(row.p_equal, None, "no margin was laid down");
    }
}

#[test]
fn a_margin_that_was_laid_down_is_tested() {
    let mut study = along(&[("1", 0.86), ("4", 0.8995), ("per-channel", 0.90)], 0.0004);
    study.study.margin = Some(0.01);
    let analysis = summarise(study.study, study.runs, Vec::new());
    let p: Vec<f64> = analysis.contests[0].against_reference.iter().filter_map(|row| row.p_equal).collect();
    assert!(p[0] > 0.9 && p[1] < 0.05, "{p:?}");
    let verdict = analysis.verdict.to_string();
    assert!(verdict.contains("Equal to per-channel within the margin laid down: 4 segments"), "{verdict}");
}

/// Runs that all score the same, a single run, few test images: no interval, no probability, and a word why.
#[test]
fn what_the_runs_do_not_support_is_not_printed() {
    let point = |name: &'static str| [("segments", name)];
    let (one, all) = (point("1"), point("per-channel"));
    let cases = [
        measured(&[(&one, &[Some(0.5), Some(0.5)]), (&all, &[Some(0.5), Some(0.5)])]),
        measured(&[(&one, &[Some(0.5), Some(0.5)]), (&all, &[Some(0.6), Some(0.62)])]),
        measured(&[(&one, &[Some(0.5)]), (&all, &[Some(0.6), Some(0.62)])]),
        with_images(measured(&[(&one, &[Some(0.5), Some(0.6)]), (&all, &[Some(0.7), Some(0.8)])]), 18),
        with_images(measured(&[(&one, &[Some(0.5), Some(0.501)]), (&all, &[Some(0.7), Some(0.8)])]), 1000),
        with_images(measured(&[(&one, &[Some(0.0), Some(1.0)]), (&all, &[Some(1.0), Some(1.0)])]), 1),
        measured(&[(&one, &[Some(1.0)]), (&point("4"), &[Some(1.0)]), (&all, &[Some(0.9)])]),
        measured(&[(&one, &[Some(1.0)]), (&point("4"), &[None]), (&all, &[Some(1.0)])]),
    ];
    for case in &cases {
        assert!(case.points.iter().all(|point| point.probability_best.is_none()), "{:?}", case.points);
        assert!(case.contests[0].comparisons.is_empty() && case.contests[0].flat_within.is_none());
        assert!(case.points.iter().any(|point| point.unsupported.is_some()));
        assert!(power_plan(case, &[0.01], 0.8).is_empty());
    }
    let verdicts: Vec<String> = cases.iter().map(|case| case.verdict.sentences.join("\n")).collect();
    insta::assert_snapshot!("unsupported", verdicts.join("\n\n"));
}

fn with_images(analysis: Analysis, images: u64) -> Analysis {
    let study = Study { test_images: Some(images), ..analysis.study };
    summarise(study, analysis.runs, Vec::new())
}

#[test]
fn three_axes_have_every_interaction_of_two() {
    let mut rows = Vec::new();
    for segments in ["1", "per-channel"] {
        for order in ["a", "b"] {
            for kernel in ["3", "5"] {
                // The order matters at a kernel of 5 alone.
                let mean = if (order, kernel) == ("b", "5") { 0.83 } else { 0.80 };
                let point = [("segments", segments), ("order", order), ("network.kernel", kernel)];
                rows.push((point, seeds::<4>(mean, 0.001)));
            }
        }
    }
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let (averaged, given): (Vec<_>, Vec<_>) =
        analysis.interactions.iter().partition(|found| found.given.is_empty());
    assert_eq!((averaged.len(), given.len()), (3, 6));
    let shown: Vec<(&str, &str)> = (averaged.iter().filter(|found| found.is_shown()))
        .map(|found| (found.along.as_str(), found.effect.as_str()))
        .collect();
    assert_eq!(shown, [("order", "network.kernel")]);
    assert!(averaged.iter().all(|found| found.averaged.len() == 1));
    let is_likely = |found: &&&Interaction| found.test.is_some_and(|test| test.p <= 0.05);
    let likely: Vec<_> = given.iter().filter(is_likely).map(|found| &found.given).collect();
    assert_eq!(likely.len(), 2, "{likely:?}");
    assert!(analysis.verdict.to_string().contains("averaged over segments"), "{}", analysis.verdict);
    // The verdict speaks of three tests, so they are corrected; of those at one value it says nothing.
    let corrected = holm(&averaged.iter().map(|found| found.test.unwrap().p).collect::<Vec<_>>());
    assert_eq!(averaged.iter().filter_map(|found| found.p_holm).collect::<Vec<_>>(), corrected);
    assert!(given.iter().all(|found| found.p_holm.is_none() && !found.is_shown()));
    assert_eq!(analysis.verdict.to_string().matches(", Holm)").count(), 3, "{}", analysis.verdict);
    // Intervals are not.
    assert_eq!(analysis.verdict.to_string().matches(", interval of this one alone ").count(), 3);
    // The one that is shown comes first, the others follow in the order of the tables.
    let (others, first) = (analysis.verdict.sentences.iter())
        .filter(|sentence| sentence.starts_with("The effect of "))
        .map(|sentence| sentence.split(", averaged").next().unwrap())
        .partition::<Vec<&str>, _>(|sentence| sentence.contains("is not shown"));
    let words = |found: &&&Interaction| {
        format!("The effect of {} is not shown to depend on {}", found.effect, found.along)
    };
    let in_tables: Vec<String> =
        averaged.iter().filter(|found| !found.is_shown()).map(|f| words(&f)).collect();
    assert_eq!(others, in_tables);
    assert!(analysis.verdict.sentences[0].starts_with(first[0]), "{first:?}");
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
    assert!(
        analysis
            .points
            .iter()
            .all(|point| point.probability_best.is_some_and(|p| !(0.05..=0.95).contains(&p)))
    );
    insta::assert_snapshot!("contests", analysis.verdict.sentences.join("\n"));
    // A list of experiments shows the interaction and the best of each.
    let sentences = &analysis.verdict.sentences;
    assert_eq!(analysis.verdict.summary, [6, 0, 3].map(|index: usize| sentences[index].clone()));
}

#[test]
fn runs_that_two_points_share_count_once() {
    let (good, poor) = (seeds::<4>(0.90, 0.001), seeds::<4>(0.86, 0.001));
    let typed = |segments| [("segments", segments), ("recipe", "typed")];
    let analysis = measured(&[
        (&typed("1"), &poor),
        (&typed("per-channel"), &good),
        (&[("segments", "per-channel"), ("recipe", "tuned")], &good),
    ]);
    let mut runs = analysis.runs;
    for (index, run) in runs.iter_mut().enumerate() {
        // The last point has the runs of the second.
        run.id = format!("run {}", if index < 8 { index } else { index - 4 });
    }
    let analysis = summarise(analysis.study, runs, Vec::new());
    assert_eq!(analysis.points.iter().map(|point| point.runs_of).collect::<Vec<_>>(), [None, None, Some(1)]);
    assert_eq!(analysis.contests[0].points, [0, 1]);
    assert!(analysis.points[1].probability_best.unwrap() > 0.95);
    assert_eq!(analysis.points[2].probability_best, None);
    let says =
        "Compared with no other point: per-channel, recipe = tuned has runs of per-channel, recipe = typed.";
    assert!(analysis.verdict.to_string().contains(says), "{}", analysis.verdict);
}

#[test]
fn zipped_axes_have_no_interaction_with_each_other() {
    let analysis = crossed([0.0; 4], 0.001);
    assert_eq!(analysis.interactions.len(), 1);
    let mut study = analysis.study.clone();
    study.axes.iter_mut().for_each(|axis| axis.zipped_with = Some(0));
    assert!(summarise(study, analysis.runs, Vec::new()).interactions.is_empty());
}

/// An amount and a kind of weight decay go together; two of the three pairs have the same amount.
#[test]
fn axes_of_one_zip_are_one_effect_with_all_their_values() {
    let decays = [("0", "coupled", 0.0), ("0.001", "coupled", 0.01), ("0.001", "decoupled", 0.02)];
    let mut rows = Vec::new();
    for (amount, kind, gain) in decays {
        for activation in ["none", "relu"] {
            let gain = if activation == "relu" { gain } else { 0.0 };
            let point = [("decay", amount), ("kind", kind), ("intermediate", activation)];
            rows.push((point, seeds::<4>(0.80 + gain, 0.001)));
        }
    }
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let mut study = analysis.study;
    study.axes[..2].iter_mut().for_each(|axis| axis.zipped_with = Some(0));
    let analysis = summarise(study, analysis.runs, Vec::new());
    let [found] = analysis.interactions.as_slice() else { panic!("{:?}", analysis.interactions) };
    assert_eq!((found.along.as_str(), found.effect.as_str()), ("decay with kind", "intermediate"));
    assert!(found.test.unwrap().numerator_df > 1.0, "three values along: {found:?}");
    let says = "by 0.0 points at decay with kind = 0 with coupled and by ";
    assert!(analysis.verdict.to_string().contains(says), "{}", analysis.verdict);
}

/// At one channel per segment the tuned recipe is the one as written.
#[test]
fn an_interaction_counts_shared_runs_once() {
    let typed = seeds::<4>(0.90, 0.001);
    let point = |segments, recipe| [("segments", segments), ("recipe", recipe)];
    let analysis = measured(&[
        (&point("1", "typed"), &seeds::<4>(0.86, 0.001)),
        (&point("per-channel", "typed"), &typed),
        (&point("1", "tuned"), &seeds::<4>(0.87, 0.002)),
        (&point("per-channel", "tuned"), &typed),
    ]);
    let mut runs = analysis.runs;
    for (index, run) in runs.iter_mut().enumerate() {
        run.id = format!("run {}", if index < 12 { index } else { index - 8 });
    }
    let analysis = summarise(analysis.study, runs, Vec::new());
    let [found] = analysis.interactions.as_slice() else { panic!("{:?}", analysis.interactions) };
    assert!(found.shares_runs && found.test.is_none() && !found.is_shown());
    // What the recipe changes at the other end is all that is uncertain.
    let sample = |point: usize| analysis.points[point].sample.unwrap();
    let alone = Estimate::difference(sample(0), sample(2)).unwrap().interval(0.95).unwrap();
    let interval = found.contrasts[0].interval.unwrap();
    assert_eq!(found.contrasts[0].at_high, 0.0);
    assert!((interval.low - alone.low).abs() < 1e-12 && (interval.high - alone.high).abs() < 1e-12);
}

#[test]
fn of_points_that_cannot_be_compared_nothing_is_said() {
    let flat = [("1", 0.8812), ("4", 0.8815), ("per-channel", 0.8821)];
    let rows = flat.map(|(count, mean)| ([("segments", count)], seeds::<4>(mean, 0.002)));
    let mut rows: Vec<_> = rows.iter().map(|(point, row)| (&point[..], &row[..])).collect();
    rows.push((&[("segments", "8")], &[Some(0.5)]));
    let verdict = measured(&rows).verdict.to_string();
    assert!(verdict.contains("No two of those that can be compared differ by more than"), "{verdict}");
}

#[test]
fn each_point_is_judged_by_its_own_test_images() {
    let analysis = along(&[("1", 0.85), ("per-channel", 0.90)], 0.001);
    let mut runs = analysis.runs;
    for run in &mut runs {
        run.test_images = Some(if run.point[0].1 == "1" { 50 } else { 10_000 });
    }
    let analysis = summarise(analysis.study, runs, Vec::new());
    assert!(analysis.points[0].interval.is_none() && analysis.points[1].interval.is_some());
}

#[test]
fn images_are_compared_within_the_seeds_that_both_points_have() {
    let analysis = measured(&[
        (&[("segments", "1")], &seeds::<6>(0.85, 0.001)),
        (&[("segments", "per-channel")], &seeds::<6>(0.86, 0.001)),
    ]);
    let mut runs = analysis.runs;
    for (index, run) in runs.iter_mut().enumerate() {
        run.correct = Some((0..200).map(|image| (image * 7 + index * image / 5) % 10 < 8).collect());
    }
    let rows = |of: &[RunRow]| of.iter().map(|run| run.correct.clone().unwrap()).collect::<Vec<_>>();
    let (own, base) = (rows(&runs[..6]), rows(&runs[6..]));
    // Found by their seeds, in whatever order they stand.
    runs[6..].reverse();
    let p_same = |runs: &[RunRow]| {
        summarise(analysis.study.clone(), runs.to_vec(), Vec::new()).contests[0].on_images[0].p_same
    };
    let (within, apart) = (same_within_seeds(&own, &base), same_image_by_image(&own, &base));
    assert_ne!(within, apart);
    assert_eq!(p_same(&runs), within);
    runs[0].seed = 9;
    assert_eq!(p_same(&runs), apart, "one has another seed");
}

#[test]
fn step_times_that_other_work_disturbed_are_left_out() {
    let analysis = along(&[("1", 0.85), ("per-channel", 0.90)], 0.001);
    assert!(analysis.points.iter().all(|point| point.step_secs().is_some()));
    let mut runs = analysis.runs;
    runs[3].train_secs = runs[3].train_secs.map(|secs| 2.0 * secs);
    let analysis = summarise(analysis.study, runs, Vec::new());
    assert!(analysis.points.iter().all(|point| point.step_secs().is_none() && point.train_secs.is_some()));
    // A run that diverged counts in no mean, and so takes no time from the others.
    let mut runs = analysis.runs;
    runs[3].outcome = RunOutcome::Over(Outcome::Diverged { step: 7 });
    let analysis = summarise(analysis.study, runs, Vec::new());
    assert!(analysis.points.iter().all(|point| point.step_secs().is_some()));
}

#[test]
fn the_highest_mean_is_not_called_the_best_if_another_probably_is() {
    // Three runs of one scatter by points, the others by hundredths.
    let analysis = measured(&[
        (&[("segments", "1")], &[Some(0.70), Some(0.71), Some(0.72), Some(0.71)]),
        (&[("segments", "4")], &[Some(0.8500), Some(0.8501), Some(0.8502), Some(0.8501)]),
        (&[("segments", "8")], &[Some(0.8505), Some(0.8506), Some(0.8507), Some(0.8506)]),
        (&[("segments", "per-channel")], &[Some(0.60), Some(0.95), Some(0.99), Some(0.865)]),
    ]);
    let (steady, wild) = (&analysis.points[2], &analysis.points[3]);
    assert!(wild.mean > steady.mean);
    let first = &analysis.verdict.sentences[0];
    let is_best = wild.probability_best.unwrap() + 0.1 >= steady.probability_best.unwrap();
    assert_eq!(first.starts_with("Best: per-channel"), is_best, "{first}");
    assert_eq!(first.contains("more probably the best is 8 segments"), !is_best, "{first}");
    assert!(!is_best, "{:?} {:?}", wild.probability_best, steady.probability_best);
}

#[test]
fn the_ends_of_a_numeric_axis_are_its_least_and_its_largest_value() {
    let mut rows = Vec::new();
    for epochs in ["16", "4", "8"] {
        for activation in ["none", "relu"] {
            let mean = 0.8 + 0.001 * epochs.parse::<f64>().unwrap();
            rows.push(([("training.epochs", epochs), ("intermediate", activation)], seeds::<4>(mean, 0.001)));
        }
    }
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let [found] = analysis.interactions.as_slice() else { panic!("{:?}", analysis.interactions) };
    assert_eq!((found.along.as_str(), found.contrasts[0].low.as_str()), ("training.epochs", "4"));
    assert_eq!(found.contrasts[0].high, "16");
    assert_eq!(found.ends, None, "of two values, in no order, there is one contrast");
}

#[test]
fn an_effect_in_an_order_is_compared_between_its_ends() {
    // Full coupling gains most by the longest training; the plan's base lies between.
    let mut rows = Vec::new();
    for (epochs, gain) in [("8", 0.0), ("16", 0.002), ("4", -0.01)] {
        for (segments, share) in [("1", 2.0), ("per-channel", 1.0)] {
            let point = [("training.epochs", epochs), ("segments", segments)];
            rows.push((point, seeds::<6>(0.8 + share * gain, 0.001)));
        }
    }
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let [found] = analysis.interactions.as_slice() else { panic!("{:?}", analysis.interactions) };
    let ends = found.ends.as_ref().unwrap();
    assert_eq!((found.effect.as_str(), ends.from.as_str(), ends.to.as_str()), ("training.epochs", "4", "16"));
    assert!((ends.estimate() + 0.012).abs() < 1e-12, "{ends:?}");
    let means = [4, 2, 5, 3].map(|point| analysis.points[point].sample.unwrap());
    let terms: Vec<_> = [1.0, -1.0, -1.0, 1.0].into_iter().zip(means).collect();
    let alone = Estimate::of(&terms).unwrap();
    assert!((ends.p_holm.unwrap() - alone.p().unwrap()).abs() < 1e-12, "one contrast needs no correction");
    let (interval, expected) = (ends.interval.unwrap(), alone.interval(0.95).unwrap());
    assert!((interval.low - expected.low).abs() < 1e-12 && (interval.high - expected.high).abs() < 1e-12);
    let verdict = analysis.verdict.to_string();
    assert!(
        verdict.contains("from 4 to 16, accuracy changes by 2.4 points at 1 segment and by 1.2"),
        "{verdict}"
    );
    assert!(verdict.contains("(difference -1.2, interval -1."), "{verdict}");
}

#[test]
fn a_run_of_two_points_is_lost_once() {
    let lost = [Some(0.9), None, Some(0.91)];
    let point = |recipe| [("recipe", recipe)];
    let analysis = measured(&[(&point("typed"), &lost), (&point("tuned"), &lost)]);
    let mut runs = analysis.runs;
    runs.iter_mut().for_each(|run| run.id = format!("run {}", run.seed));
    let verdict = summarise(analysis.study, runs, Vec::new()).verdict.to_string();
    assert!(verdict.contains("1 of 3 runs diverged and count in no mean: recipe = typed (1)."), "{verdict}");
}

#[test]
fn mean_precisions_need_as_many_images_as_accuracies() {
    let analysis = along(&[("1", 0.85), ("per-channel", 0.90)], 0.001);
    let study = Study { test_images: Some(50), metric: Metric::MeanPrecision, ..analysis.study };
    let analysis = summarise(study, analysis.runs, Vec::new());
    assert!(analysis.points.iter().all(|point| point.interval.is_none()), "{:?}", analysis.points);
}

/// Runs of group widths, sizes and lengths, best at a width of 8.
fn shaped(rows: &[(&'static str, &'static str, &'static str)]) -> Analysis {
    let width = |typed: &str| typed.parse::<f64>().unwrap();
    let row = |(typed, size, epochs): &(&'static str, &'static str, &'static str)| {
        let point = [("channels-per-segment", *typed), ("network.size", *size), ("training.epochs", *epochs)];
        (point, seeds::<4>(0.85 - 0.004 * (width(typed).log2() - 3.0).powi(2), 0.001))
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let mut runs = analysis.runs;
    runs.iter_mut().for_each(|run| run.group_width = Some(width(&run.point[0].1)));
    summarise(analysis.study, runs, Vec::new())
}

#[test]
fn a_curve_says_nothing_beyond_the_widths_that_were_run() {
    let mut rows = ["1", "2", "4"].map(|width| (width, "30000", "8")).to_vec();
    rows.extend(["1", "2", "4", "8", "16", "32"].map(|width| (width, "90000", "8")));
    let analysis = shaped(&rows);
    let [curve] = analysis.curves.as_slice() else { panic!("{:?}", analysis.curves) };
    let [narrow, wide] = curve.lines.as_slice() else { panic!("{:?}", curve.lines) };
    assert_eq!((narrow.range.low, narrow.range.high), (0.0, 4f64.ln()));
    let best = narrow.best.unwrap();
    assert!(
        narrow.highest.unwrap() <= 4f64.ln() && best.interval.high <= 4f64.ln() && best.at_an_end > 0.5,
        "{best:?}"
    );
    let highest = wide.highest.unwrap();
    assert!((highest - 8f64.ln()).abs() < 0.4, "{}", highest.exp());
    // Among the widths of both, both are best at the largest.
    assert!(curve.shifts[0].2.contains(0.0), "{:?}", curve.shifts);

    // While a wider one waits for its seeds, the best may lie there.
    let mut runs = analysis.runs;
    let is_waiting = |run: &RunRow| run.point[0].1 == "32" && run.seed > 0;
    runs.retain(|run| !is_waiting(run));
    let analysis = summarise(analysis.study, runs, Vec::new());
    let [narrow, wide] = analysis.curves[0].lines.as_slice() else { panic!("{:?}", analysis.curves) };
    assert!(narrow.best.is_some() && wide.best.is_none() && wide.highest.is_none());
    assert_eq!((wide.points.len(), analysis.curves[0].shifts.len()), (5, 0));
}

#[test]
fn sizes_and_lengths_in_proportion_are_one_cause() {
    let widths = ["1", "2", "4", "8", "16", "32"];
    let rows: Vec<_> = [("30000", "4"), ("60000", "8"), ("120000", "16")]
        .iter()
        .flat_map(|(size, epochs)| widths.map(move |width| (width, *size, *epochs)))
        .collect();
    let analysis = shaped(&rows);
    let [curve] = analysis.curves.as_slice() else { panic!("{:?}", analysis.curves) };
    let names: Vec<&str> = curve.shifts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["network.size and training.epochs"]);
    assert_eq!(curve.lines[0].at.len(), 2, "each line has both");
    let against: Vec<_> = [("30000", "16"), ("60000", "8"), ("120000", "4")]
        .iter()
        .flat_map(|(size, epochs)| widths.map(move |width| (width, *size, *epochs)))
        .collect();
    assert_eq!(shaped(&against).curves[0].shifts[0].0, "network.size (with training.epochs falling)");
    let begun = [rows, vec![("4", "240000", "32")]].concat();
    let begun = &shaped(&begun).curves[0];
    assert_eq!(begun.lines[3].best, None, "of one width there is no best");
}

/// Two seeds that agree by chance do not make a point certain.
#[test]
fn a_law_of_error_against_size_trusts_no_variance_of_two_seeds() {
    let rows = [("1000", 0.70, 0.01), ("2000", 0.80, 0.01), ("4000", 0.83, 1e-6), ("8000", 0.875, 0.01)];
    let rows = rows.map(|(size, mean, half)| {
        ([("network.size", size), ("segments", "1")], [Some(mean - half), Some(mean + half)])
    });
    let analysis =
        measured(&rows.iter().map(|(point, row)| (point.as_slice(), row.as_slice())).collect::<Vec<_>>());
    let mut runs = analysis.runs;
    runs.iter_mut().for_each(|run| run.costs.parameters = run.point[0].1.parse().unwrap());
    let analysis = summarise(analysis.study, runs, Vec::new());
    let [scaling] = analysis.scalings.as_slice() else { panic!("{:?}", analysis.scalings) };
    let law = &scaling.law;
    let missed = law.floor + law.above * 4f64.powf(-law.exponent) - 0.17;
    assert!(missed.abs() > 1e-3, "{missed}");
}
