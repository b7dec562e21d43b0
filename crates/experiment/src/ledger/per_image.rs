//! Which test images a run gets right, kept beside it: `per-image.bin`.
//!
//! ```text
//! 8 bytes   "perimg" and the version as two digits: "perimg02"
//! 8 bytes   number of images n, little-endian
//! ceil(n/8) one bit an image, the lowest bit of a byte first: 1 where the run is right
//! 2 n       log-loss of each image, f16, little-endian: within a two-thousandth, or 3e-8; version 01 had f32
//! 8 bytes   the first 8 bytes of the BLAKE3 hash of all before
//! ```
//!
//! An image is right if its most likely class is its label or, where it has several or none, one of its
//! labels. The images are in the order of the test set, so two runs with the same data checksum can be
//! compared image by image.

use std::io;
use std::path::Path;

use decouple_disk::{Disk, if_there};
use half::f16;

use super::LedgerError;

/// The name of the file in a run's folder.
pub const FILE_NAME: &str = "per-image.bin";

const MAGIC: &[u8; 6] = b"perimg";
const VERSION: &[u8; 2] = b"02";
/// The version that had f32.
const WIDER: &[u8; 2] = b"01";
/// The largest log-loss that is told from others: that of a probability of e^-65504.
const LARGEST: f32 = 65504.0;
/// Bytes before the bits.
const HEAD: usize = 16;
const CHECKSUM: usize = 8;

/// A run's results on each test image.
#[derive(Clone, Debug, PartialEq)]
pub struct PerImage {
    count: usize,
    bits: Vec<u8>,
    losses: Vec<f32>,
}

impl PerImage {
    /// Of images in the order of the test set; both slices are equally long.
    pub fn new(correct: &[bool], losses: &[f32]) -> Option<Self> {
        let byte = |eight: &[bool]| {
            eight.iter().enumerate().fold(0, |byte, (place, right)| byte | u8::from(*right) << place)
        };
        let bits = correct.chunks(8).map(byte).collect();
        (correct.len() == losses.len()).then(|| Self { count: correct.len(), bits, losses: losses.to_vec() })
    }

    /// Test images.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether image `index` is classified right; `false` beyond the last.
    pub fn is_correct(&self, index: usize) -> bool {
        index < self.count && self.bits[index / 8] >> (index % 8) & 1 == 1
    }

    /// Log-loss of each image, in nats.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], VERSION].concat();
        bytes.extend((self.count as u64).to_le_bytes());
        bytes.extend(&self.bits);
        self.losses.iter().for_each(|&loss| bytes.extend(f16::from_f32(loss.min(LARGEST)).to_le_bytes()));
        let hash = blake3::hash(&bytes);
        bytes.extend(&hash.as_bytes()[..CHECKSUM]);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) || bytes.len() < HEAD + CHECKSUM {
            return Err("expected a file of per-image results, which begins with `perimg`".to_owned());
        }
        let version = &bytes[MAGIC.len()..8];
        let is_wider = version == WIDER;
        if !is_wider && version != VERSION {
            let version = String::from_utf8_lossy(version);
            return Err(format!("per-image results of version {version}: this program reads 01 and 02"));
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
        let count = u64::from_le_bytes(body[8..HEAD].try_into().unwrap_or_default());
        let width = if is_wider { 4 } else { 2 };
        let size =
            |count: u64| count.div_ceil(8).checked_add(count.checked_mul(width)?)?.checked_add(HEAD as u64);
        if size(count) != Some(body.len() as u64) {
            return Err(format!("says {count} images, which do not fit its {} bytes", bytes.len()));
        }
        if blake3::hash(body).as_bytes()[..CHECKSUM] != *checksum {
            return Err("its checksum does not match: the file is damaged".to_owned());
        }
        let count = count as usize;
        let (bits, losses) = body[HEAD..].split_at(count.div_ceil(8));
        let loss = |bytes: &[u8]| match *bytes {
            [low, high] => f16::from_le_bytes([low, high]).to_f32(),
            _ => f32::from_le_bytes(bytes.try_into().unwrap_or_default()),
        };
        let losses = losses.chunks_exact(width as usize).map(loss).collect();
        Ok(Self { count, bits: bits.to_vec(), losses })
    }
}

