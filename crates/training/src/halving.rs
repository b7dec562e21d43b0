//! Successive halving: the tries of a point are trained side by side, and the worse half of them is stopped
//! at each rung (K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016).

use decouple_experiment::{Claim, RunWriter, Trial, Tune};

use crate::{
    machine_faults::{Ended, guarded},
    memory_limit::{Admission, Needs},
    progress::{Left, News},
    run_sweep::{Attempt, Runner, Setup, SweepError, SweepReport},
    run_trial::{UnderWay, log_loss},
};

/// Runs the tries of every point that have not ended yet; `tries` lists those of a point one after the other,
/// in the order of the settings of `tune`. One worker runs all tries of a point on its own threads, so which
/// tries are stopped depends only on validation log-losses, never on the clock. An interrupted point is
/// started again, each unfinished try from its last checkpoint.
///
/// If one try of a point cannot be trained now, because of a fault of the machine or a request to stop, all
/// its tries wait: the ranking needs all of them.
///
/// # Errors
/// As [`run_sweep`](crate::run_sweep::run_sweep).
pub fn run_halving(tries: &[&Trial], tune: &Tune, setup: &Setup<'_>) -> Result<SweepReport, SweepError> {
    let runner = Runner::new(setup);
    let settings = tune.settings.len();
    let points: Vec<&[&Trial]> = tries.chunks(settings).collect();
    let admission = Admission::new(setup.workers.memory);
    let taken = runner.share_out(points.len(), |point| {
        // The tries of a point take turns, but all of them stay in memory.
        let mut needs = Needs::new(setup.workers.threads);
        let bytes = points[point].iter().map(|trial| runner.need(trial, &mut needs)).sum();
        let Some(_room) = runner.room(&admission, bytes) else { return Attempt::Over };
        let tries: Vec<(usize, &Trial)> = (point * settings..).zip(points[point].iter().copied()).collect();
        match runner.enter(&tries) {
            Ok(mut field) => {
                if runner.race(&mut field, points[point][0], tune).is_none() {
                    runner.set_aside(field);
                }
                Attempt::Over
            }
            Err(piece) => piece,
        }
    })?;
    Ok(runner.into_report(tries.len(), taken * settings))
}

/// A try that is still in the race.
struct Entrant<'a> {
    index: usize,
    /// `None` if the try had ended before; it is ranked all the same.
    running: Option<(UnderWay<'a>, RunWriter)>,
    /// Validation log-losses after each epoch of a try that had ended before.
    before: Vec<f64>,
}

impl Entrant<'_> {
    fn log_losses(&self) -> &[f64] {
        self.running.as_ref().map_or(&self.before, |(under_way, _)| under_way.log_losses())
    }
}

