//! Background work: reads samples in order, decodes them in parallel and assembles batches.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{BatchOrder, Files, Origin, Part, Streamed, join};
use crate::augmented::augment_photograph;
use crate::labels::Labelling;
use crate::mixing::mixes;
use crate::seeds::{stream, uniform_below};
use crate::shard::{self, Sample, Share};
use crate::{
    Augment, Corrupt, DataError, Labels, Looking, PixelBatch, Skipped, derive_seed, epoch_order, photograph,
};

/// Size of the shuffle buffer for shards, in samples and bytes: each next sample is drawn from
/// it.
const WAITING: usize = 4_096;
const MOST_WAITING_BYTES: usize = 256 << 20;

/// Samples queued between the thread that reads shards and those that decode.
const BETWEEN: usize = 64;

type Sender = SyncSender<Result<PixelBatch, DataError>>;

/// One pass over a part.
pub(super) struct Job {
    pub(super) set: Streamed,
    pub(super) part: Part,
    pub(super) order: BatchOrder,
    pub(super) batch: usize,
    pub(super) augment: Vec<Augment>,
    pub(super) workers: usize,
}

impl Job {
    /// Sends batch after batch until all are sent or nobody is listening.
    pub(super) fn run(self, skip: &Receiver<usize>, sender: &Sender) {
        let pool = match ThreadPoolBuilder::new().num_threads(self.workers.max(1)).build() {
            Ok(pool) => pool,
            Err(error) => {
                let _ = sender.send(Err(DataError::Workers(error.to_string())));
                return;
            }
        };
        // Wait until the first batch is requested, or batches are to be skipped.
        let skip = skip.recv().unwrap_or(0);
        let mut so_far = SoFar { samples: self.samples(), batches: 0, usable: 0 };
        if let Err(error) = self.pass_over(&pool, &mut so_far, skip) {
            let _ = sender.send(Err(error));
            return;
        }
        loop {
            let next = self.next(&pool, &mut so_far);
            let is_last = !matches!(next, Ok(Some(_)));
            let Some(next) = next.transpose() else { return };
            if sender.send(next).is_err() || is_last {
                return;
            }
        }
    }

    fn samples(&self) -> Samples {
        Samples::new(self.set.origin(self.part), self.order, &self.set)
    }

    /// Skips batches; they are decoded only if a skipped image would shift the following ones.
    fn pass_over(&self, pool: &ThreadPool, so_far: &mut SoFar, batches: usize) -> Result<(), DataError> {
        if self.set.reading.corrupt == Corrupt::Skip {
            for _ in 0..batches {
                self.next(pool, so_far)?;
            }
            return Ok(());
        }
        let mut left = batches * self.batch;
        while left > 0 {
            let taken = self.take(so_far, left.min(BETWEEN))?.len();
            if taken == 0 {
                break;
            }
            left -= taken;
        }
        so_far.batches += batches;
        Ok(())
    }

    /// The next samples. A shuffled pass has as many batches as the stated number of images
    /// gives: if some were skipped, it starts again from the beginning.
    fn take(&self, so_far: &mut SoFar, count: usize) -> Result<Vec<Pending>, DataError> {
        let samples = so_far.samples.take(count)?;
        if !samples.is_empty() || self.order == BatchOrder::AsStored || so_far.usable == 0 {
            so_far.usable += usize::from(self.set.reading.corrupt == Corrupt::Refuse) * samples.len();
            return Ok(samples);
        }
        so_far.usable = 0;
        so_far.samples = self.samples();
        so_far.samples.take(count)
    }

