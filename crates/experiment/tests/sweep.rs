//! From the text of an experiment file to its trials.

use decouple_experiment::{Held, Overrides, Sweep, Trial, TrialFilter, parse};

/// A network that is lowered in no time.
const NETWORK: &str = "[trial.network]\nstem = 8\nentry = [8, 16]\nmiddle = 1\nmodules = 1\nexit = 32\n";

fn sweep(text: &str) -> Sweep {
    with(text, &[])
}

fn with(text: &str, set: &[&str]) -> Sweep {
    let overrides = Overrides { set: set.iter().map(|&argument| argument.to_owned()).collect() };
    parse(&format!("{text}\n{NETWORK}"), "mine.toml", &overrides).unwrap_or_else(|error| panic!("{error}"))
}

/// Point and seed of every trial: `3,relu,0`.
fn coordinates(sweep: &Sweep) -> Vec<String> {
    let of = |trial: &Trial| {
        let values: String = trial.point.iter().map(|(_, value)| format!("{value},")).collect();
        format!("{values}{}", trial.seed())
    };
    sweep.trials.iter().map(of).collect()
}

fn ids(sweep: &Sweep) -> Vec<String> {
    sweep.trials.iter().map(|trial| trial.id.to_string()).collect()
}

fn axis_names(sweep: &Sweep) -> Vec<&str> {
    sweep.axes.iter().map(|axis| axis.name.as_str()).collect()
}

#[test]
fn an_empty_file_is_the_default_trial_with_three_seeds() {
    let sweep = parse("", "some/where/mine.toml", &Overrides::default()).unwrap();
    assert_eq!(coordinates(&sweep), ["0", "1", "2"]);
    assert_eq!((sweep.name.as_str(), sweep.question.as_str()), ("mine", ""));
    assert_eq!(sweep.budget, Some(Held::Parameters));
    assert_eq!(axis_names(&sweep), ["seed"]);
    let record = &sweep.trials[1].record;
    assert_eq!(record.seed, 1);
    assert_eq!(record.training, Default::default());
    assert_eq!((&record.network, &record.data), (&Default::default(), &Default::default()));
}

#[test]
fn axes_are_crossed_in_the_order_of_the_file_and_seeds_stand_outermost() {
    let sweep = sweep(
        r#"[axes]
           seed = [5, 3]
           segments = [1, "per-channel"]
           intermediate = ["none", "relu"]"#,
    );
    assert_eq!(axis_names(&sweep), ["segments", "intermediate", "seed"]);
    assert_eq!(
        coordinates(&sweep),
        [
            "1,none,5",
            "1,relu,5",
            "per-channel,none,5",
            "per-channel,relu,5",
            "1,none,3",
            "1,relu,3",
            "per-channel,none,3",
            "per-channel,relu,3",
        ]
    );
    let ids = ids(&sweep);
    assert!((1..ids.len()).all(|i| !ids[..i].contains(&ids[i])), "every trial has a name of its own");
}

#[test]
fn zipped_axes_are_walked_together_and_crossed_with_all_others() {
    let sweep = sweep(
        r#"[experiment]
           budget = "none"
           [axes]
           seed = [0]
           order = ["pointwise-first", "spatial-first"]
           [[zip]]
           segments = [1, 4]
           network.width = [0.5, 0.8]
           [[zip]]
           training.batch = [32, 64]
           training.epochs = [1, 2]"#,
    );
    let kept: Vec<_> = sweep.axes.iter().map(|axis| (axis.name.as_str(), axis.zipped_with)).collect();
    assert_eq!(
        kept,
        [
            ("order", None),
            ("segments", Some(0)),
            ("network.width", Some(0)),
            ("training.batch", Some(1)),
            ("training.epochs", Some(1)),
            ("seed", None),
        ]
    );
    let half: Vec<_> = coordinates(&sweep).into_iter().take(4).collect();
    assert_eq!(
        half,
        [
            "pointwise-first,1,0.5,32,1,0",
            "pointwise-first,1,0.5,64,2,0",
            "pointwise-first,4,0.8,32,1,0",
            "pointwise-first,4,0.8,64,2,0",
        ]
    );
    assert_eq!(sweep.trials.len(), 8);
    assert_eq!(sweep.trials[3].record.network.width, 0.8);
    assert_eq!(sweep.trials[3].record.training.epochs, 2);
}

