//! The declarations of [`keys`], the readers and `docs/experiments.md` say the same.

use std::ops::Bound::{self, Excluded, Included};

use decouple_experiment::{ExperimentError, Overrides, Trial, parse};
use decouple_keys::{Key, Values, keys};

fn trials(text: &str) -> Result<Vec<Trial>, ExperimentError> {
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
        "data.score-weights" => {
            "trial.data.set = \"shards\"\ntrial.data.classes = 3\ntrial.data.size = [32, 24]\ntrial.data.multi-label = true\n"
        }
        "data.manifest" => {
            "trial.data.set = \"manifest\"\ntrial.data.classes = 3\ntrial.data.size = [32, 24]\n"
        }
        "data.path-column" | "data.label-column" | "data.split-column" => {
            "trial.data.set = \"manifest\"\ntrial.data.manifest = \"x.csv\"\ntrial.data.classes = 3\n\
             trial.data.size = [32, 24]\n"
        }
        "data.multi-label" | "data.class-weights" => {
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
        "data.manifest" => Some("\"x.csv\""),
        _ => None,
    }
}

/// A value of the key that is not its default, where it has more than one.
fn another_value(key: &Key) -> String {
    let special = match key.path {
        "experiment.hypotheses" => "[\"one\", \"two\"]",
        "experiment.reference" | "axes" => "{}",
        "axes.seed" => "[7]",
        "tune.learning-rate" => "[0.05, 0.2]",
        "tune.weight-decay" => "[0, 1e-4]",
        "tune.tries" => "1",
        "tune.finalists" | "tune.seeds" => "2",
        "launcher.time" | "launcher.task-time" => "\"90min\"",
        "launcher.memory" => "\"8G\"",
        "launcher.lines" => "[\"#SBATCH --exclusive\"]",
        "zip" => "[{ segments = [1, 3], network.stem = [8, 9] }]",
        "network.family" => "\"resnet-18\"",
        "network.segments" => "[1, 3, { level = 0.5 }, { channels-per-segment = 8 }, \"per-channel\"]",
        "network.channels-per-segment" => "[1, 4, \"all\", 8, 1]",
        "network.channels" => "[32, 32, 64, 128, 256]",
        "network.fully-connected" => "[64]",
        "network.entry" => "[8, 16]",
        "network.inner" => "[8, 16, 32, 32, 32]",
        "network.size" => "30000",
        "data.size" => "[32, 24]",
        "data.augment" => "[\"pad-crop 2\", \"flip\"]",
        "training.optimizer" => "{ kind = \"adamw\" }",
        "training.schedule" => "{ kind = \"constant\" }",
        "data.validation" => "1000",
        "training.schedule.floor" => "0.01",
        _ => return derived(key),
    };
    special.to_owned()
}

/// The first value of the key's own kind that is not its default.
fn derived(key: &Key) -> String {
    let Key { values, default, .. } = key;
    if matches!(values, Values::Text(_)) {
        return "\"another\"".to_owned();
    }
    if *values == Values::Flag {
        return (*default != "true").to_string();
    }
    let words = values.words().into_iter().map(|word| format!("\"{word}\""));
    let numbers = [0.5, 0.25, 7.0, 3.0, 5.0, 1.0].into_iter().filter(|&number| values.allows(number));
    let is_other = |value: &String| {
        value.parse::<f64>().ok().is_none_or(|v| default.parse() != Ok(v)) && value != default
    };
    words
        .chain(numbers.map(|number| number.to_string()))
        .find(is_other)
        .unwrap_or_else(|| (*default).to_owned())
}

fn ids(trials: &[Trial]) -> Vec<String> {
    trials.iter().map(|trial| trial.id.to_string()).collect()
}

#[test]
fn every_key_is_accepted_and_has_an_effect() {
    // What is not part of a record, or has one value.
    let no_effect = ["experiment.", "axes", "tune.", "launcher."];
    for key in keys() {
        let text = file_with(key, Some(&another_value(key)));
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
    for key in keys().filter(|key| !key.default.is_empty()) {
        let text = file_with(key, Some(key.default));
        let spelt_out = trials(&text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"));
        assert_eq!(ids(&spelt_out), ids(&trials(&file_with(key, None)).unwrap()), "{}", key.path);
    }
}

#[test]
fn numbers_outside_their_declaration_are_refused() {
    for key in keys() {
        for outside in outside(key.values) {
            let text = file_with(key, Some(&outside));
            let error = trials(&text).expect_err(&text).to_string();
            let name = key.path.rsplit('.').next().unwrap();
            assert!(error.contains(name), "{error}\nin:\n{text}");
        }
    }
}

/// Numbers that lie just outside of what a key may hold.
fn outside(values: Values) -> Vec<String> {
    let beyond = |bound: Bound<f64>, step: f64| match bound {
        Included(number) => Some((number + step).to_string()),
        Excluded(number) => Some(number.to_string()),
        Bound::Unbounded => None,
    };
    match values {
        Values::Whole(least, most) => {
            let least = (least as i64 - 1).to_string();
            [least].into_iter().chain(most.map(|most| (most + 1).to_string())).collect()
        }
        Values::OneOf(numbers) => vec![(numbers[numbers.len() - 1] + 1).to_string()],
        Values::Real(least, most) => beyond(least, -1e-3).into_iter().chain(beyond(most, 1e-3)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_words_of_a_key_are_those_that_its_reader_knows() {
    for key in keys().filter(|key| matches!(key.values, Values::Words(_) | Values::Noted(_))) {
        let error = trials(&file_with(key, Some("\"no-such-word\""))).unwrap_err().to_string();
        let mut words = key.values.words();
        match error.split("may be: ").nth(1) {
            Some(list) => {
                let mut known: Vec<&str> =
                    list.trim().split(", ").map(|word| word.trim_matches('`')).collect();
                known.sort_unstable();
                words.sort_unstable();
                assert_eq!(known, words, "{}", key.path);
            }
            None => assert!(words.iter().all(|word| error.contains(word)), "{error}"),
        }
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
    let mut listed: Vec<&str> = keys().map(|key| key.path).collect();
    listed.sort_unstable();
    assert_eq!(known, listed);
}

/// `UPDATE_DOCS=1` in the environment writes the rows, those of new keys behind the one before.
#[test]
fn the_documentation_has_a_row_for_every_key() {
    let mut text = documentation();
    // The tables of keys are those of five columns.
    let is_row = |line: &&str| line.starts_with("| `") && line.matches('|').count() == 6;
    let expected: Vec<String> = keys().map(Key::row).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut last = 0;
        for (key, row) in keys().zip(&expected) {
            let start = format!("| `{}` |", key.path);
            match lines.iter().position(|line| is_row(&line.as_str()) && line.starts_with(&start)) {
                Some(place) => last = place,
                None => {
                    last += 1;
                    lines.insert(last, String::new());
                }
            }
            lines[last].clone_from(row);
        }
        text = lines.join("\n") + "\n";
        std::fs::write(DOCUMENTATION, &text).unwrap();
    }
    let rows: Vec<&str> = text.lines().filter(is_row).collect();
    assert_eq!(
        rows, expected,
        "docs/experiments.md lags behind: UPDATE_DOCS=1 in the environment rewrites it"
    );
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

const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/experiments.md");

fn documentation() -> String {
    std::fs::read_to_string(DOCUMENTATION).unwrap()
}
