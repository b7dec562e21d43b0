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

use crate::error::TrialError;

/// Why a trial was not trained to its end.
#[derive(Debug)]
pub(crate) enum Ended {
    /// A result: its network or its data cannot be trained.
    Refused(Box<Status>),
    /// It was asked to stop and has a checkpoint.
    Interrupted { step: u64 },
    /// Its lease has expired, and another runner may have it.
    Lost,
    /// Files could not be read or written.
    Fault {
        message: String,
        /// Whether every other trial will run into it, too.
        is_general: bool,
    },
    /// The data could not be read on: a file of a streamed set is broken or gone.
    Data(String),
    /// A panic: a bug of this program.
    Bug(String),
}

impl Ended {
    pub(crate) fn of(error: &LedgerError) -> Self {
        let kind = match error {
            LedgerError::Lost { .. } => return Self::Lost,
            LedgerError::Io { source, .. } => Some(source.kind()),
            _ => None,
        };
        Self::Fault { message: error.to_string(), is_general: kind.is_some_and(is_general) }
    }

    fn of_trial(error: TrialError) -> Self {
        match error {
            TrialError::Interrupted { step } => Self::Interrupted { step },
            TrialError::Ledger(error) => Self::of(&error),
            error @ (TrialError::Data(_) | TrialError::EndOfData { .. }) => Self::Data(error.to_string()),
            TrialError::Weights(WeightError::Io { path, source }) => {
                Self::of(&LedgerError::Io { action: "write", path, source })
            }
            error => Self::Refused(Box::new(refused(error.to_string()))),
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
        Ok(done) => done.map_err(Ended::of_trial),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Ended::Bug(text.unwrap_or_else(|| "panic without a message".to_owned())))
        }
    }
}

/// The status of a trial that cannot be carried out.
pub(crate) fn refused(message: String) -> Status {
    Status {
        format: FORMAT,
        outcome: Outcome::Failed { message },
        test: None,
        averaged_test: None,
        steps: 0,
        train_secs: 0.0,
        images_per_sec: 0.0,
        peak_bytes: None,
        threads: rayon::current_num_threads(),
        finished_at: timestamp(SystemTime::now()),
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
