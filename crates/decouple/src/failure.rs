//! Exit codes, and how an error reaches the person who caused it.

use std::fmt::Display;

use decouple_datasets::{DataError, Skipped};
use decouple_experiment::{ExperimentError, LedgerError};
use decouple_export::ExportError;
use decouple_reporting::ReportError;
use decouple_spectrum::{
    backend::ExecutionError, budget::BudgetError, error::SpecError, weights::error::WeightError,
};
use decouple_training::{classifier::SightError, run_sweep::SweepError};

/// Everything went well.
pub(crate) const SUCCESS: u8 = 0;
/// A run failed or diverged.
pub(crate) const RUN_FAILED: u8 = 1;
/// Wrong usage, or an experiment file that is refused. clap uses it too.
pub(crate) const USAGE: u8 = 2;
/// Data, or the files of a run, are missing, corrupt or changed.
pub(crate) const DATA: u8 = 3;
/// A filter that matches no trial, or no run to report.
pub(crate) const NOTHING: u8 = 4;
/// Another process is training some of the runs.
pub(crate) const LOCKED: u8 = 5;
/// Files could not be read or written, or the disk is full.
pub(crate) const IO: u8 = 74;
/// Stopped by a signal after a checkpoint; run again.
pub(crate) const STOPPED: u8 = 75;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command stopped: a complete message, and the exit code for its kind.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

/// Ends a command with an exit code and a message, written as for `format!`.
macro_rules! refuse {
    ($code:expr, $($words:tt)*) => {
        return Err($crate::failure::Failure::new($code, format_args!($($words)*)))
    };
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints the message, with `error:` before it unless it brings its own.
    pub(crate) fn print(&self) {
        let prefix = if self.message.starts_with("error:") { "" } else { "error: " };
        say!("{prefix}{}", self.message.trim_end());
    }
}

/// The exit code of errors that have one, whatever they say.
macro_rules! failures {
    ($($code:ident: $($error:ty),+;)+) => {
        $($(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new($code, error)
            }
        })+)+
    };
}

failures! {
    USAGE: BudgetError, ExperimentError, ExportError, SightError, SpecError;
    IO: ExecutionError, ReportError;
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let code = match error {
            DataError::Write { .. } | DataError::Image(Skipped { is_fault: true, .. }) => IO,
            DataError::Exists { .. } | DataError::StandIn { .. } => USAGE,
            _ => DATA,
        };
        Self::new(code, error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let code = if matches!(error, LedgerError::Io { .. }) { IO } else { DATA };
        Self::new(code, error)
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Ledger(error) => error.into(),
            error => Self::new(IO, error),
        }
    }
}

impl From<WeightError> for Failure {
    fn from(error: WeightError) -> Self {
        let code = match error {
            WeightError::Io { .. } => IO,
            WeightError::File { .. }
            | WeightError::Tensors { .. }
            | WeightError::NotFinite { .. }
            | WeightError::Metadata { .. } => DATA,
            WeightError::Unnamed { .. } | WeightError::Spec(_) => USAGE,
        };
        Self::new(code, error)
    }
}
