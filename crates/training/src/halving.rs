//! Successive halving: the tries of a point are trained side by side, and the worse half of them is stopped
//! at each rung (K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016).

use decouple_experiment::{Claim, Environment, Ledger, RunWriter, Trial, Tune};

use crate::{
    device::backend,
    machine_faults::{Ended, Troubles, guarded, refused},
    memory_limit::{Admission, Needs},
    progress::{Event, Left, Progress},
    run_sweep::{Attempt, Conduct, LoadedData, Runner, SweepError, SweepReport, share_out},
    run_trial::{UnderWay, shown_accuracy},
    workers::Workers,
};

/// Runs the tries of every point that are not over yet; `tries` has those of a point one after the other, in
/// the order of the settings of `tune`. A point is one worker's, whose threads it has to itself: what is
/// stopped depends on validation accuracies alone, never on the clock. A point that was cut off starts again,
/// but for those of its tries that are over, and each try from its last checkpoint.
///
/// A point of which one try cannot be trained now, for a fault of the machine or a request to stop, stays where
/// it is with all its tries: who is ahead is only known of all.
///
/// # Errors
/// As [`run_sweep`](crate::run_sweep::run_sweep).
#[allow(clippy::too_many_arguments, reason = "as `run_sweep`, and what is tuned")]
pub fn run_halving(
    tries: &[&Trial],
    tune: &Tune,
    ledger: &Ledger,
    data: &LoadedData,
    workers: Workers,
    environment: &Environment,
    progress: &Progress,
    conduct: &Conduct,
) -> Result<SweepReport, SweepError> {
    let (backend, troubles) = (backend(), Troubles::default());
    let runner =
        Runner { ledger, data, backend: &*backend, environment, progress, conduct, troubles: &troubles };
    let points: Vec<&[&Trial]> = tries.chunks(tune.settings.len()).collect();
    let admission = Admission::new(workers.memory);
    let mut report = share_out(workers, points.len(), &runner, |point, report| {
        // The tries of a point take turns, but all of them stay in memory.
        let mut needs = Needs::new(workers.threads);
        let images = |trial| data.of(trial).map(|data| data.train.len());
        let _room = admission.enter(points[point].iter().map(|trial| needs.of(trial, images(trial))).sum());
        let indices = point * tune.settings.len()..;
        let tries: Vec<(usize, &Trial)> = indices.zip(points[point].iter().copied()).collect();
        match runner.enter(&tries, report) {
            Ok(mut field) => {
                let run = runner.race(&mut field, points[point][0], tune, report);
                if run.is_none() {
                    runner.set_aside(field, report);
                }
                Attempt::Over
            }
            Err(piece) => piece,
        }
    })?;
    report.taken *= tune.settings.len();
    report.interrupted += tries.len() - report.all();
    Ok(report)
}

/// A try that is still in the race.
struct Entrant<'a> {
    index: usize,
    /// None of a try that was over before; it is ranked all the same.
    running: Option<(UnderWay<'a>, RunWriter)>,
    /// Accuracies after each epoch of a try that was over before.
    before: Vec<f64>,
}

impl Entrant<'_> {
    fn accuracies(&self) -> &[f64] {
        self.running.as_ref().map_or(&self.before, |(under_way, _)| under_way.accuracies())
    }
}

