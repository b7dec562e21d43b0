//! Step times: the trait that measures them, and the file that remembers them.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::File,
    path::{Path, PathBuf},
};

use decouple_disk::{Disk, if_there};
use decouple_spectrum::{budget::step_time::TimedPair, network::NetworkSpec};
use serde::{Deserialize, Serialize};

use crate::{Average, LedgerError, Optimizer, Record, Run, TrainingSpec, Trial, ledger::replace_json};

/// What a [`StepTimer`] may fail with.
pub type ClockError = Box<dyn Error + Send + Sync>;

/// Measures training steps.
pub trait StepTimer {
    /// Times training steps of `trial` and of `reference`, taken in turn.
    ///
    /// # Errors
    /// If one of the two cannot be trained.
    fn compare(&mut self, trial: &Trial, reference: &Trial) -> Result<TimedPair, ClockError>;
}

/// The source of times for a budget of step time.
pub enum StepTimes<'a> {
    /// Measured.
    Timer(&'a mut dyn StepTimer),
    /// From these runs of the experiment: a point has the network of its runs. A point without
    /// runs keeps the width as typed, without a budget outcome.
    Runs(&'a [Run]),
}

/// The machine that measured times apply to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Version of this program.
    pub decouple: String,
    /// The processor's name.
    pub cpu: String,
    /// Instruction set that the kernels use.
    pub kernels: String,
    /// Threads that a step runs on.
    pub threads: usize,
}

/// Version of the file. Another one is measured again.
const FORMAT: u32 = 1;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    format: u32,
    machines: Vec<OnMachine>,
}

/// What was measured on one machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnMachine {
    machine: Machine,
    /// By the hash of the two workloads.
    comparisons: BTreeMap<String, TimedPair>,
}

/// A timer that asks another one only for what it does not remember. Its memory is a file that
/// any number of processes may share: while one measures, the others wait, and then read its
/// results.
pub struct RememberingTimer<T> {
    timer: T,
    path: PathBuf,
    machine: Machine,
    remembered: Remembered,
    /// Held from the first measurement on.
    lock: Option<File>,
}

impl<T: StepTimer> RememberingTimer<T> {
    /// Remembers in the file at `path`, which need not exist, what `timer` measures on
    /// `machine`. Also returns warnings about an unusable file, or about entries recorded on
    /// another machine.
    ///
    /// # Errors
    /// [`LedgerError`] when the file is there and cannot be read.
    pub fn open(path: &Path, machine: Machine, timer: T) -> Result<(Self, Option<String>), LedgerError> {
        let (remembered, warning) = read(path)?;
        let is_known = remembered.machines.iter().any(|known| known.machine == machine);
        let elsewhere = remembered.machines.last().filter(|_| !is_known).map(|last| {
            let Machine { decouple, cpu, kernels, .. } = &last.machine;
            format!("{}: ignored step times of decouple {decouple} with {kernels} on {cpu}", path.display())
        });
        let timer = Self { timer, path: path.to_owned(), machine, remembered, lock: None };
        Ok((timer, warning.or(elsewhere)))
    }

    fn known(&self, key: &str) -> Option<TimedPair> {
        let mine = self.remembered.machines.iter().find(|known| known.machine == self.machine)?;
        mine.comparisons.get(key).copied()
    }

    fn remember(&mut self, key: String, comparison: TimedPair) -> Result<(), LedgerError> {
        let machines = &mut self.remembered.machines;
        let place = machines.iter().position(|known| known.machine == self.machine);
        let place = place.unwrap_or_else(|| {
            machines.push(OnMachine { machine: self.machine.clone(), comparisons: BTreeMap::new() });
            machines.len() - 1
        });
        machines[place].comparisons.insert(key, comparison);
        replace_json(&self.disk(), &self.path, &self.remembered)
    }

    /// Only the results folder is written to.
    fn disk(&self) -> Disk {
        Disk::within(self.path.parent().map(Path::to_owned).unwrap_or_default())
    }

