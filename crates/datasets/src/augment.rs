//! The steps of augmentation, as files name them.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One random change, written in files as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Augment {
    /// `pad-crop PIXELS`: pads every side with `pixels` rows and columns of black (byte 0,
    /// before normalisation, as torchvision's `RandomCrop` does) and cuts out a window of the
    /// original size at a uniformly drawn place. He et al., arXiv:1512.03385, section 4.2, use
    /// 4 pixels for 32x32 images.
    PadCrop {
        /// Rows and columns added on each side; less than the image's extent, which
        /// [`load`](crate::load) checks.
        pixels: NonZero<u8>,
    },
    /// `flip`: exchanges left and right with probability 1/2.
    Flip,
    /// `random-resized-crop LEAST MOST`: cuts out a part whose share of the area is drawn from
    /// this range (0.08 to 1 if left out) and whose aspect ratio from 3/4 to 4/3, and scales it
    /// to the size of the set (Szegedy et al., arXiv:1409.4842, as drawn by torchvision). It
    /// must come first.
    RandomResizedCrop {
        /// Smallest share of the area.
        least: Thousandths,
        /// Largest share.
        most: Thousandths,
    },
    /// `jitter BRIGHTNESS CONTRAST SATURATION HUE`: changes each by up to this much, like
    /// torchvision's `ColorJitter`.
    Jitter {
        /// Brightness, contrast, saturation, hue.
        by: [Thousandths; 4],
    },
    /// `cutout PIXELS`: blackens a square of this side, its centre drawn uniformly
    /// (`DeVries` and Taylor, arXiv:1708.04552).
    Cutout {
        /// Its side.
        pixels: NonZero<u8>,
    },
    /// `rand-augment OPERATIONS MAGNITUDE`: see Cubuk et al., arXiv:1909.13719.
    RandAugment {
        /// How many operations.
        operations: u8,
        /// How strong, from 0 to 30.
        magnitude: u8,
    },
    /// `mixup ALPHA`: mixes the image with the next of its batch, with a share drawn from
    /// Beta(ALPHA, ALPHA) (Zhang et al., arXiv:1710.09412).
    Mixup {
        /// Both parameters of Beta.
        alpha: Thousandths,
    },
    /// `cutmix ALPHA`: pastes a window of the next image of the batch into the image (Yun et
    /// al., arXiv:1905.04899).
    CutMix {
        /// Both parameters of Beta.
        alpha: Thousandths,
    },
}

/// A number in steps of a thousandth, so that it is written and compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thousandths(u32);

