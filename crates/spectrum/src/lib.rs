//! Networks along the Inception-to-Xception spectrum, as data.
//!
//! [`NetworkSpec`](network::NetworkSpec) is a network as typed in a file. It
//! lowers to a [`Graph`](graph::Graph): nodes with shapes and named
//! parameters. Everything else reads that graph: [`cost`], the
//! [`budget`] solver, the [`table`] of layers, and the crate that executes it.
#![forbid(unsafe_code)]

pub mod backend;
pub mod budget;
pub mod builder;
pub mod cost;
pub mod drawing;
pub mod error;
pub mod graph;
pub mod module;
pub mod network;
pub mod networks;
pub mod plan;
pub mod preprocessing;
pub mod segments;
pub mod separability;
pub mod table;
pub mod weights;
