//! Convolution over small segments at stride 1: each source pixel is read once
//! a kernel row and multiplied into every target that its window reaches.
//!
//! The valley of other frameworks is here: with few channels a segment, a
//! matrix product of a segment is too narrow for vectors. Two ways to fill them:
//!
//! - **Rotations** (at most half a vector of channels a segment): a vector holds
//!   as many whole segments as fit. Source channel `(o + r) mod c` of every
//!   target channel `o` is the pixel's vector rotated by `r` within each segment,
//!   one permutation in registers. So `c` rotations make a full product of all
//!   segments of the vector at once.
//! - **Broadcasts** (up to two vectors a segment): each source channel in turn is
//!   splat over the target channels of its segment.
//!
//! Either way an operand, once made, feeds all taps of a kernel row: the sums of
//! up to sixteen neighbouring target pixels stay in registers, and operand `q`
//! of the row goes into sum `q - j` with the weights of tap `j`. Columns of
//! padding are skipped, never stored.
//!
//! Weights are packed `[block][kernel row][operand][tap][lane]`, a block being
//! the segments of one vector, or one segment.

#![allow(clippy::needless_range_loop, reason = "register tiles are indexed by constants")]

use super::{
    correlation::{Correlation, Run},
    strips::{Strip, Strips, for_each_strip, sum_over_strips},
};
use crate::{
    buffer::Buffer,
    isa::{Context, Isa},
    simd::{self, Kernel, MAX_LANES, Simd, dispatch, with_constant},
};

/// Packed weights that stay in the first-level cache while all blocks of a row
/// are computed: up to here rows are the outer loop, and neighbouring rows of
/// the source are read while they are still near.
const NEAR_VALUES: usize = 8 << 10;

/// Gradient values in a strip of the weights' gradient.
const STRIP_VALUES: usize = 1 << 15;

/// Whether this family computes `c` with the instructions of `isa`.
pub(super) fn fits(c: &Correlation, isa: Isa) -> bool {
    let most = match (simd::registers(isa), c.columns.taps) {
        (32.., 3) => 2 * simd::lanes(isa),
        (_, 3 | 5 | 7) => simd::lanes(isa),
        _ => return false,
    };
    let is_square = |run: &Run| run.source_c == run.target_c && run.source_c <= most;
    c.rows.is_dense() && c.columns.is_dense() && c.runs().iter().all(is_square)
}

/// How the segments of a run are laid out in vectors.
#[derive(Clone, Copy)]
struct Layout {
    lanes: usize,
    /// Channels of a segment, and operands of a pixel.
    c: usize,
    /// Segments of a full block, and of the whole run.
    segments: usize,
    groups: usize,
    /// Vectors of a block; more than one only where a block is one segment.
    vectors: usize,
    rotates: bool,
}

impl Layout {
    fn new(isa: Isa, run: &Run) -> Self {
        let (lanes, c) = (simd::lanes(isa), run.source_c);
        let rotates = 2 * c <= lanes;
        let segments = if rotates { lanes / c } else { 1 };
        Self { lanes, c, segments, groups: run.groups, vectors: c.div_ceil(lanes), rotates }
    }

    fn blocks(&self) -> usize {
        self.groups.div_ceil(self.segments)
    }

