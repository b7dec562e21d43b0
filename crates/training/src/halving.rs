//! Successive halving: the tries of a point are trained side by side, and the worse half of them is stopped
//! at each rung (K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016).

use decouple_experiment::{Claim, Environment, Ledger, MetricsRow, RunWriter, Trial, Tune};

use crate::{
    device::backend,
    machine_faults::{Ended, Troubles, guarded, refused},
    memory_limit::{Admission, Needs},
    progress::{Event, Left, Progress},
    run_sweep::{Attempt, Conduct, LoadedData, Runner, SweepError, SweepReport, share_out},
    run_trial::UnderWay,
    workers::Workers,
};

/// Runs the tries of every point that have not ended yet; `tries` lists those of a point one after the other,
/// in the order of the settings of `tune`. One worker runs all tries of a point on its own threads, so which
/// tries are stopped depends only on validation scores, never on the clock. An interrupted point is
/// started again, each unfinished try from its last checkpoint.
///
/// If one try of a point cannot be trained now, because of a fault of the machine or a request to stop, all
/// its tries wait: the ranking needs all of them.
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
    /// `None` if the try had ended before; it is ranked all the same.
    running: Option<(UnderWay<'a>, RunWriter)>,
    /// Accuracies after each epoch of a try that had ended before.
    before: Vec<f64>,
}

impl Entrant<'_> {
    fn scores(&self) -> &[f64] {
        self.running.as_ref().map_or(&self.before, |(under_way, _)| under_way.scores())
    }
}

impl<'a> Runner<'a> {
    /// The tries of a point, ready to run; or the outcome for the point, if another process has them or one
    /// of them cannot be started. Processes claim in the same order, so the first unfinished try decides
    /// which process gets the point.
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
                    let before = run.metrics.iter().map(MetricsRow::score).collect();
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

    /// Trains and halves the field to the end; `None` if that was interrupted.
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
    /// still to be done, which ends the race for now.
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

    /// Saves the running tries of an interrupted race.
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
        field.retain(|entrant| entrant.scores().len() > place);
        // A stable sort: of equals, the first stays first.
        field.sort_by(|a, b| b.scores()[place].total_cmp(&a.scores()[place]));
        for entrant in field.split_off(field.len().div_ceil(2)) {
            if let Some((under_way, writer)) = entrant.running {
                self.end(entrant.index, writer, under_way.stop(), report);
            }
        }
        field.sort_by_key(|entrant| entrant.index);
    }
}
