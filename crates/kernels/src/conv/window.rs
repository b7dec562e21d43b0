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
//! - **Broadcasts** (wider segments): each source channel in turn is splat over
//!   the target channels of its segment.
//!
//! Either way an operand, once made, feeds all taps of a kernel row: the sums of
//! up to sixteen neighbouring target pixels stay in registers, and operand `q`
//! of the row goes into sum `q - j` with the weights of tap `j`. Columns of
//! padding are skipped, never stored.
//!
//! Weights are packed `[block][kernel row][operand][tap][lane]`, a block being
//! the segments of one vector, or some target channels of one segment.

mod rows;
mod weights;

pub(super) use rows::{pack, rows};
pub(super) use weights::{STRIP_PIXELS, add_strip, sums_len, unpack};

use super::correlation::{Correlation, Run};
use crate::{
    isa::Isa,
    simd::{self, MAX_LANES, Simd},
};

/// Whether this family computes the output and the input's gradient of `c` with
/// the instructions of `isa`. Wider segments fill the tiles of a matrix product.
pub(super) fn fits(c: &Correlation, isa: Isa) -> bool {
    let most = match (isa, c.columns.taps) {
        (Isa::Portable, _) => simd::lanes(isa),
        (_, 3) => 4 * simd::lanes(isa),
        _ => 2 * simd::lanes(isa),
    };
    fits_weights(c) && c.runs().iter().all(|run| run.source_c <= most)
}

/// Whether this family computes the weights' gradient of `c`.
pub(super) fn fits_weights(c: &Correlation) -> bool {
    let is_square = |run: &Run| run.source_c == run.target_c;
    matches!(c.columns.taps, 3 | 5 | 7)
        && c.rows.is_dense()
        && c.columns.is_dense()
        && c.runs().iter().all(is_square)
}

/// How the segments of a run are laid out in vectors.
#[derive(Clone, Copy)]
struct Layout {
    lanes: usize,
    /// Channels of a segment, and operands of a pixel.
    c: usize,
    /// Segments of a full block; more than one only where operands are rotated.
    segments: usize,
    /// Segments of the whole run.
    groups: usize,
    /// Blocks that the target channels of a segment are cut into.
    panels: usize,
    /// Vectors of a block.
    vectors: usize,
    rotates: bool,
}

/// The channels of a block, counted within its run.
#[derive(Clone, Copy)]
struct Channels {
    source: usize,
    source_count: usize,
    target: usize,
    target_count: usize,
}

impl Layout {
    /// A layout whose blocks have at most `most_vectors` vectors.
    fn new(isa: Isa, run: &Run, most_vectors: usize) -> Self {
        let (lanes, c) = (simd::lanes(isa), run.source_c);
        let rotates = 2 * c <= lanes;
        let segments = if rotates { lanes / c } else { 1 };
        let all = c.div_ceil(lanes);
        let vectors = if all.is_multiple_of(most_vectors) { most_vectors } else { 1 };
        Self { lanes, c, segments, groups: run.groups, panels: all / vectors, vectors, rotates }
    }

    fn blocks(&self) -> usize {
        self.groups.div_ceil(self.segments) * self.panels
    }

    /// Values of one packed operand of one tap.
    fn width(&self) -> usize {
        self.vectors * self.lanes
    }

    /// Packed values of a block.
    fn block_len(&self, correlation: &Correlation) -> usize {
        correlation.taps() * self.c * self.width()
    }

    fn channels(&self, block: usize) -> Channels {
        let first = block / self.panels * self.segments;
        let source_count = self.segments.min(self.groups - first) * self.c;
        let panel = block % self.panels * self.width();
        Channels {
            source: first * self.c,
            source_count,
            target: first * self.c + panel,
            target_count: (source_count - panel).min(self.width()),
        }
    }

    /// Group, source and target channel that a lane of an operand stands for.
    fn pair(&self, block: usize, operand: usize, lane: usize) -> Option<(usize, usize, usize)> {
        let first = block / self.panels * self.segments;
        let (group, source, target) = if self.rotates {
            (first + lane / self.c, (lane % self.c + operand) % self.c, lane % self.c)
        } else {
            (first, operand, block % self.panels * self.width() + lane)
        };
        (lane < self.channels(block).target_count).then_some((group, source, target))
    }

    /// The rotations of a vector of segments; none where operands are broadcast.
    fn rotations(&self) -> AllRotations {
        let mut rotations = [[0; MAX_LANES]; MAX_LANES];
        if self.rotates {
            for (r, lanes) in rotations.iter_mut().enumerate().take(self.c) {
                for (lane, from) in lanes.iter_mut().enumerate() {
                    let rotated = lane / self.c * self.c + (lane % self.c + r) % self.c;
                    *from = (if rotated < self.lanes { rotated } else { lane }) as u32;
                }
            }
        }
        rotations
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

/// For each rotation and lane, the lane that it takes its value from.
type AllRotations = [[u32; MAX_LANES]; MAX_LANES];

/// How the operands of a source pixel are made.
trait Feed {
    /// Whether operands but the first are rotated, so that the first is cheaper.
    const ROTATES: bool;

    /// Operand `index` of the pixel, or zeros where the pixel is not inside the map;
    /// `FIRST` says that it is number 0.
    ///
    /// # Safety
    /// A `pixel` inside is valid for reading the values of `mask`, and value
    /// `index`.
    unsafe fn operand<S: Simd, const FIRST: bool>(
        s: S,
        pixel: *const f32,
        is_inside: bool,
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
        is_inside: bool,
        _: usize,
        mask: S::Mask,
        rotation: &[u32; MAX_LANES],
    ) -> S::Vector {
        // SAFETY: the caller's promise; an empty mask reads nothing.
        let whole = unsafe { s.load_masked(pixel, if is_inside { mask } else { s.mask(0) }) };
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
        is_inside: bool,
        index: usize,
        _: S::Mask,
        _: &[u32; MAX_LANES],
    ) -> S::Vector {
        // SAFETY: the caller's promise.
        s.splat(if is_inside { unsafe { *pixel.add(index) } } else { 0.0 })
    }
}
