//! The `[tune]` section: which recipes every point of a sweep tries.

use std::fmt;

use decouple_datasets::derive_seed;
use decouple_datasets::seeds::{stream, uniform_below};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{MetricsRow, Outcome, Run, Trial};
use decouple_keys::{InvalidKey, check};

/// The `[tune]` section of an experiment file, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Tune {
    /// What every point tries, in this order.
    pub settings: Vec<Setting>,
    /// The seed of all tries.
    pub seed: u64,
    /// How many of a point's best tries are run with more seeds before one of them is chosen.
    pub finalists: usize,
    /// Total number of seeds that a finalist is run with: `seed` and those after it.
    pub seeds: u64,
    /// Whether a point's worse tries are stopped early: see [`Tune::rungs`].
    pub halving: bool,
}

impl Tune {
    /// The epochs after which the worse half of a point's tries is stopped, of `epochs`
    /// in all: after seven eighths, and none without halving.
    ///
    /// While the learning rate is high, log-losses say little about the final ones. Of 12 recorded
    /// cells of three weight decays a rung after a half would have dropped the best in 9, after three
    /// quarters in 6, after seven eighths in 1 (`tools/halving-bias.py`).
    pub fn rungs(&self, epochs: u64) -> Vec<u64> {
        let rung = (7 * epochs).div_ceil(8);
        if self.halving && rung < epochs { vec![rung] } else { Vec::new() }
    }

    /// Whether a try that ended so is still to be trained to its end: stopped by a halving that is asked for no more.
    pub fn goes_on_with(&self, outcome: &Outcome) -> bool {
        !self.halving && matches!(outcome, Outcome::Stopped { .. })
    }
}

/// One try's change of the recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The learning rate after warm-up.
    pub learning_rate: f64,
    /// The weight decay.
    pub weight_decay: f64,
}

/// The section as typed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TuneTable {
    learning_rate: Choices,
    weight_decay: Option<Choices>,
    tries: Option<usize>,
    finalists: Option<usize>,
    seeds: Option<u64>,
    #[serde(default)]
    halving: bool,
    seed: Option<u64>,
}

/// Seed of the tries where none is typed: far from the seeds usually given to runs.
pub(crate) const DEFAULT_SEED: u64 = 1_000;

impl TuneTable {
    /// How many recipes the lists give before any are left out; for a range, the number of tries.
    pub(crate) fn combinations(&self) -> usize {
        match (&self.learning_rate, &self.weight_decay) {
            (Choices::List(rates), None) => rates.len(),
            (Choices::List(rates), Some(Choices::List(decays))) => rates.len().saturating_mul(decays.len()),
            _ => self.tries.unwrap_or(0),
        }
    }

    /// The settings that are tried. `weight_decay` is the trial's own, which is kept
    /// where no list of others is typed.
    pub(crate) fn resolve(self, weight_decay: f64) -> Result<Tune, InvalidKey> {
        let seed = self.seed.unwrap_or(DEFAULT_SEED);
        let (finalists, seeds) = (self.finalists.unwrap_or(1), self.seeds.unwrap_or(1));
        check("tune", "finalists", finalists as f64)?;
        check("tune", "seeds", seeds as f64)?;
        let has_room = seed.checked_add(seeds).is_some();
        InvalidKey::unless(has_room, "seed", "must leave room for `seeds` seeds after it")?;
        let decays = self.weight_decay.unwrap_or_else(|| Choices::List(vec![weight_decay]));
        self.learning_rate.check("learning-rate", |rate| rate > 0.0, "above 0")?;
        decays.check("weight-decay", |decay| decay >= 0.0, "0 or above")?;
        let settings = match (self.learning_rate, decays) {
            (Choices::List(rates), Choices::List(decays)) => combined(&rates, &decays, self.tries, seed)?,
            (rates, decays) => {
                let tries = self.tries.unwrap_or(0);
                let message = "is needed beside a range: a count from 1 to 10000";
                InvalidKey::unless((1..=10_000).contains(&tries), "tries", message)?;
                spread_out(&rates, &decays, tries)
            }
        };
        let is_repeated = |(index, setting): (usize, &Setting)| settings[..index].contains(setting);
        let are_different = !settings.iter().enumerate().any(is_repeated);
        let message = "are more than the ranges have settings of three digits: take fewer, or wider ranges";
        InvalidKey::unless(are_different, "tries", message)?;
        Ok(Tune { settings, seed, finalists, seeds, halving: self.halving })
    }
}

/// Every combination of the two lists, or `tries` of them.
fn combined(
    rates: &[f64],
    decays: &[f64],
    tries: Option<usize>,
    seed: u64,
) -> Result<Vec<Setting>, InvalidKey> {
    let every = rates.iter().flat_map(|&learning_rate| {
        decays.iter().map(move |&weight_decay| Setting { learning_rate, weight_decay })
    });
    let settings: Vec<Setting> = every.collect();
    let all = settings.len();
    let tries = tries.unwrap_or(all);
    let message = format!("must be from 1 to {all}, the number of combinations");
    InvalidKey::unless((1..=all).contains(&tries), "tries", &message)?;
    Ok(if tries < all { draw(&settings, tries, seed) } else { settings })
}

/// Values to try as typed: a list, or the ends of a range.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Choices {
    List(Vec<f64>),
    Range { from: f64, to: f64 },
}

// Written by hand, since a derived untagged enum loses what is wrong and where.
impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Typed;
        impl<'de> Visitor<'de> for Typed {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers or a range { from = ..., to = ... }")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Choices, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Choices::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Choices, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Range {
                    from: f64,
                    to: f64,
                }
                let Range { from, to } = Range::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Choices::Range { from, to })
            }
        }
        deserializer.deserialize_any(Typed)
    }
}

