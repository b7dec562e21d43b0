//! Networks along the Inception-to-Xception spectrum, as data.
//!
//! [`NetworkSpec`](network::NetworkSpec) is a network as typed in a file. It lowers to a
//! [`Graph`](graph::Graph): nodes with shapes and named parameters. Everything else reads that
//! graph: [`cost`], the [`budget`] solver, the [`layer_table`], and the crates that execute it.
//!
//! ```
//! use decouple_kernels::geometry::MapShape;
//! use decouple_spectrum::{budget::{Quantity, solve}, network::NetworkSpec, segments::Segments};
//!
//! // One segment, at the width that has as many parameters as one segment per channel.
//! let (input, classes) = (MapShape::new(28, 28, 1), 10);
//! let separable = NetworkSpec::default();
//! let regular = NetworkSpec { segments: Segments::Count(1).into(), ..separable.clone() };
//! let target = separable.graph(input, classes)?.cost().parameters;
//! let solved = solve(&regular, input, classes, Quantity::Parameters, target)?;
//! assert!(solved.width < 1.0 && solved.spec.graph(input, classes)?.level() == 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod backend;
pub mod budget;
pub mod builder;
pub mod cost;
pub mod drawing;
pub mod error;
pub mod graph;
pub mod layer_table;
pub mod module;
pub mod network;
pub mod plan;
pub mod segments;
pub mod separability;
mod update;
pub mod weights;
