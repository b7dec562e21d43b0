//! Recognises files that people take for an image, a shard or a table.

use std::io::Read;
use std::path::Path;

use decouple_disk::open_regular;

/// Bytes that identify a file.
pub(crate) const START: usize = 512;

/// What a file that begins with `start` is, if it is nothing that is read here, in words that follow "it is".
pub(crate) fn named(start: &[u8]) -> Option<&'static str> {
    let text = start.trim_ascii_start().to_ascii_lowercase();
    Some(match start {
        [] => "empty",
        [0x1f, 0x8b, ..] => "packed with gzip: unpack it",
        [0xfd, b'7', b'z', b'X', b'Z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "packed with xz or zstd: unpack it"
        }
        [b'P', b'K', 3, 4, ..] => {
            "a zip archive, or a file of an office program: unpack it, or save it as CSV"
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "text in UTF-16: save it as UTF-8",
        _ if text.starts_with(b"version https://git-lfs") => {
            "a pointer of Git LFS and not the file itself: `git lfs pull` fetches it"
        }
        _ if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") => "a web page",
        _ if start.get(4..8) == Some(b"ftyp") => "a HEIC, AVIF or video file",
        _ if start.iter().all(|&byte| byte == 0) => "nothing but zeros",
        _ => return None,
    })
}

/// What the file at `path` is, as [`named`] says.
pub(crate) fn named_at(path: &Path) -> Option<&'static str> {
    let mut start = Vec::new();
    open_regular(path).ok()?.take(START as u64).read_to_end(&mut start).ok()?;
    named(&start)
}