#[test]
fn a_zipped_list_may_repeat_values() {
    let sweep = sweep(
        "[axes]\nseed = [0]\n[[zip]]\nsegments = [1, 2, 4]\ntraining.epochs = [3, 3, 5]\n\
         [experiment]\nbudget = \"none\"\nreference = { segments = 2 }",
    );
    assert_eq!(coordinates(&sweep), ["1,3,0", "2,3,0", "4,5,0"]);
    assert_eq!(sweep.reference[1], ("training.epochs".to_owned(), "3".to_owned()));
}

/// An axis is named by the key that it varies, in any of TOML's spellings.
#[test]
fn one_axis_has_one_name_however_it_is_typed() {
    let typed = [
        "[axes]\nsegments = [1, 2]\ntraining.weight-decay = [0, 1e-4]",
        "[axes]\nnetwork.segments = [1, 2]\n\"training.weight-decay\" = [0, 1e-4]",
        "[axes.network]\nsegments = [1, 2]\n[axes.training]\nweight-decay = [0, 1e-4]",
        "[axes]\nnetwork = { segments = [1, 2] }\ntraining = { weight-decay = [0, 1e-4] }",
    ]
    .map(sweep);
    for other in &typed {
        assert_eq!(axis_names(other), ["segments", "training.weight-decay", "seed"]);
        assert_eq!(ids(other), ids(&typed[0]));
    }
}

#[test]
fn the_id_is_that_of_the_record_and_not_of_its_spelling() {
    let axis = sweep("[axes]\nseed = [0]\nsegments = [2, \"per-channel\"]");
    let fixed = with("[axes]\nseed = [0]", &["segments=2", "experiment.budget='none'"]);
    let free = with("[axes]\nseed = [0]\nsegments = [2, \"per-channel\"]", &["experiment.budget='none'"]);
    assert_eq!(ids(&free)[0], ids(&fixed)[0], "an axis or a fixed value: the same training");
    assert_ne!(ids(&axis)[0], ids(&fixed)[0], "a budget changes the widths");
    let spelt_out = with("[axes]\nseed = [0]", &["training.optimizer.momentum=0.9"]);
    assert_eq!(ids(&spelt_out), ids(&sweep("[axes]\nseed = [0]")));
}

#[test]
fn a_budget_makes_every_point_as_large_as_the_reference() {
    for (hold, held) in
        [("parameters", Held::Parameters), ("macs", Held::Macs), ("activations", Held::Activations)]
    {
        let quantity = held.counted().unwrap();
        let text = format!(
            "[experiment]\nbudget = {{ hold = \"{hold}\", at = \"reference\" }}\n\
             [axes]\nseed = [0]\nsegments = [1, 3, \"per-channel\"]"
        );
        let sweep = sweep(&text);
        assert_eq!(sweep.budget, Some(held));
        assert_eq!(sweep.reference, [("segments".to_owned(), "per-channel".to_owned())]);
        let reference = &sweep.trials[2];
        for trial in &sweep.trials {
            let budget = trial.budget.as_ref().unwrap();
            assert_eq!((budget.hold, budget.target), (held, quantity.of(&reference.cost)));
            assert_eq!(budget.reached, quantity.of(&trial.cost));
            let error = budget.reached as f64 / budget.target as f64 - 1.0;
            assert!(error.abs() <= 0.005, "{hold} at {}: {error}", trial.point_label());
            let drift = |cost: u64, of: u64| cost as f64 / of as f64 - 1.0;
            assert_eq!(budget.drift.macs, drift(trial.cost.macs, reference.cost.macs));
            assert_eq!(budget.drift.parameters, drift(trial.cost.parameters, reference.cost.parameters));
            // The width went into the channel counts, so a record says all.
            assert_eq!(trial.record.network.width, 1.0);
        }
        assert_eq!(reference.budget.as_ref().unwrap().width, 1.0);
        assert!(sweep.trials[0].level < sweep.trials[1].level && sweep.trials[1].level < 1.0);
    }
}

