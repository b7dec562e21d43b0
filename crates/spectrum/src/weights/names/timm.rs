//! timm's names and layouts: those of PyTorch.

use super::{NO_LAYER, check_modules, extents};
use crate::graph::{Graph, Node, Op, ParameterSpec, Role};
use crate::network::{NetworkSpec, Numerics};
use crate::weights::permutation::Permutation;

/// timm's name of a variable of `role`.
pub(super) fn variable(role: Role) -> &'static str {
    match role {
        Role::ConvWeight | Role::LinearWeight | Role::Gamma => "weight",
        Role::Bias | Role::Beta => "bias",
        Role::RunningMean => "running_mean",
        Role::RunningVariance => "running_var",
    }
}

/// How timm stores `parameter` of `node`, whose name there is `layer`.
pub(super) fn layout(
    graph: &Graph,
    node: &Node,
    layer: &str,
    parameter: &ParameterSpec,
) -> Result<Permutation, &'static str> {
    let shape = &parameter.shape;
    Ok(match (&node.op, parameter.role) {
        (Op::Conv { .. }, Role::ConvWeight) => Permutation::kept(&extents(shape)?),
        // VGG's dense layers are convolutions over the whole map there.
        (_, Role::LinearWeight) if layer.starts_with("pre_logits.") => {
            Permutation::timm_flattened(shape[0], graph.node(node.inputs[0]).output)
        }
        _ => Permutation::kept(shape),
    })
}

/// timm's name of the layer `node`.
pub(super) fn layer(spec: &NetworkSpec, node: &Node) -> Result<String, &'static str> {
    let names = &spec.family.architecture().names;
    if spec.numerics == Numerics::Keras && names.differ {
        return Err("its layers are those of numerics = \"timm\"");
    }
    let Some(name) = names.timm else { return Err("timm has no such network") };
    check_modules(spec)?;
    let parts: Vec<&str> = node.name.split('.').collect();
    name(&parts).ok_or(NO_LAYER)
}
