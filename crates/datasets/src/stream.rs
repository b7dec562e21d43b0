//! Sets that are decoded anew in every epoch: files in folders, or shards.
//!
//! [`Streamed::batches`] starts workers in the background that read, decode and augment at most
//! [`AHEAD`] batches ahead. Which images a batch holds, in which order and how they are
//! changed, is a function of (seed, epoch) and the set, not of the number of workers. A run
//! that resumes in the middle of an epoch skips the batches it has seen with
//! [`Batches::skip_batches`], which decodes nothing.

mod produce;
mod shards;

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::labels::Labelling;
use crate::manifest::Labelled;
use crate::shard::Share;
use crate::{Augment, DataError, PixelBatch, Reading, Skipped};

pub use shards::Shards;
pub(crate) use shards::open as open_shards;

/// Batches prepared ahead.
pub const AHEAD: usize = 2;

/// Skipped files that are remembered by name; of further ones only the number.
const MOST_KEPT: usize = 1_000;

/// Where the images of a part of a set are.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In files of their own.
    Files(Files),
    /// In tar files: this many, those in `share`.
    Shards { files: Arc<Vec<PathBuf>>, images: u64, share: Share },
}

/// Files with their labels: part of a list that is shared with other parts.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    all: Arc<Labelled>,
    places: Arc<[u32]>,
}

impl From<Labelled> for Files {
    fn from(all: Labelled) -> Self {
        Self { places: (0..all.len() as u32).collect(), all: Arc::new(all) }
    }
}

impl Files {
    pub(crate) fn part(&self, indices: &[u32]) -> Self {
        Self {
            all: self.all.clone(),
            places: indices.iter().map(|&index| self.places[index as usize]).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, index: usize) -> &(PathBuf, Vec<u16>) {
        &self.all[self.places[index] as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(PathBuf, Vec<u16>)> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl Origin {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Shards { images, .. } => usize::try_from(*images).unwrap_or(usize::MAX),
        }
    }
}

/// A part of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Images to train on.
    Train,
    /// Training images held out.
    Validation,
    /// The set's own test images.
    Test,
}

impl Part {
    /// All parts of a set.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

/// In which order a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOrder {
    /// As stored, with a smaller last batch if necessary: for scores.
    AsStored,
    /// Shuffled and augmented, in whole batches: for an epoch of training.
    Shuffled {
        /// The run's seed.
        seed: u64,
        /// The epoch, from 0.
        epoch: u64,
    },
}

/// Files that were skipped while streaming a set.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    count: usize,
    kept: Vec<Skipped>,
}

/// A set that is not kept in memory.
#[derive(Clone, Debug)]
pub struct Streamed {
    pub(crate) reading: Reading,
    pub(crate) labelling: Arc<Labelling>,
    pub(crate) train: Origin,
    pub(crate) validation: Origin,
    pub(crate) test: Origin,
    pub(crate) left_out: Arc<Mutex<LeftOut>>,
    /// The class weights.
    pub weights: ClassWeights,
}

/// Class weights; if absent, all classes count the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassWeights {
    /// In the loss, by label.
    pub loss: Option<Arc<[f32]>>,
    /// In MAP@100, by label.
    pub score: Option<Arc<[f64]>>,
}

impl Streamed {
    pub(crate) fn origin(&self, part: Part) -> &Origin {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// Whether an image may have any number of labels.
    pub fn is_multi_label(&self) -> bool {
        self.labelling.is_multi()
    }

    /// Images of a part, before any are skipped.
    pub fn len(&self, part: Part) -> usize {
        self.origin(part).len()
    }

    /// Whether a part has no image.
    pub fn is_empty(&self, part: Part) -> bool {
        self.len(part) == 0
    }

    /// How many files were skipped so far, and the first thousand of them. An image counts once
    /// per epoch in which it was read.
    pub fn left_out(&self) -> (usize, Vec<Skipped>) {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        (left_out.count, left_out.kept.clone())
    }

    pub(crate) fn leave_out(&self, skipped: Skipped) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.count += 1;
        if left_out.kept.len() < MOST_KEPT {
            left_out.kept.push(skipped);
        }
    }

    /// The batches of one pass over a part, made by `workers` threads in the background.
    /// Memory: `AHEAD + 2` batches and, when shuffling shards, the shuffle buffer (at most 256
    /// MiB).
    pub fn batches(
        &self,
        part: Part,
        order: BatchOrder,
        batch: usize,
        augment: &[Augment],
        workers: usize,
    ) -> Batches {
        let (sender, receiver) = sync_channel(AHEAD);
        let (wish, wishes) = sync_channel(1);
        let augment = if order == BatchOrder::AsStored { Vec::new() } else { augment.to_vec() };
        let job = produce::Job { set: self.clone(), part, order, batch: batch.max(1), augment, workers };
        let thread = std::thread::spawn(move || job.run(&wishes, &sender));
        Batches { receiver: Some(receiver), skip: Some(wish), thread: Some(thread) }
    }
}

/// The batches of one pass over a part of a streamed set.
#[derive(Debug)]
pub struct Batches {
    receiver: Option<Receiver<Result<PixelBatch, DataError>>>,
    /// Tells the workers, once and before they begin, how many batches to skip.
    skip: Option<std::sync::mpsc::SyncSender<usize>>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// Skips the first `count` batches without decoding them. Has no effect after the first
    /// batch was requested.
    pub fn skip_batches(mut self, count: usize) -> Self {
        if let Some(skip) = self.skip.take() {
            // A worker that is gone has ended with an error, which arrives as a batch.
            let _ = skip.send(count);
        }
        self
    }
}

impl Iterator for Batches {
    type Item = Result<PixelBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip = None;
        let next = self.receiver.as_ref()?.recv().ok();
        if next.is_none() {
            join(&mut self.thread);
        }
        next
    }
}

/// Waits for a thread that has sent everything. If it has panicked instead, so does this one: what it has sent
/// is not all.
fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(Err(panic)) = thread.take().map(JoinHandle::join) {
        resume_unwind(panic);
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Workers end when nobody is listening any more.
        (self.skip, self.receiver) = (None, None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