    /// Values of one packed operand of one tap.
    fn width(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Packed values of a block.
    fn block_len(&self, correlation: &Correlation) -> usize {
        correlation.taps() * self.c * self.width()
    }

    /// First channel of a block within the run, and its number of channels.
    fn channels(&self, block: usize) -> (usize, usize) {
        let segments = self.segments.min(self.groups - block * self.segments);
        (block * self.segments * self.c, segments * self.c)
    }

    /// Group, source and target channel that a lane of an operand stands for.
    fn pair(&self, block: usize, operand: usize, lane: usize) -> Option<(usize, usize, usize)> {
        let (_, channels) = self.channels(block);
        let target = lane % self.c;
        let source = if self.rotates { (target + operand) % self.c } else { operand };
        (lane < channels).then(|| (block * self.segments + lane / self.c, source, target))
    }

    /// For each lane, the lane that rotation `r` takes its value from.
    fn rotation(&self, r: usize) -> [u32; MAX_LANES] {
        std::array::from_fn(|lane| {
            let rotated = lane / self.c * self.c + (lane % self.c + r) % self.c;
            (if rotated < self.lanes { rotated } else { lane }) as u32
        })
    }

    /// Calls `visit(packed index, weight index)` for every weight of the run.
    fn for_each_weight(&self, c: &Correlation, run: &Run, mut visit: impl FnMut(usize, usize)) {
        let mut packed = 0;
        for block in 0..self.blocks() {
            for row in 0..c.rows.taps {
                for operand in 0..self.c {
                    for column in 0..c.columns.taps {
                        for lane in 0..self.width() {
                            if let Some((group, source, target)) = self.pair(block, operand, lane) {
                                visit(packed, c.weight_index(run, group, (source, target), (row, column)));
                            }
                            packed += 1;
                        }
                    }
                }
            }
        }
    }
}

/// Packed values of all runs.
fn packed_len(isa: Isa, c: &Correlation) -> usize {
    c.runs().iter().map(|run| run_len(isa, c, run)).sum()
}

fn run_len(isa: Isa, c: &Correlation, run: &Run) -> usize {
    let layout = Layout::new(isa, run);
    layout.blocks() * layout.block_len(c)
}

/// Computes every value of `target`, the batch that `c` makes of `source`.
pub(super) fn correlate(ctx: &Context, c: &Correlation, source: &[f32], weights: &[f32], target: &mut [f32]) {
    let packed = pack(ctx, c, weights);
    for_each_strip(c, source, target, |source, target, first_row| {
        let rows = target.len() / (c.target.w * c.target.c);
        dispatch(ctx, Rows { isa: ctx.isa(), c, packed: &packed, source, target, first_row, rows });
    });
}

fn pack(ctx: &Context, c: &Correlation, weights: &[f32]) -> Buffer {
    let mut packed = ctx.pool.take_zeroed(packed_len(ctx.isa(), c));
    let mut start = 0;
    for run in c.runs() {
        let layout = Layout::new(ctx.isa(), run);
        layout.for_each_weight(c, run, |at, weight| packed[start + at] = weights[weight]);
        start += run_len(ctx.isa(), c, run);
    }
    packed
}

/// Some rows of one target image.
struct Rows<'a> {
    isa: Isa,
    c: &'a Correlation,
    packed: &'a [f32],
    source: &'a [f32],
    target: &'a mut [f32],
    first_row: usize,
    rows: usize,
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut packed = self.packed;
        for run in self.c.runs() {
            let weights = packed.split_off(..run_len(self.isa, self.c, run)).unwrap_or_default();
            let layout = Layout::new(self.isa, run);
            let work = Work { run, layout, weights };
            match (layout.rotates, layout.vectors, self.c.columns.taps) {
                (true, _, 3) => self.all::<S, Rotations, 1, 3>(s, &work),
                (true, _, 5) => self.all::<S, Rotations, 1, 5>(s, &work),
                (true, _, 7) => self.all::<S, Rotations, 1, 7>(s, &work),
                (false, 1, 3) => self.all::<S, Broadcasts, 1, 3>(s, &work),
                (false, 1, 5) => self.all::<S, Broadcasts, 1, 5>(s, &work),
                (false, 1, 7) => self.all::<S, Broadcasts, 1, 7>(s, &work),
                (false, 2, 3) if S::REGISTERS >= 32 => self.all::<S, Broadcasts, 2, 3>(s, &work),
                other => unreachable!("{other:?} does not fit this family"),
            }
        }
    }
}

/// One run of equal segments and its packed weights.
struct Work<'a> {
    run: &'a Run,
    layout: Layout,
    weights: &'a [f32],
}

