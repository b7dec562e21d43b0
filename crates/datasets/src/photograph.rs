//! Decodes a JPEG, PNG or WebP file within limits and in the right orientation.

use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use decouple_disk::open_regular;
use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageResult, Limits};

use crate::error::Unusable;
use crate::{Skipped, foreign, jpeg};

/// How files are read, whatever happens to their pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Looking {
    /// Whether a photograph is rotated as its EXIF orientation says.
    pub orientation: bool,
    /// Largest image in pixels. This limits memory: a pixel takes up to eight bytes while a
    /// file is decoded, and a file may have two bytes a pixel.
    pub most_pixels: u64,
}

impl Default for Looking {
    fn default() -> Self {
        Self { orientation: true, most_pixels: 1 << 27 }
    }
}

/// A decoded photograph.
///
/// ```no_run
/// use decouple_datasets::{Looking, Photograph};
/// let photograph =
///     Photograph::open("tench.jpg".as_ref(), Looking::default()).map_err(|skipped| skipped.reason)?;
/// let pixels = photograph.central_crop(333, [299, 299]);
/// assert_eq!(pixels.len(), 299 * 299 * 3);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photograph {
    h: usize,
    w: usize,
    c: usize,
    /// (h, w, c) of the file's size over [`reduction`](Self::reduction), rounded up.
    bytes: Vec<u8>,
    /// Pixels of the file per side for each decoded one.
    reduction: usize,
    /// Whether the file has an EXIF orientation other than upright.
    has_orientation: bool,
}

impl Photograph {
    /// Reads the file at `path` in colour; its content says which format it has. Grey
    /// images become colour, transparency is dropped.
    ///
    /// # Errors
    /// [`Skipped`] when it is not a regular file, cannot be read, is truncated, is not such an
    /// image, or is larger than `looking` allows.
    pub fn open(path: &Path, looking: Looking) -> Result<Self, Skipped> {
        let bytes = read(path, looking).map_err(|why| Skipped::new(path, why))?;
        Self::decode(&bytes, 3, looking).map_err(|reason| Skipped::new(path, reason))
    }

    /// The image in the bytes of a file, grey (`channels` of 1) or in colour (3).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8], channels: usize, looking: Looking) -> Result<Self, String> {
        let unusable = |error: ImageError| error.to_string();
        let input = Cursor::new(bytes);
        contained(|| match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => {
                let bytes = jpeg::image_of(bytes)?;
                decoded(JpegDecoder::new(Cursor::new(bytes)), channels, looking)?.map_err(unusable)
            }
            Ok(ImageFormat::Png) => decoded(png(bytes, looking), channels, looking)?.map_err(unusable),
            Ok(ImageFormat::WebP) => decoded(WebPDecoder::new(input), channels, looking)?.map_err(unusable),
            other => Err(not_read(bytes, other.ok())),
        })
    }

    /// A photograph of `size` rows and columns decoded as `image` with one pixel for every
    /// `reduction` per side.
    pub(crate) fn reduced(
        image: DynamicImage,
        channels: usize,
        [h, w]: [usize; 2],
        reduction: usize,
        has_orientation: bool,
    ) -> Self {
        Self { h, w, c: channels, bytes: bytes_of(image, channels), reduction, has_orientation }
    }

    /// Rows and columns of the file.
    pub fn size(&self) -> [usize; 2] {
        [self.h, self.w]
    }

    /// Pixels of the file per side for each of [`pixels`](Self::pixels).
    pub(crate) fn reduction(&self) -> usize {
        self.reduction
    }

    /// The (h, w, c) bytes, and the number of channels.
    pub(crate) fn pixels(&self) -> (&[u8], usize) {
        (&self.bytes, self.c)
    }

    /// Whether the file has an EXIF orientation other than upright; the photograph was rotated
    /// if [`Looking::orientation`] asked for it.
    pub fn has_orientation(&self) -> bool {
        self.has_orientation
    }
}

/// What `decode` returns, or the problem that its file has if it panics: decoders check most of their input, but
/// not all.
pub(crate) fn contained<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err("its parts are inconsistent: the decoder gave up".to_owned()))
}

/// The limits of a decoder: eight bytes per pixel, and one MiB for the decoder itself.
fn limits(looking: Looking) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(looking.most_pixels.saturating_mul(8).saturating_add(1 << 20));
    limits
}

/// The decoder of a PNG file. It needs its limits first, since it unpacks the colour profile at once.
fn png(bytes: &[u8], looking: Looking) -> ImageResult<PngDecoder<Cursor<&[u8]>>> {
    PngDecoder::with_limits(Cursor::new(bytes), limits(looking))
}

