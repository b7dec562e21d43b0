//! Lowers a graph to steps: decides which nodes are executed together and which are left to
//! their readers.

use decouple_kernels::geometry::{ConvGeometry, ConvOptions, MapShape};

use super::{Conv, Map, MapId, Norm, Plan, Read, Step, WeightOrder, Work, lifetimes};
use crate::graph::{Activation, Graph, Node, NodeId, Op};

/// The form in which a node's output is read: a stored map, with its norm if it has one, and an
/// activation.
#[derive(Clone, Copy, Debug)]
struct View {
    map: MapId,
    activation: Option<Activation>,
}

pub(super) fn plan(graph: Graph) -> Plan {
    let mut lowering = Lowering::new(graph);
    for index in 0..lowering.plan.graph.nodes.len() {
        lowering.node(NodeId(index));
    }
    lowering.finish()
}

struct Lowering {
    plan: Plan,
    /// For each node, the number of its readers.
    readers: Vec<usize>,
    /// Whether each node is the first convolution of a pair, which needs no step of its own.
    is_first: Vec<bool>,
    views: Vec<View>,
}

impl Lowering {
    fn new(graph: Graph) -> Self {
        let readers = graph.readers();
        let mut is_first = vec![false; graph.nodes.len()];
        for index in 0..graph.nodes.len() {
            // A convolution belongs to only one pair.
            if let Some(first) = first_of_pair(&graph, &readers, NodeId(index))
                && !first.input_is_first(&graph, &is_first)
            {
                is_first[first.conv.0] = true;
            }
        }
        let plan = Plan { graph, steps: Vec::new(), maps: Vec::new(), gradients: Vec::new() };
        Self { plan, readers, is_first, views: Vec::new() }
    }

    /// Adds the steps of one node, and records how its output is read.
    fn node(&mut self, id: NodeId) {
        let node = self.plan.graph.node(id).clone();
        let view = match &node.op {
            Op::Input => View { map: self.map(id, node.output), activation: None },
            // The step of the second convolution executes it, too.
            Op::Conv { .. } if self.is_first[id.0] => View { map: MapId(usize::MAX), activation: None },
            Op::Activation(_) if self.is_between(&node) => self.views[node.inputs[0].0],
            Op::Conv { .. } | Op::Linear { .. } => self.convs(id, &node),
            Op::BatchNorm { gamma, beta, mean, variance, epsilon, momentum } => {
                let map = self.stored_for_norm(&node);
                let (gamma, beta, mean, variance) = (*gamma, *beta, *mean, *variance);
                let (epsilon, momentum) = (*epsilon, *momentum);
                self.plan.maps[map.0].norm =
                    Some(Norm { node: id, gamma, beta, mean, variance, epsilon, momentum });
                View { map, activation: None }
            }
            Op::Activation(kind) => {
                let mut view = self.views[node.inputs[0].0];
                if view.activation.is_some() {
                    view = self.copy(node.inputs[0]);
                }
                View { activation: Some(*kind), ..view }
            }
            Op::MaxPool(geometry) => self.step(id, &node, Work::MaxPool(*geometry)),
            Op::MeanPool { geometry, include_padding } => {
                self.step(id, &node, Work::MeanPool(*geometry, *include_padding))
            }
            Op::GlobalMeanPool => self.step(id, &node, Work::GlobalMeanPool),
            Op::Add => self.step(id, &node, Work::Add),
            Op::Concat => self.step(id, &node, Work::Concat),
            Op::Dropout { rate } => self.step(id, &node, Work::Dropout(*rate)),
        };
        self.views.push(view);
    }

    fn finish(mut self) -> Plan {
        // The logits have no reader, so what would be left to a reader is done here.
        let last = NodeId(self.plan.graph.nodes.len() - 1);
        let view = self.views[last.0];
        let map = self.plan.map(view.map);
        if view.activation.is_some() || map.norm.is_some() || map.written.is_none() {
            self.copy(last);
        }
        lifetimes::settle(&mut self.plan);
        self.plan
    }

    /// A new map for the output of `node`.
    fn map(&mut self, node: NodeId, shape: MapShape) -> MapId {
        self.plan.maps.push(Map {
            node,
            shape,
            margin: 1,
            norm: None,
            gradient: None,
            written: None,
            last_read: 0,
            kept_until: None,
        });
        MapId(self.plan.maps.len() - 1)
    }

    /// A step that reads the inputs of `node` and writes a new map.
    fn step(&mut self, id: NodeId, node: &Node, work: Work) -> View {
        let reads = node.inputs.iter().map(|input| self.read(*input)).collect();
        self.push(id, node.output, work, reads, None)
    }

