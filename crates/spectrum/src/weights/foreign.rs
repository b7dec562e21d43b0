//! Recognises files that people mistake for safetensors, and says how to convert them.

use std::fmt;

/// Bytes after the first eight that identify a file.
pub(super) const RECOGNISED_BYTES: u64 = 512;

/// A kind of file other than safetensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Written by `torch.save`.
    PyTorch,
    /// Keras 3's archive.
    Keras,
    /// HDF5: Keras' `.h5`.
    Hdf5,
    /// NumPy's `.npy` or `.npz`.
    NumPy,
    /// Another zip archive.
    Zip,
    /// A gzipped file.
    Gzip,
    /// An archive of tar, packed or not, or a file packed with xz or zstd.
    Packed,
    /// An ONNX model.
    Onnx,
    /// Weights of llama.cpp.
    Gguf,
    /// The pointer that Git LFS leaves for a file that was not fetched.
    LfsPointer,
    /// A page that a server sent instead of the file.
    WebPage,
    /// JSON: usually the index of weights split over several files.
    Json,
}

impl Foreign {
    /// The kind of a file that begins with `start`.
    pub fn of(start: &[u8]) -> Option<Self> {
        let text = start.trim_ascii_start().to_ascii_lowercase();
        let holds = |name: &str| start.windows(name.len()).any(|window| window == name.as_bytes());
        Some(match start {
            [b'P', b'K', 3, 4, ..] if holds("data.pkl") => Self::PyTorch,
            [b'P', b'K', 3, 4, ..] if holds("config.json") || holds("metadata.json") => Self::Keras,
            [b'P', b'K', 3, 4, ..] if holds(".npy") => Self::NumPy,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            // A pickle of protocol 2 to 5: PyTorch before version 1.6.
            [0x80, 2..=5, ..] => Self::PyTorch,
            [0x89, b'H', b'D', b'F', ..] => Self::Hdf5,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::NumPy,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Packed,
            _ if start.get(257..262) == Some(b"ustar") => Self::Packed,
            [b'G', b'G', b'U', b'F', ..] => Self::Gguf,
            // The version of its format, then the length of its writer's name and the name.
            [8, 3..=13, 0x12, length @ 1..=255, name @ ..]
                if name.iter().take(usize::from(*length)).all(u8::is_ascii_graphic) =>
            {
                Self::Onnx
            }
            _ if text.starts_with(b"version https://git-lfs") => Self::LfsPointer,
            _ if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") => Self::WebPage,
            _ if text.starts_with(b"{") => Self::Json,
            _ => return None,
        })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyTorch => {
                "it is a file of PyTorch; in Python, `safetensors.torch.save_file(torch.load(FILE, \
                 map_location=\"cpu\", weights_only=True), \"weights.safetensors\")` converts the weights in it"
            }
            Self::Keras => "it is a Keras archive; `python3 tools/keras-to-safetensors.py` converts it",
            Self::Hdf5 => "it is an HDF5 file, as Keras writes; `python3 tools/keras-to-safetensors.py` converts it",
            Self::NumPy => "it holds NumPy arrays; `safetensors.numpy.save_file` in Python writes them as safetensors",
            Self::Zip => "it is a zip archive; unpack it",
            Self::Gzip => "it is packed with gzip; unpack it",
            Self::Packed => "it is an archive or packed (tar, xz, zstd); unpack it",
            Self::Onnx => "it is an ONNX model; `onnx.numpy_helper` and `safetensors.numpy.save_file` in Python convert its weights",
            Self::Gguf => "it is a GGUF file, which holds language models: expected the weights of a convolutional network",
            Self::LfsPointer => "it is a pointer of Git LFS and not the file itself; `git lfs pull` fetches it",
            Self::WebPage => "it is a web page: the server sent it instead of the file; open it to see why, and download again",
            Self::Json => {
                "it is JSON, such as the index of weights split over several files: expected one file with all of them"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_what_they_are() {
        let zip = |first: &str| [b"PK\x03\x04".as_slice(), &[0; 26], first.as_bytes()].concat();
        for (start, kind) in [
            (zip("archive/data.pkl"), Foreign::PyTorch),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), Foreign::PyTorch),
            (zip("metadata.json"), Foreign::Keras),
            (zip("a.npy"), Foreign::NumPy),
            (zip("readme"), Foreign::Zip),
            (b"\x89HDF\r\n\x1a\n".to_vec(), Foreign::Hdf5),
            (b"\x1f\x8b\x08".to_vec(), Foreign::Gzip),
            (b"\xfd7zXZ\x00".to_vec(), Foreign::Packed),
            ([&[b'a'; 257][..], b"ustar\x0000"].concat(), Foreign::Packed),
            (b"GGUF\x03\x00\x00\x00".to_vec(), Foreign::Gguf),
            (b"\x08\x0a\x12\x07pytorch\x1a\x05".to_vec(), Foreign::Onnx),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), Foreign::LfsPointer),
            (b"\n<!DOCTYPE html>".to_vec(), Foreign::WebPage),
            (b"{\"weight_map\"".to_vec(), Foreign::Json),
        ] {
            assert_eq!(Foreign::of(&start), Some(kind), "{start:?}");
        }
        assert_eq!(Foreign::of(&[1, 2, 3, 4, 5, 6, 7, 8]), None);
        // The length of a header.
        assert_eq!(Foreign::of(&[8, 3, 0x12, 1, 0, 0, 0, 0]), None);
    }
}
