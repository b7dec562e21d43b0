//! Experiment files, trials and the ledger of runs.
//!
//! [`load`] reads an experiment file as a person types it and resolves it into
//! [`Trial`]s, each complete and named by the hash of its [`Record`]. The
//! [`Ledger`] knows what has been run. [`KEYS`] lists every key of a file.
#![forbid(unsafe_code)]

mod budget;
mod file_system;
mod keys;
mod launcher;
mod ledger;
mod standing;
mod step_times;
mod sweep;
mod training;
mod trial;
mod tune;

pub use budget::{BudgetOutcome, Drift, Held};
pub use file_system::FileSystem;
pub use keys::{KEYS, Key};
pub use launcher::{LauncherKind, LauncherSpec, LauncherTable, parse_size};
pub use ledger::{
    CHECKPOINT_PREFIX, Claim, Claims, Contents, Difference, Elsewhere, Environment, Identity, Ledger,
    LedgerError, MetricsRow, NUMERICS_VERSION, Outcome, Problem, Remedy, Run, RunState, RunWriter, Scan,
    Scores, Status, TimingRow, timestamp,
};
pub use standing::{Best, Onlooker, Running, Standing};
pub use step_times::{ClockError, Machine, RememberingTimer, StepTimer, StepTimes};
pub use sweep::{
    Axis, Filter, FilterError, Overrides, Sweep, SweepError, inert_cell, load, load_with, parse, parse_with,
    section,
};
pub use training::{
    Average, DecayKind, DecayOn, Every, InvalidKey, Optimizer, Precision, RmspropForm, Schedule,
    TrainingSpec, Winograd,
};
pub use trial::{FORMAT, LayerRecord, ParseRunIdError, Record, RunId, Trial};
pub use tune::{Choice, RECIPE, Setting, Try, Tune, TuneError};
