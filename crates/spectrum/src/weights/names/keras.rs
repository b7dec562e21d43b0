//! Keras' names and layouts: those of TensorFlow.

use super::{NO_LAYER, check_modules, extents};
use crate::graph::{Graph, Node, NodeId, Op, ParameterSpec, Role};
use crate::network::{Family, NetworkSpec, Numerics};
use crate::weights::permutation::Permutation;

/// Keras' name of a variable of `role` in `node` of a network of `family`.
pub(super) fn variable(family: Family, node: &Node, role: Role) -> &'static str {
    match role {
        Role::ConvWeight if family.architecture().names.is_separable && node.name.ends_with(".spatial") => {
            "depthwise_kernel"
        }
        Role::ConvWeight if family.architecture().names.is_separable && node.name.ends_with(".pointwise") => {
            "pointwise_kernel"
        }
        Role::ConvWeight | Role::LinearWeight => "kernel",
        Role::Bias => "bias",
        Role::Gamma => "gamma",
        Role::Beta => "beta",
        Role::RunningMean => "moving_mean",
        Role::RunningVariance => "moving_variance",
    }
}

/// How Keras stores `parameter` of `node`.
pub(super) fn layout(
    family: Family,
    node: &Node,
    parameter: &ParameterSpec,
) -> Result<Permutation, &'static str> {
    let shape = &parameter.shape;
    Ok(match (&node.op, parameter.role) {
        (Op::Conv { geometry, .. }, Role::ConvWeight) => {
            let extents = extents(shape)?;
            if variable(family, node, parameter.role) != "depthwise_kernel" {
                Permutation::keras_conv(extents)
            } else if geometry.options().segments == geometry.input().c {
                Permutation::keras_depthwise(extents)
            } else {
                return Err("its separable convolutions have one segment per channel");
            }
        }
        (_, Role::LinearWeight) => Permutation::transposed(shape[0], shape[1]),
        _ => Permutation::kept(shape),
    })
}

/// Keras' name of the layer `id` of `graph`.
pub(super) fn layer(spec: &NetworkSpec, graph: &Graph, id: NodeId) -> Result<String, &'static str> {
    let names = &spec.family.architecture().names;
    let Some(name) = names.keras else { return Err("keras.applications has no such network") };
    if spec.numerics == Numerics::Timm && names.differ {
        return Err("its layers are those of numerics = \"keras\"");
    }
    check_modules(spec)?;
    let parts: Vec<&str> = graph.node(id).name.split('.').collect();
    match parts[..] {
        ["head", "logits"] => Ok("predictions".to_owned()),
        _ => name(graph, id, &parts).ok_or(NO_LAYER),
    }
}
