//! Executes a graph: walks its nodes, each one call into core-ops.

use decouple_core_ops::{
    BatchNorm, Context, Dropout, FeatureMap, FusedGeometry, OpError, Parameter, Recorder, RunningStatistics,
};
use decouple_spectrum::graph::{Graph, Node, NodeId, Op, ParameterId, Role};

use crate::{
    fusion::{self, Step},
    init::start_values,
};

/// A graph with values: parameters and running statistics.
#[derive(Debug)]
pub struct Network {
    context: Context,
    /// For each node, how many later nodes read it.
    uses: Vec<usize>,
    /// For each node, whether it is executed by itself.
    steps: Vec<Step>,
    graph: Graph,
    /// One for each of the graph's parameters; running statistics hold theirs
    /// in `statistics`, and an empty parameter here.
    parameters: Vec<Parameter>,
    statistics: Vec<Option<RunningStatistics>>,
}

impl Network {
    /// `graph` with start values drawn from `seed`.
    pub fn new(graph: Graph, seed: u64, context: &Context) -> Self {
        let mut start = start_values(&graph, seed).into_iter();
        Self::with_values(graph, context, |_| start.next().unwrap_or_default())
    }

    /// `graph` with the values that `values` gives each parameter and running
    /// statistic; it is asked for them in the graph's order, one at a time.
    ///
    /// # Panics
    /// When a running statistic does not get one value a channel. Parameters of
    /// a wrong length are refused by [`Self::forward`].
    pub fn with_values(
        graph: Graph,
        context: &Context,
        mut values: impl FnMut(ParameterId) -> Vec<f32>,
    ) -> Self {
        let mut statistics: Vec<Option<RunningStatistics>> = vec![None; graph.nodes.len()];
        let mut parameters: Vec<Parameter> =
            graph.parameters.iter().map(|_| Parameter::new(context, &[])).collect();
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut running = RunningStatistics::new(node.output.c);
            for id in node.op.parameters() {
                let values = values(id);
                match graph.parameter(id).role {
                    Role::RunningMean => running.mean.copy_from_slice(&values),
                    Role::RunningVariance => running.variance.copy_from_slice(&values),
                    _ => parameters[id.0] = Parameter::new(context, &values),
                }
            }
            statistics[index] = matches!(node.op, Op::BatchNorm { .. }).then_some(running);
        }
        let mut uses = vec![0; graph.nodes.len()];
        graph.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| uses[input.0] += 1);
        let steps = fusion::steps(&graph, &uses);
        Self { context: context.clone(), uses, steps, graph, parameters, statistics }
    }

    /// The values of parameter or running statistic `id`.
    pub fn values(&self, id: ParameterId) -> &[f32] {
        if self.role(id).is_trained() {
            return self.parameters[id.0].values();
        }
        for (node, running) in self.graph.nodes.iter().zip(&self.statistics) {
            match (&node.op, running) {
                (Op::BatchNorm { mean, .. }, Some(running)) if *mean == id => return &running.mean,
                (Op::BatchNorm { variance, .. }, Some(running)) if *variance == id => {
                    return &running.variance;
                }
                _ => {}
            }
        }
        &[]
    }

    /// The graph that is executed.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters, in the graph's order; running statistics as empty ones.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter()
    }

    /// The role of parameter `id`.
    pub fn role(&self, id: ParameterId) -> Role {
        self.graph.parameter(id).role
    }

    /// Parameter `id`.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0]
    }

    /// The values of parameter `id`, to be changed between steps.
    pub fn values_mut(&mut self, id: ParameterId) -> &mut [f32] {
        self.parameters[id.0].values_mut(&self.context)
    }

    /// Calls `visit` with the values of every trained parameter and then every
    /// running mean and variance, in the graph's order: all that a copy of the
    /// network must hold.
    pub fn for_each_state(&mut self, mut visit: impl FnMut(&mut [f32])) {
        for parameter in &mut self.parameters {
            visit(parameter.values_mut(&self.context));
        }
        for statistics in self.statistics.iter_mut().flatten() {
            visit(&mut statistics.mean);
            visit(&mut statistics.variance);
        }
    }

    /// Logits of a batch, as (n, 1, 1, classes). In training the recorder notes
    /// the way back, batch norms use and follow the batch's statistics, and
    /// `dropout_seed` decides what is dropped.
    ///
    /// # Errors
    /// [`NetworkError`] if `images` does not have the shape of the graph's input.
    pub fn forward(
        &mut self,
        recorder: &mut Recorder,
        images: FeatureMap,
        dropout_seed: u64,
    ) -> Result<FeatureMap, NetworkError> {
        self.forward_observed(recorder, images, dropout_seed, |_, _| {})
    }

    /// As [`Self::forward`]; shows `observe` what every node makes.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_observed(
        &mut self,
        recorder: &mut Recorder,
        images: FeatureMap,
        dropout_seed: u64,
        mut observe: impl FnMut(&Node, &FeatureMap),
    ) -> Result<FeatureMap, NetworkError> {
        let mut maps: Vec<Option<FeatureMap>> = vec![None; self.graph.nodes.len()];
        let mut uses = self.uses.clone();
        let fuses = images.batch() >= FusedGeometry::MIN_IMAGES;
        let mut images = Some(images);
        for index in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[index];
            let mut read = &node.inputs[..];
            let result = match &self.steps[index] {
                Step::Deferred if fuses => continue,
                Step::Fused(fusion) if fuses => {
                    read = std::slice::from_ref(&fusion.input);
                    let x = maps[fusion.input.0].as_ref();
                    let wrong_input = || NetworkError::Inputs { node: node.name.clone(), found: 0 };
                    let weights = fusion.weights.map(|id| &self.parameters[id.0]);
                    recorder.fused(&fusion.geometry, x.ok_or_else(wrong_input)?, weights)?
                }
                _ if matches!(node.op, Op::Input) => {
                    images.take().map_or_else(|| recorder.input(node.output, &[]), Ok)?
                }
                _ => {
                    let inputs: Vec<&FeatureMap> =
                        node.inputs.iter().filter_map(|id| maps[id.0].as_ref()).collect();
                    let values = Values {
                        parameters: &self.parameters,
                        statistics: self.statistics[index].as_mut(),
                        dropout_seed: dropout_seed.wrapping_add(index as u64),
                    };
                    values.run(recorder, node, &inputs)?
                }
            };
            observe(node, &result);
            // A map is let go after its last reader; the tape keeps what it needs.
            for &NodeId(input) in read {
                uses[input] -= 1;
                if uses[input] == 0 {
                    maps[input] = None;
                }
            }
            maps[index] = Some(result);
        }
        Ok(maps.pop().flatten().map_or_else(|| recorder.input(self.graph.output(), &[]), Ok)?)
    }
}