impl Thousandths {
    /// The number.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Parses a number from 0 to 100 with at most three decimals.
    fn parse(text: &str) -> Option<Self> {
        let scaled = text.parse::<f64>().ok()? * 1000.0;
        let rounded = scaled.round();
        ((0.0..=100_000.0).contains(&rounded) && (scaled - rounded).abs() < 1e-6)
            .then_some(Self(rounded as u32))
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Augment {
    /// Whether it mixes images of a batch, so that they have two labels.
    pub const fn is_mixing(&self) -> bool {
        matches!(self, Self::Mixup { .. } | Self::CutMix { .. })
    }

    /// Whether it only moves pixels, and so needs no copy of the image.
    pub(crate) const fn is_move(&self) -> bool {
        matches!(self, Self::PadCrop { .. } | Self::Flip)
    }
}

/// A string that is not an augmentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown augmentation `{text}`; known are `pad-crop PIXELS` (1 to 255), `flip`, `random-resized-crop \
     [LEAST MOST]` (shares from 0.001 to 1), `jitter BRIGHTNESS CONTRAST SATURATION HUE` (0 to 1, hue to 0.5), \
     `cutout PIXELS` (1 to 255), `rand-augment OPERATIONS MAGNITUDE` (1 to 16, 0 to 30), `mixup ALPHA` and \
     `cutmix ALPHA` (0.001 to 100); three decimals at most"
)]
pub struct ParseAugmentError {
    /// The string.
    pub text: String,
}

impl FromStr for Augment {
    type Err = ParseAugmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        parsed(&words).ok_or_else(|| ParseAugmentError { text: text.to_owned() })
    }
}

fn parsed(words: &[&str]) -> Option<Augment> {
    let number = |text: &str, least: u32, most: u32| {
        Thousandths::parse(text).filter(|number| (least..=most).contains(&number.0))
    };
    Some(match *words {
        ["flip"] => Augment::Flip,
        ["pad-crop", pixels] => Augment::PadCrop { pixels: pixels.parse().ok()? },
        ["random-resized-crop"] => {
            Augment::RandomResizedCrop { least: Thousandths(80), most: Thousandths(1000) }
        }
        ["random-resized-crop", least, most] => {
            let (least, most) = (number(least, 1, 1000)?, number(most, 1, 1000)?);
            (least <= most).then_some(Augment::RandomResizedCrop { least, most })?
        }
        ["jitter", brightness, contrast, saturation, hue] => {
            let share = |text| number(text, 0, 1000);
            let by = [share(brightness)?, share(contrast)?, share(saturation)?, number(hue, 0, 500)?];
            Augment::Jitter { by }
        }
        ["cutout", pixels] => Augment::Cutout { pixels: pixels.parse().ok()? },
        ["rand-augment", operations, magnitude] => {
            let (operations, magnitude) = (operations.parse().ok()?, magnitude.parse().ok()?);
            ((1..=16).contains(&operations) && magnitude <= 30)
                .then_some(Augment::RandAugment { operations, magnitude })?
        }
        ["mixup", alpha] => Augment::Mixup { alpha: number(alpha, 1, 100_000)? },
        ["cutmix", alpha] => Augment::CutMix { alpha: number(alpha, 1, 100_000)? },
        _ => return None,
    })
}

impl fmt::Display for Augment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PadCrop { pixels } => write!(f, "pad-crop {pixels}"),
            Self::Flip => f.write_str("flip"),
            Self::RandomResizedCrop { least, most } => write!(f, "random-resized-crop {least} {most}"),
            Self::Jitter { by: [brightness, contrast, saturation, hue] } => {
                write!(f, "jitter {brightness} {contrast} {saturation} {hue}")
            }
            Self::Cutout { pixels } => write!(f, "cutout {pixels}"),
            Self::RandAugment { operations, magnitude } => write!(f, "rand-augment {operations} {magnitude}"),
            Self::Mixup { alpha } => write!(f, "mixup {alpha}"),
            Self::CutMix { alpha } => write!(f, "cutmix {alpha}"),
        }
    }
}

impl Serialize for Augment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Augment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Parsed inside the visitor and not after it (as `serde(try_from)` would), because only
        // there is the position in the file known.
        struct InString;
        impl Visitor<'_> for InString {
            type Value = Augment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an augmentation such as \"pad-crop 2\" or \"flip\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Augment, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(InString)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pad_crop(pixels: u8) -> Augment {
        Augment::PadCrop { pixels: NonZero::new(pixels).unwrap() }
    }

    #[test]
    fn strings_are_read_and_written() {
        for (text, augment) in [("flip", Augment::Flip), ("pad-crop 4", pad_crop(4))] {
            assert_eq!(text.parse(), Ok(augment));
            assert_eq!(augment.to_string(), text);
        }
        for text in [
            "random-resized-crop 0.08 1",
            "jitter 0.4 0.4 0.4 0.1",
            "cutout 16",
            "rand-augment 2 9",
            "mixup 0.2",
            "cutmix 1",
        ] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), text);
        }
        assert_eq!("random-resized-crop".parse::<Augment>(), "random-resized-crop 0.08 1.0".parse());
        for text in [
            "mixup 0",
            "mixup",
            "cutmix x",
            "jitter 1 1 1 0.6",
            "rand-augment 0 9",
            "rand-augment 2 31",
            "random-resized-crop 0.5 0.4",
            "random-resized-crop 0 1",
            "mixup 0.0001",
            "mixup nan",
            "cutout 0",
        ] {
            assert!(text.parse::<Augment>().is_err(), "{text}");
        }
        assert_eq!("  pad-crop   4 ".parse(), Ok(pad_crop(4)));
        for text in
            ["", "Flip", "flip 1", "pad-crop", "pad-crop 0", "pad-crop -1", "pad-crop 256", "pad-crop 1 2"]
        {
            assert_eq!(text.parse::<Augment>(), Err(ParseAugmentError { text: text.to_owned() }));
        }
    }
}
