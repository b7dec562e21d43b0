//! The register tile: P neighbouring columns of Q output channels, summed in
//! registers over input channels and taps.
//!
//! Every output is one sum in one order (block of input channels, input channel,
//! kernel row, kernel column), whatever the tile, so the choice of tiles changes
//! no bit.

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Twice};
use crate::{
    isa::Isa,
    layout::LANES,
    simd::{Portable, Simd, unrolled},
};

/// The most columns of a tile.
pub(super) const MOST_COLUMNS: usize = 14;
/// The most output channels of a tile.
pub(super) const MOST_CHANNELS: usize = 8;

/// What a tile reads and writes. Distances are in values.
pub(super) struct Tile<'a> {
    /// Each kernel row inside the map: the input at column 0 of channel 0, and the index of the
    /// kernel row among the packed weights.
    pub rows: &'a [(*const f32, usize)],
    /// Offset from there to the tile's first tap and input channel.
    pub offset: isize,
    /// Input channels.
    pub channels: usize,
    /// Distance between input channels.
    pub channel: usize,
    /// From an output's first input column to the next output's.
    pub column: usize,
    /// Distance between taps.
    pub tap: usize,
    /// Taps of a kernel row.
    pub taps: usize,
    /// [input channel][kernel row][tap][Q].
    pub weights: *const f32,
    /// Weights of an input channel.
    pub weights_of_channel: usize,
    /// Weights of a kernel row of an input channel.
    pub weights_of_row: usize,
    /// The tile's first output.
    pub output: *mut f32,
    /// What is fetched into the cache for later: a value for each output, as far apart.
    pub ahead: *const f32,
    /// Distance between output columns.
    pub output_column: usize,
    /// Distance between output channels.
    pub output_channel: usize,
    /// Initial values of the sums, if not zero: Q values.
    pub bias: Option<*const f32>,
    /// Whether the sums are added to the existing values.
    pub adds: bool,
}

/// How a tile reads its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every tap by itself: any kernel, stride and dilation.
    Any,
    /// Three neighbouring taps at stride 1: each input is loaded once for all three.
    Sliding,
    /// As `Any`, with one input channel per output channel.
    EachAny,
    /// As `Sliding`, with one input channel per output channel.
    EachSliding,
    /// As `Any`, of pairs of bf16 ([`crate::simd::pair`]).
    Pairs,
}

/// A compiled tile.
///
/// # Safety
/// All that the [`Tile`] describes is valid to read and write, nothing else
/// touches the outputs, and the machine has the instructions it is compiled for.
pub(super) type TileFn = unsafe fn(&Tile<'_>);

/// Whether the sums of a tile fit into the registers, with the inputs of its
/// columns and a weight.
pub(super) const fn fits(isa: Isa, kind: Kind, columns: usize, channels: usize) -> bool {
    // Beside a weight. Without AVX-512, a vector is two of sixteen registers.
    let vectors = if isa.is_avx512() { 31 } else { 7 };
    let sums = columns * channels;
    match kind {
        // The inputs of a channel are used once, directly from memory.
        Kind::Any | Kind::EachAny | Kind::Pairs if channels == 1 => sums < vectors,
        Kind::Any | Kind::EachAny | Kind::Pairs => sums + columns <= vectors,
        Kind::Sliding | Kind::EachSliding => sums + columns + 2 <= vectors,
    }
}

/// Whether there are tiles that load an input once for three taps. Of sixteen registers, inputs
/// that are kept would take too many from the sums.
pub(super) const fn can_slide(isa: Isa) -> bool {
    isa.is_avx512()
}

/// # Safety
/// As of [`TileFn`].
#[inline(always)]
unsafe fn tile<
    S: Simd,
    const P: usize,
    const Q: usize,
    const SLIDING: bool,
    const EACH: bool,
    const PAIRS: bool,
>(
    s: S,
    t: &Tile<'_>,
) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        let mut sums = [[s.splat(0.0); P]; Q];
        if let Some(bias) = t.bias {
            unrolled!(J in [0 1 2 3 4 5 6 7] below Q => { sums[J] = [s.splat(*bias.add(J)); P]; });
        }
        // One tap of one row, as most convolutions have: no loops but the one over channels.
        if let (&[(row, kernel_row)], 1, false) = (t.rows, t.taps, SLIDING) {
            let row = row.offset(t.offset);
            let weights = t.weights.add(kernel_row * t.weights_of_row);
            for channel in 0..t.channels {
                let weights = weights.add(channel * t.weights_of_channel);
                one_tap::<S, P, Q, EACH, PAIRS>(s, t, row.add(channel * t.channel), weights, &mut sums);
            }
            return finish::<S, P, Q>(s, t, &sums);
        }
        for channel in 0..t.channels {
            let weights = t.weights.add(channel * t.weights_of_channel);
            for &(row, kernel_row) in t.rows {
                let row = row.offset(t.offset).add(channel * t.channel);
                let weights = weights.add(kernel_row * t.weights_of_row);
                if SLIDING {
                    sliding::<S, P, Q, EACH>(s, t, row, weights, &mut sums);
                } else {
                    for tap in 0..t.taps {
                        let (row, weights) = (row.add(tap * t.tap), weights.add(tap * Q));
                        one_tap::<S, P, Q, EACH, PAIRS>(s, t, row, weights, &mut sums);
                    }
                }
            }
        }
        finish::<S, P, Q>(s, t, &sums);
    }
}

