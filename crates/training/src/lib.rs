//! Trains the graph of a trial.
//!
//! [`network`] executes a graph through core-ops, [`weights`] loads and stores it, [`optimizer`] changes its
//! parameters, [`average`] keeps their running average, [`evaluation`] scores
//! them. [`trial`] is the one training loop, [`sweep`] the one loop over
//! trials, [`halving`] the one that stops the worse of them; all report to [`progress`] and return what they found.
//! [`checkpoint`] is what a run goes on from after it was cut off, and [`keeper`]
//! decides when one is written.
//! [`diagnosis`] asks what coupled kernels lose when they are decoupled after
//! training. [`estimate`] tells beforehand how long a trial takes, and
//! [`step_time`] how its steps compare with those of another.
#![forbid(unsafe_code)]

pub mod average;
pub mod checkpoint;
pub mod diagnosis;
pub mod estimate;
pub mod evaluation;
mod faults;
mod fusion;
pub mod halving;
pub mod init;
pub mod keeper;
pub mod network;
pub mod optimizer;
pub mod progress;
pub mod step_time;
pub mod sweep;
pub mod trial;
pub mod weights;
