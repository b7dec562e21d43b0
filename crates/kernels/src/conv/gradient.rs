//! The gradient of weights: a tile of sums over (input channel, output channel, tap) stays in
//! registers while rows of inputs and output gradients are read.
//!
//! Each sum is a vector with one lane per image, which takes rows and columns in ascending
//! order, whatever the tile; lanes are added at the end. Winograd tiles sum their components so too.

use std::ops::Range;

use super::direct::{Rows, WeightOrder};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::{
    geometry::{ConvGeometry, pieces},
    isa::Isa,
    layout::{LANES, MapLayout},
    simd::{Portable, Simd, unrolled},
};

/// Bytes of inputs that stay in the second-level cache while all output gradients are read.
const CACHED_INPUTS: usize = 512 << 10;

/// What a tile reads and writes. Distances are in values.
struct Tile {
    inputs: Rows,
    gradients: Rows,
    /// Output rows.
    rows: Range<usize>,
    /// Input row of output row r and the tile's first kernel row: `r * row_step + row_offset`. Nothing is
    /// read beyond the map's rows.
    row_step: usize,
    row_offset: isize,
    input_rows: usize,
    /// Offset from the beginning of an input row to the tile's first value.
    input: isize,
    input_channel: usize,
    input_column: usize,
    /// Offset from the beginning of a gradient's row to the tile's first value.
    gradient: isize,
    gradient_channel: usize,
    /// Offset from there to the channel of gradients that is prefetched for later tiles.
    fetched: usize,
    /// Columns to process: of the output, or of the input if three taps slide.
    columns: usize,
    /// Index of the tile's first sum among the weights.
    first: usize,
    of_input: usize,
    of_output: usize,
    of_tap: usize,
    of_row: usize,
    sums: Sums,
}

/// Sources and destinations of the sums.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// What is kept between calls: by the definition a vector for each weight.
    pub running: *mut f32,
    /// Whether nothing has been summed yet, so that `running` need not be read.
    pub is_first: bool,
    /// Where the gradient goes, one value per weight, if these are the last rows.
    pub total: Option<*mut f32>,
}

/// # Safety
/// All that the [`Tile`] describes is valid to read and write, nothing else
/// touches the sums, and the machine has the instructions it is compiled for.
type TileFn = unsafe fn(&Tile);

/// The taps of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One tap: any kernel, stride and dilation.
    One,
    /// The three taps of a kernel row at stride 1.
    Three,
    /// All taps of a 3x3 kernel at stride 1.
    Nine,
}

/// Repeats `$body` for each kernel row, input channel, output channel and tap of a tile.
macro_rules! each_sum {
    ($row:ident $input:ident $output:ident $tap:ident of [$rows:ident $inputs:ident $outputs:ident $taps:ident] => $body:block) => {
        unrolled!($row in [0 1 2] below $rows => { unrolled!($input in [0 1 2 3] below $inputs => {
            unrolled!($output in [0 1 2 3 4 5] below $outputs => { unrolled!($tap in [0 1 2] below $taps => $body); });
        }); });
    };
}

/// # Safety
/// As of [`TileFn`].
#[inline(always)]
unsafe fn tile<S: Simd, const I: usize, const O: usize, const TAPS: usize, const ROWS: usize>(
    s: S,
    t: &Tile,
) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        let mut sums = [[[[[s.splat(0.0); TAPS]; O]; I]; ROWS]; 2];
        if !t.sums.is_first {
            each_sum!(R A B T of [ROWS I O TAPS] => {
                let place = t.first + R * t.of_row + A * t.of_input + B * t.of_output + T * t.of_tap;
                unrolled!(PART in [0 1] below LANES / S::WIDTH => {
                    sums[PART][R][A][B][T] = s.load(t.sums.running.add(place * LANES + PART * S::WIDTH));
                });
            });
        }
        for row in t.rows.clone() {
            let gradients = t.gradients.at(row).offset(t.gradient).cast_const();
            let (mut inputs, mut is_inside) = ([std::ptr::null(); ROWS], [true; ROWS]);
            unrolled!(R in [0 1 2] below ROWS => {
                let row = (row * t.row_step + R).wrapping_add_signed(t.row_offset);
                is_inside[R] = row < t.input_rows;
                if is_inside[R] {
                    inputs[R] = t.inputs.at(row).offset(t.input).cast_const();
                }
            });
            // A register of half the lanes sums one half after the other, while the row is in the cache.
            unrolled!(PART in [0 1] below LANES / S::WIDTH => {
                let (sums, lane) = (&mut sums[PART], PART * S::WIDTH);
                if is_inside == [true; ROWS] {
                    let inputs = inputs.map(|input| input.add(lane));
                    columns::<S, I, O, TAPS, ROWS>(s, t, gradients.add(lane), inputs, sums);
                } else {
                    // A row at the edge of the map, which some kernel rows do not reach.
                    unrolled!(R in [0 1 2] below ROWS => {
                        if is_inside[R] {
                            let mut of_row = [sums[R]];
                            let input = [inputs[R].add(lane)];
                            columns::<S, I, O, TAPS, 1>(s, t, gradients.add(lane), input, &mut of_row);
                            sums[R] = of_row[0];
                        }
                    });
                }
            });
        }
        each_sum!(R A B T of [ROWS I O TAPS] => {
            let place = t.first + R * t.of_row + A * t.of_input + B * t.of_output + T * t.of_tap;
            if let Some(total) = t.sums.total {
                let mut sum = sums[0][R][A][B][T];
                if S::WIDTH < LANES {
                    sum = s.add(sum, sums[1][R][A][B][T]);
                }
                *total.add(place) = s.sum(sum);
            } else {
                unrolled!(PART in [0 1] below LANES / S::WIDTH => {
                    s.store(t.sums.running.add(place * LANES + PART * S::WIDTH), sums[PART][R][A][B][T]);
                });
            }
        });
    }
}

