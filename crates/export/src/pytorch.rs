//! A network as a Python module for PyTorch.

use std::{collections::BTreeSet, fmt::Write};

use decouple_kernels::geometry::{ConvGeometry, Padding, PoolGeometry};
use decouple_spectrum::graph::{Activation, Graph, Node, Op};

use crate::{ExportError, Notes, even_parts::parts};

/// The end of every file, after the network.
const LOADING: &str = include_str!("pytorch/loading.py");
/// The module for uneven segments, in files that need it.
const SEGMENTS: &str = include_str!("pytorch/segments.py");
/// The function for means that leave the padding out, in files that need it.
const MEAN_POOL: &str = include_str!("pytorch/mean_pool.py");

/// A Python file with a class `Network` that computes `graph` in PyTorch, and a
/// function `load` that fills it from a safetensors file of this program's, called
/// `weights` in the text.
///
/// # Errors
/// [`ExportError::Name`] when two layers would have the same name in Python.
pub fn pytorch(graph: &Graph, notes: &Notes, weights: &str) -> Result<String, ExportError> {
    let mut names = BTreeSet::new();
    if let Some(node) = graph.nodes.iter().find(|node| !names.insert(identifier(node))) {
        return Err(ExportError::Name { name: identifier(node) });
    }
    let layers: String = graph
        .nodes
        .iter()
        .filter_map(|node| layer(graph, node))
        .map(|line| format!("        {line}\n"))
        .collect();
    let mut steps = String::new();
    for node in graph.nodes.iter().skip(1) {
        // Writing to a string cannot fail.
        let _ = writeln!(steps, "        {} = {}", identifier(node), step(graph, node));
    }
    let last = graph.nodes.last().map(identifier).unwrap_or_default();
    let is_matrix = graph.nodes.last().is_some_and(|node| matches!(node.op, Op::Linear { .. }));
    let result = if is_matrix { last } else { format!("{last}.flatten(1)") };
    let helpers: String = [("Segments(", SEGMENTS), ("mean_pool(", MEAN_POOL)]
        .into_iter()
        .filter(|(call, _)| layers.contains(call) || steps.contains(&format!("= {call}")))
        .map(|(_, text)| format!("{text}\n\n"))
        .collect();
    Ok(format!(
        "{head}{helpers}class Network(nn.Module):\n    def __init__(self):\n        super().__init__()\n{layers}\n    \
         def forward(self, {input}):\n{steps}        return {result}\n\n\n{LOADING}",
        head = head(graph, notes, weights),
        input = graph.nodes.first().map(identifier).unwrap_or_default(),
    ))
}

/// Title, imports and the facts known about the images.
fn head(graph: &Graph, notes: &Notes, weights: &str) -> String {
    let input = graph.input();
    let numbers = |values: &[f32]| values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(", ");
    let classes: Vec<String> =
        notes.classes.iter().map(|class| format!("    {},\n", quoted(class))).collect();
    let mut text = format!(
        "\"\"\"{title}.\n\nWritten by decouple {version}. Needs torch and safetensors:\n\n    network = \
         load({weights})\n    logits = network(images)  # (n, {c}, {h}, {w}), \
         normalised\n\"\"\"\nimport torch\nimport torch.nn.functional as F\nfrom safetensors.torch import \
         load_file\nfrom torch import nn\n\n",
        weights = quoted(weights),
        title = notes.title.replace(['\\', '"'], "'"),
        version = env!("CARGO_PKG_VERSION"),
        c = input.c,
        h = input.h,
        w = input.w,
    );
    if !notes.mean.is_empty() {
        text += "# Of the pixels of each channel, from 0 to 255: (pixels - MEAN) / DEVIATION.\n";
        text += &format!("MEAN = [{}]\nDEVIATION = [{}]\n", numbers(&notes.mean), numbers(&notes.deviation));
    }
    if !classes.is_empty() {
        text += &format!("# In the order of the logits.\nCLASSES = [\n{}]\n", classes.concat());
    }
    text + "\n\n"
}

/// A word as a Python string.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            c if c.is_control() => text += &format!("\\x{:02x}", c as u32),
            c => text.push(c),
        }
    }
    text + "\""
}

