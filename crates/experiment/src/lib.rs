//! Experiment files, trials and the ledger of runs.
//!
//! [`load`] reads an experiment file as a person types it and resolves it into
//! [`Trial`]s, each complete and named by the hash of its [`Record`]. The
//! [`Ledger`] knows what has been run. [`decouple_keys`] lists every key of a file.
//!
//! ```
//! use decouple_experiment::{Ledger, Overrides, RunState, parse};
//!
//! let file = "axes.segments = [1, 'per-channel']\naxes.seed = [0, 1]";
//! let sweep = parse(file, "mine.toml", &Overrides::default())?;
//! assert_eq!(sweep.trials.len(), 4);
//! // At equal parameters, the budget's own: the widths differ, the costs do not.
//! let [first, last] = [&sweep.trials[0], &sweep.trials[3]];
//! assert!(first.width() < last.width());
//! assert!(first.cost.parameters.abs_diff(last.cost.parameters) < 1_000);
//! let ledger = Ledger::open(std::env::temp_dir().join("decouple-no-results-here"));
//! assert_eq!(ledger.state(first)?, RunState::New);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod budget;
mod declared;
mod difference;
mod file_system;
mod launcher;
mod ledger;
mod metric;
mod numerics_version;
mod recipes;
mod schema;
mod standing;
mod step_timer;
mod sweep;
mod template;
mod training;
mod trial;
mod tune;

pub use budget::{BudgetOutcome, Drift, Held};
pub use declared::{Declared, file_hash};
pub use difference::{Difference, Reason, Stray, differences, stray_lines};
pub use file_system::FileSystem;
pub use launcher::{LauncherKind, LauncherSpec, LauncherTable, parse_size};
pub use ledger::per_image;
pub use ledger::per_image::PerImage;
pub use ledger::{
    Adopted, CHECKPOINT_PREFIX, Claim, Claims, Contents, Elsewhere, Environment, Identity, Ledger,
    LedgerError, LockedPlan, MetricsRow, Mismatch, Outcome, Problem, Remedy, Run, RunState, RunWriter, Scan,
    Scores, Status, TimingRow, timestamp,
};
pub use metric::Metric;
pub use numerics_version::NUMERICS_VERSION;
pub use recipes::{Choice, RECIPE, TuneError};
pub use schema::schema;
pub use standing::{Best, Onlooker, Running, Standing};
pub use step_timer::{ClockError, Machine, RememberingTimer, StepTimer, StepTimes};
pub use sweep::{
    Axis, ExperimentError, FilterError, LockError, Overrides, Sweep, TrialFilter, inert_cell, load,
    load_with, parse, parse_with, section, section_of_options, shell_word,
};
pub use template::template;
pub use training::{
    Average, DecayKind, DecayOn, Every, Loss, Optimizer, Precision, RmspropForm, Schedule, TrainingSpec,
    Winograd,
};
pub use trial::{FORMAT, LayerRecord, ParseRunIdError, Record, RunId, Trial, value_on};
pub use tune::{Setting, Try, Tune};
