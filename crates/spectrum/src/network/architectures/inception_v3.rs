//! Inception V3 (Szegedy et al. 2016) without its auxiliary tower.
//!
//! ```text
//! stem      conv 3x3/2, 32; 3x3, 32; 3x3, 64; max pool 3x3/2; 1x1, 80; 3x3, 192; max pool 3x3/2
//! mixed 5b, 5c, 5d   module A: 1x1; 1x1, 5x5; 1x1, 3x3, 3x3; mean pool, 1x1        256, 288, 288
//! mixed 6a           module B: 3x3/2; 1x1, 3x3, 3x3/2; max pool 3x3/2               768
//! mixed 6b to 6e     module C: 1x1; 1x1, 1x7, 7x1; 1x1, 2 x (7x1, 1x7); mean, 1x1   768
//! mixed 7a           module D: 1x1, 3x3/2; 1x1, 1x7, 7x1, 3x3/2; max pool 3x3/2     1280
//! mixed 7b, 7c       module E: 1x1; 1x1, [1x3 | 3x1]; 1x1, 3x3, [1x3 | 3x1]; mean, 1x1   2048
//! head      global mean pool, [dense layers], [dropout], linear
//! ```
//! Every convolution has a norm and a relu. Layers are named as in timm and created in the order
//! in which Keras numbers them, so that both namings follow from the graph. Keras' norms have no
//! scale and its mean pools exclude the padding; timm's have a scale and include it.

use crate::builder::{BatchNormOptions, GraphBuilder};
use crate::error::SpecError;
use crate::graph::{Activation, Graph, Node, NodeId, Op};
use crate::network::{NetworkKey, NetworkSpec, Numerics, Preprocessing, scaled};
use crate::segments::Segments;
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

use super::{Architecture, Channels, Names, head, unnamed};

pub(crate) const INCEPTION_V3: Architecture = Architecture {
    keys: &[
        NetworkKey::Numerics,
        NetworkKey::NormEpsilon,
        NetworkKey::NormMomentum,
        NetworkKey::SmallStem,
        NetworkKey::FullyConnected,
    ],
    channels: Channels::Fixed(448),
    own: |published| NetworkSpec { segments: Segments::Count(1).into(), ..published },
    stages: |_| 1,
    graph,
    images: (299, 3),
    classes: 1000,
    preprocessing: Some(|_, size| Preprocessing::symmetric(size, 0.875)),
    names: Names { keras: Some(keras_name), timm: Some(timm_name), is_separable: false, differ: true },
};

/// Lowers a valid `spec`, whose width has not been applied yet.
fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let mut net = Inception::new(spec, input)?;
    let mut map = net.stem()?;
    for (name, pooled) in [("5b", 32), ("5c", 64), ("5d", 64)] {
        map = net.module(name, map, |net, x| net.a(x, pooled))?;
    }
    map = net.module("6a", map, Inception::b)?;
    for (name, inner) in [("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)] {
        map = net.module(name, map, |net, x| net.c(x, inner))?;
    }
    map = net.module("7a", map, Inception::d)?;
    for name in ["7b", "7c"] {
        map = net.module(name, map, Inception::e)?;
    }
    let fully_connected = spec.fully_connected.iter().map(|&outputs| net.scaled(outputs)).collect();
    let spec = NetworkSpec { fully_connected, ..spec.clone() };
    head::finish(net.builder, &spec, map, classes)
}

/// A window of a convolution: rows, columns, stride, and whether it keeps the
/// map's size at stride 1.
#[derive(Clone, Copy)]
struct Window {
    rows: usize,
    columns: usize,
    stride: usize,
    is_same: bool,
}

/// `rows` x `columns` at stride 1 that keeps the map's size.
const fn same(rows: usize, columns: usize) -> Window {
    Window { rows, columns, stride: 1, is_same: true }
}

/// 3x3 without padding.
const fn valid(stride: usize) -> Window {
    Window { rows: 3, columns: 3, stride, is_same: false }
}

impl Window {
    fn options(self) -> ConvOptions {
        let Self { rows: kernel_h, columns: kernel_w, stride, is_same } = self;
        let (rows, columns) = if is_same { (kernel_h / 2, kernel_w / 2) } else { (0, 0) };
        let padding = Padding { top: rows, bottom: rows, left: columns, right: columns };
        ConvOptions { kernel_h, kernel_w, stride, padding, ..ConvOptions::pointwise() }
    }
}

/// The frame around the modules; the simplified network has the same one.
pub(super) struct Inception<'a> {
    spec: &'a NetworkSpec,
    pub(super) builder: GraphBuilder,
}

