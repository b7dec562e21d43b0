//! A convolution as a walk over rows: which tiles compute which outputs, and the order of their
//! weights.
//!
//! The forward pass and the gradient of the input are the same walk with other numbers: y(r, j)
//! sums x(r s + ky d - top, j s + kx d - left) w(ky, kx), and dx(i, q) sums dy(o, p) w(ky, kx)
//! over all o s + ky d - top = i and p s + kx d - left = q. With stride s the columns of dx
//! fall into s phases, each a convolution at stride 1 with every s-th tap.

use std::ops::Range;

use super::tile::{self, Kind, MOST_CHANNELS, MOST_COLUMNS, Tile, TileFn};
use crate::{
    arithmetic::Precision,
    geometry::{ConvGeometry, pieces},
    isa::Isa,
    layout::{LANES, MapLayout},
};

/// Number of products in a block, whose sum is then added to those of earlier blocks. A block
/// stays in the first-level cache while the tiles of all output channels read it, and a sum of
/// blocks is more precise than one of single products. (The order of summation determines the
/// bits, so this is the same on every machine.)
const BLOCK: usize = 128;

/// Number of kernel rows that are listed without allocating.
const FEW_ROWS: usize = 8;

/// The order of the weights that reach one output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightOrder {
    /// (input channel, kernel row, kernel column), as in convolutions.
    ChannelFirst,
    /// (kernel row, kernel column, input channel), as in a dense layer over a flattened (h, w,
    /// c) map.
    ChannelLast,
}

/// The direction of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the input to the output.
    Forward,
    /// From the gradient of the output to that of the input.
    Back,
}

/// A walk, with packed weights.
#[derive(Clone, Debug)]
pub(crate) struct Direct {
    geometry: ConvGeometry,
    order: WeightOrder,
    direction: Direction,
    from: MapLayout,
    to: MapLayout,
    phases: Vec<Phase>,
    /// Input channels that are summed at once.
    block: usize,
    /// Whether values are pairs of bf16.
    is_paired: bool,
    /// Number of packed weights, the length of `weights` once packed.
    packed: usize,
    weights: Vec<f32>,
}

/// The output columns `first`, `first + step`, ... of a row.
#[derive(Clone, Debug)]
struct Phase {
    first: usize,
    /// Distance between output columns.
    step: usize,
    /// Taps of a kernel row, in the order in which they are read.
    taps: Vec<usize>,
    /// Input column of the first tap at the first output column.
    base: isize,
    /// Columns to the next tap.
    tap: usize,
    /// Distance in input columns between output columns.
    column: usize,
    columns: Vec<Range<usize>>,
    channels: Vec<Channels>,
}

/// Output channels that are summed together.
#[derive(Clone, Debug)]
struct Channels {
    /// The first.
    output: usize,
    /// How many.
    count: usize,
    /// The first of the input channels that they are summed over.
    input: usize,
    /// How many those are.
    inputs: usize,
    kind: Kind,
    /// Where the weights begin.
    weights: usize,
    /// A tile for each range of columns.
    tiles: Vec<TileFn>,
}

/// Rows of a map, or of a ring that holds the last few of them.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    first: *mut f32,
    row: usize,
    capacity: usize,
    /// Rows outside of these are in a ring.
    own: (usize, usize),
    ring: *mut f32,
    ring_capacity: usize,
}

impl Rows {
    /// Rows of `row` values each, with row r at index r modulo `capacity` from `first`.
    pub(crate) fn new(first: *mut f32, row: usize, capacity: usize) -> Self {
        Self { first, row, capacity, own: (0, usize::MAX), ring: first, ring_capacity: 1 }
    }

    /// These rows, except for those outside of `own`, which are in `ring`.
    pub(crate) fn within(self, own: Range<usize>, ring: Self) -> Self {
        Self { own: (own.start, own.end), ring: ring.first, ring_capacity: ring.capacity, ..self }
    }

