//! Keras' names and layouts: those of TensorFlow.

use super::{extents, number};
use crate::graph::{Graph, Node, NodeId, Op, ParameterSpec, Role};
use crate::module::Order;
use crate::network::{Family, NetworkSpec, Numerics};
use crate::weights::layout::Layout;

/// What Keras calls a variable of `role` in `node` of a network of `family`.
pub(super) fn variable(family: Family, node: &Node, role: Role) -> &'static str {
    match role {
        Role::ConvWeight if family == Family::Xception && node.name.ends_with(".spatial") => {
            "depthwise_kernel"
        }
        Role::ConvWeight if family == Family::Xception && node.name.ends_with(".pointwise") => {
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
pub(super) fn layout(family: Family, node: &Node, parameter: &ParameterSpec) -> Result<Layout, &'static str> {
    let shape = &parameter.shape;
    Ok(match (&node.op, parameter.role) {
        (Op::Conv { geometry, .. }, Role::ConvWeight) => {
            let extents = extents(shape)?;
            if variable(family, node, parameter.role) != "depthwise_kernel" {
                Layout::keras_conv(extents)
            } else if geometry.options().groups == geometry.input().c {
                Layout::keras_depthwise(extents)
            } else {
                return Err("its separable convolutions have one segment a channel");
            }
        }
        (_, Role::LinearWeight) => Layout::transposed(shape[0], shape[1]),
        _ => Layout::kept(shape),
    })
}

/// What Keras calls the layer `id` of `graph`.
pub(super) fn layer(spec: &NetworkSpec, graph: &Graph, id: NodeId) -> Result<String, &'static str> {
    let node = graph.node(id);
    let parts: Vec<&str> = node.name.split('.').collect();
    let is_of_timm = spec.numerics == Numerics::Timm && spec.family.layers_follow_numerics();
    let name = match spec.family {
        Family::MiniXception | Family::SimpleInception | Family::Resnet18 | Family::Resnext50 => {
            return Err("keras.applications has no such network");
        }
        _ if is_of_timm => return Err("its layers are those of numerics = \"keras\""),
        Family::Xception if spec.order == Order::PointwiseFirst => {
            return Err("its separable convolutions are spatial-first");
        }
        _ if parts == ["head", "logits"] => Some("predictions".to_owned()),
        Family::Xception => xception(&parts),
        Family::InceptionV3 => inception(graph, id),
        Family::Vgg16 => vgg(&parts),
        Family::Resnet50 | Family::Resnet152 => resnet(&parts),
    };
    name.ok_or("its network of this name has no such layer")
}

fn xception(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", layer] => match layer.strip_prefix("norm") {
            Some(index) => format!("block1_conv{index}_bn"),
            None => format!("block1_{layer}"),
        },
        [block, "skip", layer] => {
            // The four skips are layers without names.
            let index = [1, 2, 3, 12].iter().position(|&b| Some(b) == number(block, "block"))?;
            unnamed(if layer == "conv" { "conv2d" } else { "batch_normalization" }, index)
        }
        [block, module, layer] => {
            let block = if block == "tail" { 14 } else { number(block, "block")? + 1 };
            let suffix = match layer {
                "norm" => "_bn",
                "spatial" | "pointwise" => "",
                _ => return None,
            };
            format!("block{block}_sepconv{}{suffix}", number(module, "module")? + 1)
        }
        _ => return None,
    })
}

/// No layer has a name of its own; all are numbered in the order of the graph.
fn inception(graph: &Graph, id: NodeId) -> Option<String> {
    let is_conv = |node: &Node| matches!(node.op, Op::Conv { .. });
    let is_norm = |node: &Node| matches!(node.op, Op::BatchNorm { .. });
    let earlier = &graph.nodes[..id.0];
    let node = graph.node(id);
    if is_conv(node) {
        Some(unnamed("conv2d", earlier.iter().filter(|node| is_conv(node)).count()))
    } else if is_norm(node) {
        Some(unnamed("batch_normalization", earlier.iter().filter(|node| is_norm(node)).count()))
    } else {
        None
    }
}

/// Layer `index`, from 0, of a kind that Keras numbers.
fn unnamed(kind: &str, index: usize) -> String {
    if index == 0 { kind.to_owned() } else { format!("{kind}_{index}") }
}

fn vgg(parts: &[&str]) -> Option<String> {
    match *parts {
        ["head", layer] => Some(layer.to_owned()),
        [block, layer] => Some(format!("{block}_{layer}")),
        _ => None,
    }
}

fn resnet(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", "conv"] => "conv1_conv".to_owned(),
        ["stem", "norm"] => "conv1_bn".to_owned(),
        [stage, block, ref layer @ ..] => {
            let (stage, block) = (number(stage, "stage")? + 1, number(block, "block")? + 1);
            let (index, kind) = match *layer {
                ["skip", "conv"] => (0, "conv"),
                ["skip", "norm"] => (0, "bn"),
                [layer] if layer.starts_with("conv") => (number(layer, "conv")?, "conv"),
                [layer] => (number(layer, "norm")?, "bn"),
                _ => return None,
            };
            format!("conv{stage}_block{block}_{index}_{kind}")
        }
        _ => return None,
    })
}