/// What one node may read and change.
struct Values<'a> {
    parameters: &'a [Parameter],
    statistics: Option<&'a mut RunningStatistics>,
    dropout_seed: u64,
}

impl Values<'_> {
    fn run(
        self,
        recorder: &mut Recorder,
        node: &Node,
        inputs: &[&FeatureMap],
    ) -> Result<FeatureMap, NetworkError> {
        let parameter = |id: ParameterId| &self.parameters[id.0];
        let wrong_inputs = || NetworkError::Inputs { node: node.name.clone(), found: inputs.len() };
        if let Op::Concat = node.op {
            return Ok(recorder.concat(inputs)?);
        }
        let &x = inputs.first().ok_or_else(wrong_inputs)?;
        Ok(match &node.op {
            Op::Input | Op::Concat => return Err(wrong_inputs()),
            Op::Conv { geometry, weights, bias } => {
                let y = recorder.conv(geometry, x, parameter(*weights))?;
                with_bias(recorder, y, bias.map(parameter))?
            }
            Op::Linear { weights, bias } => {
                let y = recorder.linear(x, parameter(*weights))?;
                with_bias(recorder, y, bias.map(parameter))?
            }
            Op::BatchNorm { gamma, beta, epsilon, momentum, .. } => {
                let (gamma, beta) = (gamma.map(parameter), parameter(*beta));
                let layer = BatchNorm { gamma, beta, epsilon: *epsilon, momentum: *momentum };
                recorder.batch_norm(x, layer, self.statistics.ok_or_else(wrong_inputs)?)?
            }
            Op::Activation(kind) => recorder.activation(*kind, x)?,
            Op::MaxPool(geometry) => recorder.max_pool(geometry, x)?,
            Op::MeanPool { geometry, include_padding } => {
                recorder.mean_pool(geometry, *include_padding, x)?
            }
            Op::GlobalMeanPool => recorder.global_mean_pool(x)?,
            Op::Add => recorder.add(x, inputs.get(1).ok_or_else(wrong_inputs)?)?,
            Op::Dropout { rate } => {
                let dropout = Dropout::new(*rate, self.dropout_seed).map_err(OpError::from)?;
                recorder.dropout(dropout, x)?
            }
        })
    }
}

fn with_bias(
    recorder: &mut Recorder,
    y: FeatureMap,
    bias: Option<&Parameter>,
) -> Result<FeatureMap, NetworkError> {
    Ok(match bias {
        Some(bias) => recorder.add_bias(&y, bias)?,
        None => y,
    })
}

/// Why a graph could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// An operation refused its arguments.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A node lacks an input or its statistics: the graph is not well formed.
    #[error("node `{node}` cannot be executed with {found} inputs")]
    Inputs {
        /// The node.
        node: String,
        /// Inputs that it has.
        found: usize,
    },
}