    /// Where row `index` begins.
    ///
    /// # Safety
    /// The row exists if anything is read or written there. (Any other, as of a place to prefetch, wraps to one
    /// that does.)
    #[inline(always)]
    pub(crate) unsafe fn at(&self, index: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe {
            if index < self.own.0 || index >= self.own.1 {
                return self.ring.add(index % self.ring_capacity * self.row);
            }
            let place = if index < self.capacity { index } else { index % self.capacity };
            self.first.add(place * self.row)
        }
    }
}

impl Direct {
    /// The walk of a convolution in `direction` from maps of the first layout to maps of the second. In bf16,
    /// inputs and weights are pairs ([`crate::simd::pair`]), and the geometry counts these.
    pub(crate) fn new(
        isa: Isa,
        (geometry, order): (ConvGeometry, WeightOrder),
        precision: Precision,
        direction: Direction,
        [from, to]: [MapLayout; 2],
    ) -> Self {
        let o = geometry.options();
        let mut direct = Self {
            geometry,
            order,
            direction,
            from,
            to,
            phases: Vec::new(),
            block: 1,
            is_paired: precision == Precision::Bf16,
            packed: 0,
            weights: Vec::new(),
        };
        match direction {
            Direction::Forward => direct.push_phase(
                isa,
                Phase {
                    first: 0,
                    step: 1,
                    taps: (0..o.kernel_w).collect(),
                    base: -(o.padding.left as isize),
                    tap: o.dilation,
                    column: o.stride,
                    columns: Vec::new(),
                    channels: Vec::new(),
                },
            ),
            Direction::Back => {
                (0..o.stride.min(to.shape.w)).for_each(|first| direct.push_back_phase(isa, first))
            }
        }
        direct.block = (BLOCK / (o.kernel_h * o.kernel_w)).max(1);
        direct
    }

    /// Taps are read from the last to the first, so that inputs ascend.
    fn push_back_phase(&mut self, isa: Isa, first: usize) {
        let o = *self.geometry.options();
        let position = |kx: usize| first as isize + o.padding.left as isize - (kx * o.dilation) as isize;
        let hits = |kx: &usize| position(*kx).rem_euclid(o.stride as isize) == 0;
        let taps: Vec<usize> = (0..o.kernel_w).rev().filter(hits).collect();
        let at = |kx: usize| position(kx) / o.stride as isize;
        let base = taps.first().map_or(0, |&kx| at(kx));
        let tap = taps.get(1).map_or(0, |&kx| (at(kx) - base) as usize);
        self.push_phase(
            isa,
            Phase {
                first,
                step: o.stride,
                taps,
                base,
                tap,
                column: 1,
                columns: Vec::new(),
                channels: Vec::new(),
            },
        );
    }

    fn push_phase(&mut self, isa: Isa, mut phase: Phase) {
        let width = (self.to.shape.w - phase.first).div_ceil(phase.step);
        let is_sliding = tile::can_slide(isa) && phase.taps.len() == 3 && phase.tap == 1 && phase.column == 1;
        for (outputs, inputs) in self.segments() {
            let of_each = outputs.len() == 1 && inputs.len() == 1 && !self.is_paired;
            if let Some(run) = phase.channels.last_mut().filter(|run| of_each && is_each(run.kind)) {
                // One more channel with its own segment.
                run.count += 1;
                continue;
            }
            let kind = match (of_each, is_sliding) {
                _ if self.is_paired => Kind::Pairs,
                (false, false) => Kind::Any,
                (false, true) => Kind::Sliding,
                (true, false) => Kind::EachAny,
                (true, true) => Kind::EachSliding,
            };
            let (output, count, input, inputs) = (outputs.start, outputs.len(), inputs.start, inputs.len());
            phase.channels.push(Channels {
                output,
                count,
                input,
                inputs,
                kind,
                weights: 0,
                tiles: Vec::new(),
            });
        }
        let (columns, channels) = extents(isa, &phase, width);
        phase.columns = pieces(0..width, columns).collect();
        phase.channels = phase.channels.iter().flat_map(|run| run.split(channels)).collect();
        for tile in &mut phase.channels {
            tile.weights = self.packed;
            self.packed += tile.inputs * self.geometry.options().kernel_h * phase.taps.len() * tile.count;
            let of = |columns: &Range<usize>| tile::find(isa, tile.kind, columns.len(), tile.count);
            let tiles: Option<Vec<TileFn>> = phase.columns.iter().map(of).collect();
            tile.tiles = tiles.expect("extents are those of tiles");
        }
        self.phases.push(phase);
    }