    /// Waits until no other process is measuring, and reads its results.
    fn take_lock(&mut self) -> Result<(), LedgerError> {
        if let Some(folder) = self.path.parent() {
            self.disk().create_dir_all(folder).map_err(LedgerError::io("create", folder))?;
        }
        let path = self.path.with_extension("lock");
        let lock = self.disk().open_lock(&path).map_err(LedgerError::io("open", &path))?;
        lock.lock().map_err(LedgerError::io("lock", &path))?;
        self.lock = Some(lock);
        self.remembered = read(&self.path)?.0;
        Ok(())
    }
}

impl<T: StepTimer> StepTimer for RememberingTimer<T> {
    fn compare(&mut self, trial: &Trial, reference: &Trial) -> Result<TimedPair, ClockError> {
        let key = key(&trial.record, &reference.record);
        if self.lock.is_none() && self.known(&key).is_none() {
            self.take_lock()?;
        }
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let comparison = self.timer.compare(trial, reference)?;
        self.remember(key, comparison)?;
        Ok(comparison)
    }
}

/// The file at `path`; nothing, with a warning, if it is damaged or of another format.
fn read(path: &Path) -> Result<(Remembered, Option<String>), LedgerError> {
    let nothing = Remembered { format: FORMAT, machines: Vec::new() };
    let text = if_there(Disk::default().read_to_string(path)).map_err(LedgerError::io("read", path))?;
    let Some(text) = text else { return Ok((nothing, None)) };
    let problem = match serde_json::from_str::<Remembered>(&text) {
        Ok(remembered) if remembered.format == FORMAT => return Ok((remembered, None)),
        Ok(Remembered { format, .. }) => format!("it has format {format}, not {FORMAT}"),
        Err(error) => error.to_string(),
    };
    Ok((nothing, Some(format!("{}: ignored step times: {problem}", path.display()))))
}

/// The name of a comparison.
fn key(trial: &Record, reference: &Record) -> String {
    let workloads = serde_json::to_vec(&(Workload::of(trial), Workload::of(reference)));
    blake3::hash(&workloads.expect("a record has only string keys")).to_hex()[..16].to_owned()
}

/// What the time of a step depends on, besides the machine. Trials that differ only in other
/// ways share a time, and so a width.
#[derive(Serialize)]
struct Workload<'a> {
    network: &'a NetworkSpec,
    /// Height, width and channels of an image.
    image: [usize; 3],
    classes: usize,
    augment: &'a [decouple_datasets::Augment],
    training: TrainingSpec,
}

impl<'a> Workload<'a> {
    fn of(record: &'a Record) -> Self {
        let shape = record.data.shape();
        Self {
            network: &record.network,
            image: [shape.h, shape.w, shape.c],
            classes: record.data.classes(),
            augment: &record.data.augment,
            training: timed(&record.training),
        }
    }
}

/// `training` without the settings that change values but not time, so that a sweep over those
/// compares equal networks. Everything else counts, including new keys.
fn timed(training: &TrainingSpec) -> TrainingSpec {
    let optimizer = match training.optimizer {
        Optimizer::Sgd { .. } => Optimizer::Sgd { momentum: 0.0, nesterov: false },
        Optimizer::Rmsprop { form, .. } => {
            Optimizer::Rmsprop { form, decay: 0.0, momentum: 0.0, epsilon: 1.0 }
        }
        Optimizer::Adamw { .. } => Optimizer::Adamw { beta1: 0.0, beta2: 0.0, epsilon: 1.0 },
    };
    let average = match training.average {
        Average::None => Average::None,
        Average::Polyak { .. } => Average::Polyak { decay: 0.0 },
    };
    let TrainingSpec { epochs, schedule, weight_decay, label_smoothing, .. } = TrainingSpec::default();
    TrainingSpec {
        epochs,
        schedule,
        weight_decay,
        label_smoothing,
        optimizer,
        average,
        weights_seed: None,
        order_seed: None,
        ..training.clone()
    }
}
