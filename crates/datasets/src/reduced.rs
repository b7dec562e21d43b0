//! JPEG files decoded at a half, a quarter or an eighth of their size.
//!
//! A file holds the frequencies of blocks of 8x8 pixels. The lowest 4x4, 2x2 or 1x1 of them are
//! the block at that size, so fewer pixels are computed. The result is the same on every
//! machine, but differs from scaling the whole photograph, so a key of the set requests it.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, PixelFormat};

use crate::photograph::too_many_pixels;
use crate::{Looking, Photograph, jpeg};

/// Pixels per side that are left for each pixel of the result, so that the filter still
/// averages them.
const LEFT: f64 = 2.0;

/// The photograph in the bytes of a JPEG file, reduced as far as leaves [`LEFT`] pixels per
/// side for each of the result; `shrinks` gives the number that become one, for given rows and
/// columns. `None` if it should be decoded at full size, or is not a JPEG file.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode(
    bytes: &[u8],
    channels: usize,
    looking: Looking,
    shrinks: impl Fn([usize; 2]) -> f64,
) -> Result<Option<Photograph>, String> {
    if !bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Ok(None);
    }
    let unusable = |error: jpeg_decoder::Error| error.to_string();
    let mut decoder = Decoder::new(jpeg::image_of(bytes)?);
    decoder.read_info().map_err(unusable)?;
    let Some(info) = decoder.info() else { return Ok(None) };
    // Others are rare, and need a conversion that only the full decoder has.
    if !matches!(info.pixel_format, PixelFormat::L8 | PixelFormat::RGB24) {
        return Ok(None);
    }
    let [w, h] = [info.width, info.height];
    if let Some(problem) = too_many_pixels(u32::from(w), u32::from(h), looking) {
        return Err(problem);
    }
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let size = [usize::from(h), usize::from(w)];
    let is_turned = looking.orientation && swaps_sides(orientation);
    let upright = if is_turned { [size[1], size[0]] } else { size };
    let shrink = shrinks(upright);
    let Some(by) = [8_u16, 4, 2].into_iter().find(|&by| shrink / f64::from(by) >= LEFT) else {
        return Ok(None);
    };
    let (to_w, to_h) = decoder.scale(w.div_ceil(by), h.div_ceil(by)).map_err(unusable)?;
    if [to_w, to_h] != [w.div_ceil(by), h.div_ceil(by)] {
        return Ok(None);
    }
    let pixels = decoder.decode().map_err(unusable)?;
    let (to_w, to_h) = (u32::from(to_w), u32::from(to_h));
    let image = match info.pixel_format {
        PixelFormat::L8 => GrayImage::from_raw(to_w, to_h, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(to_w, to_h, pixels).map(DynamicImage::from),
    };
    let mut image = image.ok_or("fewer pixels than its header says")?;
    if looking.orientation {
        image.apply_orientation(orientation);
    }
    Ok(Some(Photograph::reduced(
        image,
        channels,
        upright,
        by.into(),
        orientation != Orientation::NoTransforms,
    )))
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;
    use crate::Reading;
    use crate::test_files::encoded;

    /// Two ramps, which any scaling keeps, with a few frequencies on them.
    fn photograph(w: u32, h: u32) -> Vec<u8> {
        let pixel = |x: u32, y: u32| {
            Rgb([
                (x * 255 / w) as u8,
                (y * 255 / h) as u8,
                (128.0 + 50.0 * f64::from(x / 3 + y / 5).sin()) as u8,
            ])
        };
        encoded(RgbImage::from_fn(w, h, pixel), ImageFormat::Jpeg)
    }

    fn reading(size: [usize; 2], is_reduced: bool) -> Reading {
        Reading { reduced: is_reduced, ..Reading::of_size(size) }
    }

    #[test]
    fn twice_the_pixels_are_left_and_look_alike() {
        let file = photograph(403, 301);
        for (side, by) in [(150, 1), (75, 2), (37, 4), (18, 8), (8, 8)] {
            let reading = reading([side, side], true);
            let decoded = reading.photograph(&file, |[h, w]| (h.min(w) as f64) / side as f64).unwrap();
            assert_eq!((decoded.size(), decoded.reduction()), ([301, 403], by), "{side}");
            let (reduced, _) = reading.framed(&file).unwrap();
            let (whole, _) = Reading { reduced: false, ..reading }.framed(&file).unwrap();
            let off = reduced.iter().zip(&whole).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
            let off = off / whole.len() as f64;
            assert!((by == 1) == (off == 0.0) && off < 3.0, "{side}: {off}");
        }
    }

    #[test]
    fn a_photograph_is_turned_before_it_is_measured() {
        // Orientation 6, as in photograph.rs: a quarter turn clockwise shows it upright.
        let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let plain = photograph(400, 160);
        let noted = [&plain[..2], exif, &plain[2..]].concat();
        let [reduced, whole] = [true, false].map(|is_reduced| {
            let reading = reading([40, 16], is_reduced);
            let decoded = reading.photograph(&noted, |[h, _]| h as f64 / 40.0).unwrap();
            assert_eq!((decoded.size(), decoded.has_orientation()), ([400, 160], true));
            reading.framed(&noted).unwrap().0
        });
        let off = reduced.iter().zip(&whole).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        assert!(reduced != whole && off / (whole.len() as f64) < 3.0, "{off}");
    }

    #[test]
    fn a_limit_is_met_before_anything_is_decoded() {
        let looking = Looking { most_pixels: 1_000, ..Looking::default() };
        let reading = Reading { looking, ..reading([8, 8], true) };
        let problem = reading.framed(&photograph(100, 50)).unwrap_err();
        assert_eq!(problem, "100 x 50 pixels are 5000, and at most 1000 are read, as `most-pixels` says");
    }
}