/// `tries` settings spread evenly over the ranges on a logarithmic scale: the first points of Sobol's sequence in two
/// dimensions (I. M. Sobol, 1967) but its corner. A list takes the place of a range with as many equal parts.
fn spread_out(rates: &Choices, decays: &Choices, tries: usize) -> Vec<Setting> {
    let place = |choices: &Choices, share: f64| match choices {
        Choices::List(list) => list[((share * list.len() as f64) as usize).min(list.len() - 1)],
        Choices::Range { from, to } => {
            let value = from * (to / from).powf(share);
            // Three digits are precise enough, and readable. Rounded up, the largest number would be infinite.
            let rounded = format!("{value:.2e}").parse().ok().filter(|rounded: &f64| rounded.is_finite());
            rounded.unwrap_or(value)
        }
    };
    let setting = |index: usize| {
        let [first, second] = sobol(index as u32 + 1);
        Setting { learning_rate: place(rates, first), weight_decay: place(decays, second) }
    };
    (0..tries).map(setting).collect()
}

/// Point `index` of Sobol's sequence: the bits of its Gray code choose among direction numbers, in the first
/// dimension a single bit each, in the second those of the polynomial x + 1.
fn sobol(index: u32) -> [f64; 2] {
    let gray = index ^ (index >> 1);
    let (mut point, mut direction) = ([0u32; 2], 1u32 << 31);
    for bit in 0..32 {
        if gray >> bit & 1 == 1 {
            point[0] ^= 1 << (31 - bit);
            point[1] ^= direction;
        }
        direction ^= direction >> 1;
    }
    point.map(|bits| f64::from(bits) / 2f64.powi(32))
}

impl Choices {
    /// Refuses a list with a number that is not `allowed`, and a range that no logarithm spreads over.
    fn check(&self, key: &str, allowed: impl Fn(f64) -> bool, expected: &str) -> Result<(), InvalidKey> {
        match self {
            Self::List(values) => {
                let sound = |&value: &f64| value.is_finite() && allowed(value);
                let is_repeated = |(index, value): (usize, &f64)| values[..index].contains(value);
                let is_list = !values.is_empty()
                    && values.iter().all(sound)
                    && !values.iter().enumerate().any(is_repeated);
                let message = format!("must be a list of different finite numbers, {expected}");
                InvalidKey::unless(is_list, key, &message)
            }
            Self::Range { from, to } => {
                let is_range = *from > 0.0 && from < to && (to / from).is_finite();
                let message =
                    "must be a range { from, to } of numbers above 0, the lower first, with a finite ratio";
                InvalidKey::unless(is_range, key, message)
            }
        }
    }
}

/// `tries` of the settings, drawn without repetition, in their order.
fn draw(settings: &[Setting], tries: usize, seed: u64) -> Vec<Setting> {
    let mut order: Vec<usize> = (0..settings.len()).collect();
    let mut random = stream(derive_seed(seed, "tune", 0, 0));
    for place in 0..tries {
        let other = place + uniform_below(&mut random, (order.len() - place) as u32) as usize;
        order.swap(place, other);
    }
    order.truncate(tries);
    order.sort_unstable();
    order.into_iter().map(|place| settings[place]).collect()
}

/// A try that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// Axis name and value of the point that it is of.
    pub point: Vec<(String, String)>,
    /// The recipe.
    pub setting: Setting,
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Epochs that it was trained for.
    pub epochs: u64,
    /// Validation score after the last of them.
    pub score: Option<f64>,
    /// Validation log-loss after the last of them.
    pub log_loss: Option<f64>,
    /// Whether its recipe is the point's.
    pub is_chosen: bool,
}

impl Tune {
    /// The most runs that choose the recipe of a point: its tries, and its finalists with more seeds.
    pub(crate) fn runs_a_point(&self) -> usize {
        let more_seeds = usize::try_from(self.seeds - 1).unwrap_or(usize::MAX);
        let finalists = self.finalists.min(self.settings.len());
        finalists.saturating_mul(more_seeds).saturating_add(self.settings.len())
    }
}

impl Setting {
    /// The recipe of a trial.
    pub(crate) fn of(trial: &Trial) -> Self {
        let training = &trial.record.training;
        Self { learning_rate: training.schedule.peak(), weight_decay: training.weight_decay }
    }

    /// `trial` with this recipe, and another seed where one is given.
    pub(crate) fn applied(&self, trial: &Trial, seed: Option<u64>) -> Trial {
        let mut record = trial.record.clone();
        record.training.schedule.set_peak(self.learning_rate);
        record.training.weight_decay = self.weight_decay;
        if let Some(seed) = seed {
            record.seed = seed;
            record.data.split = if trial.splits_by_seed { Some(seed) } else { record.data.split };
        }
        trial.with_record(record)
    }
}

impl Try {
    /// The try that `run` is; nothing while it is under way.
    pub(crate) fn of(trial: &Trial, setting: Setting, run: &Run) -> Option<Self> {
        let last = run.metrics.last();
        let score = last.and_then(MetricsRow::validation);
        Some(Self {
            point: trial.point.clone(),
            setting,
            seed: trial.seed(),
            outcome: run.status.as_ref()?.outcome.clone(),
            epochs: last.map_or(0, |row| row.epoch),
            score: score.filter(|score| score.is_finite()),
            log_loss: last.and_then(MetricsRow::validation_log_loss).filter(|loss| loss.is_finite()),
            is_chosen: false,
        })
    }

    /// The score it is judged by: its log-loss, if it was trained to the end.
    pub fn score(&self) -> Option<f64> {
        self.log_loss.filter(|_| self.outcome == Outcome::Finished)
    }
}
