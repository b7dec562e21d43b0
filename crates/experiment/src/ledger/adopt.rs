//! Copies runs that other experiments in the same results folder have already finished.
//!
//! A run's id is the hash of its record, so two experiments that share a trial (often the reference point),
//! its data and its numerics share its results. The second experiment takes a copy, byte for byte; only the
//! point and budget in the record's file remain its own.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use decouple_disk::Disk;

use super::checksums::{self, Depth};
use super::folders::by_id;
use super::{Claim, Identity, Ledger, LedgerError, Mismatch, Outcome, RunState, read};
use crate::Trial;

/// The runs of the other experiments of a results folder, as their folders' names tell.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    disk: Disk,
    /// By the short id at the end of the name, the first experiment by name first.
    runs: HashMap<String, Vec<PathBuf>>,
}

impl Elsewhere {
    /// The finished run of the same trial, data and numerics, if there is one.
    pub fn find(&self, trial: &Trial, identity: &Identity) -> Option<&Path> {
        self.finished(trial).find(|dir| self.difference(dir, identity).is_none())
    }

    /// Finished runs of the same record, but on other data or with other numerics.
    pub(super) fn others(&self, trial: &Trial, identity: &Identity) -> Vec<Mismatch> {
        self.finished(trial).filter_map(|dir| self.difference(dir, identity)).collect()
    }

    fn finished(&self, trial: &Trial) -> impl Iterator<Item = &Path> {
        let id = trial.id;
        let is_same = move |dir: &&PathBuf| {
            let status = read::checked_status(&self.disk, dir).ok().flatten();
            status.is_some_and(|status| status.outcome == Outcome::Finished)
                && matches!(read::id(&self.disk, dir), Ok(Some(found)) if found == id)
        };
        self.runs.get(&id.short()).into_iter().flatten().filter(is_same).map(PathBuf::as_path)
    }

    fn difference(&self, dir: &Path, identity: &Identity) -> Option<Mismatch> {
        let found = read::identity(&self.disk, dir).ok().flatten();
        // A run that does not state its data is not copied.
        let unknown = Identity { data: Some("unknown".to_owned()), numerics: 0 };
        identity.difference(dir.to_owned(), &found.unwrap_or(unknown))
    }
}

/// What a ledger copied from other experiments.
#[derive(Debug, Default)]
pub struct Adopted {
    /// How many runs of each experiment, by its folder.
    pub runs_of: BTreeMap<PathBuf, usize>,
    /// Finished runs of the same trials that were not copied because of their data or numerics.
    pub others: Vec<Mismatch>,
    /// Why other, damaged runs were not copied.
    pub damaged: Vec<LedgerError>,
}

impl Ledger {
    /// Copies each finished run of `trials` that another experiment has, unless the trial is done or being
    /// trained here, or asked for again.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub fn adopt_finished<'a>(
        &self,
        trials: impl Iterator<Item = (&'a Trial, Identity)>,
    ) -> Result<Adopted, LedgerError> {
        let (scan, elsewhere, mut adopted) = (self.scan()?, self.elsewhere(), Adopted::default());
        for (trial, identity) in trials {
            let is_to_do = matches!(scan.state(trial)?, RunState::New | RunState::Partial);
            if !is_to_do || scan.is_asked_for_again(trial.id) {
                continue;
            }
            let Some(run) = elsewhere.find(trial, &identity) else {
                adopted.others.extend(elsewhere.others(trial, &identity));
                continue;
            };
            match self.adopt(trial, run, &identity) {
                Ok(true) => {
                    let experiment = run.ancestors().nth(2).unwrap_or(run);
                    *adopted.runs_of.entry(experiment.to_owned()).or_default() += 1;
                }
                Ok(false) => {}
                // One that cannot be read is the other experiment's trouble.
                Err(error) if matches!(&error, LedgerError::Io { path, .. } if !path.starts_with(run)) => {
                    return Err(error);
                }
                Err(error) => adopted.damaged.push(error),
            }
        }
        Ok(adopted)
    }

    /// The runs of the experiments beside this one. What cannot be listed counts as
    /// nothing.
    pub fn elsewhere(&self) -> Elsewhere {
        let mut found = Elsewhere { disk: self.disk.clone(), runs: HashMap::new() };
        let listed = |folder: &Path| self.disk.list(folder).unwrap_or_default();
        let others = self.root.parent().map_or(Vec::new(), listed);
        for other in others.into_iter().filter(|other| other.file_name() != self.root.file_name()) {
            for (id, runs) in by_id(listed(&Self::open(other).runs_dir())) {
                found.runs.entry(id).or_default().extend(runs);
            }
        }
        found
    }

    /// Copies the run at `source` (from [`Elsewhere::find`]) for a trial that is still to be done here,
    /// with all its files: rows, environment, weights. Returns whether it did.
    ///
    /// # Errors
    /// If files cannot be read or written, or the source is not what its checksums say. Then the trial is
    /// still to be done here.
    pub(super) fn adopt(
        &self,
        trial: &Trial,
        source: &Path,
        identity: &Identity,
    ) -> Result<bool, LedgerError> {
        checksums::check(&self.disk, source, Depth::All)?;
        let status_path = source.join("status.json");
        let status = self.disk.read(&status_path).map_err(LedgerError::io("read", &status_path))?;
        let expected = checksums::list(&self.disk, source)?;
        // Others may have put files of their own beside those of the run.
        let is_of_run = |name: &str| match &expected {
            Some(sums) => sums.contains_key(name),
            None => checksums::is_covered(name),
        };
        let Claim::Mine(writer) = self.claim(trial, identity)? else { return Ok(false) };
        for path in self.disk.list(source).map_err(LedgerError::io("list", source))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_of_run(&name) && name != "trial.toml" && name != "status.json" && path.is_file() {
                let bytes = self.disk.read(&path).map_err(LedgerError::io("read", &path))?;
                let target = writer.dir().join(&name);
                self.disk.replace(&target, &bytes).map_err(LedgerError::io("write", &target))?;
            }
        }
        writer.finish_with(&status, expected.as_ref())?;
        Ok(true)
    }
}