impl<'a> Inception<'a> {
    pub(super) fn new(spec: &'a NetworkSpec, input: MapShape) -> Result<Self, SpecError> {
        Ok(Self { spec, builder: GraphBuilder::new(input)? })
    }

    fn stem(&mut self) -> Result<NodeId, SpecError> {
        self.stem_of([32, 32, 64, 80, 192].map(|channels| self.scaled(channels)))
    }

    /// The stem with these channels. A small one keeps the size of the map.
    pub(super) fn stem_of(&mut self, channels: [usize; 5]) -> Result<NodeId, SpecError> {
        let input = self.builder.input();
        self.scope("stem", input, |net, image| {
            let is_small = net.spec.small_stem;
            let conv3 = |stride| if is_small { same(3, 3) } else { valid(stride) };
            let map = net.conv_to("conv2d_1a_3x3", image, channels[0], conv3(2))?;
            let map = net.conv_to("conv2d_2a_3x3", map, channels[1], conv3(1))?;
            let map = net.conv_to("conv2d_2b_3x3", map, channels[2], same(3, 3))?;
            let map = if is_small { map } else { net.max_pool("pool1", map)? };
            let map = net.conv_to("conv2d_3b_1x1", map, channels[3], same(1, 1))?;
            let map = net.conv_to("conv2d_4a_3x3", map, channels[4], conv3(1))?;
            if is_small { Ok(map) } else { net.max_pool("pool2", map) }
        })
    }

    /// Runs `body` within the scope of the module `name`.
    pub(super) fn module(
        &mut self,
        name: &str,
        input: NodeId,
        body: impl FnOnce(&mut Self, NodeId) -> Result<NodeId, SpecError>,
    ) -> Result<NodeId, SpecError> {
        self.scope(&format!("mixed_{name}"), input, body)
    }

    /// Runs `body` within the scope `name`.
    fn scope(
        &mut self,
        name: &str,
        input: NodeId,
        body: impl FnOnce(&mut Self, NodeId) -> Result<NodeId, SpecError>,
    ) -> Result<NodeId, SpecError> {
        // The builder's own scopes borrow only the builder.
        self.builder.open(name);
        let result = body(self, input);
        self.builder.close();
        result
    }

    fn a(&mut self, x: NodeId, pooled: usize) -> Result<NodeId, SpecError> {
        let one = self.conv("branch1x1", x, 64, same(1, 1))?;
        let five = self.chain(x, &[("branch5x5_1", 48, same(1, 1)), ("branch5x5_2", 64, same(5, 5))])?;
        let double = self.chain(
            x,
            &[
                ("branch3x3dbl_1", 64, same(1, 1)),
                ("branch3x3dbl_2", 96, same(3, 3)),
                ("branch3x3dbl_3", 96, same(3, 3)),
            ],
        )?;
        let pool = self.pooled(x, pooled)?;
        self.builder.concat("concat", one, &[five, double, pool])
    }

    fn b(&mut self, x: NodeId) -> Result<NodeId, SpecError> {
        let three = self.conv("branch3x3", x, 384, valid(2))?;
        let double = self.chain(
            x,
            &[
                ("branch3x3dbl_1", 64, same(1, 1)),
                ("branch3x3dbl_2", 96, same(3, 3)),
                ("branch3x3dbl_3", 96, valid(2)),
            ],
        )?;
        let pool = self.max_pool("pool", x)?;
        self.builder.concat("concat", three, &[double, pool])
    }

    fn c(&mut self, x: NodeId, inner: usize) -> Result<NodeId, SpecError> {
        let one = self.conv("branch1x1", x, 192, same(1, 1))?;
        let seven = self.chain(
            x,
            &[
                ("branch7x7_1", inner, same(1, 1)),
                ("branch7x7_2", inner, same(1, 7)),
                ("branch7x7_3", 192, same(7, 1)),
            ],
        )?;
        let double = self.chain(
            x,
            &[
                ("branch7x7dbl_1", inner, same(1, 1)),
                ("branch7x7dbl_2", inner, same(7, 1)),
                ("branch7x7dbl_3", inner, same(1, 7)),
                ("branch7x7dbl_4", inner, same(7, 1)),
                ("branch7x7dbl_5", 192, same(1, 7)),
            ],
        )?;
        let pool = self.pooled(x, 192)?;
        self.builder.concat("concat", one, &[seven, double, pool])
    }