/// What a node is called in Python.
fn identifier(node: &Node) -> String {
    let name: String = node.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The line that makes a node's layer, for those that have weights.
fn layer(graph: &Graph, node: &Node) -> Option<String> {
    let made = match &node.op {
        Op::Conv { geometry, bias, .. } => conv(geometry, bias.is_some()),
        Op::BatchNorm { epsilon, momentum, .. } => {
            format!("nn.BatchNorm2d({}, eps={epsilon:?}, momentum={momentum:?})", node.output.c)
        }
        Op::Linear { bias, .. } => {
            let inputs = graph.node(node.inputs[0]).output.len();
            let bias = if bias.is_some() { "" } else { ", bias=False" };
            format!("nn.Linear({inputs}, {}{bias})", node.output.len())
        }
        _ => return None,
    };
    Some(format!("self.{} = {made}", identifier(node)))
}

fn conv(geometry: &ConvGeometry, bias: bool) -> String {
    let (options, parts) = (geometry.options(), parts(geometry));
    let kernel = match (options.kernel_h, options.kernel_w) {
        (h, w) if h == w => h.to_string(),
        (h, w) => format!("({h}, {w})"),
    };
    let mut rest = String::new();
    if options.stride != 1 {
        rest += &format!(", stride={}", options.stride);
    }
    if options.dilation != 1 {
        rest += &format!(", dilation={}", options.dilation);
    }
    match symmetric(options.padding) {
        Some((0, 0)) | None => {}
        Some((rows, columns)) if rows == columns => rest += &format!(", padding={rows}"),
        Some((rows, columns)) => rest += &format!(", padding=({rows}, {columns})"),
    }
    if !bias {
        rest += ", bias=False";
    }
    if let [part] = &parts[..] {
        let groups = if part.groups == 1 { String::new() } else { format!(", groups={}", part.groups) };
        return format!("nn.Conv2d({}, {}, {kernel}{groups}{rest})", geometry.input().c, geometry.output().c);
    }
    let parts: Vec<String> = parts
        .iter()
        .map(|part| format!("({}, {}, {})", part.inputs.len(), part.outputs.len(), part.groups))
        .collect();
    format!("Segments([{}], {kernel}{rest})", parts.join(", "))
}

/// Rows and columns of padding that are the same on both sides.
fn symmetric(padding: Padding) -> Option<(usize, usize)> {
    let Padding { top, bottom, left, right } = padding;
    (top == bottom && left == right).then_some((top, left))
}

/// `x`, padded beforehand if the layer itself cannot do it.
fn padded(x: &str, padding: Padding, value: &str) -> String {
    let Padding { top, bottom, left, right } = padding;
    format!("F.pad({x}, ({left}, {right}, {top}, {bottom}){value})")
}

/// The expression that computes a node.
fn step(graph: &Graph, node: &Node) -> String {
    let inputs: Vec<String> = node.inputs.iter().map(|&id| identifier(graph.node(id))).collect();
    let x = inputs.first().cloned().unwrap_or_default();
    match &node.op {
        Op::Input => x,
        Op::Conv { geometry, .. } => {
            let padding = geometry.options().padding;
            let x = if symmetric(padding).is_some() { x } else { padded(&x, padding, "") };
            format!("self.{}({x})", identifier(node))
        }
        Op::BatchNorm { .. } => format!("self.{}({x})", identifier(node)),
        Op::Activation(Activation::Relu) => format!("F.relu({x})"),
        Op::Activation(Activation::Elu) => format!("F.elu({x})"),
        Op::MaxPool(geometry) => max_pool(&x, geometry),
        Op::MeanPool { geometry, include_padding } => mean_pool(&x, geometry, *include_padding),
        Op::GlobalMeanPool => format!("{x}.mean((2, 3), keepdim=True)"),
        Op::Add => inputs.join(" + "),
        Op::Concat => format!("torch.cat([{}], 1)", inputs.join(", ")),
        Op::Dropout { rate } => format!("F.dropout({x}, {rate:?}, self.training)"),
        // Our dense weights read a map as (h, w, c).
        Op::Linear { .. } if graph.node(node.inputs[0]).output.pixels() > 1 => {
            format!("self.{}({x}.permute(0, 2, 3, 1).flatten(1))", identifier(node))
        }
        Op::Linear { .. } => format!("self.{}({x}.flatten(1))", identifier(node)),
    }
}

fn max_pool(x: &str, geometry: &PoolGeometry) -> String {
    let (window, stride) = (geometry.window(), geometry.stride());
    match own_padding(geometry) {
        Some(0) => format!("F.max_pool2d({x}, {window}, {stride})"),
        Some(padding) => format!("F.max_pool2d({x}, {window}, {stride}, padding={padding})"),
        None => {
            let x = padded(x, geometry.padding(), ", value=-torch.inf");
            format!("F.max_pool2d({x}, {window}, {stride})")
        }
    }
}

fn mean_pool(x: &str, geometry: &PoolGeometry, include_padding: bool) -> String {
    let (window, stride, padding) = (geometry.window(), geometry.stride(), geometry.padding());
    match own_padding(geometry) {
        Some(0) => format!("F.avg_pool2d({x}, {window}, {stride})"),
        Some(padding) => {
            let include = if include_padding { "" } else { ", count_include_pad=False" };
            format!("F.avg_pool2d({x}, {window}, {stride}, padding={padding}{include})")
        }
        None if include_padding => format!("F.avg_pool2d({}, {window}, {stride})", padded(x, padding, "")),
        None => {
            let Padding { top, bottom, left, right } = padding;
            format!("mean_pool({x}, {window}, {stride}, ({left}, {right}, {top}, {bottom}))")
        }
    }
}

/// The padding, where PyTorch's pools can do it: equal on all sides, and at most
/// half a window.
fn own_padding(geometry: &PoolGeometry) -> Option<usize> {
    let (rows, columns) = symmetric(geometry.padding())?;
    (rows == columns && 2 * rows <= geometry.window()).then_some(rows)
}
