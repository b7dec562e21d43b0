//! Resizes images with the same bits as Pillow up to version 12.
//!
//! Pillow (`Resample.c`, 8 bits per channel) averages pixels under a filter that is widened
//! when the image shrinks, with fixed-point weights of 22 binary places: first along rows,
//! rounded to bytes, then along columns ([`decouple_kernels::resample`]). Only a window of the
//! result is computed, so that a strip of 16,000 by 1 pixels costs what a photograph does.

use decouple_kernels::isa::Isa;
use decouple_kernels::resample::{self as kernel, PLACES, Taps};
use serde::{Deserialize, Serialize};

/// The interpolation filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle: linear between two pixels.
    #[default]
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// Radius of the filter in pixels, if the size stays the same.
    const fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest => f64::from(u8::from(x <= 0.5)),
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            Self::Bicubic => 0.0,
        }
    }
}

/// One axis of a scaling: the part `from..from + len` of `source` pixels becomes `scaled`
/// pixels, of which `window` from `first` on are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Side {
    pub(crate) source: usize,
    pub(crate) from: f64,
    pub(crate) len: f64,
    pub(crate) scaled: usize,
    pub(crate) first: usize,
    pub(crate) window: usize,
}

impl Side {
    /// All of `source` pixels scaled to `scaled`, from which a window is cut.
    pub(crate) const fn whole(source: usize, scaled: usize, first: usize, window: usize) -> Self {
        Self { source, from: 0.0, len: source as f64, scaled, first, window }
    }

    /// The part `from..from + len` of `source` pixels scaled to `scaled`.
    pub(crate) const fn part(source: usize, from: usize, len: usize, scaled: usize) -> Self {
        Self { source, from: from as f64, len: len as f64, scaled, first: 0, window: scaled }
    }

    /// How many pixels of the source become one.
    pub(crate) const fn shrink(&self) -> f64 {
        self.len / self.scaled as f64
    }

    /// The same part of a source that is reduced by `by`.
    pub(crate) const fn reduced(self, by: usize) -> Self {
        let (from, len) = (self.from / by as f64, self.len / by as f64);
        Self { source: self.source.div_ceil(by), from, len, ..self }
    }

    fn taps(&self, filter: Filter) -> Taps {
        let scale = self.len / self.scaled as f64;
        let widened = if filter == Filter::Nearest { 1.0 } else { scale.max(1.0) };
        let support = filter.support() * widened;
        let of_pixel = |at: usize| {
            let centre = self.from + (at as f64 + 0.5) * scale;
            if filter == Filter::Nearest {
                return ((centre as usize).min(self.source - 1), vec![1 << PLACES]);
            }
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(self.source);
            let exact: Vec<f64> = (first..last)
                .map(|pixel| filter.weight((pixel as f64 - centre + 0.5) * (1.0 / widened)))
                .collect();
            let sum: f64 = exact.iter().sum();
            let rounded = |weight: f64| {
                let scaled = weight / sum * f64::from(1_u32 << PLACES);
                (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
            };
            (first, exact.into_iter().map(rounded).collect())
        };
        let of_pixels: Vec<_> = (self.first..self.first + self.window).map(of_pixel).collect();
        Taps::new(self.source, &of_pixels)
    }
}

/// Scales `source`, (h, w, C) bytes with `rows.source` rows and `columns.source`
/// columns, and writes the window to `out`, (`rows.window`, `columns.window`, C) bytes.
pub(crate) fn resample<const C: usize>(
    source: &[u8],
    rows: Side,
    columns: Side,
    filter: Filter,
    out: &mut [u8],
) {
    kernel::resample::<C>(Isa::best(), source, &rows.taps(filter), &columns.taps(filter), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture without symmetry: (x * 37 + y * 101 + c * 59 + x * y * 7) % 256.
    fn picture(h: usize, w: usize) -> Vec<u8> {
        let byte = |y: usize, x: usize, c: usize| ((x * 37 + y * 101 + c * 59 + x * y * 7) % 256) as u8;
        (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..3).map(move |c| byte(y, x, c)))).collect()
    }

    fn whole(h: usize, w: usize, to_h: usize, to_w: usize, filter: Filter) -> Vec<u8> {
        let (rows, columns) = (Side::whole(h, to_h, 0, to_h), Side::whole(w, to_w, 0, to_w));
        resampled::<3>(&picture(h, w), rows, columns, filter)
    }

    fn resampled<const C: usize>(source: &[u8], rows: Side, columns: Side, filter: Filter) -> Vec<u8> {
        let mut out = vec![0; rows.window * columns.window * C];
        resample::<C>(source, rows, columns, filter, &mut out);
        out
    }

    /// CRC-32 of what Pillow 12's `Image.resize` makes (tools/pillow-resample.py).
    #[test]
    fn results_are_those_of_pillow() {
        for (sizes, filter, expected) in PILLOW {
            let [h, w, to_h, to_w] = sizes;
            let mut found = flate2::Crc::new();
            found.update(&whole(h, w, to_h, to_w, filter));
            assert_eq!(found.sum(), expected, "{sizes:?} {filter:?}");
        }
    }

    const PILLOW: [([usize; 4], Filter, u32); 10] = [
        ([40, 60, 20, 30], Filter::Bilinear, 0x0c6f5213),
        ([40, 60, 20, 30], Filter::Bicubic, 0x82d4bcc7),
        ([31, 17, 64, 48], Filter::Bilinear, 0x72de8d7a),
        ([31, 17, 64, 48], Filter::Bicubic, 0x82fbe33e),
        ([200, 90, 33, 32], Filter::Bilinear, 0xe6ff5003),
        ([200, 90, 33, 32], Filter::Bicubic, 0x11c4d459),
        ([16, 16, 24, 16], Filter::Bilinear, 0x0cf3b352),
        ([16, 16, 24, 16], Filter::Bicubic, 0xc9f97609),
        ([7, 300, 9, 5], Filter::Bilinear, 0x7b6e4773),
        ([7, 300, 9, 5], Filter::Bicubic, 0x6681e62e),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_window_is_cut_out_of_the_whole(
            h in 1_usize..20, w in 1_usize..20, to_h in 1_usize..30, to_w in 1_usize..30,
            cut in 0.0..1.0_f64, bicubic: bool,
        ) {
            let filter = if bicubic { Filter::Bicubic } else { Filter::Bilinear };
            let all = whole(h, w, to_h, to_w, filter);
            let (top, left) = ((to_h as f64 * cut) as usize, (to_w as f64 * cut * cut) as usize);
            let (rows, columns) = (to_h - top, (to_w - left).div_ceil(2));
            let window = resampled::<3>(
                &picture(h, w), Side::whole(h, to_h, top, rows), Side::whole(w, to_w, left, columns), filter,
            );
            for (row, window) in window.chunks_exact(columns * 3).enumerate() {
                prop_assert_eq!(&all[((top + row) * to_w + left) * 3..][..columns * 3], window);
            }
        }

        #[test]
        fn one_colour_stays_one_colour(h in 1_usize..30, w in 1_usize..30, to_h in 1_usize..60, grey: u8) {
            let (rows, columns) = (Side::whole(h, to_h, 0, to_h), Side::whole(w, 7, 0, 7));
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
                let found = resampled::<1>(&vec![grey; h * w], rows, columns, filter);
                prop_assert!(found.iter().all(|&byte| byte == grey));
            }
        }
    }
}