    fn d(&mut self, x: NodeId) -> Result<NodeId, SpecError> {
        let three = self.chain(x, &[("branch3x3_1", 192, same(1, 1)), ("branch3x3_2", 320, valid(2))])?;
        let seven = self.chain(
            x,
            &[
                ("branch7x7x3_1", 192, same(1, 1)),
                ("branch7x7x3_2", 192, same(1, 7)),
                ("branch7x7x3_3", 192, same(7, 1)),
                ("branch7x7x3_4", 192, valid(2)),
            ],
        )?;
        let pool = self.max_pool("pool", x)?;
        self.builder.concat("concat", three, &[seven, pool])
    }

    fn e(&mut self, x: NodeId) -> Result<NodeId, SpecError> {
        let one = self.conv("branch1x1", x, 320, same(1, 1))?;
        let three = self.conv("branch3x3_1", x, 384, same(1, 1))?;
        let wide = self.conv("branch3x3_2a", three, 384, same(1, 3))?;
        let tall = self.conv("branch3x3_2b", three, 384, same(3, 1))?;
        let double =
            self.chain(x, &[("branch3x3dbl_1", 448, same(1, 1)), ("branch3x3dbl_2", 384, same(3, 3))])?;
        let double_wide = self.conv("branch3x3dbl_3a", double, 384, same(1, 3))?;
        let double_tall = self.conv("branch3x3dbl_3b", double, 384, same(3, 1))?;
        let pool = self.pooled(x, 192)?;
        self.builder.concat("concat", one, &[wide, tall, double_wide, double_tall, pool])
    }

    /// Convolutions one after the other.
    fn chain(&mut self, x: NodeId, layers: &[(&str, usize, Window)]) -> Result<NodeId, SpecError> {
        layers.iter().try_fold(x, |map, &(name, channels, window)| self.conv(name, map, channels, window))
    }

    /// A mean over 3x3 pixels and a 1x1 convolution.
    fn pooled(&mut self, x: NodeId, channels: usize) -> Result<NodeId, SpecError> {
        let counts_padding = self.spec.numerics == Numerics::Timm;
        let pool = self.builder.mean_pool("pool", x, 3, 1, Padding::symmetric(1), counts_padding)?;
        self.conv("branch_pool", pool, channels, same(1, 1))
    }

    pub(super) fn max_pool(&mut self, name: &str, x: NodeId) -> Result<NodeId, SpecError> {
        self.builder.max_pool(name, x, 3, 2, Padding::default())
    }

    /// A convolution of `channels` times the width, norm and relu.
    fn conv(&mut self, name: &str, x: NodeId, channels: usize, window: Window) -> Result<NodeId, SpecError> {
        self.conv_to(name, x, self.scaled(channels), window)
    }

    /// A convolution of exactly `channels`, norm and relu.
    fn conv_to(
        &mut self,
        name: &str,
        x: NodeId,
        channels: usize,
        window: Window,
    ) -> Result<NodeId, SpecError> {
        let norm = self.batch_norm();
        self.builder.scope(name, |b| {
            let conv = b.conv("conv", x, channels, window.options())?;
            let norm = b.batch_norm("norm", conv, norm);
            Ok(b.activation("relu", norm, Activation::Relu))
        })
    }

    fn batch_norm(&self) -> BatchNormOptions {
        let scale = self.spec.numerics == Numerics::Timm;
        BatchNormOptions { scale, ..self.spec.batch_norm() }
    }

    fn scaled(&self, channels: usize) -> usize {
        scaled(channels, self.spec.width)
    }
}

/// No layer is named individually; all are numbered in the order of the graph.
fn keras_name(graph: &Graph, id: NodeId, _: &[&str]) -> Option<String> {
    let is_conv = |node: &Node| matches!(node.op, Op::Conv { .. });
    let is_norm = |node: &Node| matches!(node.op, Op::BatchNorm { .. });
    let earlier = &graph.nodes[..id.0];
    let node = graph.node(id);
    if is_conv(node) {
        Some(unnamed("conv2d", earlier.iter().filter(|node| is_conv(node)).count()))
    } else if is_norm(node) {
        Some(unnamed("batch_normalization", earlier.iter().filter(|node| is_norm(node)).count()))
    } else {
        None
    }
}

fn timm_name(parts: &[&str]) -> Option<String> {
    let (&layer, scopes) = parts.split_last()?;
    if scopes == ["head"] {
        return (layer == "logits").then(|| "fc".to_owned());
    }
    let scopes = scopes.strip_prefix(&["stem"]).unwrap_or(scopes).join(".");
    let (first, rest) = scopes.split_at_checked(1)?;
    Some(format!("{}{rest}.{}", first.to_uppercase(), if layer == "norm" { "bn" } else { layer }))
}
