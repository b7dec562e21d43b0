//! Progress of a sweep while it runs. Messages go one way and decide nothing.

use std::sync::mpsc::Sender;

use decouple_experiment::{Mismatch, Problem, Status};

/// Something happened to a trial. `trial` is its index in the sweep's list.
#[derive(Clone, Debug)]
pub enum Event {
    /// Training begins.
    Started {
        /// Index in the sweep's list.
        trial: usize,
        /// Steps of the whole training.
        steps: u64,
    },
    /// A step is done.
    Step {
        /// Index in the sweep's list.
        trial: usize,
        /// Steps done.
        step: u64,
        /// Epochs begun, from 1.
        epoch: u64,
        /// Loss of the batch.
        loss: f64,
        /// Training images per second since the epoch began.
        images_per_sec: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Index in the sweep's list.
        trial: usize,
        /// Epochs done.
        epoch: u64,
        /// Accuracy on the held-out images, or while training if there are none.
        score: f64,
    },
    /// The trial has ended, now or in an earlier run of the sweep.
    Ended {
        /// Index in the sweep's list.
        trial: usize,
        /// How it ended.
        status: Box<Status>,
        /// Whether it had ended before this sweep began.
        earlier: bool,
    },
    /// Another runner is training it.
    Taken {
        /// Index in the sweep's list.
        trial: usize,
    },
    /// It continues from a checkpoint.
    Resumed {
        /// Index in the sweep's list.
        trial: usize,
        /// Steps done.
        step: u64,
    },
    /// Something went wrong that does not end it.
    Warned {
        /// Index in the sweep's list.
        trial: usize,
        /// The warning.
        message: String,
    },
    /// It stopped without ending: it is still to be done.
    Left {
        /// Index in the sweep's list.
        trial: usize,
        /// Why.
        why: Left,
    },
}

/// Why a trial is still to be done after it was tried.
#[derive(Clone, Debug)]
pub enum Left {
    /// It was asked to stop, and continues from a checkpoint.
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// The machine failed: a full disk, a broken one, a lost mount.
    Fault {
        /// The system's message.
        message: String,
    },
    /// Its data cannot be read on.
    Data {
        /// What is wrong, and where.
        message: String,
    },
    /// A bug of this program.
    Bug {
        /// The panic's message.
        message: String,
    },
    /// Its existing run has damaged files.
    Damaged(Problem),
    /// Its existing run is on other data.
    Differs(Box<Mismatch>),
}

/// Where events go. If the listener is gone, training continues.
#[derive(Clone, Debug)]
pub struct Progress(Option<Sender<Event>>);

impl Progress {
    /// To `listener`.
    pub fn new(listener: Sender<Event>) -> Self {
        Self(Some(listener))
    }

    /// To nobody.
    pub fn silent() -> Self {
        Self(None)
    }

    pub(crate) fn tell(&self, event: Event) {
        if let Some(listener) = &self.0 {
            // The only error is that nobody is listening any more.
            let _ = listener.send(event);
        }
    }
}
