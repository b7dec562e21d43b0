//! Why a trial cannot be trained or scored.

use decouple_datasets::{BatchError, DataError};
use decouple_experiment::LedgerError;
use decouple_spectrum::{backend::ExecutionError, weights::error::WeightError};

use crate::loss::LossError;

/// Why a trial could not be carried out. A loss that is not finite is not an error: it ends the
/// run as diverged.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The network could not be executed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The labels do not fit the network.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A batch could not be filled.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its data were not loaded with those of the sweep.
    #[error("its data set was not loaded")]
    NotLoaded,
    /// A streamed set could not be read on.
    #[error(transparent)]
    Data(#[from] DataError),
    /// MAP@100 over images without a label of positive weight.
    #[error(
        "data: no image to be scored has a label, or none whose class counts in `data.score-weights`: MAP@100 has \
         nothing to find"
    )]
    NothingToFind,
    /// No image to score could be read.
    #[error(
        "data: none of the images to be scored could be read; `decouple data verify` reads all of them and names what is \
         broken"
    )]
    NothingToScore,
    /// Fewer images than the set should have.
    #[error(
        "data: the epoch ended before its {expected} images; files that are no sound images were left out, or \
         `data.images` counts more than there are"
    )]
    EndOfData {
        /// Images an epoch has.
        expected: usize,
    },
    /// The run's files could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The trained weights could not be written.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// It was asked to stop, and can continue from a checkpoint. This does not end the trial.
    #[error("stopped after step {step}, to go on from there")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// No training images.
    #[error("no training image is left after holding out {held_out} for validation")]
    NoImages {
        /// Images held out.
        held_out: usize,
    },
}
