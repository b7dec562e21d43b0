//! The controls of an experiment: group widths, seeds apart, what a budget may change, allocations, locked plans.

use decouple_experiment::{ExperimentError, Ledger, Overrides, Sweep, TrialFilter, file_hash, parse};

fn parse_file(text: &str) -> Result<Sweep, ExperimentError> {
    parse(text, "mine.toml", &Overrides::default())
}

#[test]
fn channels_a_segment_are_segments_by_another_name() {
    let by_width = parse_file("[axes]\nchannels-per-segment = [1, 4, \"all\"]\nseed = [0]\n").unwrap();
    let by_count =
        parse_file("[axes]\nsegments = [\"per-channel\", { channels-per-segment = 4 }, 1]\nseed = [0]\n")
            .unwrap();
    let ids = |sweep: &Sweep| sweep.trials.iter().map(|trial| trial.id).collect::<Vec<_>>();
    assert_eq!(ids(&by_width), ids(&by_count), "records hold segments, so that runs are found again");
    assert_eq!(by_width.reference, [("channels-per-segment".to_owned(), "1".to_owned())]);
    let wide = by_width
        .trials
        .iter()
        .filter(|trial| TrialFilter::parse("channels-per-segment >= 4", &by_width).unwrap().matches(trial));
    assert_eq!(wide.count(), 2, "`all` stands above all numbers");
    let twice = parse_file("[axes]\nchannels-per-segment = [1, 4]\n[trial.network]\nsegments = 3\n");
    assert!(twice.unwrap_err().to_string().contains("twice"));
    let impossible = parse_file("[axes]\nchannels-per-segment = [0, 4]\n").unwrap_err().to_string();
    assert!(impossible.contains("whole number from 1"), "{impossible}");
}

#[test]
fn a_split_is_drawn_by_the_seed_where_asked() {
    let sweep = parse_file(
        "[axes]\nsegments = [1, 4]\nseed = [3, 5]\n[trial.data]\nvalidation = 100\nsplit = \"seed\"\n",
    )
    .unwrap();
    assert!(sweep.trials.iter().all(|trial| trial.record.data.split == Some(trial.seed())));
    let fixed =
        parse_file("[axes]\nseed = [3]\n[trial.data]\nvalidation = 100\nsplit = \"fixed\"\n").unwrap();
    assert_eq!(fixed.trials[0].record.data.split, None);
}

#[test]
fn a_run_has_seeds_of_its_own_for_weights_and_order() {
    let sweep = parse_file("[axes]\ntraining.weights-seed = [7, 8]\nseed = [3]\n").unwrap();
    let record = &sweep.trials[1].record;
    assert_eq!((record.weights_seed(), record.order_seed()), (8, 3));
}

/// Equal runs are not to be counted as several, nor a key to be read and ignored.
#[test]
fn seeds_and_splits_without_effect_are_told() {
    let both = "[trial.training]\nweights-seed = 7\norder-seed = 8\n";
    let error = parse_file(&format!("[axes]\nseed = [0, 1]\n{both}")).unwrap_err().to_string();
    assert!(error.contains("every seed would train the same run"), "{error}");
    assert!(parse_file(&format!("[axes]\nseed = [0]\n{both}")).is_ok());
    let split = "[trial.data]\nvalidation = 100\nsplit = \"seed\"\n";
    assert!(parse_file(&format!("[axes]\nseed = [0, 1]\n{both}{split}")).is_ok());

    let idle = parse_file("[axes]\ndata.split = [1, 2]\nseed = [0]\n").unwrap().warnings.concat();
    assert!(idle.contains("`data.split` has no effect"), "{idle}");
    assert!(parse_file(&format!("[axes]\nseed = [0]\n{split}")).unwrap().warnings.is_empty());
}

#[test]
fn a_budget_says_what_may_change() {
    let sweep = parse_file(
        "[experiment]\nbudget = { hold = \"parameters\", pays = \"inner\", least-channels = 6 }\n\
         [axes]\nsegments = [1, \"per-channel\"]\nseed = [0]\n",
    )
    .unwrap();
    for trial in &sweep.trials {
        let network = &trial.record.network;
        assert_eq!((network.stem, network.exit, network.inner.len()), (16, 128, 5));
        assert!(network.inner.iter().all(|&count| count >= 6), "{:?}", network.inner);
    }
    let foreign = parse_file(
        "[experiment]\nbudget = { pays = \"inner\" }\n[trial.network]\nfamily = \"resnet-18\"\nsmall-stem = true\n",
    );
    assert!(foreign.unwrap_err().to_string().contains("mini-xception"));
    for hold in ["none", "step-time"] {
        let text = format!("[experiment]\nbudget = {{ hold = \"{hold}\", least-channels = 6 }}\n");
        let message = parse_file(&text).unwrap_err().to_string();
        assert!(message.contains("`experiment.budget.least-channels = 6` does not apply here"), "{message}");
    }
}

