//! [`KEYS`], the parser and `docs/experiments.md` say the same.

use decouple_experiment::{KEYS, Key, Overrides, SweepError, Trial, parse};

fn trials(text: &str) -> Result<Vec<Trial>, SweepError> {
    Ok(parse(text, "mine.toml", &Overrides::default())?.trials)
}

/// A file that holds `key = value` at the place of the key, and beside it what
/// the key needs to be one: the kind of optimiser, the set of images.
fn file_with(key: &Key, value: Option<&str>) -> String {
    let is_of_trial = ["network.", "data.", "training."].iter().any(|section| key.path.starts_with(section));
    let prefix = if is_of_trial { "trial." } else { "" };
    let line = value.or(least_value(key.path)).map(|value| format!("{prefix}{} = {value}\n", key.path));
    companions(key.path).to_owned() + &line.unwrap_or_default()
}

/// What a key needs beside it.
fn companions(path: &str) -> &'static str {
    match path {
        "training.optimizer.form" | "training.optimizer.decay" | "training.optimizer.epsilon" => {
            "trial.training.optimizer.kind = \"rmsprop\"\n"
        }
        "training.optimizer.beta1" | "training.optimizer.beta2" => {
            "trial.training.optimizer.kind = \"adamw\"\n"
        }
        "training.schedule.factor"
        | "training.schedule.every-epochs"
        | "training.schedule.every-samples"
        | "training.schedule.staircase" => "trial.training.schedule.kind = \"exponential\"\n",
        "training.average.decay" => "trial.training.average.kind = \"polyak\"\n",
        "network.numerics" | "network.small-stem" | "network.channels" => {
            "trial.network.family = \"resnet-18\"\n"
        }
        "network.fully-connected" => "trial.network.family = \"xception\"\ntrial.network.small-stem = true\n",
        "data.classes" => "trial.data.set = \"image-folder\"\ntrial.data.size = [32, 24]\n",
        "data.size" => "trial.data.set = \"image-folder\"\ntrial.data.classes = 3\n",
        "data.folder" | "data.channels" | "data.test-share" | "data.corrupt" | "data.class-list"
        | "data.orientation" | "data.most-pixels" | "data.fit" | "data.crop-fraction" | "data.filter"
        | "data.reduced" | "data.stream" => {
            "trial.data.set = \"image-folder\"\ntrial.data.classes = 3\ntrial.data.size = [32, 24]\n"
        }
        "data.multi-label" => {
            "trial.data.set = \"shards\"\ntrial.data.classes = 3\ntrial.data.size = [32, 24]\n"
        }
        "data.coupling" | "data.images" | "data.noise" | "data.seed" => "trial.data.set = \"planted\"\n",
        "tune.learning-rate" => "trial.data.validation = 1000\n",
        "tune.weight-decay" | "tune.tries" | "tune.finalists" | "tune.seeds" | "tune.halving"
        | "tune.seed" => "trial.data.validation = 1000\ntune.learning-rate = [0.05, 0.1]\n",
        _ => "",
    }
}

/// What stands for leaving out a key that must be given.
fn least_value(path: &str) -> Option<&'static str> {
    match path {
        "data.size" => Some("[8, 8]"),
        "data.classes" => Some("2"),
        _ => None,
    }
}