    /// Output and input channels of each segment, in this direction.
    fn segments(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let both = |segment| (self.geometry.segment_outputs(segment), self.geometry.segment_inputs(segment));
        let in_direction = |(outputs, inputs)| match self.direction {
            Direction::Forward => (outputs, inputs),
            Direction::Back => (inputs, outputs),
        };
        (0..self.geometry.options().segments).map(both).map(in_direction).collect()
    }

    /// Packs the weights in the order in which they are read.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        self.weights.resize(self.packed, 0.0);
        let o = *self.geometry.options();
        let taps = o.kernel_h * o.kernel_w;
        let firsts = self.firsts();
        let rows: Vec<usize> = (0..o.kernel_h).map(|ky| self.kernel_row(ky)).collect();
        for phase in &self.phases {
            for tile in &phase.channels {
                // All channels of a tile have as many inputs, in the geometry's sense.
                let ins = firsts[tile.output].1;
                let of_tap = if self.order == WeightOrder::ChannelFirst { 1 } else { ins };
                let of_input = match (self.direction, self.order) {
                    (Direction::Forward, WeightOrder::ChannelFirst) => taps,
                    (Direction::Forward, WeightOrder::ChannelLast) => 1,
                    (Direction::Back, _) => ins * taps,
                };
                let outputs = &firsts[tile.output..tile.output + tile.count];
                let read = rows.iter().flat_map(|ky| phase.taps.iter().map(move |kx| ky * o.kernel_w + kx));
                let read: Vec<usize> = read.collect();
                let len = tile.inputs * read.len() * tile.count;
                let mut packed = self.weights[tile.weights..tile.weights + len].chunks_exact_mut(tile.count);
                for input in 0..tile.inputs {
                    for (tap, packed) in read.iter().zip(&mut packed) {
                        let place = input * of_input + tap * of_tap;
                        for (packed, (first, _)) in packed.iter_mut().zip(outputs) {
                            *packed = weights[first + place];
                        }
                    }
                }
            }
        }
    }

    /// For each output channel of this direction the place of its first weight, that of the
    /// first input and tap, and how many input channels its segment has in the geometry.
    fn firsts(&self) -> Vec<(usize, usize)> {
        let o = self.geometry.options();
        let taps = o.kernel_h * o.kernel_w;
        let (mut firsts, mut first) = (Vec::with_capacity(self.to.shape.c), 0);
        for segment in 0..o.segments {
            let (ins, outs) =
                (self.geometry.segment_inputs(segment).len(), self.geometry.segment_outputs(segment).len());
            let (channels, step) = match (self.direction, self.order) {
                (Direction::Forward, _) => (outs, ins * taps),
                (Direction::Back, WeightOrder::ChannelFirst) => (ins, taps),
                (Direction::Back, WeightOrder::ChannelLast) => (ins, 1),
            };
            firsts.extend((0..channels).map(|channel| (first + channel * step, ins)));
            first += ins * outs * taps;
        }
        firsts
    }

    /// How many weights [`Self::pack`] takes.
    pub(crate) fn weight_count(&self) -> usize {
        self.geometry.weight_count()
    }

    /// Number of weights that [`Self::pack`] produces.
    pub(crate) const fn packed(&self) -> usize {
        self.packed
    }

    /// Bytes of the packed weights so far.
    pub(crate) const fn packed_bytes(&self) -> u64 {
        size_of_val(self.weights.as_slice()) as u64
    }

    /// Whether the weights are packed.
    pub(crate) const fn is_packed(&self) -> bool {
        self.weights.len() == self.packed
    }

    /// Rows of the input that the output rows `rows` read.
    pub(crate) fn reads(&self, rows: Range<usize>) -> Range<usize> {
        let (o, h) = (self.geometry.options(), self.from.shape.h);
        if rows.is_empty() {
            return 0..0;
        }
        let span = (o.kernel_h - 1) * o.dilation;
        match self.direction {
            Direction::Forward => {
                let begin = (rows.start * o.stride).saturating_sub(o.padding.top).min(h);
                let end = ((rows.end - 1) * o.stride + span + 1).saturating_sub(o.padding.top).min(h);
                begin..end.max(begin)
            }
            Direction::Back => {
                let begin = (rows.start + o.padding.top).saturating_sub(span).div_ceil(o.stride).min(h);
                let end = ((rows.end - 1 + o.padding.top) / o.stride + 1).min(h);
                begin..end.max(begin)
            }
        }
    }

    /// Computes output row `index` into `output` from the rows of `input`, and fetches the row at
    /// `ahead` into the cache meanwhile.
    ///
    /// # Safety
    /// `input` holds the rows of [`Self::reads`], with their margins, and `output` a row that
    /// nothing else touches; `bias` has a value per channel.
    pub(crate) unsafe fn row(
        &self,
        index: usize,
        input: Rows,
        output: *mut f32,
        bias: Option<&[f32]>,
        ahead: *const f32,
    ) {
        let kernel_h = self.geometry.options().kernel_h;
        let (mut few, mut many) = ([(std::ptr::null(), 0); FEW_ROWS], Vec::new());
        let rows = if kernel_h <= FEW_ROWS {
            &mut few[..]
        } else {
            many.resize(kernel_h, (std::ptr::null(), 0));
            &mut many[..]
        };
        let mut count = 0;
        // In the order in which weights are packed: in the backward pass from the last to the
        // first.
        for place in 0..kernel_h {
            let ky = self.kernel_row(place);
            let Some(row) = self.input_row(index, ky) else { continue };
            // SAFETY: `reads` names this row.
            rows[count] = (unsafe { input.at(row) }.cast_const(), place);
            count += 1;
        }
        for phase in &self.phases {
            // SAFETY: the caller's promise.
            unsafe { self.phase_row(phase, &rows[..count], output, bias, ahead) };
        }
    }

    /// The kernel row that is packed at `place`.
    fn kernel_row(&self, place: usize) -> usize {
        match self.direction {
            Direction::Forward => place,
            Direction::Back => self.geometry.options().kernel_h - 1 - place,
        }
    }

    /// The input row that tap `ky` of output row `index` reads, if it is one.
    fn input_row(&self, index: usize, ky: usize) -> Option<usize> {
        let o = self.geometry.options();
        let row = match self.direction {
            Direction::Forward => (index * o.stride + ky * o.dilation).checked_sub(o.padding.top)?,
            Direction::Back => {
                let row = (index + o.padding.top).checked_sub(ky * o.dilation)?;
                if row % o.stride != 0 {
                    return None;
                }
                row / o.stride
            }
        };
        (row < self.from.shape.h).then_some(row)
    }

    /// # Safety
    /// As of [`Self::row`].
    unsafe fn phase_row(
        &self,
        phase: &Phase,
        rows: &[(*const f32, usize)],
        output: *mut f32,
        bias: Option<&[f32]>,
        ahead: *const f32,
    ) {
        let most = phase.channels.iter().map(|tile| tile.inputs).max().unwrap_or(0);
        for (index, columns) in phase.columns.iter().enumerate() {
            for begin in (0..most).step_by(self.block) {
                for tile in phase.channels.iter().filter(|tile| begin < tile.inputs) {
                    let column = phase.base + (columns.start * phase.column) as isize;
                    let weights_of_row = phase.taps.len() * tile.count;
                    let weights_of_channel = self.geometry.options().kernel_h * weights_of_row;
                    let to_column = phase.first + columns.start * phase.step;
                    let place = tile.output * self.to.channel() + to_column * LANES;
                    let bias = bias.filter(|_| begin == 0).map(|bias| bias[tile.output..].as_ptr());
                    // SAFETY: the caller's promise, for rows of these layouts.
                    unsafe {
                        (tile.tiles[index])(&Tile {
                            rows,
                            offset: column * LANES as isize
                                + ((tile.input + begin) * self.from.channel()) as isize,
                            channels: self.block.min(tile.inputs - begin),
                            channel: self.from.channel(),
                            column: phase.column * LANES,
                            tap: phase.tap * LANES,
                            taps: phase.taps.len(),
                            weights: self.weights.as_ptr().add(tile.weights + begin * weights_of_channel),
                            weights_of_channel,
                            weights_of_row,
                            output: output.add(place),
                            ahead: ahead.wrapping_add(place),
                            output_column: phase.step * LANES,
                            output_channel: self.to.channel(),
                            bias,
                            adds: begin > 0,
                        });
                    }
                }
            }
        }
    }
}

