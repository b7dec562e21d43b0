//! A network with values: forward, backward, and the state of each parameter.

use std::{collections::BTreeMap, sync::Arc};

use decouple_kernels::{
    geometry::{ConvGeometry, ConvOptions, MapShape},
    layout::{BatchLayout, DropoutMask},
};
use decouple_spectrum::{
    backend::{ExecutionError, Executor, Pass, State, Update},
    graph::{Node, Op, ParameterId},
    plan::Plan,
};

use crate::{
    ops::{self, BatchNorm},
    optimizer,
};

/// A network with values.
#[derive(Debug)]
pub(crate) struct Network {
    plan: Arc<Plan>,
    state: BTreeMap<(State, ParameterId), Vec<f32>>,
    /// What the last training pass recorded for the backward pass.
    trace: Option<Trace>,
    peak_bytes: u64,
}

/// What a training pass records for the backward pass.
#[derive(Debug)]
struct Trace {
    dropout_seed: u64,
    /// The output of every node.
    maps: Vec<Vec<f64>>,
    /// How each batch norm normalised, by node.
    norms: BTreeMap<usize, BatchNorm>,
}

impl Network {
    pub(crate) fn new(
        plan: Arc<Plan>,
        values: &mut dyn FnMut(ParameterId) -> Vec<f32>,
    ) -> Result<Self, ExecutionError> {
        let mut network = Self { plan, state: BTreeMap::new(), trace: None, peak_bytes: 0 };
        for id in (0..network.plan.graph.parameters.len()).map(ParameterId) {
            let values = values(id);
            let spec = network.plan.graph.parameter(id);
            ExecutionError::check_length(&spec.name, spec.len(), values.len())?;
            network.state.insert((State::Value, id), values);
        }
        Ok(network)
    }

    fn values(&self, id: ParameterId) -> &[f32] {
        &self.state[&(State::Value, id)]
    }

    /// The output of every node for a batch, (image, row, column, channel).
    pub(crate) fn maps(&mut self, batch: &[f32], pass: Pass) -> Vec<Vec<f64>> {
        let plan = Arc::clone(&self.plan);
        let mut maps: Vec<Vec<f64>> = Vec::new();
        let mut norms = BTreeMap::new();
        for (index, node) in plan.graph.nodes.iter().enumerate() {
            let inputs: Vec<&[f64]> = node.inputs.iter().map(|input| &maps[input.0][..]).collect();
            let map = match (&node.op, pass) {
                (Op::Input, _) => batch.iter().copied().map(f64::from).collect(),
                (Op::BatchNorm { .. }, _) => {
                    let norm = self.normalisation(node, inputs[0], pass);
                    let map = norm.forward(inputs[0]);
                    norms.insert(index, norm);
                    map
                }
                (Op::Dropout { rate }, Pass::Training { dropout_seed }) => {
                    ops::dropout(DropoutMask::new(*rate, dropout_seed, index), inputs[0])
                }
                (Op::Dropout { .. }, Pass::Inference) => inputs[0].to_vec(),
                _ => self.forward_node(node, &inputs),
            };
            maps.push(map);
        }
        self.trace = match pass {
            Pass::Training { dropout_seed } => Some(Trace { dropout_seed, maps: maps.clone(), norms }),
            Pass::Inference => None,
        };
        maps
    }

    /// How a batch norm normalises `x`; in training this updates its running statistics.
    fn normalisation(&mut self, node: &Node, x: &[f64], pass: Pass) -> BatchNorm {
        let Op::BatchNorm { gamma, beta, mean, variance, epsilon, momentum } = node.op else {
            unreachable!("{} is no batch norm", node.name)
        };
        let (new_mean, new_variance) = if pass == Pass::Inference {
            let double = |id| self.values(id).iter().copied().map(f64::from).collect();
            (double(mean), double(variance))
        } else {
            let (new_mean, new_variance) = ops::statistics(node.output.c, x);
            let count = (x.len() / node.output.c) as f64;
            // One value has no unbiased variance.
            let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
            for (id, new, factor) in [(mean, &new_mean, 1.0), (variance, &new_variance, unbiased)] {
                let running = self.state.get_mut(&(State::Value, id)).into_iter().flatten();
                running.zip(new).for_each(|(running, new)| {
                    let old = f64::from(*running);
                    *running = (old + f64::from(momentum) * (factor * new - old)) as f32;
                });
            }
            (new_mean, new_variance)
        };
        let gamma = gamma.map(|gamma| self.values(gamma));
        BatchNorm::new(new_mean, &new_variance, epsilon, gamma, self.values(beta))
    }

