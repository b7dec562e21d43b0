//! Writing reports into a results folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use decouple_disk::Disk;
use decouple_experiment::Contents;

use crate::analysis::Analysis;
use crate::csv_files::{runs_csv, summary_csv};
use crate::epochs::epochs_csv;
use crate::figures::{self, RasterError, TextSetting};
use crate::report::{Card, html, index, latex, lists, markdown};
use crate::tensorboard;

/// The files of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `report.html`.
    pub report: PathBuf,
    /// `runs.csv`, one row per run.
    pub runs: PathBuf,
    /// `summary.csv`, one row per point.
    pub summary: PathBuf,
    /// Figures, the headline first, each as `.svg` and `.png`.
    pub figures: Vec<PathBuf>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A figure could not be drawn.
    #[error("cannot draw {}: {source}", path.display())]
    Draw {
        /// The figure.
        path: PathBuf,
        /// Why.
        source: RasterError,
    },
}

/// Writes report, tables and figures of `analysis` into the results folder `root`, which is created if
/// missing.
///
/// Each file is replaced as a whole or not at all, and only where it changes. The same analysis gives the same
/// bytes.
///
/// # Errors
/// The first file that cannot be written, or figure that cannot be drawn; earlier ones stay.
pub fn write(analysis: &Analysis, root: &Path) -> Result<Written, ReportError> {
    let folder = root.join("figures");
    let disk = &Disk::within(root.parent().unwrap_or(root));
    disk.create_dir_all(&folder).map_err(|source| ReportError::Io { path: folder.clone(), source })?;

    let runs = replace(disk, root.join("runs.csv"), runs_csv(analysis).as_bytes())?;
    replace(disk, root.join("epochs.csv"), epochs_csv(analysis).as_bytes())?;
    let summary = replace(disk, root.join("summary.csv"), summary_csv(analysis).as_bytes())?;
    let drawn = figures::all(analysis);
    // What an earlier report has drawn and this one does not would seem to belong to it.
    for name in figures::NAMES.iter().filter(|name| drawn.iter().all(|figure| figure.name != **name)) {
        for path in ["svg", "png"].map(|ending| folder.join(format!("{name}.{ending}"))) {
            disk.remove_file(&path).map_err(|source| ReportError::Io { path, source })?;
        }
    }
    let mut figures = Vec::new();
    for figure in drawn {
        let path = folder.join(format!("{}.svg", figure.name));
        figures.push(replace(disk, path, figure.canvas.svg(TextSetting::File).as_bytes())?);
        let path = folder.join(format!("{}.png", figure.name));
        let png = figure.canvas.png().map_err(|source| ReportError::Draw { path: path.clone(), source })?;
        figures.push(replace(disk, path, &png)?);
    }
    let report = replace(disk, root.join("report.html"), html(analysis).as_bytes())?;
    replace(disk, root.join("report.md"), markdown(analysis).as_bytes())?;
    let mut card = serde_json::to_vec_pretty(&Card::of(analysis)).expect("a card has only string keys");
    card.push(b'\n');
    replace(disk, root.join(CARD), &card)?;
    Ok(Written { report, runs, summary, figures })
}

/// The file of an experiment that the index reads.
const CARD: &str = "card.json";

/// Writes the report's tables as `tables.tex` into the results folder `root`; returns the file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_latex(analysis: &Analysis, root: &Path) -> Result<PathBuf, ReportError> {
    replace(&Disk::within(root.parent().unwrap_or(root)), root.join("tables.tex"), latex(analysis).as_bytes())
}

/// Writes `index.html` over all experiments that have a report in the folder `results`; returns the file.
///
/// # Errors
/// If the folder cannot be listed or the file cannot be written. A card that cannot be read is reported
/// on the page.
pub fn write_index(results: &Path) -> Result<PathBuf, ReportError> {
    index_of(results, |_| true)
}

