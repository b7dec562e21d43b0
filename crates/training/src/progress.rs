//! Progress of a sweep while it runs. Messages go one way and decide nothing.

use std::sync::mpsc::Sender;

use decouple_experiment::{Mismatch, Problem, Status};

/// Something happened to a trial.
#[derive(Clone, Debug)]
pub struct Event {
    /// Index of the trial in the sweep's list.
    pub trial: usize,
    /// What happened.
    pub news: News,
}

/// What happened to a trial.
#[derive(Clone, Debug)]
pub enum News {
    /// Training begins.
    Started {
        /// Steps of the whole training.
        steps: u64,
    },
    /// A step is done.
    Step {
        /// Steps done.
        step: u64,
        /// Epochs begun, from 1.
        epoch: u64,
        /// Loss of the batch.
        loss: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Epochs done.
        epoch: u64,
        /// Score on the held-out images, or accuracy in training if there are none.
        score: f64,
    },
    /// The trial has ended, now or in an earlier run of the sweep.
    Ended {
        /// How it ended.
        status: Box<Status>,
        /// Whether it had ended before this sweep began.
        earlier: bool,
    },
    /// Another runner is training it.
    Taken,
    /// It continues from a checkpoint.
    Resumed {
        /// Steps done.
        step: u64,
    },
    /// Something went wrong that does not end it: the warning.
    Warned(String),
    /// It stopped without ending: why it is still to be done.
    Left(Left),
}

/// Why a trial is still to be done after it was tried.
#[derive(Clone, Debug)]
pub enum Left {
    /// It was asked to stop, and continues from a checkpoint.
    Interrupted,
    /// The machine failed: a full disk, a broken one, a lost mount.
    Fault {
        /// The system's message.
        message: String,
        /// Whether every other trial will run into it, too.
        is_general: bool,
    },
    /// Its data cannot be read on, such as a streamed set of which a file is broken or gone: what is wrong, and
    /// where.
    Data(String),
    /// A bug of this program: the panic's message.
    Bug(String),
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

    pub(crate) fn tell(&self, trial: usize, news: News) {
        if let Some(listener) = &self.0 {
            // The only error is that nobody is listening any more.
            let _ = listener.send(Event { trial, news });
        }
    }
}
