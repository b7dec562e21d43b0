//! The steps of a picture: each is one box for nodes that belong together.
//!
//! A convolution includes its norm and activation, a module its two convolutions. Anything that
//! stands alone (an activation before a module, a pool, a sum) is a step of its own.

use crate::graph::{Graph, Node, NodeId, Op};
use crate::layer_table::{self, describe};
use decouple_kernels::geometry::ConvGeometry;

/// The kind of a box, which determines its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The image, and everything that has no weights and no other colour.
    Plain,
    /// 1x1 convolutions and dense layers: across channels.
    Pointwise,
    /// Convolutions over pixels and all channels together.
    Regular,
    /// Convolutions over segments, and modules with one.
    Segmented,
    /// Pools.
    Pool,
    /// Where maps meet.
    Join,
}

/// One box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) kind: Kind,
    /// What it does.
    pub(super) title: String,
    /// Its output.
    pub(super) detail: String,
    /// The block it belongs to.
    pub(super) group: String,
    /// Steps that it reads.
    pub(super) inputs: Vec<usize>,
    /// Its last node.
    pub(super) node: NodeId,
}

impl Step {
    /// Whether it is drawn as a small circle.
    pub(super) fn is_sum(&self) -> bool {
        self.title == "+"
    }
}

/// The steps of `graph`, inputs before their consumers. Step 0 is the input.
pub(super) fn steps(graph: &Graph) -> Vec<Step> {
    let readers = graph.readers();
    let mut steps: Vec<Step> = Vec::new();
    // The step that each node belongs to.
    let mut of_node: Vec<usize> = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let producer = node.inputs.first().map(|input| of_node[input.0]);
        let absorbed = producer.filter(|&step| {
            let last = steps[step].node;
            node.inputs == [last] && readers[last.0] == 1 && absorbs(graph.node(last), node, steps[step].kind)
        });
        let step = match absorbed {
            Some(step) => {
                absorb(&mut steps[step], node);
                step
            }
            None => {
                let inputs = node.inputs.iter().map(|input| of_node[input.0]).collect();
                let mut step = step(node, graph);
                step.inputs = inputs;
                steps.push(step);
                steps.len() - 1
            }
        };
        steps[step].node = NodeId(index);
        of_node.push(step);
    }
    steps
}

/// Whether `node` is drawn in the box of the node before it.
fn absorbs(last: &Node, node: &Node, kind: Kind) -> bool {
    let is_layer = !matches!(kind, Kind::Plain | Kind::Pool);
    match &node.op {
        Op::BatchNorm { .. } => true,
        Op::Activation(_) => is_layer && group(&last.name) == group(&node.name),
        Op::Conv { .. } => is_of_module(node) && (is_of_module(last) || is_between(last)),
        _ => false,
    }
}

/// Whether `node` is one of the two convolutions of a module.
fn is_of_module(node: &Node) -> bool {
    node.name.ends_with(".spatial") || node.name.ends_with(".pointwise")
}

/// Whether `node` is between the two convolutions of a module.
fn is_between(node: &Node) -> bool {
    node.name.ends_with(".intermediate") || node.name.contains("module") && node.name.ends_with(".norm1")
}

fn absorb(step: &mut Step, node: &Node) {
    match &node.op {
        Op::Activation(_) if is_between(node) => {
            step.title = format!("{}, {}", step.title, describe(&node.op))
        }
        Op::Activation(_) => step.detail = format!("{} · {}", step.detail, describe(&node.op)),
        Op::Conv { geometry, .. } => {
            let first = step.title.trim_start_matches("conv ").to_owned();
            step.title = format!("{first}, {}", window(geometry));
            step.detail = channels(node);
            step.kind = Kind::Segmented;
        }
        Op::BatchNorm { .. } if is_between(node) => step.title = format!("{}, norm", step.title),
        _ => step.detail = format!("{} · norm", step.detail),
    }
}

fn step(node: &Node, graph: &Graph) -> Step {
    let (kind, title) = match &node.op {
        Op::Conv { geometry, .. } => conv(geometry),
        Op::BatchNorm { .. } => (Kind::Plain, "norm".to_owned()),
        Op::Add => (Kind::Join, "+".to_owned()),
        Op::Linear { .. } => (Kind::Pointwise, "dense".to_owned()),
        Op::Concat => (Kind::Join, describe(&node.op)),
        Op::MaxPool(_) | Op::MeanPool { .. } | Op::GlobalMeanPool => (Kind::Pool, describe(&node.op)),
        Op::Input | Op::Activation(_) | Op::Dropout { .. } => (Kind::Plain, describe(&node.op)),
    };
    let detail = match &node.op {
        Op::Input => node.output.to_string(),
        Op::Conv { .. } | Op::Concat => channels(node),
        Op::Linear { .. } => node.output.c.to_string(),
        _ => String::new(),
    };
    let is_last = node.name == graph.nodes[graph.nodes.len() - 1].name;
    let detail = if is_last && node.output.h * node.output.w == 1 {
        format!("{} logits", node.output.c)
    } else {
        detail
    };
    Step { kind, title, detail, group: group(&node.name), inputs: Vec::new(), node: NodeId(0) }
}

fn conv(geometry: &ConvGeometry) -> (Kind, String) {
    let options = geometry.options();
    let kind = match (options.kernel_h * options.kernel_w, options.segments) {
        (1, 1) => Kind::Pointwise,
        (_, 1) => Kind::Regular,
        _ => Kind::Segmented,
    };
    (kind, format!("conv {}", window(geometry)))
}

/// `3x3 /2`, `3x3 in 3 segments`, `3x3 per channel`.
fn window(geometry: &ConvGeometry) -> String {
    let segments = match geometry.options().segments {
        1 => String::new(),
        all if all == geometry.input().c => " per channel".to_owned(),
        some => format!(" in {some} segments"),
    };
    layer_table::window(geometry) + &segments
}

fn channels(node: &Node) -> String {
    format!("{} channels", node.output.c)
}

/// The block that a layer belongs to: the first part of its path, with the second where that is
/// a number or a block of its own.
fn group(name: &str) -> String {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (Some(second), Some(_)) if second.starts_with("block") || second.parse::<usize>().is_ok() => {
            format!("{first}.{second}")
        }
        (Some(_), _) => first.to_owned(),
        _ => String::new(),
    }
}
