//! A network as the rows of a table, one per layer.

use crate::cost::Cost;
use crate::graph::{Activation, Graph, NodeId, Op};
use decouple_kernels::geometry::{ConvGeometry, MapShape, PoolGeometry};

/// One layer: its operation, output and cost.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRow {
    /// Path of the layer.
    pub name: String,
    /// What it does, such as `conv 3x3` or `max pool 3x3 /2` (at stride 2).
    pub op: String,
    /// Shape of the output for one image.
    pub output: MapShape,
    /// Segments, and the channels that they divide, if it is a spatial convolution of the spectrum.
    pub segments: Option<[usize; 2]>,
    /// Its own cost.
    pub cost: Cost,
}

/// Every node of `graph` as a row, in its order.
pub fn layer_rows(graph: &Graph) -> Vec<LayerRow> {
    let mut spatial = graph.spatial_layers.iter().peekable();
    let rows = graph.nodes.iter().enumerate().map(|(index, node)| LayerRow {
        name: node.name.clone(),
        op: describe(&node.op),
        output: node.output,
        segments: spatial
            .next_if(|layer| layer.node == NodeId(index))
            .map(|layer| [layer.segments, layer.channels]),
        cost: graph.node_cost(NodeId(index)),
    });
    rows.collect()
}

/// What an operation does, in a few words.
pub(crate) fn describe(op: &Op) -> String {
    match op {
        Op::Input => "input".to_owned(),
        Op::Conv { geometry, .. } => format!("conv {}", window(geometry)),
        Op::BatchNorm { .. } => "batch norm".to_owned(),
        Op::Activation(Activation::Relu) => "relu".to_owned(),
        Op::Activation(Activation::Elu) => "elu".to_owned(),
        Op::MaxPool(geometry) => describe_pool("max pool", geometry),
        Op::MeanPool { geometry, .. } => describe_pool("mean pool", geometry),
        Op::GlobalMeanPool => "global mean pool".to_owned(),
        Op::Add => "add".to_owned(),
        Op::Concat => "concat".to_owned(),
        Op::Dropout { rate } => format!("dropout {rate}"),
        Op::Linear { .. } => "linear".to_owned(),
    }
}

/// The window of a convolution: `3x3`, `3x3 /2`.
pub(crate) fn window(geometry: &ConvGeometry) -> String {
    let options = geometry.options();
    format!("{}x{}{}", options.kernel_h, options.kernel_w, stride_suffix(options.stride))
}

fn describe_pool(name: &str, geometry: &PoolGeometry) -> String {
    let window = geometry.window();
    format!("{name} {window}x{window}{}", stride_suffix(geometry.stride()))
}

fn stride_suffix(stride: usize) -> String {
    if stride == 1 { String::new() } else { format!(" /{stride}") }
}
