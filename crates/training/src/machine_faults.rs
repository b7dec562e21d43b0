//! Distinguishes outcomes of a trial, which are results, from faults of the machine, which are
//! not.

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::SystemTime,
};

use decouple_experiment::{FORMAT, LedgerError, Outcome, Status, timestamp};
use decouple_spectrum::weights::error::WeightError;

use crate::{error::TrialError, progress::Left};

/// Why a trial was not trained to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// A result: its network or its data cannot be trained.
    Refused(Box<Status>),
    /// Its lease has expired, and another runner may have it.
    Lost,
    /// It is still to be done.
    Left(Left),
}

impl From<Left> for Ended {
    fn from(why: Left) -> Self {
        Self::Left(why)
    }
}

impl From<LedgerError> for Ended {
    fn from(error: LedgerError) -> Self {
        let is_general = match &error {
            LedgerError::Lost { .. } => return Self::Lost,
            LedgerError::Io { source, .. } => is_general(source.kind()),
            _ => false,
        };
        Self::Left(Left::Fault { message: error.to_string(), is_general })
    }
}

impl From<TrialError> for Ended {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Interrupted { .. } => Self::Left(Left::Interrupted),
            TrialError::Ledger(error) => error.into(),
            TrialError::Data(_) | TrialError::EndOfData { .. } | TrialError::NothingToScore => {
                Self::Left(Left::Data(error.to_string()))
            }
            TrialError::Weights(WeightError::Io { path, source }) => {
                LedgerError::Io { action: "write", path, source }.into()
            }
            error => Self::Refused(Box::new(status_now(Outcome::Failed { message: error.to_string() }))),
        }
    }
}

/// Whether a fault of this kind concerns the whole disk.
fn is_general(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
}

/// Runs part of a trial such that neither an error nor a bug in it stops the others.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, TrialError>) -> Result<T, Ended> {
    // Only a trial's files outlive it, so a panic leaves no inconsistent state.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(Ended::from),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Ended::Left(Left::Bug(text.unwrap_or_else(|| "panic without a message".to_owned()))))
        }
    }
}

/// A status with this outcome, of now and of the current threads, without scores or times.
pub(crate) fn status_now(outcome: Outcome) -> Status {
    Status {
        format: FORMAT,
        outcome,
        threads: rayon::current_num_threads(),
        finished_at: timestamp(SystemTime::now()),
        ..Status::default()
    }
}

/// Consecutive faults after which no further trial is started: the folder or its disk is
/// probably gone.
const IN_A_ROW: usize = 3;

/// The faults that the trials of a sweep have run into.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    in_a_row: AtomicUsize,
    is_general: AtomicBool,
}

impl Troubles {
    pub(crate) fn note(&self, is_general: bool) {
        let in_a_row = 1 + self.in_a_row.fetch_add(1, Ordering::SeqCst);
        if is_general || in_a_row >= IN_A_ROW {
            self.is_general.store(true, Ordering::SeqCst);
        }
    }

    /// A trial ended normally.
    pub(crate) fn end(&self) {
        self.in_a_row.store(0, Ordering::SeqCst);
    }

    pub(crate) fn are_general(&self) -> bool {
        self.is_general.load(Ordering::SeqCst)
    }
}