/// How the operands of a source pixel are made.
trait Feed {
    /// Whether operands but the first are rotated, so that the first is cheaper.
    const ROTATES: bool;

    /// Operand `index` of the pixel; `FIRST` says that it is number 0.
    ///
    /// # Safety
    /// `pixel` is valid for reading the values of `mask`, and value `index`.
    unsafe fn operand<S: Simd, const FIRST: bool>(
        s: S,
        pixel: *const f32,
        index: usize,
        mask: S::Mask,
        rotation: &[u32; MAX_LANES],
    ) -> S::Vector;
}

struct Rotations;

impl Feed for Rotations {
    const ROTATES: bool = true;

    #[inline(always)]
    unsafe fn operand<S: Simd, const FIRST: bool>(
        s: S,
        pixel: *const f32,
        _: usize,
        mask: S::Mask,
        rotation: &[u32; MAX_LANES],
    ) -> S::Vector {
        // SAFETY: the caller's promise.
        let whole = unsafe { s.load_masked(pixel, mask) };
        if FIRST { whole } else { s.permute(whole, rotation) }
    }
}

struct Broadcasts;

impl Feed for Broadcasts {
    const ROTATES: bool = false;

    #[inline(always)]
    unsafe fn operand<S: Simd, const FIRST: bool>(
        s: S,
        pixel: *const f32,
        index: usize,
        _: S::Mask,
        _: &[u32; MAX_LANES],
    ) -> S::Vector {
        // SAFETY: the caller's promise.
        s.splat(unsafe { *pixel.add(index) })
    }
}

/// One block: its weights, and where its channels are.
struct Block<'a> {
    c: usize,
    weights: &'a [f32],
    source_channel: usize,
    target_channel: usize,
    channels: usize,
    rotations: &'a [[u32; MAX_LANES]],
}

