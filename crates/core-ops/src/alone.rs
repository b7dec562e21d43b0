//! Inference on a few images, one after the other, each with its rows in the lanes ([`Plan::in_strips`]): a lane for each
//! image would leave most lanes empty.

use std::{borrow::Cow, sync::Arc};

use decouple_kernels::{arithmetic::Winograd, layout::LANES};
use decouple_spectrum::{
    backend::{ExecutionError, Pass},
    plan::{MapId, Plan},
};

use crate::network::Network;

/// Most images of this many rows that are faster one after the other than side by side; of smaller ones it is one.
/// (By the times of one and of sixteen, four take 0.4 to 0.7 of the time of sixteen at 224 to 299 rows, in Xception,
/// Inception V3 and ResNet-18; at 64 rows ResNet-18 takes as long for three as for sixteen.)
const FEW: usize = 4;
const MANY_ROWS: usize = 128;

impl Network {
    /// Whether `images` are faster one after the other, to the same bits.
    pub(crate) fn are_few(&self, images: usize) -> bool {
        let rows = self.plan.map(MapId(0)).shape.h;
        let few = if rows >= MANY_ROWS { FEW } else { 1 };
        let is_one_answer = self.plan.map(self.plan.logits()).shape.h == 1;
        // Strips hold whole tiles of two rows, not of four.
        let has_whole_tiles = self.arithmetic.winograd != Winograd::F4;
        // One that has memory for larger batches, as in training, needs none for strips beside it.
        let has_room = !self.maps.is_empty();
        (1..=few).contains(&images) && rows > 1 && is_one_answer && has_whole_tiles && !has_room
    }

    /// The logits of each of `images`.
    pub(crate) fn run_alone(&mut self, batch: &[f32], images: usize) -> Result<Vec<f32>, ExecutionError> {
        self.open = None;
        let mut alone = self.alone.take().unwrap_or_else(|| {
            let plan: Arc<Plan> = Arc::new(self.plan.in_strips());
            Box::new(Self::empty(self.isa, plan, self.arithmetic))
        });
        std::mem::swap(&mut self.values, &mut alone.values);
        let of_image = |image: usize| {
            // Of a batch of one, only the first lane is read.
            let mut batch = Cow::Borrowed(batch);
            if image > 0 {
                let lanes = batch.to_mut().as_chunks_mut::<LANES>().0;
                lanes.iter_mut().for_each(|lanes| lanes[0] = lanes[image]);
            }
            alone.run_forward(&batch, 1, Pass::Inference)
        };
        let logits: Result<Vec<Vec<f32>>, ExecutionError> = (0..images).map(of_image).collect();
        std::mem::swap(&mut self.values, &mut alone.values);
        self.alone = Some(alone);
        self.note_memory();
        Ok(logits?.concat())
    }
}
