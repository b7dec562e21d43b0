//! A network as an ONNX file.

use decouple_kernels::geometry::{ConvGeometry, MapShape, Padding, PoolGeometry};
use decouple_spectrum::{
    graph::{Activation, Graph, Node, Op, ParameterId},
    weights::permutation::Permutation,
};
use prost::Message;

use crate::{
    ExportError, Notes,
    even_parts::{EvenPart, parts},
    proto::{
        Attribute, AttributeType, DataType, Dimension, Extent, Graph as OnnxGraph, IR_VERSION, Model,
        Node as OnnxNode, OPSET_VERSION, OperatorSet, Property, Shape, Tensor, TensorType, Type, Value,
    },
};

/// Name of the images.
const IMAGES: &str = "images";
/// Name of the result.
const LOGITS: &str = "logits";
/// Most bytes of a protobuf message.
const MOST_BYTES: usize = (1 << 31) - 1;

/// The bytes of an ONNX file (opset 17) that computes `graph` with `values`, one
/// list for each of the graph's parameters and running statistics, in its order.
///
/// The model's input `images` is (n, c, h, w), normalised; its output `logits` is (n, classes).
/// Dropout is left out, since it only applies in training. `notes` become the model's metadata.
///
/// # Errors
/// [`ExportError`] when the values are not the graph's, or more than two
/// gibibytes.
pub fn onnx(graph: &Graph, values: &[Vec<f32>], notes: &Notes) -> Result<Vec<u8>, ExportError> {
    check(graph, values)?;
    let mut writer = Writer { graph, values, names: Vec::new(), nodes: Vec::new(), tensors: Vec::new() };
    for node in &graph.nodes {
        let name = writer.node(node);
        writer.names.push(name);
    }
    writer.finish_logits();
    let (input, classes) = (graph.input(), graph.output().len());
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "decouple".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET_VERSION }],
        metadata_props: properties(notes),
        graph: Some(OnnxGraph {
            node: writer.nodes,
            name: "network".to_owned(),
            initializer: writer.tensors,
            input: vec![value(IMAGES, &[input.c, input.h, input.w])],
            output: vec![value(LOGITS, &[classes])],
        }),
    };
    match model.encoded_len() {
        bytes if bytes > MOST_BYTES => Err(ExportError::TooLarge { bytes, most: MOST_BYTES }),
        _ => Ok(model.encode_to_vec()),
    }
}

fn check(graph: &Graph, values: &[Vec<f32>]) -> Result<(), ExportError> {
    let (expected, found) = (graph.parameters.len(), values.len());
    if expected != found {
        return Err(ExportError::Parameters { expected, found });
    }
    for (parameter, values) in graph.parameters.iter().zip(values) {
        let (expected, found) = (parameter.len(), values.len());
        if expected != found {
            return Err(ExportError::Values { name: parameter.name.clone(), expected, found });
        }
    }
    Ok(())
}

fn properties(notes: &Notes) -> Vec<Property> {
    let numbers = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
    [
        ("title", notes.title.clone()),
        ("classes", notes.classes.join("\n")),
        ("pixel_mean", numbers(&notes.mean)),
        ("pixel_deviation", numbers(&notes.deviation)),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| Property { key: key.to_owned(), value })
    .collect()
}

/// An input or output of any number of images, each of these `extents`.
fn value(name: &str, extents: &[usize]) -> Value {
    let known = extents.iter().map(|&extent| Extent::Known(extent as i64));
    let dim = std::iter::once(Extent::Named("n".to_owned())).chain(known);
    let dim = dim.map(|extent| Dimension { value: Some(extent) }).collect();
    let tensor = TensorType { elem_type: DataType::Float.into(), shape: Some(Shape { dim }) };
    Value { name: name.to_owned(), r#type: Some(Type { tensor_type: Some(tensor) }) }
}

struct Writer<'a> {
    graph: &'a Graph,
    values: &'a [Vec<f32>],
    /// The name of each of the graph's nodes in the model.
    names: Vec<String>,
    nodes: Vec<OnnxNode>,
    tensors: Vec<Tensor>,
}