impl Rows<'_> {
    /// All blocks of a run over all rows.
    #[inline(always)]
    fn all<S: Simd, F: Feed, const V: usize, const K: usize>(&mut self, s: S, work: &Work<'_>) {
        let Work { run, layout, weights } = work;
        let rotations: [_; MAX_LANES] = std::array::from_fn(|r| layout.rotation(r));
        let block_len = layout.block_len(self.c);
        let block = |index: usize| {
            let (first, channels) = layout.channels(index);
            Block {
                c: layout.c,
                weights: &weights[index * block_len..][..block_len],
                source_channel: run.source_start + first,
                target_channel: run.target_start + first,
                channels,
                rotations: &rotations,
            }
        };
        if weights.len() <= NEAR_VALUES {
            for row in 0..self.rows {
                for index in 0..layout.blocks() {
                    self.row::<S, F, V, K>(s, &block(index), row);
                }
            }
        } else {
            for index in 0..layout.blocks() {
                for row in 0..self.rows {
                    self.row::<S, F, V, K>(s, &block(index), row);
                }
            }
        }
    }

    /// One row of the strip, tile by tile.
    #[inline(always)]
    fn row<S: Simd, F: Feed, const V: usize, const K: usize>(&mut self, s: S, block: &Block<'_>, row: usize) {
        let width = self.c.target.w;
        let is_wide = K == 3 && V == 1 && S::REGISTERS >= 32;
        let mut column = 0;
        while column < width {
            let pixels = tile_pixels(width - column, if is_wide { 16 } else { 8 });
            // SAFETY: pixels column..column + pixels belong to the row.
            unsafe {
                if is_wide {
                    with_constant!(P = pixels, in [1 2 3 4 5 6 7 8 10 12 14 16]
                        => self.tile::<S, F, V, K, P>(s, block, row, column));
                } else {
                    with_constant!(P = pixels, in [1 2 3 4 5 6 7 8]
                        => self.tile::<S, F, V, K, P>(s, block, row, column));
                }
            }
            column += pixels;
        }
    }

    /// Computes `P` target pixels from `column` on in `row` of the strip.
    ///
    /// # Safety
    /// The row has pixels `column..column + P`.
    #[inline(always)]
    unsafe fn tile<S: Simd, F: Feed, const V: usize, const K: usize, const P: usize>(
        &mut self,
        s: S,
        block: &Block<'_>,
        row: usize,
        column: usize,
    ) {
        let Correlation { rows, columns, source, target, .. } = self.c;
        // Operand q of a kernel row is source column `q + first_column`.
        let first_column = column as isize + columns.shift(0, 0).unwrap_or_default();
        let inside = (-first_column).max(0) as usize..(source.w as isize - first_column).max(0) as usize;
        let row_len = block.c * K * V * S::LANES;
        debug_assert_eq!(block.weights.len(), rows.taps * row_len);
        let mask = s.mask(block.channels.min(S::LANES));
        let last = s.mask(block.channels - (V - 1) * S::LANES);
        let place = (row * target.w + column) * target.c + block.target_channel;
        debug_assert!(place + (P - 1) * target.c + block.channels <= self.target.len());

        let mut sums = [[s.splat(0.0); V]; P];
        for tap in 0..rows.taps {
            let source_row = (self.first_row + row) as isize + rows.shift(0, tap).unwrap_or_default();
            if !(0..source.h as isize).contains(&source_row) {
                continue;
            }
            let first = (source_row * source.w as isize + first_column) * source.c as isize;
            // SAFETY: of the pixels from here on only those `inside` the row are
            // read, `channels` values each from the block's first channel on;
            // weights are read in the number that was asserted.
            unsafe {
                let pixels = self.source.as_ptr().wrapping_offset(first).wrapping_add(block.source_channel);
                let mut weights = block.weights.as_ptr().add(tap * row_len);
                let operands = Operands { pixels, stride: source.c, inside: &inside, mask };
                for r in 0..block.c {
                    let rotation = &block.rotations[r % MAX_LANES];
                    if F::ROTATES && r == 0 {
                        operands.multiply::<F, V, K, P, true>(s, r, rotation, weights, &mut sums);
                    } else {
                        operands.multiply::<F, V, K, P, false>(s, r, rotation, weights, &mut sums);
                    }
                    weights = weights.add(K * V * S::LANES);
                }
            }
        }
        // SAFETY: the places were asserted to lie in the strip.
        unsafe {
            for p in 0..P {
                let place = self.target.as_mut_ptr().add(place + p * target.c);
                for v in 0..V - 1 {
                    s.store(place.add(v * S::LANES), sums[p][v]);
                }
                s.store_masked(place.add((V - 1) * S::LANES), sums[p][V - 1], last);
            }
        }
    }
}

/// Pixels of the next tile when `left` are left and a tile has at most `most`:
/// tiles of nearly equal size, above eight of even size.
fn tile_pixels(left: usize, most: usize) -> usize {
    let pixels = left.div_ceil(left.div_ceil(most));
    if pixels > 8 { pixels & !1 } else { pixels }
}

/// The source pixels that one kernel row of a tile reads.
struct Operands<'a, S: Simd> {
    /// Pixel 0, which may lie outside the row.
    pixels: *const f32,
    stride: usize,
    /// The pixels that lie inside.
    inside: &'a std::ops::Range<usize>,
    mask: S::Mask,
}