#[test]
fn without_a_budget_every_point_has_its_own_width() {
    let sweep = sweep(
        "[experiment]\nbudget = \"none\"\n[axes]\nseed = [0]\nnetwork.width = [0.5, 1.0]\nsegments = [1, 2]",
    );
    assert_eq!(sweep.budget, None);
    assert!(sweep.trials.iter().all(|trial| trial.budget.is_none()));
    let parameters: Vec<u64> = sweep.trials.iter().map(|trial| trial.cost.parameters).collect();
    assert!(parameters[0] > parameters[1] && parameters[2] > parameters[0], "{parameters:?}");
}

#[test]
fn the_reference_is_the_named_point_and_zipped_axes_follow_it() {
    let text = "[experiment]\nbudget = \"none\"\nreference = { intermediate = \"relu\", segments = 4 }\n\
                [axes]\nintermediate = [\"none\", \"relu\"]\n\
                [[zip]]\nsegments = [1, 4]\ntraining.epochs = [3, 5]";
    let named = |sweep: &Sweep| -> Vec<String> {
        sweep.reference.iter().map(|(axis, value)| format!("{axis}={value}")).collect()
    };
    assert_eq!(named(&sweep(text)), ["intermediate=relu", "segments=4", "training.epochs=5"]);
    let unnamed =
        sweep("[axes]\norder = [\"spatial-first\", \"pointwise-first\"]\nsegments = [\"per-channel\", 1]");
    assert_eq!(named(&unnamed), ["order=spatial-first", "segments=per-channel"]);
}

/// 64 and 128 segments are one per channel where no layer has more than 32.
#[test]
fn segments_beyond_the_channels_are_trained_once_with_a_warning() {
    let sweep = sweep(
        "[experiment]\nbudget = \"none\"\n[axes]\nseed = [0]\nsegments = [64, 1, \"per-channel\", 128]",
    );
    assert_eq!(coordinates(&sweep), ["per-channel,0", "1,0"], "the reference stays");
    insta::assert_snapshot!(sweep.warnings.join("\n\n"));
}

