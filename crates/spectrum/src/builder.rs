//! The vocabulary that every network of this crate is written in.
//!
//! A [`GraphBuilder`] appends one node per call, derives its shape, and names its parameters,
//! so that a network file reads like the paper's figure.

use crate::error::SpecError;
use crate::graph::{Activation, Graph, Node, NodeId, Op, ParameterId, ParameterSpec, Role, SpatialLayer};
use decouple_kernels::geometry::{ConvGeometry, ConvOptions, MapShape, Padding, PoolGeometry};

/// Builds a [`Graph`] node by node.
///
/// Names are prefixed with the open scopes, joined by dots. Ids must come from the same
/// builder; an id of another one is a programming error and panics.
///
/// ```
/// use decouple_kernels::geometry::{ConvOptions, MapShape};
/// use decouple_spectrum::{builder::GraphBuilder, graph::Activation};
/// let mut b = GraphBuilder::new(MapShape::new(28, 28, 1))?;
/// let input = b.input();
/// let out = b.scope("stem", |b| {
///     let conv = b.conv("conv", input, 16, ConvOptions::spatial(3, 1))?;
///     Ok(b.activation("relu", conv, Activation::Relu))
/// })?;
/// assert_eq!(b.shape(out), MapShape::new(28, 28, 16));
/// assert_eq!(b.finish().nodes[1].name, "stem.conv");
/// # Ok::<(), decouple_spectrum::error::SpecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    graph: Graph,
    /// The open scopes, each followed by a dot.
    prefix: String,
    /// Where in the prefix each open scope begins.
    scopes: Vec<usize>,
}

/// How a batch norm normalises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the new batch in the running statistics.
    pub momentum: f32,
    /// Whether it scales as well as shifts.
    pub scale: bool,
}

impl GraphBuilder {
    /// A graph that holds only its input, images of shape `input`.
    ///
    /// # Errors
    /// [`SpecError::MapTooSmall`] when an extent is zero.
    pub fn new(input: MapShape) -> Result<Self, SpecError> {
        if input.is_empty() {
            return Err(SpecError::MapTooSmall { layer: "input".to_owned(), map: input });
        }
        let node = Node { name: "input".to_owned(), op: Op::Input, inputs: Vec::new(), output: input };
        let graph = Graph { nodes: vec![node], parameters: Vec::new(), spatial_layers: Vec::new() };
        Ok(Self { graph, prefix: String::new(), scopes: Vec::new() })
    }

    /// The node that holds the image.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Shape of the output of `node` for one image.
    pub fn shape(&self, node: NodeId) -> MapShape {
        self.graph.node(node).output
    }