impl<S: Simd> Operands<'_, S> {
    /// The innermost loop: `sums[q - j] += operand[q] * weights[j]`.
    ///
    /// A source column outside the row can only be among the first or the last
    /// `K - 1` (padding is less than the kernel), so the others are not tested.
    ///
    /// # Safety
    /// The pixels `inside` are valid as [`Feed::operand`] asks; `weights` holds
    /// `K` times `V` vectors.
    #[inline(always)]
    unsafe fn multiply<F: Feed, const V: usize, const K: usize, const P: usize, const FIRST: bool>(
        &self,
        s: S,
        index: usize,
        rotation: &[u32; MAX_LANES],
        weights: *const f32,
        sums: &mut [[S::Vector; V]; P],
    ) {
        let mut taps = [[s.splat(0.0); V]; K];
        for j in 0..K {
            for v in 0..V {
                // SAFETY: the caller's promise.
                taps[j][v] = unsafe { s.load(weights.add((j * V + v) * S::LANES)) };
            }
        }
        for q in 0..P + K - 1 {
            if (q < K - 1 || q >= P) && !self.inside.contains(&q) {
                continue;
            }
            // SAFETY: the caller's promise.
            let operand = unsafe {
                let pixel = self.pixels.wrapping_add(q * self.stride);
                F::operand::<S, FIRST>(s, pixel, index, self.mask, rotation)
            };
            for j in 0..K {
                if j <= q && q - j < P {
                    for v in 0..V {
                        sums[q - j][v] = s.fma(operand, taps[j][v], sums[q - j][v]);
                    }
                }
            }
        }
    }
}

/// Computes every value of `grad_weights` from the batch `x`, `grad_y`. `c` is
/// the forward correlation.
pub(super) fn backward_weights(
    ctx: &Context,
    c: &Correlation,
    x: &[f32],
    grad_y: &[f32],
    grad_weights: &mut [f32],
) {
    let len = packed_len(ctx.isa(), c);
    let strips = Strips::new(x.len() / c.source.len(), c.target, STRIP_VALUES);
    let sum = sum_over_strips(ctx, &strips, len, |strip, is_first, sums| {
        dispatch(ctx, StripSums { isa: ctx.isa(), c, x, grad_y, strip, is_first, sums });
    });
    let mut start = 0;
    for run in c.runs() {
        let layout = Layout::new(ctx.isa(), run);
        layout.for_each_weight(c, run, |at, weight| grad_weights[weight] = sum[start + at]);
        start += run_len(ctx.isa(), c, run);
    }
}

/// Adds one strip of pixels to the packed gradient.
struct StripSums<'a> {
    isa: Isa,
    c: &'a Correlation,
    x: &'a [f32],
    grad_y: &'a [f32],
    strip: Strip,
    /// Whether `sums` is overwritten rather than added to.
    is_first: bool,
    sums: &'a mut [f32],
}

impl Kernel for StripSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut start = 0;
        for run in self.c.runs() {
            let layout = Layout::new(self.isa, run);
            match (layout.rotates, self.c.columns.taps) {
                (true, 3) => self.all::<S, Rotations, 3>(s, run, &layout, start),
                (true, 5) => self.all::<S, Rotations, 5>(s, run, &layout, start),
                (true, 7) => self.all::<S, Rotations, 7>(s, run, &layout, start),
                (false, 3) => self.all::<S, Broadcasts, 3>(s, run, &layout, start),
                (false, 5) => self.all::<S, Broadcasts, 5>(s, run, &layout, start),
                (false, 7) => self.all::<S, Broadcasts, 7>(s, run, &layout, start),
                other => unreachable!("{other:?} does not fit this family"),
            }
            start += run_len(self.isa, self.c, run);
        }
    }
}

/// One vector of one block in one kernel row.
struct Column<'a> {
    /// First source channel, and first target channel of the vector.
    source_channel: usize,
    target_channel: usize,
    /// Source channels that an operand reads, target channels of the vector.
    source_lanes: usize,
    target_lanes: usize,
    /// What is added to a target row to find the source row.
    row_shift: isize,
    rotations: &'a [[u32; MAX_LANES]],
}