/// A decoder's image, or the limit that it exceeds.
fn decoded<D: ImageDecoder>(
    decoder: ImageResult<D>,
    channels: usize,
    looking: Looking,
) -> Result<ImageResult<Photograph>, String> {
    let mut decoder = match decoder {
        Ok(decoder) => decoder,
        // A decoder may have a limit of its own.
        Err(ImageError::Limits(_)) => {
            let most = looking.most_pixels;
            return Err(format!(
                "it takes far more memory than the {most} pixels that are read, as `most-pixels` says"
            ));
        }
        Err(error) => return Ok(Err(error)),
    };
    let (w, h) = decoder.dimensions();
    if let Some(problem) = too_many_pixels(w, h, looking) {
        return Err(problem);
    }
    Ok(decoder.set_limits(limits(looking)).and_then(|()| {
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder)?;
        if looking.orientation {
            image.apply_orientation(orientation);
        }
        let (h, w) = (image.height() as usize, image.width() as usize);
        let has_orientation = orientation != Orientation::NoTransforms;
        Ok(Photograph { h, w, c: channels, bytes: bytes_of(image, channels), reduction: 1, has_orientation })
    }))
}

/// (h, w, c) bytes, grey (`channels` of 1) or in colour.
fn bytes_of(image: DynamicImage, channels: usize) -> Vec<u8> {
    if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() }
}

/// The message for a photograph with too many pixels.
pub(crate) fn too_many_pixels(w: u32, h: u32, looking: Looking) -> Option<String> {
    let (pixels, most) = (u64::from(w) * u64::from(h), looking.most_pixels);
    (pixels > most)
        .then(|| format!("{w} x {h} pixels are {pixels}, and at most {most} are read, as `most-pixels` says"))
}

/// The bytes of a regular file that is not too long.
pub(crate) fn read(path: &Path, looking: Looking) -> Result<Vec<u8>, Unusable> {
    let file = open_regular(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound && path.is_symlink() {
            format!("a link to something that cannot be found: {error}").into()
        } else {
            Unusable::from(error)
        }
    })?;
    let metadata = file.metadata()?;
    let most_bytes = looking.most_pixels.saturating_mul(2);
    let too_long = |bytes: u64| {
        format!("{bytes} bytes long, and at most {most_bytes} are read, two for each of `most-pixels`")
    };
    if metadata.len() > most_bytes {
        return Err(too_long(metadata.len()).into());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most_bytes { Err(too_long(bytes.len() as u64).into()) } else { Ok(bytes) }
}

