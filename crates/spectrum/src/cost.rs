//! What a network costs, read off its graph without running anything.

use crate::graph::{Graph, Node, NodeId, Op, ParameterId};
use crate::segments::level;
use decouple_kernels::{conv::gradient_scratch, numerics::Winograd};
use serde::{Deserialize, Serialize};

/// Cost of a layer or a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Trained values.
    pub parameters: u64,
    /// Running statistics: stored with the weights, not trained.
    pub statistics: u64,
    /// Multiply-adds of one image, forward, in convolutions and dense layers.
    /// Taps that fall on padding count.
    pub macs: u64,
    /// Values that convolutions and dense layers give for one image, as pycls
    /// and timm count activations.
    pub activations: u64,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            parameters: self.parameters + other.parameters,
            statistics: self.statistics + other.statistics,
            macs: self.macs + other.macs,
            activations: self.activations + other.activations,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), std::ops::Add::add)
    }
}

/// Copies of each trained value that a training holds: value, gradient, two
/// optimiser slots (the most that any optimiser here has), weight average.
const COPIES_IN_TRAINING: u64 = 5;

impl Graph {
    /// Cost of the whole network: the sum over its nodes.
    pub fn cost(&self) -> Cost {
        self.nodes.iter().map(|node| self.cost_of(node)).sum()
    }

    /// Cost of one node.
    pub fn node_cost(&self, id: NodeId) -> Cost {
        self.cost_of(self.node(id))
    }

    /// Decoupling level of the network: the mean over its spatial
    /// convolutions of `ln segments / ln channels`, each of equal weight. A
    /// network without any has level 0: nothing in it is decoupled.
    pub fn level(&self) -> f64 {
        let layers = &self.spatial_layers;
        let sum: f64 = layers.iter().map(|layer| level(layer.segments, layer.channels)).sum();
        if layers.is_empty() { 0.0 } else { sum / layers.len() as f64 }
    }

    /// Estimated peak bytes of one training step on `batch` images.
    ///
    /// The model: all values are f32. A node's output stays until the last
    /// backward step that reads it. Convolution, dense layer, batch norm and
    /// max pool read their input, an activation its own output, dropout its
    /// mask (as large as its output); add, concatenation and means read
    /// nothing. The gradient of an output lives from the first backward step
    /// that adds to it until its own node's. To the peak of these two come the
    /// batch itself, five copies of every trained value, the running statistics,
    /// and the largest scratch that a gradient of weights is summed in. Left out:
    /// other scratch of the kernels, a copy while an input is still in use, and
    /// the allocator's slack.
    pub fn training_bytes(&self, batch: usize) -> u64 {
        let cost = self.cost();
        let stored = cost.parameters * COPIES_IN_TRAINING + cost.statistics + self.scratch(batch);
        let values = self.peak_training_values() + self.input().len() as u64;
        size_of::<f32>() as u64 * (stored + values * batch as u64)
    }

    /// Values of the largest scratch of a convolution's gradient.
    fn scratch(&self, batch: usize) -> u64 {
        let of = |node: &Node| match &node.op {
            Op::Conv { geometry, .. } => gradient_scratch(geometry, batch, Winograd::default()) as u64,
            _ => 0,
        };
        self.nodes.iter().map(of).max().unwrap_or(0)
    }

    fn cost_of(&self, node: &Node) -> Cost {
        let mut cost = Cost::default();
        for id in node.op.parameters() {
            let parameter = self.parameter(id);
            let counter =
                if parameter.role.is_trained() { &mut cost.parameters } else { &mut cost.statistics };
            *counter += parameter.len() as u64;
        }
        match &node.op {
            Op::Conv { geometry, .. } => cost.macs = geometry.macs(),
            Op::Linear { weights, .. } => cost.macs = self.parameter(*weights).len() as u64,
            _ => return cost,
        }
        cost.activations = node.output.len() as u64;
        cost
    }