impl<'a> Runner<'a> {
    /// The tries of a point, ready to run; or what became of the point, if another process has them or one of
    /// them cannot be begun. Processes claim in one order, so the first try that is not over decides who has the
    /// point.
    fn enter(
        &self,
        tries: &[(usize, &'a Trial)],
        report: &mut SweepReport,
    ) -> Result<Vec<Entrant<'a>>, Attempt> {
        let mut claims = Vec::new();
        for &(index, trial) in tries {
            match self.claim(trial) {
                Ok(Claim::Taken) => {
                    tries.iter().for_each(|&(index, _)| self.progress.tell(Event::Taken { trial: index }));
                    return Err(Attempt::Taken);
                }
                Ok(Claim::Damaged(problem)) => {
                    return Err(self.unusable(index, Left::Damaged(problem), report));
                }
                Ok(Claim::Differs(found)) => return Err(self.unusable(index, Left::Differs(found), report)),
                Ok(claim) => claims.push((index, trial, claim)),
                Err(error) => return Err(self.left(index, &Ended::of(&error), report)),
            }
        }
        let mut field = Vec::new();
        for (index, trial, claim) in claims {
            match claim {
                Claim::Mine(writer) => field.extend(self.begin(trial, index, *writer, report)?),
                Claim::Done(status) => {
                    let run = self.ledger.run(trial);
                    let run = run.map_err(|error| self.left(index, &Ended::of(&error), report))?;
                    self.tell_earlier(index, status, report);
                    let before = run.metrics.iter().map(shown_accuracy).collect();
                    field.push(Entrant { index, running: None, before });
                }
                Claim::Taken | Claim::Damaged(_) | Claim::Differs(_) => {}
            }
        }
        Ok(field)
    }

    /// `None` of a try that is refused; `Err` if it is still to be done, and with it the point.
    fn begin(
        &self,
        trial: &'a Trial,
        index: usize,
        mut writer: RunWriter,
        report: &mut SweepReport,
    ) -> Result<Option<Entrant<'a>>, Attempt> {
        let begun = guarded(|| match self.data_of(trial, &writer)? {
            Some(data) => {
                UnderWay::begin(trial, index, data, self.backend, &mut writer, self.progress).map(Some)
            }
            None => Ok(None),
        });
        match begun {
            Ok(Some(under_way)) => {
                Ok(Some(Entrant { index, running: Some((under_way, writer)), before: Vec::new() }))
            }
            Ok(None) => {
                let status = refused("its data set was not loaded".to_owned());
                self.end(index, writer, status, report);
                Ok(None)
            }
            Err(Ended::Refused(status)) => {
                self.end(index, writer, *status, report);
                Ok(None)
            }
            Err(ended) => {
                self.left(index, &ended, report);
                Err(Attempt::Over)
            }
        }
    }

    /// Trains and halves the field to its end; `None` if it was cut short.
    fn race(
        &self,
        field: &mut Vec<Entrant<'_>>,
        first: &Trial,
        tune: &Tune,
        report: &mut SweepReport,
    ) -> Option<()> {
        let epochs = first.record.training.epochs as u64;
        for rung in tune.rungs(epochs) {
            self.advance(field, rung, report)?;
            self.halve(field, rung, report);
        }
        self.advance(field, epochs, report)?;
        for entrant in field.drain(..) {
            let Some((under_way, writer)) = entrant.running else { continue };
            match guarded(|| under_way.finish(&writer)) {
                Ok(status) => self.end(entrant.index, writer, status, report),
                Err(ended) => self.ended(entrant.index, writer, ended, report),
            };
        }
        Some(())
    }

    /// Trains all until `epochs` are done. Those that diverge or are refused leave the race; `None` if one is
    /// still to be done, which ends it for now.
    fn advance(&self, field: &mut Vec<Entrant<'_>>, epochs: u64, report: &mut SweepReport) -> Option<()> {
        let mut place = 0;
        while place < field.len() {
            let entrant = &mut field[place];
            let Some((under_way, writer)) = &mut entrant.running else {
                place += 1;
                continue;
            };
            let stop = &self.conduct.stop;
            match guarded(|| under_way.advance(epochs, writer, stop, self.progress)) {
                Ok(None) => place += 1,
                ended => {
                    let Entrant { index, running, .. } = field.remove(place);
                    let Some((_, writer)) = running else { continue };
                    match ended {
                        Ok(None) => {}
                        Ok(Some(status)) => {
                            self.end(index, writer, status, report);
                        }
                        Err(Ended::Refused(status)) => {
                            self.end(index, writer, *status, report);
                        }
                        Err(ended) => {
                            self.left(index, &ended, report);
                            return None;
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Saves what is still running of a race that was cut short.
    fn set_aside(&self, field: Vec<Entrant<'_>>, report: &mut SweepReport) {
        for entrant in field {
            let Some((mut under_way, writer)) = entrant.running else { continue };
            match under_way.save(&writer) {
                Ok(()) => self.left(entrant.index, &Ended::Interrupted { step: under_way.step() }, report),
                Err(error) => self.left(entrant.index, &Ended::of(&error), report),
            };
        }
    }

    /// Keeps the better half of those that have reached `rung`, the larger one of an odd number.
    fn halve(&self, field: &mut Vec<Entrant<'_>>, rung: u64, report: &mut SweepReport) {
        let place = rung as usize - 1;
        field.retain(|entrant| entrant.accuracies().len() > place);
        // Stable: of equals the first stays.
        field.sort_by(|a, b| b.accuracies()[place].total_cmp(&a.accuracies()[place]));
        for entrant in field.split_off(field.len().div_ceil(2)) {
            if let Some((under_way, writer)) = entrant.running {
                self.end(entrant.index, writer, under_way.stop(), report);
            }
        }
        field.sort_by_key(|entrant| entrant.index);
    }
}
