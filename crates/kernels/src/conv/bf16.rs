//! Products of factors in bf16. Two channels share the 32 bits of a lane, so that one
//! instruction multiplies both (`vdpbf16ps`; other processors repeat its arithmetic:
//! only a sum within one part in 2^24 below the smallest normal number may differ).
//!
//! Each row of inputs is rounded and paired for each row of outputs that reads it, into scratch
//! (once in a 1x1 convolution); weights are when they are packed. What is left is the walk of
//! `direct.rs` over half as many channels. Sums stay f32. The gradient of the weights is a sum over
//! pixels, where pairs of channels are of no use: its factors are not rounded.

use std::ops::Range;

use super::direct::{Direct, Direction, Rows, WeightOrder};
use crate::{
    arithmetic::Precision,
    geometry::{ConvGeometry, MapShape},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Kernel, Simd, dispatch, pair},
};

/// Whether a convolution is a matrix product: 1x1 over one segment, or a dense layer.
pub(crate) fn is_matrix_product(geometry: &ConvGeometry, order: WeightOrder) -> bool {
    let o = geometry.options();
    o.segments == 1 && ((o.kernel_h, o.kernel_w) == (1, 1) || order == WeightOrder::ChannelLast)
}

/// A walk over pairs of channels, with rounded and packed weights.
#[derive(Clone, Debug)]
pub(crate) struct DirectBf16 {
    isa: Isa,
    geometry: ConvGeometry,
    order: WeightOrder,
    direction: Direction,
    from: MapLayout,
    /// Of rows in pairs.
    paired: MapLayout,
    direct: Direct,
    /// Pairs of weights, in the order of the convolution's.
    weights: Vec<f32>,
}

impl DirectBf16 {
    pub(crate) fn new(
        isa: Isa,
        (geometry, order): (ConvGeometry, WeightOrder),
        direction: Direction,
        [from, to]: [MapLayout; 2],
    ) -> Self {
        let half = |channels: usize| channels.div_ceil(2);
        let (inputs, outputs) = match direction {
            Direction::Forward => (half(geometry.input().c), geometry.output().c),
            Direction::Back => (geometry.input().c, half(geometry.output().c)),
        };
        let of_pairs = MapShape { c: inputs, ..geometry.input() };
        let of_pairs = ConvGeometry::new(of_pairs, outputs, *geometry.options())
            .expect("the shapes of the convolution, but for channels");
        let paired = MapLayout { shape: MapShape { c: half(from.shape.c), ..from.shape }, ..from };
        let direct = Direct::new(isa, (of_pairs, order), Precision::Bf16, direction, [paired, to]);
        Self { isa, geometry, order, direction, from, paired, direct, weights: Vec::new() }
    }

    /// Rounds and pairs the weights and takes them over.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        let (ins, outs) = (self.geometry.input().c, self.geometry.output().c);
        let taps = self.geometry.options().kernel_h * self.geometry.options().kernel_w;
        let weight = |output: usize, input: usize, tap: usize| {
            let place = match self.order {
                WeightOrder::ChannelFirst => input * taps + tap,
                WeightOrder::ChannelLast => tap * ins + input,
            };
            if output < outs && input < ins { weights[output * ins * taps + place] } else { 0.0 }
        };
        let (inputs, outputs) = match self.direction {
            Direction::Forward => (self.paired.shape.c, outs),
            Direction::Back => (ins, self.paired.shape.c),
        };
        self.weights.clear();
        for output in 0..outputs {
            for place in 0..inputs * taps {
                let (input, tap) = match self.order {
                    WeightOrder::ChannelFirst => (place / taps, place % taps),
                    WeightOrder::ChannelLast => (place % inputs, place / inputs),
                };
                let [even, odd] = [0, 1].map(|half| match self.direction {
                    Direction::Forward => weight(output, 2 * input + half, tap),
                    Direction::Back => weight(2 * output + half, input, tap),
                });
                self.weights.push(pair(even, odd));
            }
        }
        self.direct.pack(&self.weights);
    }

    /// How many values [`Self::pack`] makes.
    pub(crate) fn packed(&self) -> usize {
        self.direct.weight_count() + self.direct.packed()
    }

    /// Bytes of those that it has made.
    pub(crate) fn packed_bytes(&self) -> u64 {
        size_of_val(self.weights.as_slice()) as u64 + self.direct.packed_bytes()
    }

    /// Whether it has.
    pub(crate) fn is_packed(&self) -> bool {
        self.direct.is_packed()
    }

    /// Rows of the input that the output rows `rows` read.
    pub(crate) fn reads(&self, rows: Range<usize>) -> Range<usize> {
        self.direct.reads(rows)
    }

    /// Rows of the input that a row of the output reads at the most.
    fn capacity(&self) -> usize {
        let o = self.geometry.options();
        ((o.kernel_h - 1) * o.dilation + 1).min(self.from.shape.h)
    }

    /// Values of scratch.
    pub(crate) fn scratch(&self) -> usize {
        self.paired.start() + self.capacity() * self.paired.row()
    }

    /// Computes output row `index` into `output`; the tiles fetch what stands at `ahead` into the
    /// cache meanwhile.
    ///
    /// # Safety
    /// `input` holds the rows of [`Self::reads`], with their margins, `output` is a row that
    /// nothing else touches, and `scratch` is valid for [`Self::scratch`] values.
    pub(crate) unsafe fn row(
        &self,
        index: usize,
        input: Rows,
        output: *mut f32,
        bias: Option<&[f32]>,
        scratch: *mut f32,
        ahead: *const f32,
    ) {
        let start = self.paired.start();
        // SAFETY: the caller's promise for all memory; no two rows that an output reads share a
        // place in the ring.
        unsafe {
            let ring = Rows::new(scratch.add(start), self.paired.row(), self.capacity());
            for row in self.reads(index..index + 1) {
                let target = ring.at(row);
                std::slice::from_raw_parts_mut(target.sub(start), start).fill(0.0);
                let source = std::slice::from_raw_parts(input.at(row), self.from.row());
                let target = std::slice::from_raw_parts_mut(target, self.paired.row());
                dispatch(self.isa, PairRow { source, channel: self.from.channel(), target });
            }
            self.direct.row(index, ring, output, bias, ahead);
        }
    }
}

/// Pairs the channels of a row, of `channel` values each; the last of an odd number with zeros.
struct PairRow<'a> {
    source: &'a [f32],
    channel: usize,
    target: &'a mut [f32],
}

impl Kernel for PairRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let both = self.source.chunks(2 * self.channel);
        for (source, target) in both.zip(self.target.chunks_exact_mut(self.channel)) {
            let (even, odd) = source.split_at(self.channel);
            let (even, odd) = (even.as_chunks::<LANES>().0, odd.as_chunks::<LANES>().0);
            let odd = odd.iter().chain(std::iter::repeat(&[0.0; LANES]));
            for ((target, even), odd) in target.as_chunks_mut::<LANES>().0.iter_mut().zip(even).zip(odd) {
                *target = std::array::from_fn(|lane| pair(even[lane], odd[lane]));
            }
        }
    }
}
