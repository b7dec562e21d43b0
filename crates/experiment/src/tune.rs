//! Tuning: every point of a sweep gets the same tries over learning rate and
//! weight decay, judged on validation images, before its seeds are run.
//!
//! A curve drawn at one recipe may draw the recipe: narrow coupled networks and
//! wide decoupled ones need not want the same. A try is an ordinary run in a
//! ledger of its own, `tune` in the experiment's folder; the test score that it
//! leaves there is never looked at. Then the seeds are run by both recipes, that
//! of the file and the tuned one, so that a report shows what tuning did.

use std::collections::BTreeMap;

use decouple_datasets::derive_seed;
use decouple_datasets::seeds::{stream, uniform_below};
use serde::{Deserialize, Serialize};

use crate::{Axis, InvalidKey, Ledger, LedgerError, MetricsRow, Outcome, Run, Sweep, Trial};

/// The `[tune]` section of an experiment file, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Tune {
    /// What every point tries, in this order.
    pub settings: Vec<Setting>,
    /// The seed of all tries.
    pub seed: u64,
    /// Whether a point's worse tries are stopped early: see [`Tune::rungs`].
    pub halving: bool,
}

impl Tune {
    /// The epochs after which the worse half of a point's tries is stopped, of `epochs`
    /// in all; none without halving.
    pub fn rungs(&self, epochs: u64) -> Vec<u64> {
        let mut rungs = vec![epochs.div_ceil(4), epochs.div_ceil(2)];
        rungs.dedup();
        rungs.retain(|&rung| self.halving && rung < epochs);
        rungs
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
    learning_rate: Vec<f64>,
    #[serde(default)]
    weight_decay: Option<Vec<f64>>,
    #[serde(default)]
    tries: Option<usize>,
    #[serde(default)]
    halving: bool,
    #[serde(default)]
    seed: Option<u64>,
}

/// Seed of the tries where none is typed: far from those that people give runs.
const DEFAULT_SEED: u64 = 1_000;

impl TuneTable {
    /// How many recipes the lists give, before any of them is left out.
    pub(crate) fn combinations(&self) -> usize {
        self.learning_rate.len().saturating_mul(self.weight_decay.as_ref().map_or(1, Vec::len))
    }

    /// The settings that are tried. `weight_decay` is the trial's own, which is kept
    /// where no list of others is typed.
    pub(crate) fn resolve(self, weight_decay: f64) -> Result<Tune, InvalidKey> {
        let decays = self.weight_decay.unwrap_or_else(|| vec![weight_decay]);
        numbers("learning-rate", &self.learning_rate, |rate| rate > 0.0, "above 0")?;
        numbers("weight-decay", &decays, |decay| decay >= 0.0, "0 or above")?;
        let every = self.learning_rate.iter().flat_map(|&learning_rate| {
            decays.iter().map(move |&weight_decay| Setting { learning_rate, weight_decay })
        });
        let mut settings: Vec<Setting> = every.collect();
        let all = settings.len();
        let tries = self.tries.unwrap_or(all);
        if tries == 0 || tries > all {
            return Err(InvalidKey::new(
                "tries",
                format!("must be from 1 to {all}, the number of combinations"),
            ));
        }
        let seed = self.seed.unwrap_or(DEFAULT_SEED);
        if tries < all {
            draw(&mut settings, tries, seed);
        }
        Ok(Tune { settings, seed, halving: self.halving })
    }
}

fn numbers(
    key: &str,
    values: &[f64],
    allowed: impl Fn(f64) -> bool,
    expected: &str,
) -> Result<(), InvalidKey> {
    let sound = |&value: &f64| value.is_finite() && allowed(value);
    let is_repeated = |(index, value): (usize, &f64)| values[..index].contains(value);
    if values.is_empty() || !values.iter().all(sound) || values.iter().enumerate().any(is_repeated) {
        return Err(InvalidKey::new(key, format!("must be a list of different finite numbers, {expected}")));
    }
    Ok(())
}

/// Keeps `tries` of the settings, drawn without repetition, in their order.
fn draw(settings: &mut Vec<Setting>, tries: usize, seed: u64) {
    let mut order: Vec<usize> = (0..settings.len()).collect();
    let mut random = stream(derive_seed(seed, "tune", 0, 0));
    for place in 0..tries {
        let other = place + uniform_below(&mut random, (order.len() - place) as u32) as usize;
        order.swap(place, other);
    }
    let kept = &order[..tries];
    let mut index = 0;
    settings.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

/// The axis that tells the recipe as written from the tuned one.
pub const RECIPE: &str = "recipe";

/// Its values.
const RECIPES: [&str; 2] = ["as written", "tuned"];

/// What was chosen for a point, or why nothing was.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The point, in words.
    pub point: String,
    /// The setting that scored best.
    pub setting: Setting,
    /// Its validation accuracy.
    pub accuracy: f64,
    /// Tries of the point that ended in a score.
    pub scored: usize,
}

/// A try that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// Axis name and value of the point that it is of.
    pub point: Vec<(String, String)>,
    /// The recipe.
    pub setting: Setting,
    /// How it ended.
    pub outcome: Outcome,
    /// Epochs that it was trained for.
    pub epochs: u64,
    /// Validation accuracy after the last of them.
    pub accuracy: Option<f64>,
    /// Whether its recipe is the point's.
    pub is_chosen: bool,
}