/// A value of the key that is not its default, where it has more than one.
fn another_value(path: &str) -> &'static str {
    match path {
        "experiment.name" | "experiment.question" | "experiment.analysis" => "\"another\"",
        "experiment.hypotheses" => "[\"one\", \"two\"]",
        "experiment.margin" => "0.5",
        "experiment.budget.pays" => "\"inner\"",
        "experiment.budget.least-channels" => "8",
        "experiment.reference" | "experiment.budget" | "axes" => "{}",
        "experiment.budget.hold" => "\"macs\"",
        "experiment.budget.at" => "\"reference\"",
        "axes.seed" => "[7]",
        "tune.learning-rate" => "[0.05, 0.2]",
        "tune.weight-decay" => "[0, 1e-4]",
        "tune.tries" => "1",
        "tune.finalists" | "tune.seeds" => "2",
        "tune.halving" => "true",
        "tune.seed" => "7",
        "launcher.kind" => "\"local\"",
        "launcher.partition" | "launcher.account" => "\"cpu\"",
        "launcher.time" | "launcher.task-time" => "\"90min\"",
        "launcher.memory" => "\"8G\"",
        "launcher.cpus" | "launcher.at-once" | "launcher.requeues" => "3",
        "launcher.lines" => "[\"#SBATCH --exclusive\"]",
        "zip" => "[{ segments = [1, 3], network.stem = [8, 9] }]",
        "network.family" => "\"resnet-18\"",
        "network.numerics" => "\"timm\"",
        "network.dense" => "\"all\"",
        "network.small-stem" => "true",
        "network.channels" => "[32, 32, 64, 128, 256]",
        "network.fully-connected" => "[64]",
        "network.segments" => "[1, 3, { level = 0.5 }, { channels-per-segment = 8 }, \"per-channel\"]",
        "network.channels-per-segment" => "[1, 4, \"all\", 8, 1]",
        "network.module" => "\"plain\"",
        "network.order" => "\"spatial-first\"",
        "network.intermediate" => "\"elu\"",
        "network.norm" => "\"both\"",
        "network.norm-epsilon" => "1e-5",
        "network.norm-momentum" => "0.01",
        "network.residual" => "false",
        "network.kernel" => "5",
        "network.stem" => "8",
        "network.stem-kernel" => "1",
        "network.entry" => "[8, 16]",
        "network.middle" => "0",
        "network.modules" => "1",
        "network.exit" => "32",
        "network.inner" => "[8, 16, 32, 32, 32]",
        "network.allocation" => "7",
        "network.size" => "30000",
        "network.width" => "0.5",
        "network.dropout" => "0.5",
        "data.set" => "\"cifar-10\"",
        "data.subset" => "\"full\"",
        "data.folder" => "\"birds\"",
        "data.classes" => "5",
        "data.size" => "[32, 24]",
        "data.channels" => "1",
        "data.test-share" => "0.5",
        "data.corrupt" => "\"skip\"",
        "data.class-list" => "\"classes.txt\"",
        "data.orientation" => "false",
        "data.most-pixels" => "1_000_000",
        "data.fit" => "\"stretch\"",
        "data.crop-fraction" => "0.875",
        "data.filter" => "\"bicubic\"",
        "data.reduced" => "true",
        "data.stream" => "true",
        "data.multi-label" => "true",
        "data.coupling" => "1",
        "data.images" => "100",
        "data.noise" => "0.5",
        "data.seed" => "7",
        "data.validation" => "1000",
        "data.split" => "\"seed\"",
        "data.augment" => "[\"pad-crop 2\", \"flip\"]",
        "training.epochs" => "3",
        "training.batch" => "32",
        "training.optimizer" => "{ kind = \"adamw\" }",
        "training.optimizer.kind" => "\"rmsprop\"",
        "training.optimizer.momentum" => "0.5",
        "training.optimizer.nesterov" => "false",
        "training.optimizer.form" => "\"pytorch\"",
        "training.optimizer.decay" => "0.99",
        "training.optimizer.beta1" => "0.8",
        "training.optimizer.beta2" => "0.99",
        "training.optimizer.epsilon" => "0.001",
        "training.schedule" => "{ kind = \"constant\" }",
        "training.schedule.kind" => "\"step\"",
        "training.schedule.peak" => "0.05",
        "training.schedule.warmup-epochs" => "0",
        "training.schedule.floor" => "0.001",
        "training.schedule.factor" => "0.5",
        "training.schedule.every-epochs" => "1.5",
        "training.schedule.every-samples" => "30_000",
        "training.schedule.staircase" => "false",
        "training.weight-decay" => "0",
        "training.weight-decay-kind" => "\"decoupled\"",
        "training.weight-decay-on" => "\"all\"",
        "training.label-smoothing" => "0.1",
        "training.average" => "\"polyak\"",
        "training.average.kind" => "\"polyak\"",
        "training.average.decay" => "0.99",
        "training.winograd" => "\"off\"",
        "training.precision" => "\"bf16\"",
        "training.weights-seed" | "training.order-seed" => "7",
        new => panic!("give `{new}` a value here that is not its default"),
    }
}

