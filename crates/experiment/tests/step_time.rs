//! Budgets of step time, by clocks that are told what to say.

use std::{cell::Cell, fs, path::Path, rc::Rc};

use decouple_experiment::{
    Claim, ClockError, Held, Ledger, Machine, Overrides, RememberingTimer, StepTimer, StepTimes, Sweep,
    Trial, parse, parse_with,
};
use decouple_spectrum::budget::step_time::{StepTime, TOLERANCE, TimedPair};

const FILE: &str = r#"
[experiment]
name = "timed"
reference = { segments = "per-channel", training.weight-decay = 0 }
budget = "step-time"

[axes]
segments = [1, 4, "per-channel"]
training.weight-decay = [0, 1e-4, 1e-3]
seed = [0, 1]

[trial.training]
epochs = 2
"#;

/// Takes a time for each multiply-add that falls with the decoupling level, and
/// counts how often it is asked.
struct Fake {
    asked: Rc<Cell<usize>>,
    slowness: f64,
}

impl Fake {
    fn new() -> Self {
        Self { asked: Rc::default(), slowness: 1.0 }
    }
}

impl StepTimer for Fake {
    fn compare(&mut self, trial: &Trial, reference: &Trial) -> Result<TimedPair, ClockError> {
        self.asked.set(self.asked.get() + 1);
        let secs = |trial: &Trial| trial.cost.macs as f64 * 1e-9 * (2.0 - trial.level);
        let time = |median_secs| StepTime { median_secs, quartiles_secs: 0.01 * median_secs, steps: 25 };
        let slowness = if trial.record.network == reference.record.network { 1.0 } else { self.slowness };
        Ok(TimedPair { network: time(slowness * secs(trial)), reference: time(secs(reference)) })
    }
}

/// A clock that nobody may ask.
struct Sealed;

impl StepTimer for Sealed {
    fn compare(&mut self, trial: &Trial, _: &Trial) -> Result<TimedPair, ClockError> {
        Err(format!("asked for {}", trial.point_label()).into())
    }
}

fn read(step_times: StepTimes<'_>) -> Sweep {
    read_text(FILE, step_times)
}

fn read_text(text: &str, step_times: StepTimes<'_>) -> Sweep {
    parse_with(text, "timed.toml", &Overrides::default(), step_times)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn machine(version: &str) -> Machine {
    Machine { decouple: version.into(), cpu: "a cpu".into(), kernels: "portable".into(), threads: 1 }
}

/// The sweep by a clock that remembers in `path`, the word about that file, and
/// how often the machine was asked.
fn remembered(path: &Path, version: &str) -> (Sweep, Option<String>, usize) {
    let fake = Fake::new();
    let asked = Rc::clone(&fake.asked);
    let (mut timer, word) = RememberingTimer::open(path, machine(version), fake).unwrap();
    let sweep = read(StepTimes::Timer(&mut timer));
    (sweep, word, asked.get())
}

fn ids(sweep: &Sweep) -> Vec<String> {
    sweep.trials.iter().map(|trial| trial.id.to_string()).collect()
}

#[test]
fn every_point_takes_as_long_as_the_reference() {
    let sweep = read(StepTimes::Timer(&mut Fake::new()));
    assert_eq!(sweep.budget, Some(Held::StepTime));
    assert_eq!(sweep.warnings, [""; 0]);
    for trial in &sweep.trials {
        let budget = trial.budget.as_ref().expect("a budget holds");
        let ratio = budget.reached as f64 / budget.target as f64;
        assert!((ratio - 1.0).abs() <= TOLERANCE, "{}: {ratio}", trial.point_label());
        assert!(budget.spread.is_some_and(|spread| (0.001..0.01).contains(&spread)));
        let macs = trial.cost.macs as f64 / sweep.trials.last().unwrap().cost.macs as f64 - 1.0;
        assert!((budget.drift.macs - macs).abs() < 1e-12, "what drifts is told");
        assert_eq!(trial.cost, trial.graph().cost(), "the costs are those of the fitted network");
    }
    // Fewer segments are slower here, so they get fewer multiply-adds.
    assert!(sweep.trials[0].cost.macs < sweep.trials[3].cost.macs);
    // What changes no step's time changes no width either.
    for points in sweep.trials.chunks(3) {
        assert!(points.iter().all(|trial| trial.record.network == points[0].record.network));
    }
}

#[test]
fn without_a_clock_points_keep_their_widths_and_say_nothing_of_a_budget() {
    let sweep = parse(FILE, "timed.toml", &Overrides::default()).unwrap();
    assert!(sweep.trials.iter().all(|trial| trial.budget.is_none() && trial.record.network.width == 1.0));
}

#[test]
fn what_was_measured_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results/step-times.json");
    let (first, word, asked) = remembered(&path, "1.0.0");
    assert_eq!(word, None);
    assert!(asked > 2, "{asked}");
    let (second, word, asked) = remembered(&path, "1.0.0");
    assert_eq!((word, asked), (None, 0));
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(first.trials[0].budget, second.trials[0].budget);
}