/// Stores the sums.
///
/// # Safety
/// As of [`TileFn`].
#[inline(always)]
unsafe fn finish<S: Simd, const P: usize, const Q: usize>(s: S, t: &Tile<'_>, sums: &[[S::Vector; P]; Q]) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        unrolled!(J in [0 1 2 3 4 5 6 7] below Q => {
            let output = t.output.add(J * t.output_channel);
            unrolled!(I in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] below P => {
                s.fetch(t.ahead.wrapping_add(J * t.output_channel + I * t.output_column));
                let (place, mut sum) = (output.add(I * t.output_column), sums[J][I]);
                if t.adds {
                    sum = s.add(s.load(place), sum);
                }
                s.store(place, sum);
            });
        });
    }
}

/// # Safety
/// As of [`TileFn`].
#[inline(always)]
unsafe fn one_tap<S: Simd, const P: usize, const Q: usize, const EACH: bool, const PAIRS: bool>(
    s: S,
    t: &Tile<'_>,
    row: *const f32,
    weights: *const f32,
    sums: &mut [[S::Vector; P]; Q],
) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        let mut inputs = [s.splat(0.0); P];
        unrolled!(J in [0 1 2 3 4 5 6 7] below Q => {
            if EACH || J == 0 {
                let row = row.add(J * t.channel);
                unrolled!(I in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] below P => { inputs[I] = s.load(row.add(I * t.column)); });
            }
            let weight = s.splat(*weights.add(J));
            unrolled!(I in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] below P => {
                let sum = sums[J][I];
                sums[J][I] = if PAIRS { s.dot(inputs[I], weight, sum) } else { s.fma(inputs[I], weight, sum) };
            });
        });
    }
}

/// # Safety
/// As of [`TileFn`]; three taps at stride 1.
#[inline(always)]
unsafe fn sliding<S: Simd, const P: usize, const Q: usize, const EACH: bool>(
    s: S,
    t: &Tile<'_>,
    row: *const f32,
    weights: *const f32,
    sums: &mut [[S::Vector; P]; Q],
) {
    // SAFETY: the caller guarantees that all memory is valid.
    unsafe {
        // P inputs and two beyond, as an array, since Rust has no arrays of a computed length.
        let (mut inputs, mut beyond) = ([s.splat(0.0); P], [s.splat(0.0); 2]);
        unrolled!(J in [0 1 2 3 4 5 6 7] below Q => {
            if EACH || J == 0 {
                let row = row.add(J * t.channel);
                unrolled!(I in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] below P => { inputs[I] = s.load(row.add(I * LANES)); });
                unrolled!(I in [0 1] below 2 => { beyond[I] = s.load(row.add((P + I) * LANES)); });
            }
            unrolled!(TAP in [0 1 2] below 3 => {
                let weight = s.splat(*weights.add(TAP * Q + J));
                unrolled!(I in [0 1 2 3 4 5 6 7 8 9 10 11 12 13] below P => {
                    let input = if I + TAP < P { inputs[(I + TAP) % P] } else { beyond[(I + TAP).wrapping_sub(P) % 2] };
                    sums[J][I] = s.fma(input, weight, sums[J][I]);
                });
            });
        });
    }
}

