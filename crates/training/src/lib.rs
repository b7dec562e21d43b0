//! Trains the graph of a trial.
//!
//! [`network`] executes a graph through core-ops, [`weights`] loads and stores it, [`optimizer`] changes its
//! parameters, [`average`] keeps their running average, [`evaluation`] scores
//! them. [`trial`] is the one training loop, [`sweep`] the one loop over
//! trials, [`halving`] the one that stops the worse of them; all report to [`progress`] and return what they found.
//! [`diagnosis`] asks what coupled kernels lose when they are decoupled after
//! training. [`estimate`] tells beforehand how long a trial takes, [`memory`] how much it
//! needs and when there is room for it, and [`step_time`] how its steps compare with
//! those of another. [`launcher`] hands trials over to Slurm or to processes.
#![forbid(unsafe_code)]

pub mod average;
pub mod diagnosis;
pub mod estimate;
pub mod evaluation;
mod fusion;
pub mod halving;
pub mod init;
pub mod launcher;
pub mod memory;
pub mod network;
pub mod optimizer;
pub mod progress;
pub mod step_time;
pub mod sweep;
pub mod trial;
pub mod weights;