#[test]
fn a_budget_set_as_a_whole_forgets_what_the_file_says_of_it() {
    let text = "[experiment]\nbudget = { pays = \"inner\" }\n[axes]\nsegments = [1, \"per-channel\"]\n";
    let set = |change: &str| parse(text, "mine.toml", &Overrides { set: vec![change.to_owned()] });
    assert_eq!(set("experiment.budget=none").unwrap().budget, None);
    let kept = set("experiment.budget.hold=none").unwrap_err().to_string();
    assert!(kept.contains("`experiment.budget.pays = \"inner\"` does not apply here"), "{kept}");
}

#[test]
fn a_name_begins_with_a_letter_or_digit() {
    for name in ["-x", "_x", ".x"] {
        let error = parse_file(&format!("[experiment]\nname = \"{name}\"\n")).unwrap_err().to_string();
        assert!(error.contains("a letter or digit in front"), "{error}");
    }
    assert_eq!(parse_file("[experiment]\nname = \"3-x_y.z\"\n").unwrap().name, "3-x_y.z");
}

#[test]
fn allocations_are_paired_over_the_spectrum() {
    let sweep = parse_file(
        "[axes]\nnetwork.allocation = [0, 1, \"own\"]\nchannels-per-segment = [1, 4]\nseed = [0]\n",
    )
    .unwrap();
    let depth = |k: usize| (sweep.trials[k].record.network.middle, sweep.trials[k].record.network.modules);
    assert_eq!((depth(0), depth(2)), (depth(1), depth(3)), "one allocation is one at every width of a group");
    assert_eq!(depth(4), (2, 3));
    assert_ne!(sweep.trials[0].record.network.entry, sweep.trials[2].record.network.entry);
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let text = "# Do two networks differ?\n\n[axes]\nsegments = [1, 4]\n";
    let (with, without) = (parse_file(&format!("\u{feff}{text}")).unwrap(), parse_file(text).unwrap());
    assert_eq!(with.question, "Do two networks differ?");
    assert_eq!((with.text, with.trials[0].id), (without.text, without.trials[0].id));
}

#[test]
fn a_plan_is_locked_before_the_first_run() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path().join("mine"));
    let file =
        "[experiment]\nhypotheses = [\"H1\"]\nmargin = 0.5\nanalysis = \"Welch\"\n[axes]\nseed = [0]\n";
    let nothing = parse_file("[axes]\nseed = [0]\n").unwrap().lock(&ledger).unwrap_err();
    assert!(nothing.to_string().contains("no `hypotheses`, so there is no plan to lock"), "{nothing}");
    let sweep = parse_file(file).unwrap();
    assert_eq!(sweep.declared.margin, Some(0.005));
    let (path, is_new) = sweep.lock(&ledger).unwrap();
    assert!(is_new);
    let lock = ledger.read().unwrap().lock.unwrap();
    assert_eq!((&lock.declared, &lock.file_hash), (&sweep.declared, &file_hash(file)));
    assert_eq!(file_hash(file), file_hash(&file.replace('\n', "\r\n")));
    assert_eq!(sweep.lock(&ledger).unwrap(), (path.clone(), false), "it is the same plan");
    assert_eq!(ledger.read().unwrap().lock.unwrap(), lock);
    let other = parse_file(&file.replace("H1", "H2")).unwrap();
    assert!(other.lock(&ledger).unwrap_err().to_string().contains("the file has changed since"));
    let overrides = Overrides { set: vec!["training.epochs=3".to_owned()] };
    let set = parse(file, "mine.toml", &overrides).unwrap();
    let error = set.lock(&ledger).unwrap_err().to_string();
    assert!(error.contains("without --set") && error.contains("write training.epochs=3"), "{error}");
    std::fs::write(&path, "{").unwrap();
    assert!(sweep.lock(&ledger).unwrap_err().to_string().contains("lock.json"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
}

#[test]
fn a_size_takes_the_place_of_what_the_reference_has() {
    let file = "[experiment]\nreference = { network.size = 30000, segments = \"per-channel\" }\n\
                [axes]\nnetwork.size = [30000, 90000]\nsegments = [4, \"per-channel\"]\nseed = [0]\n";
    let sweep = parse_file(file).unwrap();
    for (trial, size) in sweep.trials.iter().zip([30_000.0, 30_000.0, 90_000.0, 90_000.0]) {
        assert!((trial.cost.parameters as f64 / size - 1.0).abs() <= 0.005, "{:?}", trial.cost);
    }
    let none = parse_file(&file.replace("[axes]", "budget = \"none\"\n[axes]")).unwrap_err();
    assert!(none.to_string().contains("needs a budget that is counted"), "{none}");
}