#[test]
fn seeds_take_no_time_of_their_own() {
    let asked = |seeds: &str| {
        let (folder, fake) = (tempfile::tempdir().unwrap(), Fake::new());
        let asked = Rc::clone(&fake.asked);
        let text = FILE
            .replace("training.weight-decay = [0, 1e-4, 1e-3]", &format!("training.weights-seed = {seeds}"))
            .replace(", training.weight-decay = 0", "");
        let path = folder.path().join("step-times.json");
        let (mut timer, _) = RememberingTimer::open(&path, machine("1.0.0"), fake).unwrap();
        read_text(&text, StepTimes::Timer(&mut timer));
        asked.get()
    };
    assert_eq!(asked("[3, 4]"), asked("[3]"));
}

#[test]
fn times_of_another_version_and_a_torn_file_are_measured_again_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-times.json");
    let (_, _, asked) = remembered(&path, "1.0.0");
    let (_, word, again) = remembered(&path, "1.1.0");
    assert_eq!(again, asked);
    let word = word.expect("a word").replace(&folder.path().display().to_string(), "results");
    insta::assert_snapshot!(word, @"results/step-times.json: ignored step times of decouple 1.0.0 with portable on a cpu");
    assert_eq!(remembered(&path, "1.0.0").2, 0, "the other version's times are kept for it");

    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let (_, word, again) = remembered(&path, "1.0.0");
    assert!(word.expect("a word").contains("ignored step times: EOF while parsing"));
    assert_eq!(again, asked);
    fs::write(&path, r#"{ "format": 7, "machines": [] }"#).unwrap();
    let (_, word, _) = remembered(&path, "1.0.0");
    assert!(word.expect("a word").ends_with("it has format 7, not 1"));
    assert_eq!(remembered(&path, "1.0.0").2, 0);
}

#[test]
fn a_report_finds_the_widths_in_the_runs_alone() {
    a_report_finds_the_widths_of(FILE);
}

#[test]
fn a_report_finds_the_widths_in_runs_that_split_by_their_seeds() {
    a_report_finds_the_widths_of(&format!("{FILE}[trial.data]\nvalidation = 100\nsplit = \"seed\"\n"));
}

fn a_report_finds_the_widths_of(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let measured = read_text(text, StepTimes::Timer(&mut Fake::new()));
    let ledger = Ledger::open(folder.path().join("timed"));
    for trial in &measured.trials {
        assert!(matches!(
            ledger.claim(trial, &decouple_experiment::Identity::of(trial, None)).unwrap(),
            Claim::Mine(_)
        ));
    }
    let runs = ledger.read().unwrap().runs;
    let found = read_text(text, StepTimes::Runs(&runs));
    assert_eq!(ids(&found), ids(&measured));
    assert_eq!(found.trials[0].budget, measured.trials[0].budget);
    // Fitted to another reference, they are other points.
    let overrides = Overrides { set: vec!["network.exit=96".to_owned()] };
    let other = parse_with(text, "timed.toml", &overrides, StepTimes::Runs(&runs)).unwrap();
    assert!(other.trials.iter().all(|trial| trial.budget.is_none()));
}

fn refusal(timer: &mut dyn StepTimer) -> String {
    let sweep = parse_with(FILE, "timed.toml", &Overrides::default(), StepTimes::Timer(timer));
    sweep.expect_err("it is refused").to_string()
}

#[test]
fn a_clock_that_fails_is_told_with_the_point() {
    let message = refusal(&mut Sealed);
    assert!(message.starts_with("error: no step can be timed\n  --> timed.toml:8:13\n"), "{message}");
    assert!(message.contains("   = asked for segments = 1, training.weight-decay = 0"), "{message}");
    assert!(!message.contains("widen the reference"), "no other width helps: {message}");
}

#[test]
fn a_time_that_no_width_reaches_is_refused_with_what_came_nearest() {
    let message = refusal(&mut Fake { slowness: 1e6, ..Fake::new() });
    let title =
        "error: segments 1 cannot meet the step time of the reference within 3 %\n  --> timed.toml:8:13\n";
    assert!(message.starts_with(title), "{message}");
    assert!(message.contains("= the nearest network (width 0.0"), "{message}");
    assert!(message.contains("= widen the reference, or drop this point from `segments`"), "{message}");
}