/// At its own width no layer has fewer than 40 channels; at that of three thousand parameters none has 32.
#[test]
fn segments_beyond_the_channels_that_a_budget_leaves_are_trained_once_with_a_warning() {
    let text = "[axes]\nseed = [0]\nnetwork.size = [3_000]\nsegments = [1, 32, \"per-channel\"]\n\
                [trial.network]\nstem = 40\nentry = [40, 48, 64]\nexit = 64";
    let sweep = parse(text, "mine.toml", &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(coordinates(&sweep), ["3000,1,0", "3000,per-channel,0"]);
    assert!(sweep.warnings[0].contains("two points are the same network"), "{:?}", sweep.warnings);
}

/// At its own width every layer has 8 channels, so 8 segments are one per channel; at that of thirty thousand
/// parameters they are not.
#[test]
fn segments_that_a_budget_tells_apart_are_both_trained() {
    let text = "[axes]\nseed = [0]\nnetwork.size = [30_000]\nsegments = [8, \"per-channel\"]\n\
                [trial.network]\nstem = 8\nentry = [8, 8, 8]\nexit = 8";
    let sweep = parse(text, "mine.toml", &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(coordinates(&sweep), ["30000,8,0", "30000,per-channel,0"]);
}

#[test]
fn segments_take_every_form_and_a_schedule_a_stage() {
    let sweep = sweep(
        "[experiment]\nbudget = \"none\"\n[axes]\nseed = [0]\n\
         segments = [{ level = 0.5 }, { channels-per-segment = 8 }, [1, 2, 4, \"per-channel\"], [1, 2, 3, 4]]",
    );
    assert_eq!(
        coordinates(&sweep),
        ["level 0.5,0", "channels-per-segment 8,0", "1+2+4+per-channel,0", "1-2-3-4,0"]
    );
    let segments: Vec<usize> = sweep.trials[2].layers.iter().map(|layer| layer.segments).collect();
    assert_eq!(segments, [1, 1, 2, 2, 4, 16, 32]);
}

#[test]
fn numbers_name_a_point_in_their_shortest_form() {
    let sweep = sweep("[axes]\nseed = [0]\ntraining.weight-decay = [0, 1e-05, 0.0005, 0.010, 1.0, 1e12]");
    assert_eq!(coordinates(&sweep), ["0,0", "1e-5,0", "5e-4,0", "0.01,0", "1,0", "1e12,0"]);
}

#[test]
fn the_question_is_the_header_unless_it_is_given() {
    let header = "#   Does it\n# matter?\n#\n# Cost: none.\n";
    assert_eq!(sweep(header).question, "Does it matter?");
    assert_eq!(sweep(&format!("\n{header}[experiment]\nquestion = \"Why?\"\n")).question, "Why?");
    assert_eq!(sweep(&format!("#:schema decouple.schema.json\n{header}")).question, "Does it matter?");
    assert_eq!(sweep("").question, "");
}

#[test]
fn set_replaces_values_of_axes_and_of_trials() {
    let text = "[axes]\nseed = [0, 1]\nsegments = [1, 2]\n[trial.training]\naverage = \"polyak\"\n";
    let changed = with(
        text,
        &[
            "seed=[7]",
            "segments=\"per-channel\"",
            "training.average.decay=0.5",
            "trial.network.order=spatial-first",
            "experiment.budget=\"none\"",
            "experiment.name='other'",
        ],
    );
    assert_eq!(coordinates(&changed), ["per-channel,7"]);
    assert_eq!((changed.name.as_str(), changed.budget), ("other", None));
    let typed = sweep(
        "[experiment]\nbudget = \"none\"\n[axes]\nseed = [7]\n\
         [trial.training]\naverage = { kind = \"polyak\", decay = 0.5 }",
    );
    let trial = with("[experiment]\nbudget = \"none\"\n[axes]\nseed = [7]", &["order='spatial-first'"]);
    assert_eq!(changed.trials[0].record.training, typed.trials[0].record.training);
    assert_eq!(changed.trials[0].record.network, trial.trials[0].record.network);
    // The last one wins.
    assert_eq!(coordinates(&with(text, &["seed=3", "seed=4"])), ["1,4", "2,4"]);
}

#[test]
fn a_filter_is_a_conjunction_of_conditions() {
    let sweep = sweep(
        r#"[axes]
           segments = [1, 3, 4, "per-channel"]
           training.weight-decay = [0, 1e-4]
           order = ["pointwise-first", "spatial-first"]
           seed = [0, 1]
           [experiment]
           budget = "none""#,
    );
    let matched = |text: &str| {
        let filter = TrialFilter::parse(text, &sweep).unwrap_or_else(|error| panic!("{error}"));
        sweep.trials.iter().filter(|trial| filter.matches(trial)).count()
    };
    assert_eq!(sweep.trials.len(), 32);
    for (text, expected) in [
        ("seed=0", 16),
        ("seed != 0", 16),
        ("segments >= 3", 24),
        ("segments>3&segments<per-channel", 8),
        ("segments < 1_000", 24),
        ("segments = per-channel", 8),
        ("segments==\"per-channel\"", 8),
        ("network.segments<=3", 16),
        ("order=spatial-first & seed=1 & segments=1", 2),
        ("training.weight-decay = 1e-4", 16),
        ("training.weight-decay < 0.00005", 16),
        ("segments = 7", 0),
        ("order = sideways", 0),
    ] {
        assert_eq!(matched(text), expected, "{text}");
    }
    let id = sweep.trials[5].id.to_string();
    assert_eq!(matched(&format!("id={id}")), 1);
    assert_eq!(matched(&format!("id={}", &id[..8])), 1);
    assert_eq!(matched(&format!("id!={}", &id[..8])), 31);
    // Larger than floating point can tell apart.
    let large = self::sweep("[axes]\nseed = [9007199254740992, 9007199254740993]");
    let filter = TrialFilter::parse("seed = 9007199254740993", &large).unwrap();
    assert_eq!(large.trials.iter().filter(|trial| filter.matches(trial)).count(), 1);
    let mistakes = [
        "",
        "segments",
        "segments=",
        "=3",
        "seed=0 &",
        "segments=>3",
        "segmnets=3",
        "kernel=3",
        "order>spatial-first",
        "id>=3",
    ];
    let errors = mistakes.map(|text| {
        format!("--filter '{text}'\nerror: {}", TrialFilter::parse(text, &sweep).expect_err(text))
    });
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn a_key_may_be_left_to_the_families_that_read_it() {
    let text = "[experiment]\nbudget = \"none\"\n[axes]\nseed = [0]\n\
                network.family = [\"vgg-16\", \"resnet-18\"]\n\
                [trial.data]\nset = \"cifar-10\"\n[trial.network]\nwidth = 0.125\nsmall-stem = true\n";
    let read = |text: &str| parse(text, "mine.toml", &Overrides::default());
    let trials = read(text).unwrap_or_else(|error| panic!("{error}")).trials;
    let networks: Vec<_> = trials.into_iter().map(|trial| trial.record.network).collect();
    assert_eq!(networks.iter().map(|network| network.small_stem).collect::<Vec<_>>(), [false, true]);
    assert!(networks.iter().all(|network| network.width == 0.125));
    // One that no family reads, or that only one family is asked for, is a mistake.
    for (from, to) in [("small-stem = true", "stem = 8"), ("\"vgg-16\", \"resnet-18\"", "\"vgg-16\"")] {
        let refused = read(&text.replace(from, to)).unwrap_err().to_string();
        assert!(refused.contains("must be left out"), "{to}: {refused}");
    }
}

#[test]
fn the_reference_names_the_row_that_has_all_its_values() {
    let text = "[experiment]\nreference = { training.weight-decay = 1e-4, training.weight-decay-kind = \"coupled\" }\n\
                [axes]\nseed = [0]\n[[zip]]\ntraining.weight-decay = [0, 1e-4, 1e-4]\n\
                training.weight-decay-kind = [\"coupled\", \"decoupled\", \"coupled\"]\n";
    let values: Vec<String> = sweep(text).reference.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["1e-4", "coupled"]);
}

#[test]
fn trials_of_one_network_share_what_is_known_of_it() {
    let text = "[experiment]\nbudget = 'none'\n[axes]\ntraining.weight-decay = [0.0, 0.1]\nseed = [0, 1]\n";
    let sweep = parse(text, "shared.toml", &Overrides::default()).unwrap();
    let first = &sweep.trials[0];
    assert!(sweep.trials.iter().all(|trial| std::sync::Arc::ptr_eq(&trial.layers, &first.layers)));
    assert!(sweep.trials.iter().all(|trial| trial.workload() == first.workload()));
    let wider = parse("[trial.network]\nwidth = 2.0\n", "wider.toml", &Overrides::default()).unwrap();
    assert_ne!(wider.trials[0].workload(), first.workload());
}

#[test]
fn too_many_trials_are_refused_with_their_number() {
    let thousand: Vec<String> = (0..1_000).map(|value| format!("{}", f64::from(value) / 1e3)).collect();
    let list = thousand.join(", ");
    let text = format!(
        "[experiment]\nbudget = 'none'\n[axes]\ntraining.weight-decay = [{list}]\n\
         training.optimizer.momentum = [{list}]\ntraining.label-smoothing = [{list}]\n"
    );
    let refused = parse(&text, "large.toml", &Overrides::default()).unwrap_err().to_string();
    assert!(
        refused.contains("3000000000 trials are too many: an experiment has at most 250000"),
        "{refused}"
    );
    assert!(refused.contains("1000 values, crossed with all others"), "{refused}");

    // Tries are trials, too.
    let text = format!(
        "[tune]\nlearning-rate = [{0}]\nweight-decay = [{0}]\n[trial.data]\nvalidation = 100\n",
        thousand[1..].join(", ")
    );
    let refused = parse(&text, "tries.toml", &Overrides::default()).unwrap_err().to_string();
    assert!(refused.contains("998001 tries at each of 1 points are more than 250000"), "{refused}");
}
