//! A network as data: a flat list of nodes with shapes and named parameters.
//!
//! Counting, budgets, drawing, memory estimates, weight import and execution all read this one
//! structure, so they cannot disagree about a layer.

pub use decouple_kernels::activation::Activation;
use decouple_kernels::geometry::{ConvGeometry, MapShape, PoolGeometry};

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Index of a parameter in [`Graph::parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub usize);

/// A network lowered to nodes in an order in which they can be executed: every input of a node
/// precedes it. Node 0 is the input, the last node is the output (logits as a 1x1 map).
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The nodes, inputs before their consumers.
    pub nodes: Vec<Node>,
    /// Everything a run must store to repeat the network: trained parameters
    /// and running statistics, in the order of the nodes.
    pub parameters: Vec<ParameterSpec>,
    /// The spatial convolutions whose segments the spectrum varies, in order.
    pub spatial_layers: Vec<SpatialLayer>,
}

/// One operation and its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Path of the layer, such as `middle.1.module0.spatial`.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// Where the inputs come from, in the operation's order.
    pub inputs: Vec<NodeId>,
    /// Shape of the output for one image.
    pub output: MapShape,
}

/// What a node computes. Parameters are named by index, geometries are complete.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image, normalised.
    Input,
    /// A convolution over segments.
    Conv {
        /// Shapes, kernel, stride, padding, segments.
        geometry: ConvGeometry,
        /// Weights in the ragged (out, in of segment, kh, kw) order.
        weights: ParameterId,
        /// One value per output channel, if the layer has a bias.
        bias: Option<ParameterId>,
    },
    /// Normalisation over batch and pixels, channel by channel.
    BatchNorm {
        /// Scale, if the norm has one.
        gamma: Option<ParameterId>,
        /// Shift.
        beta: ParameterId,
        /// Running mean, for inference.
        mean: ParameterId,
        /// Running variance, for inference.
        variance: ParameterId,
        /// Added to the variance.
        epsilon: f32,
        /// Share of the new batch in the running statistics.
        momentum: f32,
    },
    /// Rectified or exponential linear unit.
    Activation(Activation),
    /// Maximum over windows; padding never wins.
    MaxPool(PoolGeometry),
    /// Mean over windows.
    MeanPool {
        /// Windows, stride and padding.
        geometry: PoolGeometry,
        /// Whether padding counts as zeros in the mean (timm) or not (Keras).
        include_padding: bool,
    },
    /// Mean over all pixels: (h, w, c) to (1, 1, c).
    GlobalMeanPool,
    /// Sum of two maps of one shape.
    Add,
    /// Channels of all inputs, one after the other.
    Concat,
    /// Zeroes a share of the values in training and scales the rest up.
    Dropout {
        /// The share, from 0 up to 1.
        rate: f32,
    },
    /// A dense layer over a flattened map.
    Linear {
        /// Weights in (out, in) order, the input flattened as (h, w, c).
        weights: ParameterId,
        /// One value per output.
        bias: Option<ParameterId>,
    },
}

/// A named parameter or running statistic.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Path of the layer and the role, such as `stem.conv.weight`.
    pub name: String,
    /// Extents, where they are even; a ragged weight is a single extent.
    pub shape: Vec<usize>,
    /// Its role, which determines its initial value and weight decay.
    pub role: Role,
    /// Number of inputs of one output (of uneven segments the mean). It scales the initial value of dense weights; a
    /// convolution's follows from each of its segments.
    pub fan_in: usize,
}

impl ParameterSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weights of a convolution.
    ConvWeight,
    /// Weights of a dense layer.
    LinearWeight,
    /// Bias of a convolution or dense layer.
    Bias,
    /// Scale of a batch norm.
    Gamma,
    /// Shift of a batch norm.
    Beta,
    /// Running mean of a batch norm: not trained.
    RunningMean,
    /// Running variance of a batch norm: not trained.
    RunningVariance,
}

impl Role {
    /// Whether an optimiser updates it.
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVariance)
    }
}

/// A spatial convolution on the spectrum: its node and segments.
#[derive(Clone, Debug, PartialEq)]
pub struct SpatialLayer {
    /// Node of the convolution.
    pub node: NodeId,
    /// Its channels.
    pub channels: usize,
    /// Its independent segments, between 1 and `channels`.
    pub segments: usize,
}

impl Graph {
    /// Shape of one input image.
    pub fn input(&self) -> MapShape {
        self.nodes[0].output
    }

    /// Shape of the output for one image.
    pub fn output(&self) -> MapShape {
        self.nodes[self.nodes.len() - 1].output
    }

    /// The node with index `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// How many nodes read each node.
    pub(crate) fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| readers[input.0] += 1);
        readers
    }

    /// The parameter with index `id`.
    pub fn parameter(&self, id: ParameterId) -> &ParameterSpec {
        &self.parameters[id.0]
    }
}
