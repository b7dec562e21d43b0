//! Photographs on the command line: how they are read, and what was found.

use decouple_datasets::{Looking, Skipped};
use decouple_training::classifier::SeenPhotograph;
use serde_json::json;

use crate::{
    arguments,
    failure::{DATA, Failure, IO},
    text::plural,
};

/// Files left out that are listed by name.
const LISTED: usize = 20;

/// What was found while reading photographs.
#[derive(Default)]
pub(super) struct Remarks {
    /// Files that were left out.
    pub(super) skipped: Vec<Skipped>,
    /// Photographs with an EXIF orientation.
    pub(super) with_orientation: usize,
}

impl Remarks {
    /// The values of what was read; a broken image file is left out if `photographs` say so,
    /// and else refused.
    pub(super) fn sort(
        &mut self,
        photographs: &arguments::Photographs,
        seen: Result<SeenPhotograph, Skipped>,
    ) -> Result<Option<Vec<f32>>, Failure> {
        match seen {
            Ok(seen) => {
                self.with_orientation += usize::from(seen.has_orientation);
                Ok(Some(seen.values))
            }
            Err(skipped) if photographs.corrupt.leaves_out(&skipped) => {
                self.skipped.push(skipped);
                Ok(None)
            }
            Err(Skipped { file, reason, is_fault: true }) => {
                Err(Failure::new(IO, format!("{}: cannot be read: {reason}", file.display())))
            }
            Err(Skipped { file, reason, .. }) if !file.exists() => {
                Err(Failure::new(DATA, format!("{}: expected an image file ({reason})", file.display())))
            }
            Err(Skipped { file, reason, .. }) => {
                let file = file.display();
                let problem = format!("{file}: expected a sound JPEG, PNG or WebP file ({reason})");
                Err(Failure::new(DATA, format!("{problem}; --corrupt skip skips such files and lists them")))
            }
        }
    }

    /// Human-readable lines: what was rotated, and what was skipped.
    pub(super) fn text(&self, photographs: &arguments::Photographs) -> String {
        let mut text = String::new();
        if self.with_orientation > 0 {
            let count = self.with_orientation;
            let images = if count == 1 { "image has" } else { "images have" };
            let what = if photographs.as_stored { "left as stored" } else { "rotated upright" };
            text += &format!("{count} {images} an EXIF orientation: {what}\n");
        }
        text + &left_out(self.skipped.len(), &self.skipped, ": --format json lists all")
    }
}

/// Lines that list files that were left out.
///
/// `count`: how many there are, of which `skipped` may be only the first; `others` says where the rest is listed.
pub(super) fn left_out(count: usize, skipped: &[Skipped], others: &str) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = format!("{} skipped\n", plural(count, "file"));
    for skipped in skipped.iter().take(LISTED) {
        text += &format!("  {}: {}\n", skipped.file.display(), skipped.reason);
    }
    if count > LISTED {
        text += &format!("  and {} more{others}\n", count - LISTED);
    }
    text
}

/// The same for programs.
pub(super) fn left_out_list(skipped: &[Skipped]) -> Vec<serde_json::Value> {
    let file =
        |skipped: &Skipped| json!({ "file": skipped.file.display().to_string(), "reason": skipped.reason });
    skipped.iter().map(file).collect()
}

impl arguments::Photographs {
    /// How files are looked at.
    pub(super) fn looking(&self) -> Looking {
        Looking { orientation: !self.as_stored, most_pixels: self.most_pixels }
    }
}
