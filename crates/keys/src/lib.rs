//! Every key of an experiment file, declared once, in one file per section.
//!
//! A declaration states the meaning of the key, its values, unit and default. The
//! documentation, the JSON schema, suggestions in messages, the checks of numbers and the tests
//! of the readers all follow from it. A new key needs its row here, its field in the as-typed
//! table, and its effect.
//!
//! ```
//! use decouple_keys::{check, find};
//!
//! assert_eq!(find("network.kernel").expect("a key").default, "3");
//! let refused = check("network", "kernel", 4.0).unwrap_err();
//! assert_eq!(refused.to_string(), "`kernel` must be 3, 5 or 7, found 4");
//! ```
#![forbid(unsafe_code)]

mod data;
mod experiment;
mod launcher;
mod network;
mod training;
mod tune;
mod values;

pub use values::Values;

/// A key of an experiment file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Its name. Keys of `[trial.*]` stand without `trial.`, as an axis names them.
    pub path: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The values it accepts.
    pub values: Values,
    /// Unit of a number, or nothing.
    pub unit: &'static str,
    /// Its default, in TOML.
    pub default: &'static str,
}

impl Key {
    /// Its row in `docs/experiments.md`.
    pub fn row(&self) -> String {
        let Self { path, meaning, values, unit, default } = self;
        let quoted = |text: &str| {
            if text.is_empty() { String::new() } else { format!("`{text}`") }
        };
        format!("| `{path}` | {meaning} | {} | {unit} | {} |", values.text(), quoted(default))
    }
}

/// A key whose value is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {message}")]
pub struct InvalidKey {
    /// The key, relative to its section: `optimizer.momentum`.
    pub key: String,
    /// What is wrong, to follow the key: "must be at least 1".
    pub message: String,
}

impl InvalidKey {
    /// Why the value of `key` is refused.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// Refuses the value of `key` unless it is allowed.
    ///
    /// # Errors
    /// With this message.
    pub fn unless(allowed: bool, key: &str, message: &str) -> Result<(), Self> {
        if allowed { Ok(()) } else { Err(Self::new(key, message)) }
    }
}

/// Refuses a number that the key `section.key`, or the list that it holds, may not have.
///
/// # Errors
/// What the key may hold, and what it was given.
pub fn check(section: &str, key: &str, number: f64) -> Result<(), InvalidKey> {
    let of_section = SECTIONS.into_iter().find(|keys| keys[0].path.starts_with(section)).unwrap_or_default();
    let is_it = |path: &str| path.strip_suffix(key).and_then(|path| path.strip_suffix('.')) == Some(section);
    let Some(Key { values, .. }) = of_section.iter().find(|key| is_it(key.path)) else { return Ok(()) };
    let one = if let Values::List(items, _) = values { items } else { values };
    let message = || format!("must be {}, found {number}", values.text());
    if one.allows(number) { Ok(()) } else { Err(InvalidKey::new(key, message())) }
}

/// Names that other software uses for some keys.
const OTHER_NAMES: [(&str, &str); 16] = [
    ("lr", "training.schedule.peak"),
    ("learning-rate", "training.schedule.peak"),
    ("learning_rate", "training.schedule.peak"),
    ("training.learning-rate", "training.schedule.peak"),
    ("training.lr", "training.schedule.peak"),
    ("wd", "training.weight-decay"),
    ("l2", "training.weight-decay"),
    ("batch-size", "training.batch"),
    ("batch_size", "training.batch"),
    ("ema", "training.average"),
    ("groups", "segments"),
    ("cardinality", "segments"),
    ("activation", "intermediate"),
    ("kernel-size", "kernel"),
    ("dataset", "data.set"),
    ("seeds", "seed"),
];

/// The axis name here of a key that other software calls `typed`.
pub fn other_name(typed: &str) -> Option<&'static str> {
    OTHER_NAMES.iter().find(|(other, _)| *other == typed).map(|(_, name)| *name)
}

/// An example of the table at `path`, if there is one: its default, and its kinds.
pub fn table_example(path: &str) -> Option<String> {
    let (table, kinds) = (find(path)?, find(&format!("{path}.kind"))?);
    let name = path.rsplit('.').next().unwrap_or(path);
    Some(format!(
        "write {name} = {}; a kind is one of {}",
        table.default,
        kinds.values.text().replace('`', "")
    ))
}

/// Names under which an axis and `--set` know some keys of `[trial.network]`.
pub const SHORT_NAMES: [&str; 8] =
    ["segments", "channels-per-segment", "module", "intermediate", "order", "residual", "kernel", "norm"];

/// The name of a key of `[trial.*]` as axes carry it: short where it has a short
/// form. `None` if there is no such key.
pub fn axis_name(typed: &str) -> Option<&str> {
    let short = typed.strip_prefix("network.").unwrap_or(typed);
    if SHORT_NAMES.contains(&short) {
        return Some(short);
    }
    axis_names().find(|name| *name == typed)
}

/// The full name of an axis: `network.segments` for `segments`.
pub fn full_name(axis: &str) -> String {
    if SHORT_NAMES.contains(&axis) { format!("network.{axis}") } else { axis.to_owned() }
}

/// Every name that an axis may have, the short ones first, without the seed.
pub fn axis_names() -> impl Iterator<Item = &'static str> {
    let of_trial =
        |path: &&str| ["network.", "data.", "training."].iter().any(|section| path.starts_with(section));
    SHORT_NAMES.into_iter().chain(keys().map(|key| key.path).filter(of_trial))
}

/// A key without a unit.
const fn key(path: &'static str, meaning: &'static str, values: Values, default: &'static str) -> Key {
    measured(path, meaning, values, "", default)
}

/// A key whose number has a unit.
const fn measured(
    path: &'static str,
    meaning: &'static str,
    values: Values,
    unit: &'static str,
    default: &'static str,
) -> Key {
    Key { path, meaning, values, unit, default }
}

/// The most cores that one process uses, and so the most trials that it trains at a time.
pub const MOST_CORES: u64 = 1_024;

/// Every key, in the order of the documentation.
const SECTIONS: [&[Key]; 6] =
    [experiment::KEYS, tune::KEYS, launcher::KEYS, network::KEYS, data::KEYS, training::KEYS];

/// Every key, in the order of the documentation.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.into_iter().flatten()
}

/// The names of the keys of a table, as its messages list them.
pub fn names_in(table: &str) -> impl Iterator<Item = &'static str> {
    let name = move |key: &'static Key| key.path.strip_prefix(table)?.strip_prefix('.');
    keys().filter_map(name).filter(|name| !name.contains('.'))
}

/// The key of this name.
pub fn find(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
}