impl<'a> Runner<'a> {
    /// The tries of a point, ready to run; or the outcome for the point, if another process has them or one
    /// of them cannot be started. Processes claim in the same order, so the first unfinished try decides
    /// which process gets the point.
    fn enter(&self, tries: &[(usize, &'a Trial)]) -> Result<Vec<Entrant<'a>>, Attempt> {
        let mut claims = Vec::new();
        for &(index, trial) in tries {
            match self.claim(trial) {
                Ok(Claim::Taken) => {
                    tries.iter().for_each(|&(index, _)| self.setup.progress.tell(index, News::Taken));
                    return Err(Attempt::Taken);
                }
                Ok(Claim::Damaged(problem)) => return Err(self.left(index, Left::Damaged(problem))),
                Ok(Claim::Differs(found)) => return Err(self.left(index, Left::Differs(found))),
                Ok(claim) => claims.push((index, trial, claim)),
                Err(error) => return Err(self.left(index, error)),
            }
        }
        let mut field = Vec::new();
        for (index, trial, claim) in claims {
            match claim {
                Claim::Mine(writer) => field.extend(self.begin(trial, index, *writer)?),
                Claim::Done(status) => {
                    let run = self.setup.ledger.run(trial).map_err(|error| self.left(index, error))?;
                    self.tell_earlier(index, status);
                    let before = run.metrics.iter().map(log_loss).collect();
                    field.push(Entrant { index, running: None, before });
                }
                Claim::Taken | Claim::Damaged(_) | Claim::Differs(_) => {}
            }
        }
        Ok(field)
    }

    /// `None` if the try is refused; `Err` if the try, and with it the point, is still to be
    /// done.
    fn begin(
        &self,
        trial: &'a Trial,
        index: usize,
        mut writer: RunWriter,
    ) -> Result<Option<Entrant<'a>>, Attempt> {
        let begun = guarded(|| {
            let data = self.data_of(trial, &writer)?;
            UnderWay::begin(trial, index, data, &*self.backend, &mut writer, self.setup.progress)
        });
        match begun {
            Ok(under_way) => {
                Ok(Some(Entrant { index, running: Some((under_way, writer)), before: Vec::new() }))
            }
            Err(Ended::Refused(status)) => {
                self.end(index, writer, Ok(*status));
                Ok(None)
            }
            Err(ended) => {
                self.left(index, ended);
                Err(Attempt::Over)
            }
        }
    }

    /// Trains and halves the field to the end; `None` if that was interrupted.
    fn race(&self, field: &mut Vec<Entrant<'_>>, first: &Trial, tune: &Tune) -> Option<()> {
        let epochs = first.record.training.epochs as u64;
        for rung in tune.rungs(epochs) {
            self.advance(field, rung)?;
            self.halve(field, rung);
        }
        self.advance(field, epochs)?;
        for entrant in field.drain(..) {
            let Some((under_way, writer)) = entrant.running else { continue };
            let finished = guarded(|| under_way.finish(&writer, self.setup.conduct));
            self.end(entrant.index, writer, finished);
        }
        Some(())
    }

    /// Trains all until `epochs` are done. Those that diverge or are refused leave the race; `None` if one is
    /// still to be done, which ends the race for now.
    fn advance(&self, field: &mut Vec<Entrant<'_>>, epochs: u64) -> Option<()> {
        let Setup { progress, conduct, .. } = *self.setup;
        let mut place = 0;
        while place < field.len() {
            let ended = field[place].running.as_mut().and_then(|(under_way, writer)| {
                guarded(|| under_way.advance(epochs, writer, &conduct.stop, progress)).transpose()
            });
            let Some(ended) = ended else {
                place += 1;
                continue;
            };
            let is_over = matches!(ended, Ok(_) | Err(Ended::Refused(_)));
            let Entrant { index, running, .. } = field.remove(place);
            if let Some((_, writer)) = running {
                self.end(index, writer, ended);
            }
            if !is_over {
                return None;
            }
        }
        Some(())
    }

    /// Saves the running tries of an interrupted race.
    fn set_aside(&self, field: Vec<Entrant<'_>>) {
        for entrant in field {
            let Some((under_way, writer)) = entrant.running else { continue };
            match under_way.save(&writer) {
                Ok(()) => self.left(entrant.index, Left::Interrupted),
                Err(error) => self.left(entrant.index, error),
            };
        }
    }

    /// Keeps the better half of those that have reached `rung`, the larger one of an odd number.
    fn halve(&self, field: &mut Vec<Entrant<'_>>, rung: u64) {
        let place = rung as usize - 1;
        field.retain(|entrant| entrant.log_losses().len() > place);
        // A stable sort: of equals, the first stays first.
        field.sort_by(|a, b| a.log_losses()[place].total_cmp(&b.log_losses()[place]));
        for entrant in field.split_off(field.len().div_ceil(2)) {
            if let Some((under_way, writer)) = entrant.running {
                self.end(entrant.index, writer, Ok(under_way.stop()));
            }
        }
        field.sort_by_key(|entrant| entrant.index);
    }
}
