//! Finds the end of the image in a JPEG file.
//!
//! Decoders silently fill the missing part of a truncated file with grey. Phones, on the other
//! hand, append a video after the end of an intact image. So the markers are followed to the
//! end of the image, and anything after it is ignored.

use memchr::memchr;

/// Start of image, start of scan, end of image.
const SOI: u8 = 0xd8;
const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;

/// The bytes of the image, from its first marker to its last.
///
/// # Errors
/// The image has no end, or a segment states an impossible length.
pub(crate) fn image_of(bytes: &[u8]) -> Result<&[u8], String> {
    let cut = || "the JPEG data end without an end-of-image marker".to_owned();
    let mut at = 2;
    loop {
        // Any number of bytes 0xff may precede a marker; decoders also skip other bytes between
        // two segments.
        at += bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)).ok_or_else(cut)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff).ok_or_else(cut)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            EOI => return Ok(&bytes[..at]),
            SOI | 0 | 0x01 | 0xd0..=0xd7 => {}
            _ => {
                let length = bytes.get(at..at + 2).ok_or_else(cut)?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                if length < 2 {
                    return Err(format!("byte {at}: a JPEG segment of {length} bytes; the least is 2"));
                }
                at += length;
                if marker == SOS {
                    at = end_of_scan(bytes, at).ok_or_else(cut)?;
                }
            }
        }
    }
}

/// The first marker after the coded data that begin at `at`. Within these, a byte 0xff is
/// always followed by a zero, a restart marker or another 0xff.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(0xff, bytes.get(at..)?)?;
        match bytes.get(at + 1)? {
            0 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;
    use crate::test_files::encoded;

    fn jpeg() -> Vec<u8> {
        let noise = |x: u32, y: u32| Rgb([(x * 91 + y * 57) as u8, (x * y * 13) as u8, (y * 201) as u8]);
        encoded(RgbImage::from_fn(40, 40, noise), ImageFormat::Jpeg)
    }

    #[test]
    fn what_follows_the_end_does_not_count() {
        let sound = jpeg();
        assert_eq!(image_of(&sound), Ok(&sound[..]));
        // A trailer that looks like the start of another scan.
        for trailer in [&b"MotionPhoto_Data"[..], &[0xff, 0xda, 0, 2, 7, 7], &[0xff], &sound] {
            assert_eq!(image_of(&[&sound[..], trailer].concat()), Ok(&sound[..]));
        }
    }

    #[test]
    fn a_thumbnail_does_not_end_the_image() {
        let sound = jpeg();
        let length = (sound.len() as u16 + 2).to_be_bytes();
        let with_thumbnail = [&sound[..2], &[0xff, 0xe1], &length, &sound, &sound[2..]].concat();
        assert_eq!(image_of(&with_thumbnail), Ok(&with_thumbnail[..]));
        let cut = &with_thumbnail[..with_thumbnail.len() - 2];
        assert!(image_of(cut).is_err());
    }

    #[test]
    fn every_shorter_file_is_cut() {
        let sound = jpeg();
        for len in 0..sound.len() {
            assert!(image_of(&sound[..len]).is_err(), "{len} bytes");
        }
    }
}
