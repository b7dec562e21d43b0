//! Which nodes of a graph are executed as one: two convolutions that follow each
//! other, with at most an activation between them, as in every module of the
//! spectrum.

use decouple_core_ops::FusedGeometry;
use decouple_spectrum::graph::{Graph, NodeId, Op, ParameterId};

/// What to do at a node.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// What the node says.
    Alone,
    /// Nothing yet: a later node does it too, if the batch is large enough.
    Deferred,
    /// Two convolutions.
    Fused(Box<Fusion>),
}

/// Two convolutions as one operation.
#[derive(Clone, Debug)]
pub(crate) struct Fusion {
    /// Where the first reads.
    pub input: NodeId,
    /// Shapes, and the activation between the two.
    pub geometry: FusedGeometry,
    /// Weights of the first and of the second.
    pub weights: [ParameterId; 2],
}

/// A step for every node; `uses` counts the readers of each.
pub(crate) fn steps(graph: &Graph, uses: &[usize]) -> Vec<Step> {
    let mut steps = vec![Step::Alone; graph.nodes.len()];
    for index in 0..graph.nodes.len() {
        let Some((fusion, deferred)) = fusion(graph, uses, NodeId(index)) else { continue };
        // A convolution belongs to one pair.
        if deferred.iter().all(|id| matches!(steps[id.0], Step::Alone)) {
            deferred.iter().for_each(|id| steps[id.0] = Step::Deferred);
            steps[index] = Step::Fused(Box::new(fusion));
        }
    }
    steps
}

/// The pair that ends at `id`, with the nodes before it that belong to it.
fn fusion(graph: &Graph, uses: &[usize], id: NodeId) -> Option<(Fusion, Vec<NodeId>)> {
    let (second, second_weights, mut before) = convolution(graph, id)?;
    let mut deferred = Vec::new();
    let mut between = None;
    if let Op::Activation(kind) = graph.node(before).op {
        between = Some(kind);
        deferred.push(before);
        before = *graph.node(before).inputs.first()?;
    }
    let (first, first_weights, input) = convolution(graph, before)?;
    deferred.push(before);
    let is_private = deferred.iter().all(|id| uses[id.0] == 1);
    let geometry = FusedGeometry { first, second, between };
    // Of two wide convolutions each keeps all threads busy by itself.
    let has_pointwise = first.is_pointwise() || second.is_pointwise();
    (is_private && has_pointwise)
        .then_some((Fusion { input, geometry, weights: [first_weights, second_weights] }, deferred))
}

/// The convolution at `id`, if there is one and it has no bias.
fn convolution(graph: &Graph, id: NodeId) -> Option<(decouple_core_ops::ConvGeometry, ParameterId, NodeId)> {
    let node = graph.node(id);
    match &node.op {
        Op::Conv { geometry, weights, bias: None } => Some((*geometry, *weights, *node.inputs.first()?)),
        _ => None,
    }
}
