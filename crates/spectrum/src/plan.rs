//! The execution of training or inference, step by step, as pure data.
//!
//! A [`Graph`] says what a network is; a [`Plan`] says how it is executed: which nodes form a step, which
//! maps are stored, what is left to the reader of a map, what is kept for the backward pass, and when each
//! map and gradient can be freed. Backends and the estimate of memory read this one structure.
//!
//! ```
//! use decouple_kernels::geometry::MapShape;
//! use decouple_spectrum::{network::NetworkSpec, plan::{Plan, Work}};
//! let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
//! let plan = Plan::new(graph);
//! // A module is one step: its two convolutions, the norm and the activation before them.
//! let modules = plan.steps.iter().filter(|step| matches!(&step.work, Work::Convs(convs) if convs.len() == 2));
//! assert_eq!(modules.count(), 14);
//! # Ok::<(), decouple_spectrum::error::SpecError>(())
//! ```
//!
//! # How maps are read
//! Batch norms and activations are not steps. A norm belongs to the map that it normalises: the step that
//! writes the map computes mean and variance, and every step that reads the map normalises the values as it
//! reads them, then applies the activation of its [`Read`]. In the backward pass a reader applies the
//! derivative of its activation and passes on the gradient of the norm's output; the step that wrote the map
//! propagates it through the norm as it reads it.

mod arena;
mod lifetimes;
mod lower;
mod strips;

use decouple_kernels::geometry::{ConvGeometry, MapShape, PoolGeometry};
pub use decouple_kernels::{conv::WeightOrder, maps::Cut};

use crate::graph::{Activation, Graph, NodeId, ParameterId};

pub use arena::Arena;

/// Index of a stored map in [`Plan::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub usize);

/// Index of a gradient in [`Plan::gradients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GradientId(pub usize);

/// The steps of a network in the order in which they run; the backward pass runs them in
/// reverse.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The network: names, shapes, and the parameters that ids refer to.
    pub graph: Graph,
    /// What is done.
    pub steps: Vec<Step>,
    /// Every map that is stored. The first is the batch of images, the last the logits.
    pub maps: Vec<Map>,
    /// Every gradient of a map. Maps may share one.
    pub gradients: Vec<Gradient>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The last of the nodes that it executes, which names it.
    pub node: NodeId,
    /// What is computed.
    pub work: Work,
    /// What it reads of its map in each lane, if not the map as it lies: in inference on one image alone.
    pub cut: Option<Cut>,
    /// The maps it reads, in the operation's order.
    pub reads: Vec<Read>,
    /// Between two convolutions, the map kept for the backward pass.
    pub middle: Option<MapId>,
    /// The map it writes.
    pub writes: MapId,
}

/// What a step computes from the maps that it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// One convolution, or two with at most an activation between them.
    Convs(Vec<Conv>),
    /// Maximum over windows; padding never wins, and the first of equal values does.
    MaxPool(PoolGeometry),
    /// Mean over windows; whether padding counts as zeros.
    MeanPool(PoolGeometry, bool),
    /// Mean over all pixels.
    GlobalMeanPool,
    /// Sum of two maps.
    Add,
    /// Channels of all maps, one after the other; of one map, a copy.
    Concat,
    /// Zeroes a share of the values in training and scales the rest up.
    Dropout(f32),
}

/// A convolution or dense layer of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Shapes; a dense layer is a convolution whose kernel covers the map.
    pub geometry: ConvGeometry,
    /// Of strips of an image's rows, the convolution of the image.
    pub whole: Option<ConvGeometry>,
    /// Its weights.
    pub weights: ParameterId,
    /// The order of the weights of one output.
    pub order: WeightOrder,
    /// One value per output channel, if the layer has a bias.
    pub bias: Option<ParameterId>,
    /// Applied to its output; only between the two convolutions of a step.
    pub activation: Option<Activation>,
}

/// How a step reads a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The map, normalised if it has a norm.
    pub map: MapId,
    /// Applied to every value as it is read.
    pub activation: Option<Activation>,
    /// What happens to the gradient in the backward pass; `None` if there is none.
    pub gradient: Option<GradientWrite>,
}

/// How a step passes on the gradient of a map that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientWrite {
    /// Whether other steps have written to it earlier in the backward pass, so that this one
    /// adds.
    pub adds: bool,
    /// Whether this is the last contribution, so that the sums for the map's norm can be
    /// computed.
    pub completes: bool,
    /// Whether it is identical to the gradient of the step's output, so that nothing needs to
    /// be written.
    pub is_shared: bool,
}

/// A map that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The node that computes its values.
    pub node: NodeId,
    /// Shape of one image.
    pub shape: MapShape,
    /// Columns of zeros after each row of a channel: the padding of every convolution that
    /// reads the map or, in the backward pass, its gradient.
    pub margin: usize,
    /// The batch norm that all its readers apply.
    pub norm: Option<Norm>,
    /// Its gradient; `None` if it needs none, like the images.
    pub gradient: Option<GradientId>,
    /// The step that writes it; `None` for the images.
    pub written: Option<usize>,
    /// The last step that reads or writes it in the forward pass.
    pub last_read: usize,
    /// The earliest step whose backward pass reads it, if any.
    pub kept_until: Option<usize>,
}

/// A batch norm.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Its node.
    pub node: NodeId,
    /// Scale, where the network has it.
    pub gamma: Option<ParameterId>,
    /// Shift.
    pub beta: ParameterId,
    /// Running mean, for inference.
    pub mean: ParameterId,
    /// Running variance, for inference.
    pub variance: ParameterId,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of the new batch in the running statistics.
    pub momentum: f32,
}

/// The gradient of one map, or of several that are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gradient {
    /// A map that it belongs to, for its shape and margin.
    pub map: MapId,
    /// The step whose backward pass writes it first; for the logits, the last step.
    pub from: usize,
    /// The step whose backward pass reads it last.
    pub until: usize,
}

impl Plan {
    /// Lowers `graph`.
    pub fn new(graph: Graph) -> Self {
        lower::plan(graph)
    }

    /// The map with index `id`.
    pub fn map(&self, id: MapId) -> &Map {
        &self.maps[id.0]
    }

    /// The logits: the last map.
    pub fn logits(&self) -> MapId {
        MapId(self.maps.len() - 1)
    }
}
