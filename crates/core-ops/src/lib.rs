//! The engine: executes a [`Plan`] on this machine's processors.
//!
//! Maps live in one block of memory, placed by the plan; each step is one or two calls into
//! `decouple-kernels`. In the backward pass every step is an operation on dfdx's tape, which runs them in
//! reverse and holds the gradients of the parameters. This is the only crate that names dfdx, and [`Engine`]
//! is its only public type but for the [`Isa`] that it takes.
//!
//! ```
//! use decouple_core_ops::Engine;
//! use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
//! use decouple_spectrum::{backend::{Backend, Pass}, network::NetworkSpec};
//! let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
//! let lengths: Vec<usize> = graph.parameters.iter().map(|parameter| parameter.len()).collect();
//! let mut network = Engine::best().network(graph, Arithmetic::default(), &mut |id| vec![0.1; lengths[id.0]])?;
//! let batch = vec![0.0; network.batch_layout(2).len];
//! let logits = network.forward(&batch, 2, Pass::Training { dropout_seed: 0 })?;
//! assert_eq!(logits.len(), 2 * 10);
//! network.backward(&[0.1; 20])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Plan`]: decouple_spectrum::plan::Plan
#![forbid(unsafe_code)]

mod alone;
mod backward;
mod executor;
mod forward;
mod network;
mod norm;
mod room;
mod tape;

use std::sync::Arc;

use decouple_kernels::arithmetic::Arithmetic;
pub use decouple_kernels::isa::Isa;
use decouple_spectrum::{
    backend::{Backend, ExecutionError, Executor, Update},
    graph::ParameterId,
    plan::Plan,
};

/// Executes plans with the vector instructions of the processor.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    isa: Isa,
}

impl Engine {
    /// With the best instruction set of this machine.
    pub fn best() -> Self {
        Self::new(Isa::best())
    }

    /// With another instruction set; the results are the same bits.
    pub const fn new(isa: Isa) -> Self {
        Self { isa }
    }
}

impl Backend for Engine {
    fn name(&self) -> &str {
        self.isa.name()
    }

    fn executor(
        &self,
        plan: Arc<Plan>,
        arithmetic: Arithmetic,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Box<dyn Executor>, ExecutionError> {
        Ok(Box::new(network::Network::new(self.isa, plan, arithmetic, values)?))
    }

    fn training_bytes(
        &self,
        plan: &Plan,
        arithmetic: Arithmetic,
        images: usize,
        update: &Update,
        threads: usize,
    ) -> u64 {
        let convs = room::convs(self.isa, plan, arithmetic);
        let room = room::Room::new(self.isa, plan, &convs, images, true);
        let values = plan.parameter_bytes(update).saturating_add(room.bytes(threads));
        plan.training_arena().bytes(images).saturating_add(values)
    }
}