    /// The output of a node that has no state.
    fn forward_node(&self, node: &Node, inputs: &[&[f64]]) -> Vec<f64> {
        let x = inputs[0];
        match &node.op {
            Op::Conv { weights, bias, .. } | Op::Linear { weights, bias } => {
                let mut y = ops::conv(&self.geometry(node), x, self.values(*weights));
                if let Some(bias) = bias {
                    ops::add_bias(self.values(*bias), &mut y);
                }
                y
            }
            Op::Activation(kind) => ops::activation(*kind, x),
            Op::MaxPool(geometry) => ops::max_pool(geometry, x),
            Op::MeanPool { geometry, include_padding } => ops::mean_pool(geometry, *include_padding, x),
            Op::GlobalMeanPool => ops::global_mean_pool(self.input_shape(node), x),
            Op::Add => x.iter().zip(inputs[1]).map(|(a, b)| a + b).collect(),
            Op::Concat => ops::concat(&self.input_channels(node), inputs),
            Op::Input | Op::BatchNorm { .. } | Op::Dropout { .. } => unreachable!("done by the caller"),
        }
    }

    /// The gradient of each input of a node from that of its output; those of its
    /// parameters are stored.
    fn backward_node(&mut self, trace: &Trace, index: usize, grad_y: &[f64]) -> Vec<Vec<f64>> {
        let plan = Arc::clone(&self.plan);
        let node = &plan.graph.nodes[index];
        let inputs: Vec<&[f64]> = node.inputs.iter().map(|input| &trace.maps[input.0][..]).collect();
        match &node.op {
            Op::Input => Vec::new(),
            Op::Conv { weights, bias, .. } | Op::Linear { weights, bias } => {
                let values = self.values(*weights);
                let (grad_x, grad_weights) =
                    ops::conv_backward(&self.geometry(node), inputs[0], values, grad_y);
                self.keep_gradient(*weights, grad_weights);
                if let Some(bias) = *bias {
                    self.keep_gradient(bias, ops::bias_backward(node.output.c, grad_y));
                }
                vec![grad_x]
            }
            Op::BatchNorm { gamma, beta, .. } => {
                let (grad_x, grad_gamma, grad_beta) = trace.norms[&index].backward(inputs[0], grad_y);
                if let Some(gamma) = *gamma {
                    self.keep_gradient(gamma, grad_gamma);
                }
                self.keep_gradient(*beta, grad_beta);
                vec![grad_x]
            }
            Op::Activation(kind) => vec![ops::activation_backward(*kind, &trace.maps[index], grad_y)],
            Op::MaxPool(geometry) => vec![ops::max_pool_backward(geometry, inputs[0], grad_y)],
            Op::MeanPool { geometry, include_padding } => {
                vec![ops::mean_pool_backward(geometry, *include_padding, inputs[0].len(), grad_y)]
            }
            Op::GlobalMeanPool => vec![ops::global_mean_pool_backward(self.input_shape(node), grad_y)],
            Op::Add => vec![grad_y.to_vec(), grad_y.to_vec()],
            Op::Concat => ops::concat_backward(&self.input_channels(node), grad_y),
            Op::Dropout { rate } => {
                vec![ops::dropout(DropoutMask::new(*rate, trace.dropout_seed, index), grad_y)]
            }
        }
    }

    fn keep_gradient(&mut self, id: ParameterId, gradient: Vec<f64>) {
        let rounded = gradient.into_iter().map(|value| value as f32).collect();
        self.state.insert((State::Gradient, id), rounded);
    }

    /// The convolution of a node; a dense layer is one of a flattened map.
    fn geometry(&self, node: &Node) -> ConvGeometry {
        if let Op::Conv { geometry, .. } = node.op {
            return geometry;
        }
        let flat = MapShape::new(1, 1, self.input_shape(node).len());
        ConvGeometry::new(flat, node.output.c, ConvOptions::pointwise())
            .expect("a 1x1 convolution fits every map")
    }