/// Adds the products of an output row and the input rows of the kernel's rows.
///
/// # Safety
/// As of [`TileFn`].
#[inline(always)]
unsafe fn columns<S: Simd, const I: usize, const O: usize, const TAPS: usize, const ROWS: usize>(
    s: S,
    t: &Tile,
    gradients: *const f32,
    inputs: [*const f32; ROWS],
    sums: &mut [[[[S::Vector; TAPS]; O]; I]; ROWS],
) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        let mut last = [s.splat(0.0); O];
        let mut middle = last;
        let mut first = last;
        if TAPS == 3 {
            unrolled!(B in [0 1 2 3 4 5] below O => {
                last[B] = s.load(gradients.add(B * t.gradient_channel));
                middle[B] = s.load(gradients.add(B * t.gradient_channel + LANES));
            });
        }
        // With three taps, an input meets last the gradient of the output whose first tap it is.
        for column in 0..t.columns {
            let ahead = if TAPS == 3 { column + 2 } else { column };
            unrolled!(B in [0 1 2 3 4 5] below O => { first[B] = s.load(gradients.add(B * t.gradient_channel + ahead * LANES)); });
            if ROWS == 1 {
                s.fetch(gradients.wrapping_add(t.fetched + column * LANES));
            } else {
                // The next channel's part of the row that is read for the first time. A tile's rows lie
                // far apart, which the processor does not predict.
                s.fetch(inputs[ROWS - 1].wrapping_add(I * t.input_channel + column * LANES));
            }
            unrolled!(R in [0 1 2] below ROWS => { unrolled!(A in [0 1 2 3] below I => {
                let input = s.load(inputs[R].add(A * t.input_channel + column * t.input_column));
                unrolled!(B in [0 1 2 3 4 5] below O => {
                    sums[R][A][B][0] = s.fma(input, first[B], sums[R][A][B][0]);
                    if TAPS == 3 {
                        sums[R][A][B][1 % TAPS] = s.fma(input, middle[B], sums[R][A][B][1 % TAPS]);
                        sums[R][A][B][2 % TAPS] = s.fma(input, last[B], sums[R][A][B][2 % TAPS]);
                    }
                });
            }); });
            (last, middle) = (middle, first);
        }
    }
}

