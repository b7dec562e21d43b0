//! One JPEG or PNG file, decoded within limits, scaled and cut out.

use std::io::{Cursor, Read};
use std::path::Path;

use decouple_disk::open_regular;
use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, ImageReader, Limits, RgbImage};

use crate::Skipped;

/// Most bytes of a file, and most bytes that decoding it may take: more than any
/// photograph, little enough that a bomb cannot fill the memory.
const MOST_FILE_BYTES: u64 = 64 << 20;
const MOST_DECODED_BYTES: u64 = 512 << 20;

/// Most rows and columns of a file's image.
const MOST_EXTENT: u32 = 16_384;

/// A decoded photograph: red, green and blue.
///
/// ```no_run
/// use decouple_datasets::Photograph;
/// let photograph = Photograph::open("tench.jpg".as_ref()).map_err(|skipped| skipped.reason)?;
/// let pixels = photograph.central_crop(333, [299, 299]);
/// assert_eq!(pixels.len(), 299 * 299 * 3);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Photograph(RgbImage);

impl Photograph {
    /// Reads the file at `path`; whether it is JPEG or PNG follows from its
    /// content. Grey images become colour, transparency is dropped.
    ///
    /// # Errors
    /// [`Skipped`] when it cannot be read, is cut off or is no such image. At most
    /// 64 MiB are read and 512 MiB allocated, whatever the file says.
    pub fn open(path: &Path) -> Result<Self, Skipped> {
        Ok(Self(decode(path)?.into_rgb8()))
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.0.height() as usize, self.0.width() as usize]
    }

    /// The photograph scaled so that its shorter side has `shorter` pixels, by a
    /// bicubic filter that averages where it shrinks, and `size` rows and columns
    /// cut out of the middle, as (h, w, 3). Where the scaled photograph is smaller
    /// than that, it is scaled until it covers them.
    pub fn central_crop(&self, shorter: usize, [rows, columns]: [usize; 2]) -> Vec<u8> {
        let [h, w] = self.size();
        let scale = shorter as f64 / h.min(w) as f64;
        let scale = scale.max(rows as f64 / h as f64).max(columns as f64 / w as f64);
        // A product that should be whole may come out just below.
        let scaled = |extent: usize, least: usize| ((extent as f64 * scale + 1e-6) as usize).max(least);
        let (new_h, new_w) = (scaled(h, rows), scaled(w, columns));
        let resized = resize(&self.0, new_w as u32, new_h as u32, FilterType::CatmullRom);
        let (top, left) = ((new_h - rows).div_ceil(2), (new_w - columns).div_ceil(2));
        crop_imm(&resized, left as u32, top as u32, columns as u32, rows as u32).to_image().into_raw()
    }
}

/// The image in the file at `path`.
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, Skipped> {
    let unusable = |reason: String| Skipped { file: path.to_owned(), reason };
    let mut file = open_regular(path).map_err(|error| unusable(error.to_string()))?;
    let length = file.metadata().map_err(|error| unusable(error.to_string()))?.len();
    if length > MOST_FILE_BYTES {
        return Err(unusable(format!("{length} bytes long, and at most {MOST_FILE_BYTES} are accepted")));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| unusable(error.to_string()))?;
    if is_cut_jpeg(&bytes) {
        return Err(unusable("the JPEG data end without an end-of-image marker".to_owned()));
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_EXTENT), Some(MOST_EXTENT));
    limits.max_alloc = Some(MOST_DECODED_BYTES);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| unusable(error.to_string()))?;
    reader.limits(limits);
    reader.decode().map_err(|error| unusable(error.to_string()))
}

/// Whether the last scan of a JPEG file has no end. Decoders grey the rest out
/// and say nothing. (Within a scan a byte 0xff is always followed by a zero or a
/// restart marker, so an end marker is one.)
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    bytes.starts_with(&[0xff, 0xd8]) && last([0xff, 0xda]) > last([0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_scaled_photograph_is_cut_out() {
        // A wide image whose left and right thirds are red.
        let image = RgbImage::from_fn(90, 30, |x, _| {
            image::Rgb(if (30..60).contains(&x) { [0, 0, 255] } else { [255, 0, 0] })
        });
        let photograph = Photograph(image);
        assert_eq!(photograph.size(), [30, 90]);
        let pixels = photograph.central_crop(20, [10, 10]);
        assert_eq!(pixels.len(), 300);
        assert!(pixels.as_chunks().0.iter().all(|pixel| *pixel == [0, 0, 255]), "{pixels:?}");
        // Scaled up where it would not cover what is cut out.
        assert_eq!(photograph.central_crop(20, [64, 64]).len(), 64 * 64 * 3);
    }
}