/// The functions of each tile for one instruction set, and the table of them.
macro_rules! tiles {
    ($name:ident, $simd:expr, $(#[$attribute:meta])* $kinds:ident [$(($p:literal: $($q:literal)*))*]) => {
        fn $name(kind: Kind, columns: usize, channels: usize) -> Option<TileFn> {
            /// # Safety
            /// As of [`TileFn`].
            $(#[$attribute])*
            unsafe fn run<const P: usize, const Q: usize, const SLIDING: bool, const EACH: bool, const PAIRS: bool>(t: &Tile<'_>) {
                // SAFETY: the caller's promise.
                unsafe { tile::<_, P, Q, SLIDING, EACH, PAIRS>($simd, t) }
            }
            match (columns, channels) {
                $($(($p, $q) => $kinds!(kind, run, $p, $q),)*)*
                _ => None,
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! every_kind {
    ($kind:ident, $run:ident, $p:literal, $q:literal) => {
        Some(match $kind {
            Kind::Any => $run::<$p, $q, false, false, false>,
            Kind::Sliding => $run::<$p, $q, true, false, false>,
            Kind::EachAny => $run::<$p, $q, false, true, false>,
            Kind::EachSliding => $run::<$p, $q, true, true, false>,
            Kind::Pairs => $run::<$p, $q, false, false, true>,
        })
    };
}

macro_rules! no_sliding {
    ($kind:ident, $run:ident, $p:literal, $q:literal) => {
        match $kind {
            Kind::Any => Some($run::<$p, $q, false, false, false> as TileFn),
            Kind::EachAny => Some($run::<$p, $q, false, true, false>),
            Kind::Pairs => Some($run::<$p, $q, false, false, true>),
            Kind::Sliding | Kind::EachSliding => None,
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! only_pairs {
    ($kind:ident, $run:ident, $p:literal, $q:literal) => {
        ($kind == Kind::Pairs).then_some($run::<$p, $q, false, false, true>)
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! avx512_tiles {
    ($($head:tt)*) => {
        tiles!($($head)*
            [(1: 1 2 3 4 5 6 7 8) (2: 1 2 3 4 5 6 7 8) (3: 1 2 3 4 5 6 7 8) (4: 1 2 3 4 5 6) (5: 1 2 3 4 5)
             (6: 1 2 3 4) (7: 1 2 3 4) (8: 1 2 3) (9: 1 2 3) (10: 1 2) (12: 1 2) (14: 1 2)]);
    };
}

#[cfg(target_arch = "x86_64")]
avx512_tiles!(
    avx512,
    Avx512::<false>::new(),
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    every_kind
);
#[cfg(target_arch = "x86_64")]
avx512_tiles!(
    avx512_bf16,
    Avx512::<true>::new(),
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
    only_pairs
);
#[cfg(target_arch = "x86_64")]
tiles!(avx2, Twice(Avx2::new()), #[target_feature(enable = "avx2,fma")] no_sliding
    [(1: 1 2 3 4 5 6) (2: 1 2) (3: 1) (4: 1) (5: 1) (6: 1)]);
tiles!(portable, Portable::<LANES>, no_sliding [(1: 1 2 3 4 5 6) (2: 1 2) (3: 1) (4: 1) (5: 1) (6: 1)]);

/// The tile of `columns` columns and `channels` output channels, if there is one.
pub(super) fn find(isa: Isa, kind: Kind, columns: usize, channels: usize) -> Option<TileFn> {
    #[cfg(target_arch = "x86_64")]
    {
        if isa.has_bf16() && kind == Kind::Pairs {
            return avx512_bf16(kind, columns, channels);
        }
        if isa.is_avx512() {
            return avx512(kind, columns, channels);
        }
        if isa.is_avx2() {
            return avx2(kind, columns, channels);
        }
    }
    let _ = isa;
    portable(kind, columns, channels)
}
