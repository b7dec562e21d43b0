//! What a training or an inference does, step by step: pure data.
//!
//! A [`Graph`] says what a network is; a [`Plan`] says how it is executed: which
//! nodes are one step, which maps are stored, what is left to whoever reads a
//! map, what the way back keeps, and when each map and gradient can be let go.
//! Everything that executes a network, and the estimate of its memory, reads
//! this one structure.
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
//! Batch norms and activations are no steps. A norm belongs to the map that it
//! normalises, its one reader: the step that writes the map takes the mean and
//! variance, and every step that reads the map normalises as it reads, then
//! applies the activation of its [`Read`]. On the way back a reader undoes its
//! activation, and hands over the gradient of the norm's output; the step that
//! wrote the map takes it through the norm as it reads it.

mod arena;
mod lifetimes;
mod lower;

pub use decouple_kernels::conv::WeightOrder;
use decouple_kernels::geometry::{ConvGeometry, MapShape, PoolGeometry};

use crate::graph::{Activation, Graph, NodeId, ParameterId};

pub use arena::Arena;

/// Index of a stored map in [`Plan::maps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(pub usize);

/// Index of a gradient in [`Plan::gradients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GradientId(pub usize);

/// The steps of a network in the order in which they run; the way back runs
/// them from the last to the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The network: names, shapes, and the parameters that ids refer to.
    pub graph: Graph,
    /// What is done.
    pub steps: Vec<Step>,
    /// Every map that is stored. Number 0 is the batch of images, the last one
    /// the logits.
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
    /// The maps it reads, in the operation's order.
    pub reads: Vec<Read>,
    /// Of two convolutions, the map between them, which the way back keeps.
    pub middle: Option<MapId>,
    /// The map it writes.
    pub writes: MapId,
}

/// What a step computes from the maps that it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// One convolution, or two with at most an activation between them.
    Convs(Vec<Conv>),
    /// Maximum over windows; padding never wins, of equal values the first does.
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
    /// Its weights.
    pub weights: ParameterId,
    /// The order in which the weights of one output stand.
    pub order: WeightOrder,
    /// One value an output channel, where the network has it.
    pub bias: Option<ParameterId>,
    /// Applied to what it makes: between the two convolutions of a step only.
    pub activation: Option<Activation>,
}

/// How a step reads a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The map; where it has a norm, what that makes of it.
    pub map: MapId,
    /// Applied to every value as it is read.
    pub activation: Option<Activation>,
    /// What becomes of the gradient on the way back; `None` where none flows.
    pub gradient: Option<GradientWrite>,
}

/// How a step hands over the gradient of a map that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientWrite {
    /// Whether other steps have written before on the way back: add to it.
    pub adds: bool,
    /// Whether no other step adds to it after: the sums that the map's norm
    /// needs can be taken.
    pub completes: bool,
    /// Whether it is the very gradient of the step's own output, which is left
    /// where it stands: nothing is written.
    pub is_shared: bool,
}

/// A map that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The node that makes its values.
    pub node: NodeId,
    /// Shape of one image.
    pub shape: MapShape,
    /// Columns of zeros after each row of a channel: the padding of every
    /// convolution that reads the map or, on the way back, its gradient.
    pub margin: usize,
    /// The batch norm that all its readers apply.
    pub norm: Option<Norm>,
    /// Its gradient; `None` where none flows, as into the images.
    pub gradient: Option<GradientId>,
    /// The step that writes it; `None` of the images.
    pub written: Option<usize>,
    /// The last step that reads it on the way forward, or writes it.
    pub last_read: usize,
    /// The last step on the way back that reads it, if any does: the earliest.
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
    /// A map that has it, which tells its shape and margin.
    pub map: MapId,
    /// The step whose way back writes it first; of the logits, the last step.
    pub from: usize,
    /// The step whose way back reads it last.
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