    fn push(
        &mut self,
        node: NodeId,
        shape: MapShape,
        work: Work,
        reads: Vec<Read>,
        middle: Option<MapId>,
    ) -> View {
        let writes = self.map(node, shape);
        let index = self.plan.steps.len();
        for map in middle.into_iter().chain([writes]) {
            self.plan.maps[map.0].written = Some(index);
        }
        self.plan.steps.push(Step { node, work, cut: None, reads, middle, writes });
        View { map: writes, activation: None }
    }

    fn read(&self, node: NodeId) -> Read {
        let View { map, activation } = self.views[node.0];
        Read { map, activation, gradient: None }
    }

    /// The output of `node`, copied to a map.
    fn copy(&mut self, node: NodeId) -> View {
        let (read, shape) = (self.read(node), self.plan.graph.node(node).output);
        self.push(node, shape, Work::Concat, vec![read], None)
    }

    /// The map that the norm `node` belongs to, of which it is the only reader.
    fn stored_for_norm(&mut self, node: &Node) -> MapId {
        let input = node.inputs[0];
        let view = self.views[input.0];
        let is_own = self.readers[input.0] == 1
            && view.activation.is_none()
            && self.plan.map(view.map).norm.is_none()
            && self.plan.map(view.map).written.is_some();
        if is_own { view.map } else { self.copy(input).map }
    }

    fn convs(&mut self, id: NodeId, node: &Node) -> View {
        let second = conv(&self.plan.graph, id);
        let pair =
            first_of_pair(&self.plan.graph, &self.readers, id).filter(|pair| self.is_first[pair.conv.0]);
        let Some(Pair { conv: first, between }) = pair else {
            let read = self.read(node.inputs[0]);
            return self.push(id, node.output, Work::Convs(vec![second]), vec![read], None);
        };
        let first_node = self.plan.graph.node(first).clone();
        let read = self.read(first_node.inputs[0]);
        let middle = self.map(first, first_node.output);
        let first = Conv { activation: between, ..conv(&self.plan.graph, first) };
        self.push(id, node.output, Work::Convs(vec![first, second]), vec![read], Some(middle))
    }

    /// Whether `node` is the activation between the convolutions of a pair.
    fn is_between(&self, node: &Node) -> bool {
        self.is_first[node.inputs[0].0]
    }
}

/// The first convolution of a pair, and what is between the two.
#[derive(Clone, Copy)]
struct Pair {
    conv: NodeId,
    between: Option<Activation>,
}

impl Pair {
    /// Whether the first convolution is itself the second of a pair.
    fn input_is_first(self, graph: &Graph, is_first: &[bool]) -> bool {
        let mut input = graph.node(self.conv).inputs[0];
        if matches!(graph.node(input).op, Op::Activation(_)) {
            input = graph.node(input).inputs[0];
        }
        is_first[input.0]
    }
}

/// The pair whose second convolution is `id`: two that follow each other, with at most an
/// activation between them, one of them 1x1, and no other reader. Two wide convolutions are not
/// paired, since each keeps the machine busy by itself.
fn first_of_pair(graph: &Graph, readers: &[usize], id: NodeId) -> Option<Pair> {
    let Op::Conv { geometry: second, .. } = graph.node(id).op else { return None };
    let mut before = graph.node(id).inputs[0];
    let mut between = None;
    if readers[before.0] != 1 {
        return None;
    }
    if let Op::Activation(kind) = graph.node(before).op {
        between = Some(kind);
        before = graph.node(before).inputs[0];
    }
    let Op::Conv { geometry: first, bias: None, .. } = graph.node(before).op else { return None };
    let is_pair = readers[before.0] == 1 && (first.is_pointwise() || second.is_pointwise());
    is_pair.then_some(Pair { conv: before, between })
}

/// The convolution or dense layer at `id`.
fn conv(graph: &Graph, id: NodeId) -> Conv {
    let node = graph.node(id);
    match &node.op {
        Op::Conv { geometry, weights, bias } => Conv {
            geometry: *geometry,
            whole: None,
            weights: *weights,
            order: WeightOrder::ChannelFirst,
            bias: *bias,
            activation: None,
        },
        Op::Linear { weights, bias } => {
            let input = graph.node(node.inputs[0]).output;
            let options = ConvOptions { kernel_h: input.h, kernel_w: input.w, ..ConvOptions::pointwise() };
            let geometry = ConvGeometry::new(input, node.output.c, options);
            Conv {
                geometry: geometry.expect("a kernel as large as its map fits it"),
                whole: None,
                weights: *weights,
                order: WeightOrder::ChannelLast,
                bias: *bias,
                activation: None,
            }
        }
        op => unreachable!("{op:?} is no convolution"),
    }
}
