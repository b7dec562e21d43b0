//! A plain executor of networks in double precision, with which tests compare the engine on
//! whole networks.
//!
//! It walks the nodes of the plan's graph and not the plan's steps, so that a comparison also
//! checks the lowering. Parameters and optimiser state are rounded to f32 after every step, as
//! they are when read and written; everything in between is f64. It is slow, and simple enough
//! to be checked by reading.
//!
//! ```
//! use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
//! use decouple_reference::Reference;
//! use decouple_spectrum::{backend::{Backend, Pass}, builder::GraphBuilder};
//! let mut b = GraphBuilder::new(MapShape::new(2, 2, 1))?;
//! b.global_mean_pool("pool", b.input());
//! let mut network = Reference.network(b.finish(), Arithmetic::default(), &mut |_| Vec::new())?;
//! assert_eq!(network.forward(&[1.0, 2.0, 3.0, 6.0], 1, Pass::Inference)?, [3.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod executor;
mod ops;
mod optimizer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use decouple_kernels::arithmetic::Arithmetic;
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor, Update},
    graph::ParameterId,
    plan::Plan,
};

use executor::Network;

/// Executes plans in double precision, whatever arithmetic is requested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> &str {
        "reference"
    }

    fn executor(
        &self,
        plan: Arc<Plan>,
        _: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Box<dyn Executor>, ExecutionError> {
        Ok(Box::new(Network::new(plan, values)?))
    }

    fn training_bytes(&self, plan: &Plan, _: Arithmetic, images: usize, update: &Update, _: usize) -> u64 {
        executor::training_bytes(plan, images, update)
    }
}
