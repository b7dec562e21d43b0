//! Compares two records key by key, and finds runs that no longer belong to a trial of a file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::trial::label;
use crate::{Contents, Record, Run, Sweep, Trial};

/// A key that has another value in one record than in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The key, as an axis names it: `training.epochs`.
    pub key: String,
    /// Its value in the first record, as JSON; `None` where it has no such key.
    pub first: Option<String>,
    /// Its value in the second.
    pub second: Option<String>,
}

/// The keys in which two records differ, including the seed, sorted by name.
///
/// ```
/// use decouple_experiment::{Record, differences};
/// let first = Record::default();
/// let mut second = first.clone();
/// second.training.epochs = 3;
/// let found = differences(&first, &second);
/// assert_eq!(found[0].key, "training.epochs");
/// assert_eq!((found[0].first.as_deref(), found[0].second.as_deref()), (Some("10"), Some("3")));
/// ```
pub fn differences(first: &Record, second: &Record) -> Vec<Difference> {
    between(&leaves(first), &leaves(second))
}

/// Every key of a record with its value.
type Leaves = BTreeMap<String, String>;

fn leaves(record: &Record) -> Leaves {
    let mut leaves = Leaves::new();
    let value = serde_json::to_value(record).expect("a record has only string keys");
    collect(String::new(), &value, &mut leaves);
    leaves
}

fn collect(name: String, value: &Value, leaves: &mut Leaves) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                collect(name, value, leaves);
            }
        }
        _ => {
            leaves.insert(name, value.to_string());
        }
    }
}

fn between(first: &Leaves, second: &Leaves) -> Vec<Difference> {
    let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let of = |key: &String| {
        let (first, second) = (first.get(key).cloned(), second.get(key).cloned());
        (first != second).then(|| Difference { key: key.clone(), first, second })
    };
    keys.into_iter().filter_map(of).collect()
}

/// A run on disk that belongs to no trial of an experiment.
#[derive(Clone, Debug)]
pub struct Stray<'a> {
    /// The run.
    pub run: &'a Run,
    /// Why: what the file no longer asks for, or asks for differently.
    pub reason: Reason,
}

/// Why a run belongs to no trial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The file has no such point.
    Point(String),
    /// The file does not ask for this seed.
    Seed(u64),
    /// The file asks for the same point and seed with other values of these keys;
    /// the run's are the first.
    Keys(Vec<Difference>),
}

/// How many keys a line lists.
const LISTED: usize = 3;

impl Reason {
    /// The reason, to follow "runs": `with training.epochs = 4, now 8`.
    fn words(&self) -> String {
        match self {
            Self::Point(label) => format!("of the point {label}, which the file no longer has"),
            Self::Seed(seed) => format!("of seed {seed}, which the file no longer asks for"),
            Self::Keys(differences) => {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                let mut keys: Vec<String> = differences
                    .iter()
                    .take(LISTED)
                    .map(|d| format!("{} = {}, now {}", d.key, value(&d.first), value(&d.second)))
                    .collect();
                if differences.len() > LISTED {
                    keys.push(format!("and {} more keys", differences.len() - LISTED));
                }
                format!("with {}", keys.join("; "))
            }
        }
    }
}

impl Sweep {
    /// The runs of `contents` that belong to no trial of this experiment, and why.
    pub fn strays<'a>(&self, contents: &'a Contents) -> Vec<Stray<'a>> {
        let ids: BTreeSet<_> = self.trials.iter().map(|trial| trial.id).collect();
        let reason = |run: &Run| {
            let same_point: Vec<&Trial> =
                self.trials.iter().filter(|trial| trial.point == run.point).collect();
            if same_point.is_empty() {
                return Reason::Point(label(&run.point));
            }
            let seed = run.record.seed;
            match same_point.iter().find(|trial| trial.seed() == seed) {
                None => Reason::Seed(seed),
                Some(trial) => Reason::Keys(differences(&run.record, &trial.record)),
            }
        };
        let foreign = contents.runs.iter().filter(|run| !ids.contains(&run.id));
        foreign.map(|run| Stray { run, reason: reason(run) }).collect()
    }
}

/// One line for each reason, with how many runs it holds of: `12 runs with
/// training.epochs = 4, now 8`.
pub fn stray_lines(strays: &[Stray<'_>]) -> Vec<String> {
    let mut counts = BTreeMap::<&Reason, usize>::new();
    for stray in strays {
        *counts.entry(&stray.reason).or_default() += 1;
    }
    let runs = |count: usize| if count == 1 { "run" } else { "runs" };
    counts.into_iter().map(|(reason, count)| format!("{count} {} {}", runs(count), reason.words())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, parse};

    fn run(trial: &Trial) -> Run {
        Run {
            has_checksums: false,
            dir: trial.dir_name().into(),
            id: trial.id,
            point: trial.point.clone(),
            record: trial.record.clone(),
            cost: trial.cost,
            level: trial.level,
            budget: None,
            layers: Vec::new(),
            environment: None,
            metrics: Vec::new(),
            timing: Vec::new(),
            status: None,
        }
    }

    fn lines(before: &str, after: &str) -> Vec<String> {
        let of = |text| parse(text, "x.toml", &Overrides::default()).unwrap();
        let runs = of(before).trials.iter().map(run).collect();
        let contents = Contents { runs, ..Contents::default() };
        stray_lines(&of(after).strays(&contents))
    }

    const BEFORE: &str = "experiment.budget = 'none'\naxes.segments = [1, 8]\naxes.seed = [0, 1]\n";

    #[test]
    fn runs_of_the_same_file_are_no_strays() {
        assert!(lines(BEFORE, BEFORE).is_empty());
    }

    #[test]
    fn an_edited_file_says_in_one_line_which_key_differs() {
        let edited = format!("{BEFORE}trial.training.epochs = 3\ntrial.training.batch = 8\n");
        let expected = "4 runs with training.batch = 64, now 8; training.epochs = 10, now 3";
        assert_eq!(lines(BEFORE, &edited), [expected]);
        let kind = format!("{BEFORE}trial.training.optimizer = {{ kind = 'adamw' }}\n");
        let line = &lines(BEFORE, &kind)[0];
        assert!(line.starts_with("4 runs with training.optimizer.beta1 = nothing, now 0.9; "), "{line}");
        assert!(line.ends_with("; and 4 more keys"), "{line}");
    }

    #[test]
    fn points_and_seeds_that_are_gone_are_named() {
        let edited = "experiment.budget = 'none'\naxes.segments = [1, 4]\naxes.seed = [0]\n";
        let expected = [
            "2 runs of the point segments = 8, which the file no longer has",
            "1 run of seed 1, which the file no longer asks for",
        ];
        assert_eq!(lines(BEFORE, edited), expected);
    }
}
