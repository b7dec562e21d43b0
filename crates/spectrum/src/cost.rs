//! The cost of a network, computed from its graph without running anything.

use crate::graph::{Graph, Node, NodeId, Op, ParameterId};
use crate::segments::level;
use serde::{Deserialize, Serialize};

/// Cost of a layer or a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Trained values.
    pub parameters: u64,
    /// Running statistics: stored with the weights, not trained.
    #[serde(default)]
    pub statistics: u64,
    /// Multiply-adds of one image, forward, in convolutions and dense layers.
    /// Taps that fall on padding count.
    pub macs: u64,
    /// Outputs of convolutions and dense layers for one image, as pycls and timm count
    /// activations.
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

impl Graph {
    /// Cost of the whole network: the sum over its nodes.
    pub fn cost(&self) -> Cost {
        self.nodes.iter().map(|node| self.cost_of(node)).sum()
    }

    /// Cost of one node.
    pub fn node_cost(&self, id: NodeId) -> Cost {
        self.cost_of(self.node(id))
    }

    /// Decoupling level of the network: the mean over its spatial convolutions of `ln segments
    /// / ln channels`, each of equal weight. A network without any has level 0, since nothing
    /// in it is decoupled.
    pub fn level(&self) -> f64 {
        let layers = &self.spatial_layers;
        let sum: f64 = layers.iter().map(|layer| level(layer.segments, layer.channels)).sum();
        if layers.is_empty() { 0.0 } else { sum / layers.len() as f64 }
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

/// A count with a comma after every third digit from the right.
///
/// ```
/// use decouple_spectrum::cost::grouped;
/// assert_eq!([0, 999, 1_000, 8_357_403_496].map(grouped), ["0", "999", "1,000", "8,357,403,496"]);
/// ```
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