/// Updates `index.html` with the experiment `name` if the index already lists it, or `adds` it; other
/// experiments that it does not list are private and stay so. If there is no index yet, it is created over all
/// experiments. Returns whether the index lists the experiment now.
///
/// # Errors
/// As [`write_index`].
pub fn update_index(results: &Path, name: &str, adds: bool) -> Result<bool, ReportError> {
    let Ok(before) = fs::read_to_string(results.join("index.html")) else {
        return write_index(results).map(|_| true);
    };
    let is_listed = |one: &str| adds && one == name || lists(&before, one);
    if !is_listed(name) {
        return Ok(false);
    }
    index_of(results, is_listed).map(|_| true)
}

/// The index over the experiments whose folder names are `wanted`.
fn index_of(results: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf, ReportError> {
    let listed = |source| ReportError::Io { path: results.to_owned(), source };
    let entries = fs::read_dir(results).map_err(listed)?;
    let mut folders =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(listed)?;
    folders.sort();
    let (mut cards, mut problems) = (Vec::new(), Vec::new());
    for folder in folders {
        let Ok(text) = Disk::default().read_to_string(&folder.join(CARD)) else { continue };
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if !wanted(&name) {
            continue;
        }
        match serde_json::from_str::<Card>(&text) {
            // A folder that was renamed is found under its new name.
            Ok(card) => cards.push(Card { name: name.into_owned(), ..card }),
            Err(error) => problems.push(format!(
                "{name}: its {CARD} is of another version or damaged ({error}); decouple report --index rebuilds it"
            )),
        }
    }
    replace(&Disk::within(results), results.join("index.html"), index(&cards, &problems).as_bytes())
}

/// Writes a TensorBoard event file beside every run that is over and has a row; returns how many there are.
///
/// # Errors
/// The first file that cannot be written.
pub fn write_events(contents: &Contents) -> Result<usize, ReportError> {
    let mut files = 0;
    for run in contents.runs.iter().filter(|run| run.status.is_some()) {
        if let Some(events) = tensorboard::event_file(run) {
            // The folder of results is three above: results/<experiment>/runs/<run>.
            let disk = Disk::within(run.dir.ancestors().nth(3).unwrap_or(&run.dir));
            let path = run.dir.join(tensorboard::FILE_NAME);
            // Not synced, which would take long for a thousand files: a damaged one is rebuilt with the
            // report.
            if !disk.read(&path).is_ok_and(|before| before == events) {
                let written = disk.create(&path).and_then(|mut file| file.write_all(&events));
                written.map_err(|source| ReportError::Io { path, source })?;
            }
            files += 1;
        }
    }
    Ok(files)
}

/// Replaces a file by rename after fsync, unless it holds these bytes already.
fn replace(disk: &Disk, path: PathBuf, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    if disk.read(&path).is_ok_and(|before| before == bytes) {
        return Ok(path);
    }
    match disk.replace(&path, bytes) {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_that_the_index_does_not_list_leaves_it_alone() {
        let results = tempfile::tempdir().unwrap();
        let leave_card = |name: &str, answer: &str| {
            let folder = results.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            let card = serde_json::json!({ "name": name, "question": "", "verdict": [answer], "facts": "" });
            fs::write(folder.join(CARD), card.to_string()).unwrap();
        };
        let index = || fs::read_to_string(results.path().join("index.html")).unwrap();
        leave_card("published", "before");
        assert!(update_index(results.path(), "published", false).unwrap(), "the first makes the index");
        let before = index();
        leave_card("mine", "private");
        assert!(!update_index(results.path(), "mine", false).unwrap());
        assert_eq!(index(), before);
        // One that is listed is brought up to date, and brings no other with it.
        leave_card("published", "after");
        assert!(update_index(results.path(), "published", false).unwrap());
        assert!(index().contains("after") && !index().contains("private"));
        // One that is added brings no other with it either, whatever its name.
        leave_card("a new one", "new");
        assert!(update_index(results.path(), "a new one", true).unwrap());
        assert!(index().contains("after") && index().contains("new") && !index().contains("private"));
        assert!(update_index(results.path(), "a new one", false).unwrap(), "it is listed now");
        write_index(results.path()).unwrap();
        assert!(index().contains("private"));
    }
}