/// A description of a file that is neither JPEG nor PNG nor WebP.
fn not_read(bytes: &[u8], format: Option<ImageFormat>) -> String {
    let name = match format {
        Some(format) => {
            format!("a {} image", format.extensions_str().first().unwrap_or(&"foreign").to_uppercase())
        }
        None => foreign::named(&bytes[..bytes.len().min(foreign::START)])
            .unwrap_or("of an unknown kind")
            .to_owned(),
    };
    format!("it is {name}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::test_files::encoded;

    fn wide() -> RgbImage {
        // A wide image whose left and right thirds are red.
        RgbImage::from_fn(90, 30, |x, _| Rgb(if (30..60).contains(&x) { [0, 0, 255] } else { [255, 0, 0] }))
    }

    fn reason(bytes: &[u8], looking: Looking) -> String {
        Photograph::decode(bytes, 3, looking).unwrap_err()
    }

    #[test]
    fn the_middle_of_a_scaled_photograph_is_cut_out() {
        let png = encoded(wide(), ImageFormat::Png);
        let photograph = Photograph::decode(&png, 3, Looking::default()).unwrap();
        assert_eq!(photograph.size(), [30, 90]);
        let pixels = photograph.central_crop(20, [10, 10]);
        assert_eq!(pixels.len(), 300);
        assert!(pixels.as_chunks().0.iter().all(|pixel| *pixel == [0, 0, 255]), "{pixels:?}");
        // Scaled up where it would not cover what is cut out.
        assert_eq!(photograph.central_crop(20, [64, 64]).len(), 64 * 64 * 3);
    }

    #[test]
    fn each_format_and_depth_is_read() {
        let image = DynamicImage::from(wide());
        for (image, format) in [
            (image.clone(), ImageFormat::Png),
            (image.clone(), ImageFormat::WebP),
            (image.to_rgb16().into(), ImageFormat::Png),
            (image.to_rgba8().into(), ImageFormat::Png),
        ] {
            let photograph = Photograph::decode(&encoded(image, format), 3, Looking::default()).unwrap();
            assert_eq!(photograph.pixels(), (&wide().into_raw()[..], 3), "{format:?}");
        }
        let grey = DynamicImage::from(image.to_luma8());
        let photograph =
            Photograph::decode(&encoded(grey.clone(), ImageFormat::Png), 1, Looking::default()).unwrap();
        assert_eq!(photograph.pixels(), (grey.as_bytes(), 1));
    }

    #[test]
    fn a_photograph_is_turned_as_the_camera_noted() {
        // Orientation 6: a quarter turn clockwise shows it upright.
        let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let plain = encoded(wide(), ImageFormat::Jpeg);
        let noted = [&plain[..2], exif, &plain[2..]].concat();
        let of = |bytes: &[u8], orientation| {
            Photograph::decode(bytes, 3, Looking { orientation, ..Looking::default() }).unwrap()
        };
        let (upright, as_stored) = (of(&noted, true), of(&noted, false));
        assert_eq!((upright.size(), as_stored.size()), ([90, 30], [30, 90]));
        assert!(upright.has_orientation() && as_stored.has_orientation());
        assert!(!of(&plain, true).has_orientation());
        // The left column becomes the top row, its bottom to the left.
        let (stored, _) = as_stored.pixels();
        let (turned, _) = upright.pixels();
        assert_eq!(turned[..3], stored[29 * 90 * 3..][..3]);
    }

    #[test]
    fn a_limit_is_named_with_what_broke_it() {
        let png = encoded(wide(), ImageFormat::Png);
        let small = Looking { most_pixels: 2_699, ..Looking::default() };
        let expected = "90 x 30 pixels are 2700, and at most 2699 are read, as `most-pixels` says";
        assert_eq!(reason(&png, small), expected);
        let mut bomb = png;
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        // The checksum of the header, so that its extents are believed.
        let checksum = crc(&bomb[12..29]).to_be_bytes();
        bomb[29..33].copy_from_slice(&checksum);
        assert!(reason(&bomb, Looking::default()).starts_with("65535 x 65535 pixels are 4294836225"));
    }

    #[test]
    fn a_colour_profile_is_unpacked_within_the_limit() {
        let plain = encoded(wide(), ImageFormat::Png);
        let with_profile = |length: usize| {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            zlib.write_all(&vec![0; length]).unwrap();
            let chunk = [b"iCCPx\0\0", &zlib.finish().unwrap()[..]].concat();
            let length = (chunk.len() as u32 - 4).to_be_bytes();
            // After the header, which ends at byte 33.
            [&plain[..33], &length, &chunk, &crc(&chunk).to_be_bytes(), &plain[33..]].concat()
        };
        let looking = Looking { most_pixels: 2_700, ..Looking::default() };
        for (length, is_kept) in [(1 << 10, true), (1 << 22, false)] {
            let file = with_profile(length);
            let profile = png(&file, looking).unwrap().icc_profile().unwrap();
            assert_eq!(profile.map(|profile| profile.len()), is_kept.then_some(length));
            assert_eq!(Photograph::decode(&file, 3, looking).unwrap().size(), [30, 90]);
        }
    }

    #[test]
    fn a_decoder_that_panics_is_a_broken_file() {
        let problem = contained(|| -> Result<(), String> { panic!("index out of bounds") }).unwrap_err();
        assert!(problem.contains("the decoder gave up"), "{problem}");
        assert_eq!(contained(|| Ok(1)), Ok(1));
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut hasher = flate2::Crc::new();
        hasher.update(bytes);
        hasher.sum()
    }

    #[test]
    fn files_of_other_kinds_are_called_what_they_are() {
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"GIF89a", "GIF image"),
            (&[0; 64], "zeros"),
            (b"words", "unknown kind"),
        ] {
            let found = reason(bytes, Looking::default());
            assert!(found.contains(expected), "{found}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("zero.png");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let error = Photograph::open(&link, Looking::default()).unwrap_err();
        assert!(error.reason.contains("only regular files are read"), "{error:?}");
        let dangling = folder.path().join("gone.png");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        let error = Photograph::open(&dangling, Looking::default()).unwrap_err();
        assert!(error.reason.starts_with("a link to something") && !error.is_fault, "{error:?}");
        let circle = folder.path().join("circle.png");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        for path in [&circle, &dangling.join("x.png"), &folder.path().join("x".repeat(300) + ".png")] {
            let error = Photograph::open(path, Looking::default()).unwrap_err();
            assert!(!error.is_fault, "{error:?}");
        }
    }

    #[test]
    fn a_failure_of_the_machine_is_none_of_the_file() {
        let of = |kind: io::ErrorKind| Skipped::new("a.png".as_ref(), io::Error::from(kind)).is_fault;
        assert!(of(io::ErrorKind::PermissionDenied) && of(io::ErrorKind::StaleNetworkFileHandle));
        assert!(!of(io::ErrorKind::NotFound) && !of(io::ErrorKind::InvalidInput));
    }
}
