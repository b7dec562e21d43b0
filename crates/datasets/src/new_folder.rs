//! A new folder that is there whole or not at all.

use std::fs;
use std::path::Path;

use crate::DataError;
use crate::fetch::part_of;

/// Fills the new folder `target`. `fill` writes to `target.part` beside it, which is given its name when it is
/// complete and removed if there is an error, so that nobody takes half a set for a whole one.
pub(crate) fn fill<T>(
    target: &Path,
    fill: impl FnOnce(&Path) -> Result<T, DataError>,
) -> Result<T, DataError> {
    let part = part_of(target);
    if let Some(place) = [target, &part].into_iter().find(|place| place.symlink_metadata().is_ok()) {
        return Err(DataError::Exists { place: place.to_owned() });
    }
    let written = |source| DataError::Write { file: part.clone(), source };
    fs::create_dir(&part).map_err(written)?;
    let filled = fill(&part).and_then(|filled| fs::rename(&part, target).map(|()| filled).map_err(written));
    if filled.is_err() {
        // The error says what matters; the next attempt tells of what is left.
        let _ = fs::remove_dir_all(&part);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_filled_whole_or_not_at_all() {
        let outer = tempfile::tempdir().unwrap();
        let target = outer.path().join("x");
        let write = |folder: &Path| fs::write(folder.join("train-00000.tar"), "").unwrap();
        let error = fill(&target, |folder| -> Result<(), DataError> {
            write(folder);
            Err(DataError::StandIn { problem: "stops in the middle" })
        });
        assert!(error.is_err() && fs::read_dir(outer.path()).unwrap().next().is_none());
        let inside = |folder: &Path| {
            write(folder);
            Ok(folder.file_name().unwrap().to_owned())
        };
        assert_eq!(fill(&target, inside).unwrap(), "x.part");
        assert!(target.join("train-00000.tar").is_file() && !outer.path().join("x.part").exists());
        let error = fill(&target, inside).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: expected a new folder", target.display())), "{error}");
    }
}
