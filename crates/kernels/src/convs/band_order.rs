//! The order of the backward pass within a band: which rows of which gradient are computed
//! when, so that each is still in the cache when it is needed.

use std::ops::Range;

use super::Convs;

/// Bytes of the rows of a block, over all maps.
const BLOCK: usize = 512 << 10;
/// Size of the sums of weights' gradients, in bytes, above which a band is one block: by the definition they
/// then stay in registers for all of it. (Counted as by the definition for Winograd tiles, too, which keep
/// fewer: blocks decide the order of sums, so the bits.)
const MANY_SUMS: usize = 512 << 10;

/// The blocks of a band, and how many rows of each map are alive at once. Map 0
/// is the input, the last one the output.
#[derive(Clone, Debug)]
pub(super) struct BandOrder {
    pub blocks: Vec<Block>,
    /// Rows of each map's gradient that a ring must hold.
    pub gradient_rows: Vec<usize>,
    /// Rows of the input, as it is read, that a ring must hold.
    pub input_rows: usize,
}

/// The work of one block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Rows of each map's gradient to compute.
    pub gradients: Vec<Range<usize>>,
    /// For each convolution, the output rows whose share of its weights' gradient is summed.
    pub weights: Vec<Range<usize>>,
    /// Rows of the input to read.
    pub inputs: Range<usize>,
}

impl BandOrder {
    /// For a band that owns `rows` of each map.
    pub(super) fn new(convs: &Convs, rows: &[Range<usize>]) -> Self {
        let last = convs.convs.len();
        // The map whose rows determine the others: the input, or the next map if the input's gradient
        // is not needed.
        let driver = usize::from(!convs.has_input_gradient);
        let at_once = convs.convs[driver.min(last - 1)].back.rows_at_once();
        let step = rows_of_block(convs).next_multiple_of(at_once).min(rows[driver].len().max(1));
        let mut done: Vec<usize> = rows.iter().map(|rows| rows.start).collect();
        for map in driver + 1..=last {
            let first = convs.convs[map - 1].back.reads(done[map - 1]..rows[map - 1].end).start;
            done[map] = done[map].min(first);
        }
        let mut weights_done: Vec<usize> = rows[1..].iter().map(|rows| rows.start).collect();
        let mut inputs_done = None;
        let mut schedule = Self { blocks: Vec::new(), gradient_rows: vec![0; last + 1], input_rows: 0 };
        let mut begin = rows[driver].start;
        loop {
            let end = (begin + step).min(rows[driver].end);
            let is_last = end == rows[driver].end;
            let mut gradients = vec![rows[0].start..rows[0].start; last + 1];
            gradients[driver] = begin..end;
            let mut weights = Vec::new();
            for map in driver + 1..=last {
                let read = convs.convs[map - 1].back.reads(gradients[map - 1].clone());
                let own = if is_last { rows[map].end } else { 0 };
                gradients[map] = done[map]..done[map].max(read.end).max(own);
                done[map] = gradients[map].end;
                schedule.hold(map, read.start.min(gradients[map].start)..done[map]);
            }
            if driver == 1 {
                schedule.hold(1, begin..end);
            }
            for map in 1..=last {
                let made = gradients[map].end;
                let share = weights_done[map - 1]..made.min(rows[map].end).max(weights_done[map - 1]);
                weights_done[map - 1] = share.end;
                schedule.hold(map, share.start.min(made)..made);
                weights.push(share);
            }
            // A block whose rows reach no output, as with a stride, reads none.
            let mut inputs = inputs_done.unwrap_or(0)..inputs_done.unwrap_or(0);
            if !weights[0].is_empty() {
                let read = convs.convs[0].forward.reads(weights[0].clone());
                let from = inputs_done.unwrap_or(read.start);
                inputs = from..read.end.max(from);
                inputs_done = Some(inputs.end);
                schedule.input_rows = schedule.input_rows.max(inputs.end - read.start.min(inputs.start));
            }
            schedule.blocks.push(Block { gradients, weights, inputs });
            if is_last {
                return schedule;
            }
            begin = end;
        }
    }

    fn hold(&mut self, map: usize, rows: Range<usize>) {
        self.gradient_rows[map] = self.gradient_rows[map].max(rows.len());
    }
}

/// Rows of the input whose gradient a block computes.
fn rows_of_block(convs: &Convs) -> usize {
    if LANES_BYTES * convs.weight_count() > MANY_SUMS {
        return usize::MAX / 2;
    }
    let bytes: usize = convs.layouts.iter().map(|layout| layout.row() * size_of::<f32>()).sum();
    (BLOCK / bytes).max(1)
}

/// Bytes of a vector.
const LANES_BYTES: usize = crate::layout::LANES * size_of::<f32>();
