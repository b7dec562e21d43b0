//! Tuning: every point of a sweep gets the same tries over learning rate and
//! weight decay, judged on validation images, before its seeds are run.
//!
//! A curve measured with one recipe may reflect the recipe: narrow coupled networks and wide
//! decoupled ones need not want the same one. A try is an ordinary run in a ledger of its own,
//! `tune` in the experiment's folder; it does not read the test images. Then the seeds are run with
//! both recipes, as written and tuned, so that a report shows the effect of tuning.

use std::collections::BTreeMap;

use crate::trial::label;
use crate::{Axis, Ledger, LedgerError, Run, Setting, Sweep, Trial, Try, Tune};

/// The axis that distinguishes the recipe as written from the tuned one.
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
    /// Its validation log-loss, the mean over its seeds.
    pub log_loss: f64,
    /// Its validation score, the mean over its seeds.
    pub score: f64,
    /// Tries of the point that ended with a score.
    pub scored: usize,
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
        /// Tries that have not ended.
        missing: usize,
        /// All tries.
        all: usize,
    },
    /// No finalist of a point ended with a score by all its seeds.
    #[error(
        "point {point}: every finalist diverged or failed with a further seed; set a higher `finalists` in [tune]"
    )]
    NoFinalist {
        /// The point.
        point: String,
    },
    /// No try of a point ended with a score.
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

    /// The runs of each point's finalists with more seeds, once all tries have ended; none if one seed is
    /// enough.
    ///
    /// # Errors
    /// [`TuneError`] while tries are missing.
    pub fn finals(&self, tries: &Ledger) -> Result<Vec<Trial>, TuneError> {
        let Some(tune) = &self.tune else { return Ok(Vec::new()) };
        let tried = tried(tune, &self.tries(), &tune.settings, &tries.read()?.runs)?;
        Ok(self.finals_of(tune, &tried))
    }

    /// As [`Self::finals`], by all tries.
    fn finals_of(&self, tune: &Tune, tried: &[Try]) -> Vec<Trial> {
        let mut finals = Vec::new();
        for trial in self.points() {
            for setting in finalists(tried, &trial.point, tune.finalists) {
                let seeds = tune.seed + 1..tune.seed + tune.seeds;
                finals.extend(seeds.map(|seed| setting.applied(trial, Some(seed))));
            }
        }
        finals
    }

    /// The sweep with each trial twice, side by side: by the recipe as it is written
    /// and by the best that its point has tried, distinguished by an axis [`RECIPE`]; and
    /// what was chosen. The best has the lowest validation log-loss after the last
    /// epoch, among the finalists the lowest mean over their seeds; of equal ones the first counts.
    ///
    /// # Errors
    /// [`TuneError`] while tries or finals are missing, or if all of a point's failed.
    pub fn tuned(&self, tries: &Ledger) -> Result<(Self, Vec<Choice>), TuneError> {
        let Some(tune) = &self.tune else { return Ok((self.clone(), Vec::new())) };
        let contents = tries.read()?;
        let mut all = tried(tune, &self.tries(), &tune.settings, &contents.runs)?;
        let finals = self.finals_of(tune, &all);
        let settings: Vec<Setting> = finals.iter().map(Setting::of).collect();
        all.extend(tried(tune, &finals, &settings, &contents.runs)?);
        let mut choices: BTreeMap<String, Choice> = BTreeMap::new();
        for trial in self.points() {
            let candidates = finalists(&all, &trial.point, tune.finalists);
            let own: Vec<&Try> = all.iter().filter(|tried| tried.point == trial.point).collect();
            let score = |setting: &Setting| {
                let runs: Vec<&&Try> = own.iter().filter(|tried| tried.setting == *setting).collect();
                let losses: Vec<f64> = runs.iter().filter_map(|tried| tried.score()).collect();
                let scores: Vec<f64> = runs.iter().filter_map(|tried| tried.score).collect();
                // A finalist that diverged with another seed has no score to compare.
                (losses.len() == runs.len()).then(|| Choice {
                    point: trial.point_label(),
                    setting: *setting,
                    log_loss: losses.iter().sum::<f64>() / losses.len() as f64,
                    score: scores.iter().sum::<f64>() / scores.len().max(1) as f64,
                    scored: own.iter().filter(|tried| tried.score().is_some()).count(),
                })
            };
            let lower = |a: Choice, b: Choice| if b.log_loss < a.log_loss { b } else { a };
            if let Some(best) = candidates.iter().filter_map(score).reduce(lower) {
                choices.insert(trial.point_label(), best);
            }
        }
        let mut sweep = self.clone();
        for tried in &mut all {
            let label = label(&tried.point);
            tried.is_chosen = choices.get(&label).is_some_and(|choice| choice.setting == tried.setting);
        }
        sweep.tries_made = all;
        sweep.trials.clear();
        for trial in &self.trials {
            let point = trial.point_label();
            let Some(choice) = choices.get(&point) else {
                let has_finalists = !finalists(&sweep.tries_made, &trial.point, tune.finalists).is_empty();
                return Err(if has_finalists {
                    TuneError::NoFinalist { point }
                } else {
                    TuneError::NoScore { point }
                });
            };
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

/// The tries made by `trials`, with their settings repeating; an error while one of them is missing.
fn tried(tune: &Tune, trials: &[Trial], settings: &[Setting], runs: &[Run]) -> Result<Vec<Try>, TuneError> {
    let has_ended =
        |run: &&Run| run.status.as_ref().is_some_and(|status| !tune.goes_on_with(&status.outcome));
    let ended: BTreeMap<_, &Run> = runs.iter().filter(has_ended).map(|run| (run.id, run)).collect();
    let found: Vec<Option<Try>> = trials
        .iter()
        .zip(settings.iter().cycle())
        .map(|(trial, setting)| Try::of(trial, *setting, ended.get(&trial.id)?))
        .collect();
    let missing = found.iter().filter(|tried| tried.is_none()).count();
    if missing > 0 {
        return Err(TuneError::Unfinished { missing, all: trials.len() });
    }
    Ok(found.into_iter().flatten().collect())
}

/// The settings of a point's best tries by their first seed, the best first.
fn finalists(tries: &[Try], point: &[(String, String)], most: usize) -> Vec<Setting> {
    let own = tries.iter().filter(|tried| tried.point == point);
    let mut settings: Vec<(Setting, f64)> = Vec::new();
    for (setting, score) in own.filter_map(|tried| Some((tried.setting, tried.score()?))) {
        if settings.iter().all(|(known, _)| *known != setting) {
            settings.push((setting, score));
        }
    }
    // A stable sort: of equals, the first stays first.
    settings.sort_by(|a, b| a.1.total_cmp(&b.1));
    settings.into_iter().take(most).map(|(setting, _)| setting).collect()
}

#[cfg(test)]
mod tests;