    /// The next batch, filled up where images were skipped.
    fn next(&self, pool: &ThreadPool, so_far: &mut SoFar) -> Result<Option<PixelBatch>, DataError> {
        let shape = self.set.reading.shape();
        let is_over = so_far.batches == self.set.len(self.part) / self.batch;
        if is_over && self.order != BatchOrder::AsStored {
            return Ok(None);
        }
        let (mut pixels, mut labels) = (vec![0; self.batch * shape.len()], Labels::default());
        let mut seeds = Vec::with_capacity(self.batch);
        while labels.len() < self.batch {
            let samples = self.take(so_far, self.batch - labels.len())?;
            if samples.is_empty() {
                break;
            }
            let begin = labels.len() * shape.len();
            let places = pixels[begin..].par_chunks_exact_mut(shape.len());
            let see = |(sample, image): (&Pending, &mut [u8])| self.see(sample, image);
            let seen: Vec<_> = pool.install(|| {
                // Image by image, so that no worker waits for another that has a dozen left.
                samples.par_iter().zip(places).with_max_len(1).map(see).collect()
            });
            for (place, (seen, sample)) in seen.into_iter().zip(samples).enumerate() {
                match seen {
                    Ok(seed) => {
                        // To the place of an image before it that was skipped.
                        let (from, to) = (begin + place * shape.len(), labels.len() * shape.len());
                        if from != to {
                            pixels.copy_within(from..from + shape.len(), to);
                        }
                        labels.push(sample.labels());
                        seeds.push(seed);
                        so_far.usable += 1;
                    }
                    Err(skipped) if self.set.reading.corrupt.leaves_out(&skipped) => {
                        self.set.leave_out(skipped);
                    }
                    Err(skipped) => return Err(DataError::Image(skipped)),
                }
            }
        }
        let is_whole = labels.len() == self.batch;
        if labels.is_empty() || (!is_whole && self.order != BatchOrder::AsStored) {
            return Ok(None);
        }
        so_far.batches += 1;
        pixels.truncate(labels.len() * shape.len());
        let mixes = mixes(&self.augment, &seeds, shape);
        Ok(Some(PixelBatch { shape, pixels, labels, mixes }))
    }

    /// Writes a sample's image, preprocessed for training or scoring, to `image`. Returns its seed.
    fn see(&self, sample: &Pending, image: &mut [u8]) -> Result<u64, Skipped> {
        let reading = &self.set.reading;
        let bytes = match sample {
            Pending::File(files, at) => photograph::read(&files.get(*at).0, reading.looking).map(Cow::Owned),
            Pending::Read(sample) => {
                sample.image.as_deref().map(Cow::Borrowed).map_err(|reason| reason.clone().into())
            }
        };
        let bytes = bytes.map_err(|why| Skipped::new(sample.name(), why))?;
        match self.order {
            BatchOrder::AsStored => reading.framed(&bytes).map(|(framed, _)| {
                image.copy_from_slice(&framed);
                0
            }),
            BatchOrder::Shuffled { seed, epoch } => {
                let seed = derive_seed(seed, "augment", epoch, sample.index());
                augment_photograph(&self.augment, seed, &bytes, reading, image).map(|()| seed)
            }
        }
        .map_err(|reason: String| Skipped::new(sample.name(), reason))
    }
}

/// How far a pass is.
struct SoFar {
    samples: Samples,
    /// Batches made or skipped.
    batches: usize,
    /// Sound images since the last start, so that a set without any ends.
    usable: usize,
}

/// A sample that is not decoded yet: a file to read, or an entry of a shard.
pub(super) enum Pending {
    File(Files, usize),
    Read(Sample),
}

impl Pending {
    fn name(&self) -> &PathBuf {
        match self {
            Self::File(files, at) => &files.get(*at).0,
            Self::Read(sample) => &sample.name,
        }
    }

    fn labels(&self) -> &[u16] {
        match self {
            Self::File(files, at) => &files.get(*at).1,
            Self::Read(sample) => &sample.labels,
        }
    }

    fn index(&self) -> u64 {
        match self {
            Self::File(_, at) => *at as u64,
            Self::Read(sample) => sample.index,
        }
    }
}

