//! Points fitted to a step time: measured, or as in their runs.

use decouple_spectrum::budget::step_time::{Nearest, StepTimeError, TOLERANCE, solve};
use decouple_spectrum::error::SpecError;

use super::diagnostic::Diagnostic;
use super::network_cache::image_shape;
use super::point::Point;
use crate::{BudgetOutcome, Drift, Held, LedgerError, Run, StepTimer, StepTimes};

/// Fits `points` to the step time of `reference`.
pub(super) fn fit<'a>(
    points: Vec<Point<'a>>,
    reference: &Point<'a>,
    step_times: StepTimes<'_>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<Point<'a>>, Diagnostic> {
    match step_times {
        StepTimes::Timer(timer) => {
            points.into_iter().map(|point| point.timed(reference, timer, warnings)).collect()
        }
        StepTimes::Runs(runs) => {
            Ok(points.into_iter().map(|point| point.fitted_as_run(reference, runs)).collect())
        }
    }
}

impl<'a> Point<'a> {
    /// The point at the width at which its steps take as long as the reference's.
    fn timed(
        self,
        reference: &Self,
        timer: &mut dyn StepTimer,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Self, Diagnostic> {
        let (input, classes) = image_shape(&self.data);
        let is_reference = self.network == reference.network;
        let reference_trial = Point { network: reference.network.explicit(), ..reference.clone() }.trial(0);
        let mut compare = |network: &_| {
            let summary = self.summary_of(network)?;
            let candidate = Point { network: network.clone(), summary, ..self.clone() };
            timer.compare(&candidate.trial(0), &reference_trial)
        };
        let nearest = if is_reference {
            // Measured against itself: how far apart two equal networks are.
            let (spec, width) = (self.network.explicit(), self.network.width);
            let comparison = compare(&spec).map_err(StepTimeError::Clock);
            comparison.map(|comparison| Nearest { spec, width, comparison })
        } else {
            solve(&self.network, input, classes, reference.summary.cost.macs, compare)
        };
        const TITLE: &str = "no step can be timed";
        let impossible = |error: &SpecError| self.refused(TITLE, &error.to_string());
        let nearest = nearest.map_err(|error| match error {
            StepTimeError::Spec(error) => impossible(&error),
            // Of the machine, so no other width helps; of the file, nothing is wrong.
            StepTimeError::Clock(error) if error.is::<LedgerError>() => {
                Diagnostic::new(TITLE).note(error.to_string())
            }
            StepTimeError::Clock(error) => self.failed(TITLE, &error.to_string()),
        })?;
        warnings.extend(self.warning(is_reference, &nearest)?);
        let summary = self.summary_of(&nearest.spec).map_err(|error| impossible(&error))?;
        let Nearest { spec, width, comparison } = nearest;
        let nanoseconds = |secs: f64| (1e9 * secs).round() as u64;
        let budget = BudgetOutcome {
            hold: Held::StepTime,
            target: nanoseconds(comparison.reference.median_secs),
            reached: nanoseconds(comparison.network.median_secs),
            spread: Some(comparison.spread()),
            width,
            drift: Drift::between(&summary.cost, &reference.summary.cost),
        };
        Ok(Self { network: spec, summary, budget: Some(budget), ..self })
    }

    /// A warning about the network that came nearest, or the error that it is too far off.
    fn warning(&self, is_reference: bool, nearest: &Nearest) -> Result<Option<Diagnostic>, Diagnostic> {
        let Nearest { comparison, width, .. } = nearest;
        let title = if comparison.meets_budget() {
            if !comparison.is_uncertain() {
                return Ok(None);
            }
            format!("the step time at the point {} is uncertain", self.label())
        } else if is_reference {
            "two measurements of the reference differ".to_owned()
        } else {
            let error = format!(
                "segments {} cannot meet the step time of the reference within {} %",
                self.network.segments,
                100.0 * TOLERANCE
            );
            let reason = format!("the nearest network (width {width}) takes {comparison}");
            return Err(self.refused(&error, &reason));
        };
        let warning = Diagnostic::new(title).note(comparison.to_string());
        Ok(Some(warning.note("the machine is busy, so the widths found are uncertain")))
    }

    /// The point as in most of its runs, if any were fitted to this reference.
    fn fitted_as_run(mut self, reference: &Self, runs: &[Run]) -> Self {
        let own: Vec<&Run> = runs.iter().filter(|run| self.may_have(reference, run)).collect();
        let like = |run: &Run| own.iter().filter(|other| other.record.network == run.record.network).count();
        let Some(run) = own.iter().max_by_key(|run| like(run)) else { return self };
        if let Ok(summary) = self.summary_of(&run.record.network) {
            self.summary = summary;
            self.network = run.record.network.clone();
            self.budget = run.budget.clone();
        }
        self
    }

    /// Whether `run` is of this point: all but the width is the same, which was
    /// fitted to the step time of `reference`.
    fn may_have(&self, reference: &Self, run: &Run) -> bool {
        let is_fitted = run.budget.as_ref().is_some_and(|budget| {
            budget.hold == Held::StepTime
                && budget.drift == Drift::between(&run.cost, &reference.summary.cost)
        });
        let record = &run.record;
        is_fitted
            && record.training == self.training
            && record.data == self.data_of(record.seed)
            && record.network.is_another_width_of(&self.network)
    }
}
