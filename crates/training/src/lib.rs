//! Trains the graph of a trial.
//!
//! [`device`] chooses what networks are executed on; the rest knows no more of it than
//! `decouple_spectrum::backend` says. [`start_values`] draws a network's initial values,
//! [`stored_network`] loads and stores them, [`loss`] has losses and their gradients, [`objective`]
//! says which of them a run minimises, [`ranking`] where labels stand among predictions, [`optimizer`]
//! the numbers of a step, [`evaluation`] scores. [`run_trial`] is the one training loop, [`run_sweep`]
//! the one loop over trials, [`halving`] the one that stops the worse of them; all report to
//! [`progress`] and return what they found. [`checkpoint`] is what a run continues from after it was
//! interrupted, and [`keeper`] decides when one is written. [`diagnosis`] asks what coupled kernels
//! lose when they are decoupled after training. [`inference`] asks a network for the logits of images,
//! [`classifier`] names what is in photographs. [`forecast`] tells beforehand how long a trial takes,
//! [`memory_limit`] how much it needs and when there is room for it, and [`timer`] how its steps
//! compare with those of another. [`launcher`] hands trials over to Slurm or to processes.
//!
//! `examples/train.rs` trains a network from Rust in thirty lines. An untrained network can already
//! classify:
//!
//! ```
//! use decouple_kernels::{geometry::MapShape, arithmetic::Arithmetic};
//! use decouple_spectrum::network::NetworkSpec;
//! use decouple_training::{device::backend, inference::logits, start_values};
//!
//! let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
//! let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
//! assert_eq!(logits(&mut *network, &[0.0; 28 * 28])?.len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod classifier;
pub mod device;
pub mod diagnosis;
pub mod error;
pub mod evaluation;
pub mod forecast;
pub mod halving;
pub mod inference;
pub mod keeper;
pub mod launcher;
pub mod loss;
mod machine_faults;
pub mod memory_limit;
pub mod objective;
pub mod optimizer;
mod processor_time;
pub mod progress;
pub mod ranking;
pub mod run_sweep;
pub mod run_trial;
pub mod start_values;
pub mod stored_network;
pub mod timer;
pub mod workers;
