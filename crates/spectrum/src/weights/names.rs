//! The names of a network's parameters in other frameworks.
//!
//! What a layer is called stands beside its network, in `network::architectures`. What its
//! tensors are called, and how they lie in memory, follows from the operation
//! and is the same for all families: `timm` and `keras` say it.

mod keras;
mod timm;

use super::NAMING_KEY;
use super::error::WeightError;
use super::header::Header;
pub use super::naming::Naming;
use super::permutation::Permutation;
use crate::graph::{Graph, NodeId, ParameterId};
use crate::module::{Intermediate, ModuleKind, Order};
use crate::network::{Dense, NetworkSpec};

impl Naming {
    /// The naming stated in `header`, or else guessed from its names: Keras' have a slash, and
    /// only ours end in `.beta`.
    pub fn of(header: &Header) -> Self {
        let noted = header.metadata.get(NAMING_KEY);
        if let Some(naming) = Self::ALL.into_iter().find(|naming| noted.is_some_and(|n| n == naming.name())) {
            return naming;
        }
        let any = |test: fn(&str) -> bool| header.tensors.keys().any(|name| test(name));
        if any(|name| name.contains('/')) {
            Self::Keras
        } else if any(|name| name.ends_with(".beta")) {
            Self::Decouple
        } else {
            Self::Timm
        }
    }
}

/// One tensor of a file, and the parameter that it corresponds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTensor {
    /// Its name in the file.
    pub name: String,
    /// Its shape there, and the places of our values in it.
    pub layout: Permutation,
    /// Which parameter of the graph it is.
    pub parameter: ParameterId,
}

/// The tensors that a file of `naming` has for `graph`, which `network` lowers
/// to, one for each parameter and in the graph's order.
///
/// # Errors
/// [`WeightError::Unnamed`] when the framework has no such network, or none
/// with this network's segments.
pub fn named_tensors(
    network: &NetworkSpec,
    graph: &Graph,
    naming: Naming,
) -> Result<Vec<NamedTensor>, WeightError> {
    let mut tensors = Vec::with_capacity(graph.parameters.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let parameters = node.op.parameters();
        if parameters.is_empty() {
            continue;
        }
        let refuse = |reason| WeightError::Unnamed { naming, layer: node.name.clone(), reason };
        let layer = match naming {
            Naming::Decouple => Ok(node.name.clone()),
            Naming::Timm => timm::layer(network, node),
            Naming::Keras => keras::layer(network, graph, NodeId(index)),
        };
        let layer = layer.map_err(refuse)?;
        for id in parameters {
            let parameter = graph.parameter(id);
            let (name, layout) = match naming {
                Naming::Decouple => (parameter.name.clone(), Ok(Permutation::kept(&parameter.shape))),
                Naming::Timm => (
                    format!("{layer}.{}", timm::variable(parameter.role)),
                    timm::layout(graph, node, &layer, parameter),
                ),
                Naming::Keras => (
                    format!("{layer}/{}", keras::variable(network.family, node, parameter.role)),
                    keras::layout(network.family, node, parameter),
                ),
            };
            tensors.push(NamedTensor { name, layout: layout.map_err(refuse)?, parameter: id });
        }
    }
    Ok(tensors)
}

const NO_LAYER: &str = "its network of this name has no such layer";

/// Refuses modules that are no separable convolutions where the network of this name has those: it would compute
/// something else with the same tensors.
fn check_modules(spec: &NetworkSpec) -> Result<(), &'static str> {
    if !spec.family.architecture().names.is_separable {
        return Ok(());
    }
    if spec.order == Order::PointwiseFirst {
        return Err("its separable convolutions are spatial-first");
    }
    if spec.intermediate != Intermediate::None || spec.module != ModuleKind::Spectrum {
        return Err("its modules are separable convolutions with nothing between their two parts");
    }
    if !spec.residual || spec.dense != Dense::None {
        return Err("its flows have residual connections and no dense ones");
    }
    Ok(())
}

/// The four extents of a convolution's weights; uneven segments have none.
fn extents(shape: &[usize]) -> Result<[usize; 4], &'static str> {
    shape.try_into().map_err(
        |_| "its segments are uneven; only 1, or a count that divides the channels, can be expressed",
    )
}
