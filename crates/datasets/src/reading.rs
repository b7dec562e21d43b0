//! How photographs are read: limits and target format.

use serde::{Deserialize, Serialize};

use crate::Skipped;
use crate::framing::{Fit, Framing};
use crate::photograph::contained;
use crate::resize::Filter;
use crate::{ImageShape, Looking, Photograph, reduced};

/// What is done about a broken image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corrupt {
    /// Nothing is loaded; the file is named.
    #[default]
    Refuse,
    /// It is skipped and listed.
    Skip,
}

impl Corrupt {
    /// Whether `file` is to be left out, and not to stop the program: a fault of the machine always does.
    pub const fn leaves_out(self, file: &Skipped) -> bool {
        matches!(self, Self::Skip) && !file.is_fault
    }
}

/// The keys that all sets of photographs share.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Rows and columns that every image is brought to.
    pub size: [usize; 2],
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// How an image of another aspect ratio is brought to it.
    pub fit: Fit,
    /// Share of the scaled photograph that is cut out of its centre.
    pub crop_fraction: f64,
    /// The interpolation filter.
    pub filter: Filter,
    /// Limits and orientation.
    pub looking: Looking,
    /// What to do about a broken image file.
    pub corrupt: Corrupt,
    /// Whether JPEG files are decoded at a half, a quarter or an eighth of their size where
    /// that leaves two pixels per side for each of the result.
    pub reduced: bool,
}

impl Reading {
    /// Images of `size`, with defaults otherwise.
    pub fn of_size(size: [usize; 2]) -> Self {
        Self {
            size,
            channels: 3,
            fit: Fit::default(),
            crop_fraction: 1.0,
            filter: Filter::default(),
            looking: Looking::default(),
            corrupt: Corrupt::default(),
            reduced: false,
        }
    }

    /// Shape of every image.
    pub const fn shape(&self) -> ImageShape {
        ImageShape { h: self.size[0], w: self.size[1], c: self.channels }
    }

    /// The photograph in the bytes of a file; `shrink` gives the number of pixels per side that
    /// become one, for given rows and columns.
    pub(crate) fn photograph(
        &self,
        bytes: &[u8],
        shrink: impl Fn([usize; 2]) -> f64,
    ) -> Result<Photograph, String> {
        let reduced = if self.reduced {
            contained(|| reduced::decode(bytes, self.channels, self.looking, shrink))?
        } else {
            None
        };
        reduced.map_or_else(|| Photograph::decode(bytes, self.channels, self.looking), Ok)
    }

    /// Decodes the photograph in the bytes of a file for evaluation, as (h, w, c) bytes, and
    /// says whether the file notes an orientation.
    pub(crate) fn framed(&self, bytes: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let framing = self.framing();
        let photograph = self.photograph(bytes, |size| framing.shrink(size))?;
        Ok((framing.frame(&photograph), photograph.has_orientation()))
    }

    fn framing(&self) -> Framing {
        // Rounded down, as timm does; never below the size that is cut out.
        let cover = self.size.map(|extent| ((extent as f64 / self.crop_fraction) as usize).max(extent));
        Framing { size: self.size, cover, fit: self.fit, filter: self.filter }
    }
}
