//! Whether the runs of a point show their spread, and if not, why.

use std::fmt;

use crate::numbers::plural;
use crate::statistics::Sample;

/// Test images below which a score says too little for any interval: with fewer images than this, one of them
/// changes it by more than a point.
pub const FEWEST_IMAGES: u64 = 100;

/// Why a point has no interval and takes part in no comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// One run.
    OneSeed,
    /// Several runs that differ by no more than one test image.
    NoSpread {
        /// Runs.
        runs: usize,
    },
    /// Too few test images.
    FewImages {
        /// Test images.
        images: u64,
    },
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneSeed => f.write_str("one seed tells nothing of the spread"),
            Self::NoSpread { runs } => write!(
                f,
                "{} that differ by no more than one test image tell nothing of the spread",
                plural(*runs, "run")
            ),
            Self::FewImages { images: 1 } => f.write_str("one test image is too few"),
            Self::FewImages { images } => write!(
                f,
                "{} are too few: each of them is {:.1} points of the score",
                plural(*images as usize, "test image"),
                100.0 / *images as f64
            ),
        }
    }
}

/// The sample of scores over `images` test images, if they support one. `is_share`: whether a score is the share of
/// images that are right, so that the smallest step is one image.
pub(super) fn sample(scores: &[f64], images: Option<u64>, is_share: bool) -> Result<Sample, Unsupported> {
    if let Some(images) = images.filter(|images| *images < FEWEST_IMAGES) {
        return Err(Unsupported::FewImages { images: images.max(1) });
    }
    if scores.len() < 2 {
        return Err(Unsupported::OneSeed);
    }
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let step = images.filter(|_| is_share).map_or(0.0, |images| 1.0 / images as f64);
    let no_spread = Unsupported::NoSpread { runs: scores.len() };
    if highest - lowest <= step * (1.0 + 1e-9) {
        return Err(no_spread);
    }
    Sample::of(scores).ok_or(no_spread)
}