fn ids(trials: &[Trial]) -> Vec<String> {
    trials.iter().map(|trial| trial.id.to_string()).collect()
}

#[test]
fn every_key_is_accepted_and_has_an_effect() {
    // What is not part of a record, or has one value.
    let no_effect = ["experiment.", "axes", "tune.", "launcher."];
    for key in KEYS {
        let text = file_with(key, Some(another_value(key.path)));
        let with = trials(&text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"));
        let without = trials(&file_with(key, None)).unwrap();
        let is_part = !no_effect
            .iter()
            .any(|path| key.path.strip_prefix(path).is_some_and(|rest| !rest.starts_with(".seed")));
        if is_part {
            assert_ne!(ids(&with), ids(&without), "`{}` changes nothing", key.path);
        }
    }
}

#[test]
fn the_default_of_a_key_is_what_leaving_it_out_means() {
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let text = file_with(key, Some(key.default));
        let spelt_out = trials(&text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"));
        assert_eq!(ids(&spelt_out), ids(&trials(&file_with(key, None)).unwrap()), "{}", key.path);
    }
}

/// The keys that the parser knows of a table, in its own words: those that it
/// lists for a key that it does not know.
fn known_keys(table: &str) -> Vec<String> {
    let text =
        if table.is_empty() { "no-such-key = 1".to_owned() } else { format!("{table}.no-such-key = 1") };
    let message = trials(&text).unwrap_err().to_string();
    let note = message.lines().find(|line| line.contains("= keys of")).unwrap_or_else(|| panic!("{message}"));
    let (_, list) = note.rsplit_once(": ").expect("a list");
    list.split(", ").map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_key_that_the_parser_knows_is_listed_once() {
    let mut known = Vec::new();
    for (table, prefix) in [
        ("experiment", "experiment."),
        ("experiment.budget", "experiment.budget."),
        ("launcher", "launcher."),
        ("trial.network", "network."),
        ("trial.data", "data."),
        ("trial.training", "training."),
        ("trial.training.optimizer", "training.optimizer."),
        ("trial.training.schedule", "training.schedule."),
        ("trial.training.average", "training.average."),
    ] {
        known.extend(known_keys(table).into_iter().map(|key| format!("{prefix}{key}")));
    }
    assert_eq!(known_keys(""), ["experiment", "axes", "zip", "tune", "launcher", "trial"]);
    assert_eq!(known_keys("trial"), ["network", "data", "training"]);
    // [tune] asks for a key and for held-out images before it names what it knows.
    let tune = ["learning-rate", "weight-decay", "tries", "finalists", "seeds", "halving", "seed"]
        .map(|key| format!("tune.{key}"));
    known.extend(tune);
    // These are resolved into others before the network is read.
    known.extend(["network.channels-per-segment", "network.allocation", "network.size"].map(str::to_owned));
    known.extend(["axes", "axes.seed", "zip"].map(str::to_owned));
    known.sort();
    let mut listed: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    listed.sort_unstable();
    assert_eq!(known, listed);
}

#[test]
fn the_documentation_has_a_row_for_every_key() {
    let text = documentation();
    // The tables of keys are those of five columns.
    let is_row = |line: &&str| line.starts_with("| `") && line.matches('|').count() == 6;
    let rows: Vec<&str> = text.lines().filter(is_row).collect();
    let expected: Vec<String> = KEYS.iter().map(Key::row).collect();
    for row in &expected {
        assert!(rows.contains(&row.as_str()), "docs/experiments.md lacks this row:\n{row}");
    }
    assert_eq!(rows, expected, "docs/experiments.md has other rows, or in another order");
}

#[test]
fn the_examples_of_the_documentation_are_experiments() {
    let text = documentation();
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        trials(block).unwrap_or_else(|error| panic!("{error}\nin:\n{block}"));
    }
}

fn documentation() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/experiments.md")).unwrap()
}