impl Channels {
    /// The same channels, at most `most` at once.
    fn split(&self, most: usize) -> Vec<Self> {
        let of = |part: Range<usize>| Self {
            output: self.output + part.start,
            count: part.len(),
            input: if is_each(self.kind) { self.input + part.start } else { self.input },
            ..self.clone()
        };
        pieces(0..self.count, most).map(of).collect()
    }
}

const fn is_each(kind: Kind) -> bool {
    matches!(kind, Kind::EachAny | Kind::EachSliding)
}

/// Columns and channels of the tiles of a phase: the cheapest by a count of multiply-adds,
/// loads and stalls.
fn extents(isa: Isa, phase: &Phase, width: usize) -> (usize, usize) {
    let candidates = (1..=MOST_COLUMNS.min(width)).flat_map(|p| (1..=MOST_CHANNELS).map(move |q| (p, q)));
    let has_tiles = |&(p, q): &(usize, usize)| {
        let every = |len: usize, most: usize| pieces(0..len, most).map(|piece| piece.len());
        let columns: Vec<usize> = every(width, p).collect();
        phase.channels.iter().all(|run| {
            tile::fits(isa, run.kind, p, q.min(run.count))
                && every(run.count, q)
                    .all(|q| columns.iter().all(|&p| tile::find(isa, run.kind, p, q).is_some()))
        })
    };
    let cost = |&(p, q): &(usize, usize)| {
        let of = |run: &Channels| -> usize {
            let columns: Vec<_> = pieces(0..width, p).collect();
            let of = |(p, q): (usize, usize)| tile_cost(isa, run.kind, p, q, run.inputs, phase.taps.len());
            let tiles = pieces(0..run.count, q).flat_map(|q| columns.iter().map(move |p| (p.len(), q.len())));
            tiles.map(of).sum()
        };
        phase.channels.iter().map(of).sum::<usize>()
    };
    candidates.filter(has_tiles).min_by_key(cost).unwrap_or((1, 1))
}

/// Quarters of a cycle that a tile takes for each kernel row: multiply-adds and loads at two a
/// cycle each, dependent sums with a latency of four cycles, and the stores, calls and set-up
/// of a tile.
fn tile_cost(isa: Isa, kind: Kind, p: usize, q: usize, inputs: usize, taps: usize) -> usize {
    const OVERHEAD: usize = 60;
    let inputs = inputs.max(1);
    let of_vector = if isa.is_avx512() { 1 } else { 2 }; // Registers.
    let multiply_adds = of_vector * p * q * taps;
    let loads = match kind {
        Kind::Any | Kind::Pairs => (of_vector * p + q) * taps,
        Kind::Sliding => p + 2 + q * taps,
        Kind::EachAny => q * (of_vector * p + 1) * taps,
        Kind::EachSliding => q * (p + 2 + taps),
    };
    let per_input = (2 * multiply_adds).max(2 * loads).max(16 * taps);
    inputs * (per_input + 2) + OVERHEAD / 3 + of_vector * 2 * p * q
}
