//! timm's names and layouts: those of PyTorch.

use super::{extents, number};
use crate::graph::{Graph, Node, Op, ParameterSpec, Role};
use crate::module::Order;
use crate::network::{Family, NetworkSpec, Numerics};
use crate::weights::layout::Layout;

const NO_NETWORK: &str = "timm has no such network";

/// What timm calls a variable of `role`.
pub(super) fn variable(role: Role) -> &'static str {
    match role {
        Role::ConvWeight | Role::LinearWeight | Role::Gamma => "weight",
        Role::Bias | Role::Beta => "bias",
        Role::RunningMean => "running_mean",
        Role::RunningVariance => "running_var",
    }
}

/// How timm stores `parameter` of `node`, which it calls `layer`.
pub(super) fn layout(
    graph: &Graph,
    node: &Node,
    layer: &str,
    parameter: &ParameterSpec,
) -> Result<Layout, &'static str> {
    let shape = &parameter.shape;
    Ok(match (&node.op, parameter.role) {
        (Op::Conv { .. }, Role::ConvWeight) => Layout::kept(&extents(shape)?),
        // VGG's dense layers are convolutions over the whole map there.
        (_, Role::LinearWeight) if layer.starts_with("pre_logits.") => {
            Layout::timm_flattened(shape[0], graph.node(node.inputs[0]).output)
        }
        _ => Layout::kept(shape),
    })
}

/// What timm calls the layer `node`.
pub(super) fn layer(spec: &NetworkSpec, node: &Node) -> Result<String, &'static str> {
    let parts: Vec<&str> = node.name.split('.').collect();
    if spec.numerics == Numerics::Keras && spec.family.layers_follow_numerics() {
        return Err("its layers are those of numerics = \"timm\"");
    }
    let name = match spec.family {
        Family::Xception if spec.order == Order::PointwiseFirst => {
            return Err("its separable convolutions are spatial-first");
        }
        Family::Xception => xception(&parts),
        Family::InceptionV3 => inception(&parts),
        Family::Vgg16 => vgg(&parts),
        Family::Resnet18 | Family::Resnet50 | Family::Resnet152 | Family::Resnext50 => resnet(&parts),
        Family::MiniXception | Family::SimpleInception => return Err(NO_NETWORK),
    };
    name.ok_or("its network of this name has no such layer")
}

fn xception(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["stem", layer] => match layer.strip_prefix("norm") {
            Some(index) => format!("bn{index}"),
            None => layer.to_owned(),
        },
        ["tail", module, "norm"] => format!("bn{}", number(module, "module")? + 3),
        ["tail", module, layer] => format!("conv{}.{}", number(module, "module")? + 3, separable(layer)?),
        [block, "skip", "conv"] => format!("{block}.skip"),
        [block, "skip", "norm"] => format!("{block}.skipbn"),
        [block, module, layer] => {
            // relu, convolution, norm; the first block has no relu at its beginning.
            let first = if block == "block1" { 0 } else { 1 };
            let place = 3 * number(module, "module")? + first;
            match layer {
                "norm" => format!("{block}.rep.{}", place + 1),
                layer => format!("{block}.rep.{place}.{}", separable(layer)?),
            }
        }
        ["head", "logits"] => "fc".to_owned(),
        _ => return None,
    })
}

fn separable(layer: &str) -> Option<&'static str> {
    match layer {
        "spatial" => Some("conv1"),
        "pointwise" => Some("pointwise"),
        _ => None,
    }
}

fn inception(parts: &[&str]) -> Option<String> {
    let (&layer, scopes) = parts.split_last()?;
    if scopes == ["head"] {
        return (layer == "logits").then(|| "fc".to_owned());
    }
    let scopes = scopes.strip_prefix(&["stem"]).unwrap_or(scopes).join(".");
    let (first, rest) = scopes.split_at_checked(1)?;
    Some(format!("{}{rest}.{}", first.to_uppercase(), if layer == "norm" { "bn" } else { layer }))
}

fn vgg(parts: &[&str]) -> Option<String> {
    Some(match *parts {
        ["head", "logits"] => "head.fc".to_owned(),
        ["head", layer] => format!("pre_logits.{layer}"),
        [block, layer] => {
            // Each convolution is followed by a relu, each block by a pool.
            let begin = [0, 5, 10, 17, 24].get(number(block, "block")?.checked_sub(1)?)?;
            format!("features.{}", begin + 2 * number(layer, "conv")?.checked_sub(1)?)
        }
        _ => return None,
    })
}

fn resnet(parts: &[&str]) -> Option<String> {
    let inner = |layer: &str| layer.replace("norm", "bn");
    Some(match *parts {
        ["stem", "conv"] => "conv1".to_owned(),
        ["stem", "norm"] => "bn1".to_owned(),
        ["head", "logits"] => "fc".to_owned(),
        [stage, block, ref layer @ ..] => {
            let block = format!("layer{}.{}", number(stage, "stage")?, number(block, "block")?);
            match *layer {
                ["skip", "conv"] => format!("{block}.downsample.0"),
                ["skip", "norm"] => format!("{block}.downsample.1"),
                [layer] => format!("{block}.{}", inner(layer)),
                _ => return None,
            }
        }
        _ => return None,
    })
}
