//! Successive halving: the tries of a point are trained side by side, and the worse half of them is stopped
//! at each rung (K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
//! optimization", AISTATS 2016).

use decouple_experiment::{Environment, Ledger, RunWriter, Status, Trial, Tune};

use crate::{
    memory::{Admission, Needs},
    progress::{Event, Progress},
    sweep::{LoadedData, Runner, SweepError, SweepReport, Workers, failed, guarded, share_out},
    trial::{UnderWay, shown_accuracy},
};

/// Runs the tries of every point that are not over yet; `tries` has those of a point one after the other, in
/// the order of the settings of `tune`. A point is one worker's, whose threads it has to itself: what is
/// stopped depends on validation accuracies alone, never on the clock. A point that was cut off starts again,
/// but for those of its tries that are over.
///
/// # Errors
/// As [`run_sweep`](crate::sweep::run_sweep).
pub fn run_halving(
    tries: &[&Trial],
    tune: &Tune,
    ledger: &Ledger,
    data: &LoadedData,
    workers: Workers,
    environment: &Environment,
    progress: &Progress,
) -> Result<SweepReport, SweepError> {
    let runner = Runner { ledger, data, environment, progress };
    let points: Vec<&[&Trial]> = tries.chunks(tune.settings.len()).collect();
    let admission = Admission::new(workers.memory);
    share_out(workers, points.len(), |point, report| {
        // The tries of a point take turns, but all of them stay in memory.
        let mut needs = Needs::default();
        let images = |trial| data.of(trial).map(|data| data.train.len());
        let _room = admission.enter(points[point].iter().map(|trial| needs.of(trial, images(trial))).sum());
        let indices = point * tune.settings.len()..;
        let tries: Vec<(usize, &Trial)> = indices.zip(points[point].iter().copied()).collect();
        let epochs = points[point][0].record.training.epochs as u64;
        let Some(mut field) = runner.enter(&tries, report)? else { return Ok(()) };
        for rung in tune.rungs(epochs) {
            runner.advance(&mut field, rung, report)?;
            runner.halve(&mut field, rung, report)?;
        }
        runner.advance(&mut field, epochs, report)?;
        field.into_iter().try_for_each(|entrant| runner.finish(entrant, report))
    })
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

impl Runner<'_> {
    /// The tries of a point, ready to run; nothing if another process has them. Processes claim in one
    /// order, so the first try that is not over decides who has the point.
    fn enter<'a>(
        &'a self,
        tries: &[(usize, &'a Trial)],
        report: &mut SweepReport,
    ) -> Result<Option<Vec<Entrant<'a>>>, SweepError> {
        let mut field = Vec::new();
        for (place, &(index, trial)) in tries.iter().enumerate() {
            let taken = report.taken;
            match self.claim(trial, index, report)? {
                Some(writer) => field.extend(self.begin(trial, index, writer, report)?),
                None if report.taken > taken => {
                    for &(index, _) in &tries[place + 1..] {
                        report.taken += 1;
                        self.progress.tell(Event::Taken { trial: index });
                    }
                    return Ok(None);
                }
                None => {
                    let run = self.ledger.run(trial)?;
                    let before = run.metrics.iter().map(shown_accuracy).collect();
                    field.push(Entrant { index, running: None, before });
                }
            }
        }
        Ok(Some(field))
    }

    fn begin<'a>(
        &'a self,
        trial: &'a Trial,
        index: usize,
        writer: RunWriter,
        report: &mut SweepReport,
    ) -> Result<Option<Entrant<'a>>, SweepError> {
        let begun = match self.data_of(trial, &writer)? {
            Some(data) => guarded(|| UnderWay::begin(trial, index, data, self.progress)),
            None => Err(Box::new(failed("its data set was not loaded".to_owned()))),
        };
        match begun {
            Ok(under_way) => {
                Ok(Some(Entrant { index, running: Some((under_way, writer)), before: Vec::new() }))
            }
            Err(status) => self.end(index, writer, *status, report).map(|()| None),
        }
    }

    /// Trains all until `epochs` are done. Those that diverge or fail leave the race.
    fn advance(
        &self,
        field: &mut Vec<Entrant<'_>>,
        epochs: u64,
        report: &mut SweepReport,
    ) -> Result<(), SweepError> {
        for mut entrant in std::mem::take(field) {
            let lost: Option<Status> = match &mut entrant.running {
                None => None,
                Some((under_way, writer)) => guarded(|| under_way.advance(epochs, writer, self.progress))
                    .unwrap_or_else(|failed| Some(*failed)),
            };
            match (lost, entrant.running.take()) {
                (Some(status), Some((_, writer))) => self.end(entrant.index, writer, status, report)?,
                (_, running) => field.push(Entrant { running, ..entrant }),
            }
        }
        Ok(())
    }

    /// Keeps the better half of those that have reached `rung`, the larger one of an odd number.
    fn halve(
        &self,
        field: &mut Vec<Entrant<'_>>,
        rung: u64,
        report: &mut SweepReport,
    ) -> Result<(), SweepError> {
        let place = rung as usize - 1;
        field.retain(|entrant| entrant.accuracies().len() > place);
        // Stable: of equals the first stays.
        field.sort_by(|a, b| b.accuracies()[place].total_cmp(&a.accuracies()[place]));
        for entrant in field.split_off(field.len().div_ceil(2)) {
            if let Some((under_way, writer)) = entrant.running {
                self.end(entrant.index, writer, under_way.stop(), report)?;
            }
        }
        field.sort_by_key(|entrant| entrant.index);
        Ok(())
    }

    fn finish(&self, entrant: Entrant<'_>, report: &mut SweepReport) -> Result<(), SweepError> {
        let Some((under_way, writer)) = entrant.running else { return Ok(()) };
        let status = guarded(|| under_way.finish(&writer)).unwrap_or_else(|failed| *failed);
        self.end(entrant.index, writer, status, report)
    }
}
