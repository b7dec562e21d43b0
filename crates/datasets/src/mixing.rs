//! Mixup and CutMix: which images of a batch are mixed, and how much.

use std::ops::Range;

use crate::random_numbers::{below, beta};
use crate::seeds::{derive_seed, stream};
use crate::{Augment, ImageShape};

/// How an image is mixed with another of its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mix {
    /// Place of the other image in the batch.
    pub with: usize,
    /// Share of the image's own labels; the other's have the rest.
    pub share: f32,
    /// The part that comes from the other image; without one, all values are blended.
    pub(crate) window: Option<Window>,
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Window {
    pub(crate) fn rows(&self) -> Range<usize> {
        self.top..self.top + self.h
    }

    /// Places of a row's values in an image of `columns` columns.
    pub(crate) fn span(&self, row: usize, columns: usize, channels: usize) -> Range<usize> {
        let begin = (row * columns + self.left) * channels;
        begin..begin + self.w * channels
    }
}

/// The mix of each image of a batch, drawn from the images' own seeds; the other image is the
/// next in the batch, cyclically. Empty if nothing is mixed. If both kinds are requested, each
/// image gets one of them at random.
pub(crate) fn mixes(augment: &[Augment], seeds: &[u64], shape: ImageShape) -> Vec<Mix> {
    let ways: Vec<Augment> = augment.iter().copied().filter(Augment::is_mixing).collect();
    if ways.is_empty() {
        return Vec::new();
    }
    let mix = |(at, &seed): (usize, &u64)| {
        let mut rng = stream(derive_seed(seed, "mix", 0, 0));
        let with = (at + 1) % seeds.len();
        match ways[below(&mut rng, ways.len())] {
            Augment::CutMix { alpha } => {
                let share = beta(&mut rng, alpha.value());
                let (row, column) = (below(&mut rng, shape.h), below(&mut rng, shape.w));
                let side = libm::sqrt(1.0 - share);
                let span = |centre: usize, extent: usize| {
                    let length = (extent as f64 * side) as usize;
                    let first = centre.saturating_sub(length / 2);
                    (first, (centre + length - length / 2).min(extent) - first)
                };
                let ((top, h), (left, w)) = (span(row, shape.h), span(column, shape.w));
                let share = 1.0 - (h * w) as f64 / (shape.h * shape.w) as f64;
                Mix { with, share: share as f32, window: Some(Window { top, left, h, w }) }
            }
            Augment::Mixup { alpha } => {
                Mix { with, share: beta(&mut rng, alpha.value()) as f32, window: None }
            }
            _ => Mix { with, share: 1.0, window: None },
        }
    };
    seeds.iter().enumerate().map(mix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { h: 10, w: 20, c: 3 };

    #[test]
    fn shares_are_those_of_the_windows() {
        let both = ["mixup 0.2", "cutmix 1"].map(|way| way.parse().unwrap());
        let seeds: Vec<u64> = (0..400).collect();
        let found = mixes(&both, &seeds, SHAPE);
        assert_eq!(found, mixes(&both, &seeds, SHAPE));
        assert_eq!((found[3].with, found[399].with), (4, 0));
        let windows = found.iter().filter_map(|mix| Some((mix.share, mix.window?)));
        assert!(windows.clone().count().abs_diff(200) < 50);
        for (share, window) in windows {
            assert!(window.top + window.h <= 10 && window.left + window.w <= 20);
            assert_eq!(share, (1.0 - (window.h * window.w) as f64 / 200.0) as f32);
        }
        assert!(mixes(&["flip".parse().unwrap()], &seeds, SHAPE).is_empty());
    }
}