/// The functions of each tile for one instruction set, and the table of them.
macro_rules! tiles {
    ($name:ident, $simd:expr, $(#[$attribute:meta])*
        one [$($one_i:literal $one_o:literal),*] three [$($three_i:literal $three_o:literal),*] nine [$($nine_i:literal $nine_o:literal),*]) => {
        fn $name(kind: Kind, inputs: usize, outputs: usize) -> Option<TileFn> {
            /// # Safety
            /// As of [`TileFn`].
            $(#[$attribute])*
            unsafe fn run<const I: usize, const O: usize, const TAPS: usize, const ROWS: usize>(t: &Tile) {
                // SAFETY: the caller's promise.
                unsafe { tile::<_, I, O, TAPS, ROWS>($simd, t) }
            }
            match (kind, inputs, outputs) {
                $((Kind::One, $one_i, $one_o) => Some(run::<$one_i, $one_o, 1, 1>),)*
                $((Kind::Three, $three_i, $three_o) => Some(run::<$three_i, $three_o, 3, 1>),)*
                $((Kind::Nine, $nine_i, $nine_o) => Some(run::<$nine_i, $nine_o, 3, 3>),)*
                _ => None,
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(avx512, Avx512::<false>::new(), #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    one [1 1, 1 2, 1 3, 1 4, 1 5, 1 6, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6, 3 1, 3 2, 3 3, 3 4, 3 5, 3 6, 4 1, 4 2, 4 3, 4 4, 4 5, 4 6]
    three [1 1, 1 2, 2 1, 2 2, 3 1, 3 2, 4 1, 4 2]
    nine [1 1, 1 2]);
macro_rules! sixteen_register_tiles {
    ($($head:tt)*) => {
        tiles!($($head)*
            one [1 1, 1 2, 1 3, 2 1, 2 2, 2 3, 3 1, 3 2, 3 3, 4 1, 4 2, 4 3] three [1 1, 2 1, 3 1, 4 1] nine [1 1]);
    };
}

#[cfg(target_arch = "x86_64")]
sixteen_register_tiles!(avx2, Avx2::new(), #[target_feature(enable = "avx2,fma")]);
sixteen_register_tiles!(portable, Portable::<8>,);

fn find(isa: Isa, kind: Kind, inputs: usize, outputs: usize) -> Option<TileFn> {
    #[cfg(target_arch = "x86_64")]
    {
        if isa.is_avx512() {
            return avx512(kind, inputs, outputs);
        }
        if isa.is_avx2() {
            return avx2(kind, inputs, outputs);
        }
    }
    let _ = isa;
    portable(kind, inputs, outputs)
}

/// The most input and output channels of a tile.
fn extents(isa: Isa, kind: Kind) -> (usize, usize) {
    match (isa.is_avx512(), kind) {
        (true, Kind::One) => (4, 6),
        (true, Kind::Three) => (4, 2),
        (true, Kind::Nine) => (1, 2),
        (false, Kind::One) => (4, 3),
        (false, Kind::Three) => (4, 1),
        (false, Kind::Nine) => (1, 1),
    }
}

/// Sums the gradient of a convolution's weights.
#[derive(Clone, Debug)]
pub(crate) struct DirectGradient {
    geometry: ConvGeometry,
    order: WeightOrder,
    input: MapLayout,
    output: MapLayout,
    isa: Isa,
}

impl DirectGradient {
    pub(crate) fn new(
        isa: Isa,
        (geometry, order): (ConvGeometry, WeightOrder),
        [input, output]: [MapLayout; 2],
    ) -> Self {
        Self { geometry, order, input, output, isa }
    }

    /// Values that [`Sums::running`] has.
    pub(crate) fn running(&self) -> usize {
        self.geometry.weight_count() * LANES
    }

    /// Adds the contribution of the output rows `rows`.
    ///
    /// # Safety
    /// `gradients` holds these rows of the output's gradient and `inputs` all rows
    /// that they read, with their margins; `sums` has [`Self::running`] values
    /// that nothing else touches.
    pub(crate) unsafe fn rows(&self, rows: Range<usize>, inputs: Rows, gradients: Rows, sums: Sums) {
        let o = self.geometry.options();
        let is_sliding = (o.kernel_w, o.stride, o.dilation) == (3, 1, 1);
        let mut first = 0;
        for segment in 0..o.segments {
            let (from, to) = (self.geometry.segment_inputs(segment), self.geometry.segment_outputs(segment));
            let is_narrow = from.len().min(to.len()) <= 2;
            let kind = match (is_sliding, is_narrow && o.kernel_h == 3) {
                (false, _) => Kind::One,
                (true, false) => Kind::Three,
                (true, true) => Kind::Nine,
            };
            let (most_inputs, most_outputs) = extents(self.isa, kind);
            let block = self.cached_inputs(rows.len()).next_multiple_of(most_inputs);
            for begin in from.clone().step_by(block) {
                let block = begin..(begin + block).min(from.end);
                let mut later = pieces(to.clone(), most_outputs).skip(1);
                for outputs in pieces(to.clone(), most_outputs) {
                    let next = later.next().unwrap_or(outputs.clone());
                    for (number, inputs_of_tile) in pieces(block.clone(), most_inputs).enumerate() {
                        let corner = Corner {
                            kind,
                            // Each tile prefetches one of the channels after these.
                            fetched: next.start + number % next.len() - outputs.start,
                            inputs: inputs_of_tile.clone(),
                            outputs: outputs.clone(),
                            first: first
                                + self.place(
                                    from.len(),
                                    inputs_of_tile.start - from.start,
                                    outputs.start - to.start,
                                ),
                            segment_inputs: from.len(),
                        };
                        // SAFETY: the caller's promise.
                        unsafe { self.corner(&corner, &rows, inputs, gradients, sums) };
                    }
                }
            }
            first += from.len() * to.len() * o.kernel_h * o.kernel_w;
        }
    }

    /// Input channels whose rows stay in the second-level cache.
    fn cached_inputs(&self, rows: usize) -> usize {
        (CACHED_INPUTS / (rows.max(1) * self.input.channel() * size_of::<f32>())).max(1)
    }

    /// Index of the first weight from an input to an output channel of a segment.
    fn place(&self, segment_inputs: usize, input: usize, output: usize) -> usize {
        let (of_input, of_output, ..) = self.distances(segment_inputs);
        input * of_input + output * of_output
    }

    /// Strides, in weights, between input channels, output channels, taps and kernel rows.
    fn distances(&self, segment_inputs: usize) -> (usize, usize, usize, usize) {
        let o = self.geometry.options();
        let of_output = segment_inputs * o.kernel_h * o.kernel_w;
        match self.order {
            WeightOrder::ChannelFirst => (o.kernel_h * o.kernel_w, of_output, 1, o.kernel_w),
            WeightOrder::ChannelLast => (1, of_output, segment_inputs, segment_inputs * o.kernel_w),
        }
    }

    /// All taps of some input and output channels.
    ///
    /// # Safety
    /// As of [`Self::rows`].
    unsafe fn corner(&self, corner: &Corner, rows: &Range<usize>, inputs: Rows, gradients: Rows, sums: Sums) {
        let o = self.geometry.options();
        let run = |(ky, kx): (usize, usize), rows: Range<usize>| {
            // SAFETY: the caller's promise.
            unsafe { self.taps(corner, (ky, kx), rows, [inputs, gradients], sums) };
        };
        if corner.kind == Kind::Nine {
            return run((0, 0), rows.clone());
        }
        for ky in 0..o.kernel_h {
            let valid = self.rows_of(ky, rows);
            let taps = if corner.kind == Kind::Three { 1 } else { o.kernel_w };
            (0..taps).for_each(|kx| run((ky, kx), valid.clone()));
        }
    }

    /// The taps of one tile, the first of them `(ky, kx)`.
    ///
    /// # Safety
    /// As of [`Self::rows`].
    unsafe fn taps(
        &self,
        corner: &Corner,
        (ky, kx): (usize, usize),
        rows: Range<usize>,
        [inputs, gradients]: [Rows; 2],
        sums: Sums,
    ) {
        let o = self.geometry.options();
        let tile = find(self.isa, corner.kind, corner.inputs.len(), corner.outputs.len());
        let tile = tile.expect("extents are those of tiles");
        let (of_input, of_output, of_tap, of_row) = self.distances(corner.segment_inputs);
        let left = o.padding.left as isize;
        // If three taps slide, inputs are read from column 0, and gradients from the column of the
        // last tap.
        let (input, gradient, columns) = match corner.kind {
            Kind::One => ((kx * o.dilation) as isize - left, 0, self.output.shape.w),
            _ => (0, left - 2, self.input.shape.w),
        };
        // SAFETY: the caller's promise.
        unsafe {
            tile(&Tile {
                inputs,
                gradients,
                rows,
                row_step: o.stride,
                row_offset: (ky * o.dilation) as isize - o.padding.top as isize,
                input_rows: self.input.shape.h,
                input: input * LANES as isize + (corner.inputs.start * self.input.channel()) as isize,
                input_channel: self.input.channel(),
                input_column: o.stride * LANES,
                gradient: gradient * LANES as isize + (corner.outputs.start * self.output.channel()) as isize,
                gradient_channel: self.output.channel(),
                fetched: corner.fetched * self.output.channel(),
                columns,
                first: corner.first + ky * of_row + kx * of_tap,
                of_input,
                of_output,
                of_tap,
                of_row,
                sums,
            });
        }
    }

    /// Those of the output rows `rows` for which kernel row `ky` lies in the map.
    fn rows_of(&self, ky: usize, rows: &Range<usize>) -> Range<usize> {
        let o = self.geometry.options();
        let tap = ky * o.dilation;
        let first = o.padding.top.saturating_sub(tap).div_ceil(o.stride).max(rows.start);
        // The last output row whose input row is below the map's end.
        let end = (self.input.shape.h + o.padding.top).saturating_sub(tap).div_ceil(o.stride).min(rows.end);
        first.min(rows.end)..end.max(first.min(rows.end))
    }
}

/// The weights between some input and output channels of a segment.
struct Corner {
    kind: Kind,
    inputs: Range<usize>,
    outputs: Range<usize>,
    /// Channels from the first output to the one whose gradients are prefetched.
    fetched: usize,
    /// Index of the first.
    first: usize,
    segment_inputs: usize,
}