    fn input_shape(&self, node: &Node) -> MapShape {
        self.plan.graph.node(node.inputs[0]).output
    }

    fn input_channels(&self, node: &Node) -> Vec<usize> {
        node.inputs.iter().map(|&input| self.plan.graph.node(input).output.c).collect()
    }

    fn note_bytes(&mut self, doubles: usize) {
        let singles: usize = self.state.values().map(Vec::len).sum();
        let bytes = (doubles * size_of::<f64>() + singles * size_of::<f32>()) as u64;
        self.peak_bytes = self.peak_bytes.max(bytes);
    }
}

/// The value of [`Executor::peak_bytes`]: all maps and their gradients in double precision, and
/// the state of the parameters.
pub(crate) fn training_bytes(plan: &Plan, images: usize, update: &Update) -> u64 {
    let values: usize = plan.graph.nodes.iter().map(|node| node.output.len()).sum();
    (2 * images * values * size_of::<f64>()) as u64 + plan.parameter_bytes(update)
}

impl Executor for Network {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn batch_layout(&self, images: usize) -> BatchLayout {
        BatchLayout::channels_last(self.plan.graph.input(), images)
    }

    fn forward(&mut self, batch: &[f32], images: usize, pass: Pass) -> Result<Vec<f32>, ExecutionError> {
        ExecutionError::check_length("batch", self.batch_layout(images).len, batch.len())?;
        let mut maps = self.maps(batch, pass);
        self.note_bytes(maps.iter().map(Vec::len).sum());
        let logits = maps.pop().unwrap_or_default();
        Ok(logits.into_iter().map(|value| value as f32).collect())
    }

    fn backward(&mut self, logits_gradient: &[f32]) -> Result<(), ExecutionError> {
        let before = "a forward pass in training";
        let trace = self.trace.take().ok_or(ExecutionError::Order { call: "backward", before })?;
        let mut gradients: Vec<Vec<f64>> = trace.maps.iter().map(|map| vec![0.0; map.len()]).collect();
        let last = gradients.len() - 1;
        if let Err(error) = ExecutionError::check_length(
            "gradient of the logits",
            gradients[last].len(),
            logits_gradient.len(),
        ) {
            self.trace = Some(trace);
            return Err(error);
        }
        gradients[last] = logits_gradient.iter().copied().map(f64::from).collect();
        for index in (0..=last).rev() {
            let grad_y = std::mem::take(&mut gradients[index]);
            let grads = self.backward_node(&trace, index, &grad_y);
            let inputs = self.plan.graph.nodes[index].inputs.iter();
            for (input, grad) in inputs.zip(grads) {
                gradients[input.0].iter_mut().zip(grad).for_each(|(sum, value)| *sum += value);
            }
        }
        self.note_bytes(2 * trace.maps.iter().map(Vec::len).sum::<usize>());
        self.trace = Some(trace);
        Ok(())
    }

    fn step(&mut self, update: &Update) -> Result<(), ExecutionError> {
        optimizer::step(&self.plan.graph, &mut self.state, update)
    }

    fn read(&self, what: State, id: ParameterId) -> Vec<f32> {
        self.state.get(&(what, id)).cloned().unwrap_or_default()
    }

    fn write(&mut self, what: State, id: ParameterId, values: &[f32]) -> Result<(), ExecutionError> {
        let spec = self.plan.graph.parameter(id);
        if values.is_empty() && what != State::Value {
            self.state.remove(&(what, id));
            return Ok(());
        }
        ExecutionError::check_length(&spec.name, spec.len(), values.len())?;
        self.state.insert((what, id), values.to_vec());
        Ok(())
    }

    fn exchange_average(&mut self) {
        for id in (0..self.plan.graph.parameters.len()).map(ParameterId) {
            if let Some(average) = self.state.remove(&(State::Average, id))
                && let Some(value) = self.state.insert((State::Value, id), average)
            {
                self.state.insert((State::Average, id), value);
            }
        }
    }

    fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }
}