/// The samples of a pass in their order.
pub(super) enum Samples {
    Files { files: Files, order: Option<Vec<u32>>, at: usize },
    Shards { receiver: Receiver<Result<Sample, DataError>>, reader: Option<JoinHandle<()>> },
}

impl Samples {
    fn new(origin: &Origin, order: BatchOrder, set: &Streamed) -> Self {
        match origin {
            Origin::Files(files) => {
                let order = match order {
                    BatchOrder::AsStored => None,
                    BatchOrder::Shuffled { seed, epoch } => {
                        Some(epoch_order(files.len(), derive_seed(seed, "order", epoch, 0)))
                    }
                };
                Self::Files { files: files.clone(), order, at: 0 }
            }
            Origin::Shards { files, share, .. } => {
                let (sender, receiver) = sync_channel(BETWEEN);
                let (files, share, labelling) = (files.clone(), *share, set.labelling.clone());
                let looking = set.reading.looking;
                // Ends by itself when the receiver is gone.
                let read = move || read_shards(&files, share, order, &labelling, looking, &sender);
                Self::Shards { receiver, reader: Some(std::thread::spawn(read)) }
            }
        }
    }

    /// Up to `count` samples.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<Pending>, DataError> {
        match self {
            Self::Files { files, order, at } => {
                let places = *at..(*at + count).min(files.len());
                *at = places.end;
                let index = |place: usize| order.as_ref().map_or(place, |order| order[place] as usize);
                Ok(places.map(|place| Pending::File(files.clone(), index(place))).collect())
            }
            Self::Shards { receiver, reader } => {
                let samples = receiver.iter().take(count).map(|sample| Ok(Pending::Read(sample?)));
                let samples: Vec<_> = samples.collect::<Result<_, DataError>>()?;
                if samples.len() < count {
                    join(reader);
                }
                Ok(samples)
            }
        }
    }
}

/// Sends the samples of a share of all shards: in order, or with shuffled shards and each
/// sample drawn from the shuffle buffer.
fn read_shards(
    files: &[PathBuf],
    share: Share,
    order: BatchOrder,
    labelling: &Labelling,
    looking: Looking,
    sender: &SyncSender<Result<Sample, DataError>>,
) {
    let (order, mut shuffle) = match order {
        BatchOrder::AsStored => ((0..files.len() as u32).collect(), None),
        BatchOrder::Shuffled { seed, epoch } => (
            epoch_order(files.len(), derive_seed(seed, "shards", epoch, 0)),
            Some(stream(derive_seed(seed, "shuffle", epoch, 0))),
        ),
    };
    let (mut waiting, mut bytes): (Vec<Sample>, usize) = (Vec::new(), 0);
    let length = |sample: &Sample| sample.image.as_ref().map_or(0, Vec::len);
    for shard in order {
        let file = &files[shard as usize];
        let mut is_heard = true;
        let read = shard::read(file, share, labelling, looking, &mut |mut sample| {
            sample.index |= u64::from(shard) << 32;
            let Some(rng) = &mut shuffle else {
                is_heard = sender.send(Ok(sample)).is_ok();
                return is_heard;
            };
            bytes += length(&sample);
            waiting.push(sample);
            while is_heard && (waiting.len() > WAITING || bytes > MOST_WAITING_BYTES) {
                let drawn = waiting.swap_remove(uniform_below(rng, waiting.len() as u32) as usize);
                bytes -= length(&drawn);
                is_heard = sender.send(Ok(drawn)).is_ok();
            }
            is_heard
        });
        if let Err(error) = read {
            let _ = sender.send(Err(error));
            return;
        }
        if !is_heard {
            return;
        }
    }
    while let (Some(rng), false) = (&mut shuffle, waiting.is_empty()) {
        let drawn = waiting.swap_remove(uniform_below(rng, waiting.len() as u32) as usize);
        if sender.send(Ok(drawn)).is_err() {
            return;
        }
    }
}