/// Why no recipe can be chosen yet.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// The ledger of the tries cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Some tries have not been run.
    #[error("{missing} of the {all} tries that choose each point's recipe have not been run")]
    Unfinished {
        /// Tries without an end.
        missing: usize,
        /// All tries.
        all: usize,
    },
    /// No try of a point ended in a score.
    #[error("point {point}: every try diverged or failed; widen the lists in [tune]")]
    NoScore {
        /// The point.
        point: String,
    },
}

impl Sweep {
    /// The ledger of the tries beside that of the runs.
    pub fn tune_ledger(&self, ledger: &Ledger) -> Ledger {
        ledger.below("tune")
    }

    /// The tries of every point; none without a `[tune]` section.
    pub fn tries(&self) -> Vec<Trial> {
        let Some(tune) = &self.tune else { return Vec::new() };
        let points = self.points();
        let of_point = |trial: &&Trial| {
            tune.settings.iter().map(|setting| setting.applied(trial, Some(tune.seed))).collect::<Vec<_>>()
        };
        points.iter().flat_map(of_point).collect()
    }

    /// The first trial of every point.
    fn points(&self) -> Vec<&Trial> {
        let mut seen = std::collections::BTreeSet::new();
        self.trials.iter().filter(|trial| seen.insert(trial.point_label())).collect()
    }

    /// The sweep with each trial twice, side by side: by the recipe as it is written
    /// and by the best that its point has tried, told apart by an axis [`RECIPE`]; and
    /// what was chosen. The best has the highest validation accuracy after the last
    /// epoch; of equal ones the first counts.
    ///
    /// # Errors
    /// [`TuneError`] while tries are missing, or when all of a point's failed.
    pub fn tuned(&self, tries: &Ledger) -> Result<(Self, Vec<Choice>), TuneError> {
        let Some(tune) = &self.tune else { return Ok((self.clone(), Vec::new())) };
        let contents = tries.read()?;
        let ended: BTreeMap<_, &Run> =
            contents.runs.iter().filter(|run| run.status.is_some()).map(|run| (run.id, run)).collect();
        let all = self.tries();
        let missing = all.iter().filter(|trial| !ended.contains_key(&trial.id)).count();
        if missing > 0 {
            return Err(TuneError::Unfinished { missing, all: all.len() });
        }
        let mut choices: BTreeMap<String, Choice> = BTreeMap::new();
        let mut sweep = self.clone();
        for (trial, setting) in all.iter().zip(tune.settings.iter().cycle()) {
            let Some(tried) = ended.get(&trial.id).and_then(|run| Try::of(trial, *setting, run)) else {
                continue;
            };
            let accuracy = tried.accuracy.filter(|_| tried.outcome == Outcome::Finished);
            sweep.tries_made.push(tried);
            let Some(accuracy) = accuracy else { continue };
            let point = trial.point_label();
            let new = Choice { point: point.clone(), setting: *setting, accuracy, scored: 0 };
            let best = choices.entry(point).or_insert_with(|| new.clone());
            let scored = best.scored + 1;
            if accuracy > best.accuracy {
                *best = new;
            }
            best.scored = scored;
        }
        for (tried, trial) in sweep.tries_made.iter_mut().zip(&all) {
            let choice = choices.get(&trial.point_label());
            tried.is_chosen = choice.is_some_and(|choice| choice.setting == tried.setting);
        }
        sweep.trials.clear();
        for trial in &self.trials {
            let point = trial.point_label();
            let Some(choice) = choices.get(&point) else { return Err(TuneError::NoScore { point }) };
            for (recipe, mut trial) in
                RECIPES.into_iter().zip([trial.clone(), choice.setting.applied(trial, None)])
            {
                trial.point.push((RECIPE.to_owned(), recipe.to_owned()));
                sweep.trials.push(trial);
            }
        }
        sweep.reference.push((RECIPE.to_owned(), RECIPES[0].to_owned()));
        // Before the seed, which is the last.
        let axis =
            Axis { name: RECIPE.to_owned(), values: RECIPES.map(str::to_owned).into(), zipped_with: None };
        sweep.axes.insert(sweep.axes.len() - 1, axis);
        // In the order of the points, not of their names.
        let choices = self.points().iter().filter_map(|trial| choices.remove(&trial.point_label())).collect();
        Ok((sweep, choices))
    }
}

impl Setting {
    /// `trial` with this recipe, and another seed where one is given.
    fn applied(&self, trial: &Trial, seed: Option<u64>) -> Trial {
        let mut record = trial.record.clone();
        record.training.schedule.set_peak(self.learning_rate);
        record.training.weight_decay = self.weight_decay;
        record.seed = seed.unwrap_or(record.seed);
        trial.with_record(record)
    }
}

impl Try {
    /// The try that `run` is; nothing while it is under way.
    fn of(trial: &Trial, setting: Setting, run: &Run) -> Option<Self> {
        let last = run.metrics.last();
        let accuracy = last.and_then(MetricsRow::validation);
        Some(Self {
            point: trial.point.clone(),
            setting,
            outcome: run.status.as_ref()?.outcome.clone(),
            epochs: last.map_or(0, |row| row.epoch),
            accuracy: accuracy.filter(|accuracy| accuracy.is_finite()),
            is_chosen: false,
        })
    }
}

#[cfg(test)]
mod tests;