impl Writer<'_> {
    /// Writes `node` and returns the name of its output.
    fn node(&mut self, node: &Node) -> String {
        let inputs: Vec<String> = node.inputs.iter().map(|id| self.names[id.0].clone()).collect();
        let x = inputs.first().cloned().unwrap_or_default();
        match &node.op {
            Op::Input => return IMAGES.to_owned(),
            Op::Dropout { .. } => return x,
            Op::Conv { geometry, weights, bias } => self.conv(&node.name, x, geometry, *weights, *bias),
            Op::BatchNorm { gamma, beta, mean, variance, epsilon, .. } => {
                let gamma = match gamma {
                    Some(gamma) => self.parameter(*gamma),
                    None => self.tensor(
                        &format!("{}.ones", node.name),
                        &[node.output.c],
                        &vec![1.0; node.output.c],
                    ),
                };
                let parameters = [*beta, *mean, *variance].map(|id| self.parameter(id));
                let inputs = [x, gamma].into_iter().chain(parameters).collect();
                self.push(&node.name, "BatchNormalization", inputs, vec![float("epsilon", *epsilon)]);
            }
            Op::Activation(Activation::Relu) => self.push(&node.name, "Relu", inputs, Vec::new()),
            Op::Activation(Activation::Elu) => {
                self.push(&node.name, "Elu", inputs, vec![float("alpha", 1.0)])
            }
            Op::MaxPool(geometry) => self.push(&node.name, "MaxPool", inputs, window(geometry)),
            Op::MeanPool { geometry, include_padding } => {
                let mut attributes = window(geometry);
                attributes.push(int("count_include_pad", (*include_padding).into()));
                self.push(&node.name, "AveragePool", inputs, attributes);
            }
            Op::GlobalMeanPool => self.push(&node.name, "GlobalAveragePool", inputs, Vec::new()),
            Op::Add => self.push(&node.name, "Add", inputs, Vec::new()),
            Op::Concat => self.push(&node.name, "Concat", inputs, vec![int("axis", 1)]),
            Op::Linear { weights, bias } => {
                let map = self.graph.node(node.inputs[0]).output;
                self.linear(node, x, map, *weights, *bias);
            }
        }
        node.name.clone()
    }

    fn conv(
        &mut self,
        name: &str,
        x: String,
        geometry: &ConvGeometry,
        weights: ParameterId,
        bias: Option<ParameterId>,
    ) {
        let parts = parts(geometry);
        if let [part] = &parts[..] {
            let inputs = self.conv_inputs(x, part, weights, bias, None);
            return self.push(name, "Conv", inputs, conv_attributes(geometry, part));
        }
        let sizes: Vec<i64> = parts.iter().map(|part| part.inputs.len() as i64).collect();
        let sizes = self.whole_numbers(&format!("{name}.channels"), &sizes);
        let pieces: Vec<String> = (0..parts.len()).map(|index| format!("{name}.split{index}")).collect();
        self.push_many(
            &format!("{name}.split"),
            "Split",
            vec![x, sizes],
            pieces.clone(),
            vec![int("axis", 1)],
        );
        let mut results = Vec::new();
        for (index, (part, piece)) in parts.iter().zip(pieces).enumerate() {
            let inputs = self.conv_inputs(piece, part, weights, bias, Some(index));
            let result = format!("{name}.part{index}");
            self.push(&result, "Conv", inputs, conv_attributes(geometry, part));
            results.push(result);
        }
        self.push(name, "Concat", results, vec![int("axis", 1)]);
    }

    /// A part's input, weights and bias; `index` where there is more than one part.
    fn conv_inputs(
        &mut self,
        x: String,
        part: &EvenPart,
        weights: ParameterId,
        bias: Option<ParameterId>,
        index: Option<usize>,
    ) -> Vec<String> {
        let values = self.values;
        let name = |id: ParameterId, graph: &Graph| {
            let suffix = index.map_or(String::new(), |index| format!(".part{index}"));
            format!("{}{suffix}", graph.parameter(id).name)
        };
        let mut inputs = vec![x];
        let name_of_weights = name(weights, self.graph);
        inputs.push(self.tensor(&name_of_weights, &part.shape, &values[weights.0][part.weights.clone()]));
        if let Some(bias) = bias {
            let name = name(bias, self.graph);
            inputs.push(self.tensor(&name, &[part.outputs.len()], &values[bias.0][part.outputs.clone()]));
        }
        inputs
    }

    /// Dense weights read the map as (h, w, c) here, but as (c, h, w) in ONNX.
    fn linear(
        &mut self,
        node: &Node,
        x: String,
        map: MapShape,
        weights: ParameterId,
        bias: Option<ParameterId>,
    ) {
        let flat = format!("{}.flat", node.name);
        self.push(&flat, "Flatten", vec![x], vec![int("axis", 1)]);
        let outputs = node.output.len();
        let theirs = Permutation::timm_flattened(outputs, map).to_foreign(&self.values[weights.0]);
        let name = self.graph.parameter(weights).name.clone();
        let mut inputs = vec![flat, self.tensor(&name, &[outputs, map.len()], &theirs)];
        inputs.extend(bias.map(|bias| self.parameter(bias)));
        self.push(&node.name, "Gemm", inputs, vec![int("transB", 1)]);
    }

    /// Names the output of the last node `logits`, as (n, classes).
    fn finish_logits(&mut self) {
        let last = self.names.last().cloned().unwrap_or_default();
        let is_matrix = self.graph.nodes.last().is_some_and(|node| matches!(node.op, Op::Linear { .. }));
        match self.nodes.last_mut() {
            Some(node) if is_matrix => node.output = vec![LOGITS.to_owned()],
            _ => self.push_many(LOGITS, "Flatten", vec![last], vec![LOGITS.to_owned()], vec![int("axis", 1)]),
        }
    }

    /// The name of a parameter whose values are written as they are.
    fn parameter(&mut self, id: ParameterId) -> String {
        let parameter = self.graph.parameter(id);
        let values = self.values;
        self.tensor(&parameter.name, &parameter.shape, &values[id.0])
    }

    fn tensor(&mut self, name: &str, extents: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = extents.iter().map(|&extent| extent as i64).collect();
        self.initialise(name, DataType::Float, dims, bytes)
    }

    fn whole_numbers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initialise(name, DataType::Int64, vec![values.len() as i64], bytes)
    }

    fn initialise(&mut self, name: &str, kind: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> String {
        self.tensors.push(Tensor { dims, data_type: kind.into(), name: name.to_owned(), raw_data });
        name.to_owned()
    }

    fn push(&mut self, name: &str, op: &str, inputs: Vec<String>, attributes: Vec<Attribute>) {
        self.push_many(name, op, inputs, vec![name.to_owned()], attributes);
    }

    fn push_many(
        &mut self,
        name: &str,
        op: &str,
        input: Vec<String>,
        output: Vec<String>,
        attribute: Vec<Attribute>,
    ) {
        self.nodes.push(OnnxNode { input, output, name: name.to_owned(), op_type: op.to_owned(), attribute });
    }
}

