//! Trains the graph of a trial.
//!
//! [`device`] chooses what networks are executed on; the rest knows no more of it
//! than `decouple_spectrum::backend` says. [`init`] draws a network's start values,
//! [`weights`] loads and stores them, [`loss`] has losses and their gradients,
//! [`optimizer`] the numbers of a step, [`evaluation`] scores. [`trial`] is the one
//! training loop, [`sweep`] the one loop over trials, [`halving`] the one that stops
//! the worse of them; all report to [`progress`] and return what they found.
//! [`checkpoint`] is what a run goes on from after it was cut off, and [`keeper`]
//! decides when one is written.
//! [`diagnosis`] asks what coupled kernels lose when they are decoupled after
//! training. [`estimate`] tells beforehand how long a trial takes, [`memory`] how much it
//! needs and when there is room for it, and [`step_time`] how its steps compare with
//! those of another. [`launcher`] hands trials over to Slurm or to processes.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod device;
pub mod diagnosis;
pub mod estimate;
pub mod evaluation;
mod faults;
pub mod halving;
pub mod init;
pub mod keeper;
pub mod launcher;
pub mod loss;
pub mod memory;
pub mod optimizer;
pub mod progress;
pub mod step_time;
pub mod sweep;
pub mod trial;
pub mod weights;
