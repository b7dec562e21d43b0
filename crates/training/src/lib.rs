//! Trains the graph of a trial.
//!
//! [`network`] executes a graph through core-ops, [`weights`] loads and stores it, [`optimizer`] changes its
//! parameters, [`average`] keeps their running average, [`evaluation`] scores
//! them. [`trial`] is the one training loop, [`sweep`] the one loop over
//! trials, [`halving`] the one that stops the worse of them; all report to [`progress`] and return what they found.
//! [`diagnosis`] asks what coupled kernels lose when they are decoupled after
//! training. [`classifier`] names what is in photographs. [`estimate`] tells beforehand how long a trial takes, and
//! [`step_time`] how its steps compare with those of another.
//!
//! `examples/train.rs` trains a network from Rust in thirty lines. A network of
//! start values already classifies:
//!
//! ```
//! use decouple_core_ops::{Context, MapShape};
//! use decouple_spectrum::network::NetworkSpec;
//! use decouple_training::{inference::logits, network::Network};
//!
//! let context = Context::best();
//! let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
//! let mut network = Network::new(graph, 0, &context);
//! assert_eq!(logits(&mut network, &context, &[0.0; 28 * 28])?.len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod average;
pub mod classifier;
pub mod diagnosis;
pub mod estimate;
pub mod evaluation;
mod fusion;
pub mod halving;
pub mod inference;
pub mod init;
pub mod network;
pub mod optimizer;
pub mod progress;
pub mod step_time;
pub mod sweep;
pub mod trial;
pub mod weights;