    /// Runs `body` with `name` as a prefix of every name in it.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn scope<T>(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut Self) -> Result<T, SpecError>,
    ) -> Result<T, SpecError> {
        self.open(name);
        let result = body(self);
        self.close();
        result
    }

    /// Prefixes every name with `name` until [`Self::close`]. For callers that cannot lend the
    /// builder alone to [`Self::scope`].
    pub(crate) fn open(&mut self, name: &str) {
        self.scopes.push(self.prefix.len());
        self.prefix.push_str(name);
        self.prefix.push('.');
    }

    /// Ends the scope opened last.
    pub(crate) fn close(&mut self) {
        self.prefix.truncate(self.scopes.pop().unwrap_or(0));
    }

    /// A convolution without bias to `out_c` channels.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when the options do not fit the input's shape.
    pub fn conv(
        &mut self,
        name: &str,
        input: NodeId,
        out_c: usize,
        options: ConvOptions,
    ) -> Result<NodeId, SpecError> {
        self.push_conv(name, input, out_c, options, false)
    }

    /// A convolution to `out_c` channels with a bias.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when the options do not fit the input's shape.
    pub fn conv_with_bias(
        &mut self,
        name: &str,
        input: NodeId,
        out_c: usize,
        options: ConvOptions,
    ) -> Result<NodeId, SpecError> {
        self.push_conv(name, input, out_c, options, true)
    }

    /// A `kernel` x `kernel` convolution over `segments` segments that keeps
    /// the map's shape, listed in [`Graph::spatial_layers`].
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when there are more segments than channels.
    pub fn spatial(
        &mut self,
        name: &str,
        input: NodeId,
        kernel: usize,
        segments: usize,
    ) -> Result<NodeId, SpecError> {
        let channels = self.shape(input).c;
        self.spatial_to(name, input, channels, kernel, segments)
    }

    /// A spatial convolution of any stride that keeps the number of channels,
    /// with a bias or without; its segments are those that
    /// [`Graph::spatial_layers`] lists.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when the options do not fit the input's shape.
    pub fn segmented(
        &mut self,
        name: &str,
        input: NodeId,
        options: ConvOptions,
        bias: bool,
    ) -> Result<NodeId, SpecError> {
        let channels = self.shape(input).c;
        let node = self.push_conv(name, input, channels, options, bias)?;
        self.graph.spatial_layers.push(SpatialLayer { node, channels, segments: options.segments });
        Ok(node)
    }

    /// A `kernel` x `kernel` convolution over `segments` segments to `out_c` channels that keeps the map's rows
    /// and columns, listed in [`Graph::spatial_layers`] with the narrower of its two channel counts.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when there are more segments than channels.
    pub fn spatial_to(
        &mut self,
        name: &str,
        input: NodeId,
        out_c: usize,
        kernel: usize,
        segments: usize,
    ) -> Result<NodeId, SpecError> {
        let channels = self.shape(input).c.min(out_c);
        let node = self.push_conv(name, input, out_c, ConvOptions::spatial(kernel, segments), false)?;
        self.graph.spatial_layers.push(SpatialLayer { node, channels, segments });
        Ok(node)
    }

    /// Batch normalisation, channel by channel.
    pub fn batch_norm(&mut self, name: &str, input: NodeId, options: BatchNormOptions) -> NodeId {
        let output = self.shape(input);
        let mut channels = |role, what| self.parameter(name, what, vec![output.c], role, 1);
        let op = Op::BatchNorm {
            gamma: options.scale.then(|| channels(Role::Gamma, "gamma")),
            beta: channels(Role::Beta, "beta"),
            mean: channels(Role::RunningMean, "mean"),
            variance: channels(Role::RunningVariance, "variance"),
            epsilon: options.epsilon,
            momentum: options.momentum,
        };
        self.push(name, op, vec![input], output)
    }

    /// A pointwise non-linearity.
    pub fn activation(&mut self, name: &str, input: NodeId, activation: Activation) -> NodeId {
        self.push(name, Op::Activation(activation), vec![input], self.shape(input))
    }

    /// Maximum over `window` x `window` pixels every `stride` pixels.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when the window does not fit.
    pub fn max_pool(
        &mut self,
        name: &str,
        input: NodeId,
        window: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<NodeId, SpecError> {
        let geometry = self.pool_geometry(name, input, window, stride, padding)?;
        Ok(self.push(name, Op::MaxPool(geometry), vec![input], geometry.output()))
    }

    /// Mean over `window` x `window` pixels every `stride` pixels;
    /// `include_padding` counts the border as zeros.
    ///
    /// # Errors
    /// [`SpecError::Geometry`] when the window does not fit.
    pub fn mean_pool(
        &mut self,
        name: &str,
        input: NodeId,
        window: usize,
        stride: usize,
        padding: Padding,
        include_padding: bool,
    ) -> Result<NodeId, SpecError> {
        let geometry = self.pool_geometry(name, input, window, stride, padding)?;
        let op = Op::MeanPool { geometry, include_padding };
        Ok(self.push(name, op, vec![input], geometry.output()))
    }

    /// Mean over all pixels.
    pub fn global_mean_pool(&mut self, name: &str, input: NodeId) -> NodeId {
        let output = MapShape::new(1, 1, self.shape(input).c);
        self.push(name, Op::GlobalMeanPool, vec![input], output)
    }

    /// Sum of two maps.
    ///
    /// # Errors
    /// [`SpecError::ShapeMismatch`] when their shapes differ.
    pub fn add(&mut self, name: &str, left: NodeId, right: NodeId) -> Result<NodeId, SpecError> {
        let (output, other) = (self.shape(left), self.shape(right));
        if output != other {
            return Err(SpecError::ShapeMismatch { layer: self.path(name), left: output, right: other });
        }
        Ok(self.push(name, Op::Add, vec![left, right], output))
    }

    /// Channels of `first`, then those of each map of `rest`.
    ///
    /// # Errors
    /// [`SpecError::ShapeMismatch`] when rows or columns differ.
    pub fn concat(&mut self, name: &str, first: NodeId, rest: &[NodeId]) -> Result<NodeId, SpecError> {
        let left = self.shape(first);
        let mut output = left;
        for &node in rest {
            let right = self.shape(node);
            if (right.h, right.w) != (left.h, left.w) {
                return Err(SpecError::ShapeMismatch { layer: self.path(name), left, right });
            }
            output.c += right.c;
        }
        let inputs = std::iter::once(first).chain(rest.iter().copied()).collect();
        Ok(self.push(name, Op::Concat, inputs, output))
    }

    /// Zeroes a share of the values in training.
    pub fn dropout(&mut self, name: &str, input: NodeId, rate: f32) -> NodeId {
        self.push(name, Op::Dropout { rate }, vec![input], self.shape(input))
    }

    /// A dense layer with bias from the flattened input to `outputs` values.
    pub fn linear(&mut self, name: &str, input: NodeId, outputs: usize) -> NodeId {
        let fan_in = self.shape(input).len();
        let weights = self.parameter(name, "weight", vec![outputs, fan_in], Role::LinearWeight, fan_in);
        let bias = Some(self.parameter(name, "bias", vec![outputs], Role::Bias, fan_in));
        self.push(name, Op::Linear { weights, bias }, vec![input], MapShape::new(1, 1, outputs))
    }

    /// The finished graph. The node added last is its output.
    pub fn finish(self) -> Graph {
        debug_assert!(self.has_unique_names(), "two layers of a network share a name");
        self.graph
    }

    fn push_conv(
        &mut self,
        name: &str,
        input: NodeId,
        out_c: usize,
        options: ConvOptions,
        bias: bool,
    ) -> Result<NodeId, SpecError> {
        let geometry = ConvGeometry::new(self.shape(input), out_c, options)
            .map_err(|source| SpecError::Geometry { layer: self.path(name), source })?;
        let (shape, fan_in) = conv_weight(&geometry);
        let weights = self.parameter(name, "weight", shape, Role::ConvWeight, fan_in);
        let bias = bias.then(|| self.parameter(name, "bias", vec![out_c], Role::Bias, fan_in));
        Ok(self.push(name, Op::Conv { geometry, weights, bias }, vec![input], geometry.output()))
    }

    fn pool_geometry(
        &self,
        name: &str,
        input: NodeId,
        window: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<PoolGeometry, SpecError> {
        PoolGeometry::new(self.shape(input), window, stride, padding)
            .map_err(|source| SpecError::Geometry { layer: self.path(name), source })
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, output: MapShape) -> NodeId {
        let node = Node { name: self.path(name), op, inputs, output };
        self.graph.nodes.push(node);
        NodeId(self.graph.nodes.len() - 1)
    }

    fn parameter(
        &mut self,
        layer: &str,
        what: &str,
        shape: Vec<usize>,
        role: Role,
        fan_in: usize,
    ) -> ParameterId {
        let name = [&self.prefix, layer, ".", what].concat();
        self.graph.parameters.push(ParameterSpec { name, shape, role, fan_in });
        ParameterId(self.graph.parameters.len() - 1)
    }

    fn path(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    fn has_unique_names(&self) -> bool {
        let mut names = std::collections::HashSet::new();
        self.graph.nodes.iter().all(|node| names.insert(&node.name))
    }
}

/// Shape of a convolution's weights, and the inputs that reach one output.
///
/// Weights of uneven segments have rows of different lengths: one flat extent,
/// and the mean over the outputs as fan-in (rounded to nearest).
fn conv_weight(geometry: &ConvGeometry) -> (Vec<usize>, usize) {
    let options = geometry.options();
    let (in_c, out_c) = (geometry.input().c, geometry.output().c);
    let count = geometry.weight_count();
    let even = in_c % options.segments == 0 && out_c % options.segments == 0;
    let shape = if even {
        vec![out_c, in_c / options.segments, options.kernel_h, options.kernel_w]
    } else {
        vec![count]
    };
    (shape, (count + out_c / 2) / out_c)
}
