//! Writing a report into a results folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;

use crate::analysis::Analysis;
use crate::export::{runs_csv, summary_csv};
use crate::figures::{self, DrawError};

/// The files of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `runs.csv`, a row a run.
    pub runs: PathBuf,
    /// `summary.csv`, a row a point.
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
        source: DrawError,
    },
}

/// Writes tables and figures of `analysis` into the results folder `root`, which is made where missing.
///
/// Each file is replaced as a whole or not at all. The same analysis gives the same bytes.
///
/// # Errors
/// The first file that cannot be written, or figure that cannot be drawn; earlier ones stay.
pub fn write(analysis: &Analysis, root: &Path) -> Result<Written, ReportError> {
    let folder = root.join("figures");
    fs::create_dir_all(&folder).map_err(|source| ReportError::Io { path: folder.clone(), source })?;

    let runs = replace(root.join("runs.csv"), runs_csv(analysis).as_bytes())?;
    let summary = replace(root.join("summary.csv"), summary_csv(analysis).as_bytes())?;
    let mut figures = Vec::new();
    for (name, drawing) in figures::all(analysis) {
        let path = folder.join(format!("{name}.svg"));
        let svg = drawing.svg().map_err(|source| ReportError::Draw { path: path.clone(), source })?;
        figures.push(replace(path, svg.as_bytes())?);
        let path = folder.join(format!("{name}.png"));
        let png = drawing.png().map_err(|source| ReportError::Draw { path: path.clone(), source })?;
        figures.push(replace(path, &png)?);
    }
    Ok(Written { runs, summary, figures })
}

/// Replaces a file by rename after fsync.
fn replace(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    let written = AtomicWriteFile::open(&path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.commit()
    });
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::Io { path, source }),
    }
}