fn conv_attributes(geometry: &ConvGeometry, part: &EvenPart) -> Vec<Attribute> {
    let options = geometry.options();
    vec![
        ints("kernel_shape", &[options.kernel_h, options.kernel_w]),
        ints("strides", &[options.stride; 2]),
        ints("dilations", &[options.dilation; 2]),
        pads(options.padding),
        int("group", part.groups as i64),
    ]
}

fn window(geometry: &PoolGeometry) -> Vec<Attribute> {
    vec![
        ints("kernel_shape", &[geometry.window(); 2]),
        ints("strides", &[geometry.stride(); 2]),
        pads(geometry.padding()),
    ]
}

fn pads(padding: Padding) -> Attribute {
    ints("pads", &[padding.top, padding.left, padding.bottom, padding.right])
}

fn int(name: &str, value: i64) -> Attribute {
    let kind = AttributeType::Int.into();
    Attribute { name: name.to_owned(), i: Some(value), r#type: kind, ..Attribute::default() }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&value| value as i64).collect();
    let kind = AttributeType::Ints.into();
    Attribute { name: name.to_owned(), ints, r#type: kind, ..Attribute::default() }
}

fn float(name: &str, value: f32) -> Attribute {
    let kind = AttributeType::Float.into();
    Attribute { name: name.to_owned(), f: Some(value), r#type: kind, ..Attribute::default() }
}
