//! What makes two runs the same run: the record, the content of the data and the engine's numerics.
//!
//! The record is compared by its id. The other two are in `environment.json`, which every run writes
//! before its first step.

use std::fmt;
use std::path::PathBuf;

use super::Environment;
use crate::Trial;

/// What a run depends on besides its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Checksum of the images and labels that it is trained on. `None`, which agrees with any, if they have
    /// not been read yet.
    pub data: Option<String>,
    /// The version of its arithmetic, as [`NUMERICS_VERSION`](crate::NUMERICS_VERSION) says.
    pub numerics: u32,
}

impl Identity {
    /// A run of `trial` by this program on data of the checksum `data`, if they have been read.
    pub fn of(trial: &Trial, data: Option<&str>) -> Self {
        Self { data: data.map(str::to_owned), numerics: trial.numerics }
    }

    /// As recorded by a run.
    pub fn of_run(environment: &Environment) -> Self {
        Self { data: Some(environment.data_checksum.clone()), numerics: environment.numerics_version }
    }

    /// How the run in `dir`, which is `found`, differs from this.
    pub fn difference(&self, dir: PathBuf, found: &Self) -> Option<Mismatch> {
        let data = match (&self.data, &found.data) {
            (Some(here), Some(there)) if here != there => Some((there.clone(), here.clone())),
            _ => None,
        };
        let numerics = (self.numerics != found.numerics).then_some((found.numerics, self.numerics));
        (data.is_some() || numerics.is_some()).then_some(Mismatch { dir, data, numerics })
    }
}

/// A run of the same record that differs in data or numerics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The folder of the run that was found.
    pub dir: PathBuf,
    /// Checksum of its data, and of the data now.
    pub data: Option<(String, String)>,
    /// Its numerics version, and that of this program.
    pub numerics: Option<(u32, u32)>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.dir.display())?;
        if let Some((found, here)) = &self.data {
            write!(f, "trained on other images (data checksum {}, here {})", short(found), short(here))?;
        }
        if let Some((found, here)) = self.numerics {
            let and = if self.data.is_some() { ", and " } else { "" };
            write!(f, "{and}computed by numerics version {found}, this program's is {here}")?;
        }
        Ok(())
    }
}

/// The first digits of a checksum, enough for people to distinguish two.
fn short(checksum: &str) -> &str {
    checksum.get(..16).unwrap_or(checksum)
}