impl StripSums<'_> {
    #[inline(always)]
    fn all<S: Simd, F: Feed, const K: usize>(&mut self, s: S, run: &Run, layout: &Layout, start: usize) {
        let rotations: [_; MAX_LANES] = std::array::from_fn(|r| layout.rotation(r));
        // Sums, a window of gradients and an operand fit the registers.
        let most = match (S::REGISTERS, K) {
            (32.., 3) => 8,
            (32.., 5) => 4,
            (32.., _) | (_, 3) => 3,
            _ => 1,
        };
        for block in 0..layout.blocks() {
            let (first, channels) = layout.channels(block);
            for row in 0..self.c.rows.taps {
                for vector in 0..layout.vectors {
                    let column = Column {
                        source_channel: run.source_start + first,
                        target_channel: run.target_start + first + vector * S::LANES,
                        source_lanes: channels.min(S::LANES),
                        target_lanes: (channels - vector * S::LANES).min(S::LANES),
                        row_shift: self.c.rows.shift(0, row).unwrap_or_default(),
                        rotations: &rotations,
                    };
                    let row_start =
                        start + block * layout.block_len(self.c) + row * layout.c * K * layout.width();
                    let mut r = 0;
                    while r < layout.c {
                        let count = (layout.c - r).div_ceil((layout.c - r).div_ceil(most));
                        let place = row_start + r * K * layout.width() + vector * S::LANES;
                        with_constant!(R = count, in [1 2 3 4 5 6 7 8]
                            => self.operands::<S, F, K, R>(s, &column, r, place, layout.width()));
                        r += count;
                    }
                }
            }
        }
    }

    /// Adds `operand[i] * gradient` for `R` operands from `first` on, all taps
    /// of the kernel row at once: a window of `K` gradients slides over the row.
    #[inline(always)]
    fn operands<S: Simd, F: Feed, const K: usize, const R: usize>(
        &mut self,
        s: S,
        column: &Column<'_>,
        first: usize,
        place: usize,
        width: usize,
    ) {
        let Correlation { columns, source, target, .. } = self.c;
        // The gradient that meets source column x by tap j is that of target
        // column x + before - j.
        let before = (-columns.shift(0, 0).unwrap_or_default()) as usize;
        let source_mask = s.mask(column.source_lanes);
        let target_mask = s.mask(column.target_lanes);
        let mut sums = [[s.splat(0.0); K]; R];
        for image in self.strip.images.clone() {
            for row in self.strip.rows.clone() {
                let source_row = row as isize + column.row_shift;
                if !(0..source.h as isize).contains(&source_row) {
                    continue;
                }
                let x = (image * source.h + source_row as usize) * source.w * source.c;
                let x = &self.x[x..x + source.w * source.c];
                let grad_y = (image * target.h + row) * target.w * target.c;
                let grad_y = &self.grad_y[grad_y..grad_y + target.w * target.c];
                // SAFETY: pixels are read inside the two rows, from the block's
                // channels on as many values as the masks have lanes.
                unsafe {
                    let mut pixel = x.as_ptr().add(column.source_channel);
                    let gradients = grad_y.as_ptr().add(column.target_channel);
                    let gradient = |at: usize| match at < target.w {
                        true => s.load_masked(gradients.add(at * target.c), target_mask),
                        false => s.splat(0.0),
                    };
                    let mut window = [s.splat(0.0); K];
                    for i in 0..before.min(K) {
                        window[i] = gradient(before - 1 - i);
                    }
                    for at in 0..source.w {
                        for j in (1..K).rev() {
                            window[j] = window[j - 1];
                        }
                        window[0] = gradient(at + before);
                        for i in 0..R {
                            let index = first + i;
                            let rotation = &column.rotations[index % MAX_LANES];
                            let operand = F::operand::<S, false>(s, pixel, index, source_mask, rotation);
                            for j in 0..K {
                                sums[i][j] = s.fma(operand, window[j], sums[i][j]);
                            }
                        }
                        pixel = pixel.wrapping_add(source.c);
                    }
                }
            }
        }
        for i in 0..R {
            for j in 0..K {
                let slot = &mut self.sums[place + (i * K + j) * width..][..S::LANES];
                // SAFETY: the slot holds a vector.
                unsafe {
                    let sum =
                        if self.is_first { sums[i][j] } else { s.add(s.load(slot.as_ptr()), sums[i][j]) };
                    s.store(slot.as_mut_ptr(), sum);
                }
            }
        }
    }
}