    /// Most values that outputs kept for backward and gradients of outputs
    /// hold at once for one image, the image itself left out.
    fn peak_training_values(&self) -> u64 {
        let len = |node: usize| self.nodes[node].output.len() as u64;
        let released_at = self.last_readers();
        let mut alive: u64 = (1..self.nodes.len()).filter(|&node| released_at[node].is_some()).map(len).sum();
        let mut has_gradient = vec![false; self.nodes.len()];
        let mut peak = alive;
        for (index, node) in self.nodes.iter().enumerate().skip(1).rev() {
            // Gradients of the node's inputs, and of the logits to begin with.
            let inputs = node.inputs.iter().map(|id| id.0).filter(|&input| input != 0);
            for made in inputs.chain([index]) {
                if !std::mem::replace(&mut has_gradient[made], true) {
                    alive += len(made);
                }
            }
            peak = peak.max(alive);
            alive -= len(index);
            let released = (1..=index).filter(|&output| released_at[output] == Some(index));
            alive -= released.map(len).sum::<u64>();
        }
        peak
    }

    /// For each node, the node whose backward step is the last that reads its
    /// output, if any does. Backward runs from the last node to the first.
    fn last_readers(&self) -> Vec<Option<usize>> {
        let mut readers = vec![None; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            match node.op {
                Op::Conv { .. } | Op::BatchNorm { .. } | Op::Linear { .. } | Op::MaxPool(_) => {
                    readers[node.inputs[0].0] = Some(index);
                }
                Op::Activation(_) | Op::Dropout { .. } => readers[index] = Some(index),
                Op::Input | Op::MeanPool { .. } | Op::GlobalMeanPool | Op::Add | Op::Concat => {}
            }
        }
        readers
    }
}

impl Op {
    /// Every parameter that the operation owns, in the order of the graph's.
    pub fn parameters(&self) -> Vec<ParameterId> {
        match *self {
            Self::Conv { weights, bias, .. } | Self::Linear { weights, bias } => {
                std::iter::once(weights).chain(bias).collect()
            }
            Self::BatchNorm { gamma, beta, mean, variance, .. } => {
                gamma.into_iter().chain([beta, mean, variance]).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::{BatchNormOptions, GraphBuilder};
    use crate::error::SpecError;
    use crate::graph::{Activation, Graph};
    use decouple_kernels::geometry::{ConvOptions, MapShape};

    /// A 2x2 image of one channel, a residual block of three channels, logits.
    fn block() -> Result<Graph, SpecError> {
        let mut b = GraphBuilder::new(MapShape::new(2, 2, 1))?;
        let options = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };
        let conv = b.conv("conv", b.input(), 3, ConvOptions::spatial(3, 1))?;
        let norm = b.batch_norm("norm", conv, options);
        let relu = b.activation("relu", norm, Activation::Relu);
        let sum = b.add("add", relu, conv)?;
        let pooled = b.global_mean_pool("pool", sum);
        b.linear("logits", pooled, 5);
        Ok(b.finish())
    }

    #[test]
    fn the_peak_of_training_memory_is_the_one_counted_by_hand() {
        // Kept after forward: conv (12, read by norm), relu (12, read by
        // itself), pool (3, read by logits). Backward, with the gradients
        // that are alive while each node runs:
        //   logits  27 + logits 5 + pool 3                  = 35
        //   pool    24 + pool 3 + add 12                    = 39
        //   add     24 + add 12 + relu 12 + conv 12         = 60
        //   relu    24 + relu 12 + conv 12 + norm 12        = 60
        //   norm    12 + conv 12 + norm 12                  = 36
        let graph = block().unwrap();
        assert_eq!(graph.peak_training_values(), 60);
        // 27 weights, 6 of the norm, 20 of the logits; 6 statistics; eight sums of the
        // 27 weights' gradients; 4 pixels.
        assert_eq!(graph.training_bytes(10), 4 * (5 * 53 + 6 + 8 * 27 + 10 * (60 + 4)));
    }
}