/// Writes the file at `path`, replaced by rename: for each test image whether the run is right, and its log-loss.
///
/// # Errors
/// [`LedgerError::Io`] when it cannot be written, or if the slices are not equally long.
pub fn write(disk: &Disk, path: &Path, correct: &[bool], losses: &[f32]) -> Result<(), LedgerError> {
    let Some(results) = PerImage::new(correct, losses) else {
        let message = format!("{} results and {} losses of one test set", correct.len(), losses.len());
        return Err(LedgerError::io("write", path)(io::Error::new(io::ErrorKind::InvalidInput, message)));
    };
    disk.replace(path, &results.bytes()).map_err(LedgerError::io("write", path))
}

/// Reads the file at `path`; `None` where there is none, as in runs of older versions.
///
/// # Errors
/// If it cannot be read, or is damaged or of another version.
pub fn read(path: &Path) -> Result<Option<PerImage>, LedgerError> {
    let bytes = if_there(Disk::default().read(path)).map_err(LedgerError::io("read", path))?;
    let Some(bytes) = bytes else { return Ok(None) };
    PerImage::parse(&bytes).map(Some).map_err(|message| LedgerError::malformed(path, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(images: usize) -> (Vec<bool>, Vec<f32>) {
        let correct = (0..images).map(|k| k * 7 % 3 == 0).collect();
        (correct, (0..images).map(|k| 0.25 * k as f32).collect())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        assert_eq!(read(&path).unwrap(), None);
        for images in [0, 1, 7, 8, 9, 1000] {
            let (correct, losses) = made(images);
            write(&Disk::default(), &path, &correct, &losses).unwrap();
            let found = read(&path).unwrap().unwrap();
            assert_eq!((found.len(), found.losses()), (images, losses.as_slice()));
            assert!(correct.iter().enumerate().all(|(k, right)| found.is_correct(k) == *right));
            assert!(!found.is_correct(images), "beyond the last");
            assert_eq!(
                std::fs::metadata(&path).unwrap().len() as usize,
                24 + images.div_ceil(8) + 2 * images
            );
        }
    }

    #[test]
    fn log_losses_are_rounded_to_a_two_thousandth_and_those_of_version_01_are_read_as_they_are() {
        let losses = [1e-5, 0.1234567, 2.345678, 65504.0];
        let results = PerImage::new(&[true; 4], &losses).unwrap();
        let read = PerImage::parse(&results.bytes()).unwrap();
        let is_near = |(&read, &loss): (&f32, &f32)| (read - loss).abs() <= (loss / 2000.0).max(3e-8);
        assert!(read.losses().iter().zip(&losses).all(is_near), "{:?}", read.losses());
        let mut wider = b"perimg01\x04\0\0\0\0\0\0\0\x0f".to_vec();
        losses.iter().for_each(|loss| wider.extend(loss.to_le_bytes()));
        wider.extend(&blake3::hash(&wider).as_bytes()[..CHECKSUM].to_vec());
        assert_eq!(PerImage::parse(&wider).unwrap(), results);
    }

    #[test]
    fn a_torn_file_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let (correct, losses) = made(100);
        assert!(write(&Disk::default(), &path, &correct[1..], &losses).is_err());
        write(&Disk::default(), &path, &correct, &losses).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut turned = whole.clone();
        turned[40] ^= 1;
        let mut newer = whole.clone();
        newer[7] = b'3';
        let mut huge = whole.clone();
        huge[8..16].fill(0xff);
        for (bytes, expected) in [
            (&whole[..200], "do not fit"),
            (b"", "begins with"),
            (&turned, "checksum"),
            (&newer, "version 03"),
            (&huge, "do not fit"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(FILE_NAME) && error.contains(expected), "{error}");
        }
    }
}
