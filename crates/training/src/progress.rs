//! What a sweep tells while it runs. Messages go one way; nothing here decides
//! anything.

use std::sync::mpsc::Sender;

use decouple_experiment::Status;

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
        /// Training images a second since the epoch began.
        images_per_sec: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Index in the sweep's list.
        trial: usize,
        /// Epochs done.
        epoch: u64,
        /// Accuracy on the held-out images, or while training if there are none.
        accuracy: f64,
    },
    /// The trial is over, now or in an earlier run of the sweep.
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
}

/// Where events go. A listener that has gone away does not stop the training.
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
            // The only error is that nobody listens any more.
            let _ = listener.send(event);
        }
    }
}
