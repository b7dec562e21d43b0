//! An image alone, whose rows lie in the lanes, gives the same bits as among others, each in a lane of its own.

use std::ops::Range;

use decouple_core_ops::{Engine, Isa};
use decouple_kernels::{
    arithmetic::{Arithmetic, Precision, Winograd},
    geometry::{ConvOptions, MapShape, Padding},
};
use decouple_made_up::{noise, values};
use decouple_spectrum::{
    backend::{Backend, Executor, Pass, State},
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph, NodeId, ParameterId},
};
use proptest::prelude::*;

const NORM: BatchNormOptions = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };

fn network(graph: &Graph, isa: Isa, arithmetic: Arithmetic) -> Box<dyn Executor> {
    let values = values(graph);
    let network = Engine::new(isa).network(graph.clone(), arithmetic, &mut |id| values[id.0].clone());
    network.expect("values that fit")
}

/// The logits of the images in `range`.
fn logits(network: &mut dyn Executor, range: Range<usize>) -> Vec<f32> {
    let layout = network.batch_layout(range.len());
    let image = layout.shape.len();
    let images = noise("images", range.end * image);
    network
        .forward(&layout.of(&images[range.start * image..]), range.len(), Pass::Inference)
        .expect("a forward")
}

/// Whether images of each of `ranges` give by themselves what they give among `count`.
fn assert_same(graph: &Graph, isa: Isa, arithmetic: Arithmetic, count: usize, ranges: &[Range<usize>]) {
    // One that has worked on many images has memory for them, and takes a few side by side, too.
    let [mut many, mut few] = [(); 2].map(|()| network(graph, isa, arithmetic));
    let all = logits(&mut *many, 0..count);
    let classes = all.len() / count;
    for range in ranges {
        let expected = &all[range.start * classes..range.end * classes];
        let found = logits(&mut *few, range.clone());
        assert_eq!(found, expected, "images {range:?} with {}, {arithmetic:?}", isa.name());
    }
}

/// Tall enough that a few images are taken one by one: Winograd's tiles, joins, sums, a dense layer.
fn photograph() -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(139, 9, 32))?;
    let image = b.batch_norm("image", b.input(), NORM);
    let stem = b.conv_with_bias("stem", image, 33, ConvOptions::spatial(3, 1))?;
    let norm = b.batch_norm("norm", stem, NORM);
    let relu = b.activation("relu", norm, Activation::Relu);
    let tiles = b.conv("tiles", relu, 32, ConvOptions::spatial(3, 1))?;
    let sum = b.add("sum", tiles, b.input())?;
    // Windows of two rows at an odd height reach one row beyond the image.
    let below = Padding { top: 0, bottom: 1, left: 0, right: 1 };
    let halved = b.max_pool("halved", sum, 2, 2, below)?;
    let first = b.conv("pointwise", halved, 6, ConvOptions::pointwise())?;
    let between = b.activation("between", first, Activation::Elu);
    let second = b.spatial("spatial", between, 3, 2)?;
    let pooled = b.max_pool("pooled", second, 3, 2, Padding::symmetric(1))?;
    let mean = b.mean_pool("mean", pooled, 3, 1, Padding::symmetric(1), false)?;
    let joined = b.concat("joined", pooled, &[mean])?;
    let relu = b.activation("joined.relu", joined, Activation::Relu);
    let dense = b.linear("dense", relu, 7);
    let relu = b.activation("dense.relu", dense, Activation::Relu);
    b.linear("logits", relu, 4);
    Ok(b.finish())
}

#[test]
fn photographs_give_the_same_bits_alone_and_among_others() {
    let graph = photograph().expect("a network");
    for isa in Isa::available() {
        let bf16 = Arithmetic { precision: Precision::Bf16, ..Arithmetic::default() };
        let off = Arithmetic { winograd: Winograd::Off, ..Arithmetic::default() };
        for arithmetic in [Arithmetic::default(), bf16, off] {
            assert_same(&graph, isa, arithmetic, 18, &[0..1, 17..18, 2..4]);
        }
    }
}

#[test]
fn an_image_alone_is_seen_by_the_weights_as_they_are() {
    let graph = photograph().expect("a network");
    let [mut many, mut few] = [(); 2].map(|()| network(&graph, Isa::best(), Arithmetic::default()));
    let before = logits(&mut *few, 0..1);
    for network in [&mut many, &mut few] {
        for (index, parameter) in graph.parameters.iter().enumerate() {
            let id = ParameterId(index);
            let values: Vec<f32> = network.read(State::Value, id).iter().map(|value| 0.9 * value).collect();
            let average: Vec<f32> = values.iter().map(|value| 0.8 * value).collect();
            network.write(State::Value, id, &values).expect("as many values");
            let average = if parameter.role.is_trained() { average } else { Vec::new() };
            network.write(State::Average, id, &average).expect("as many averages");
        }
    }
    let written = logits(&mut *few, 0..1);
    few.exchange_average();
    let averaged = logits(&mut *few, 0..1);
    assert!(before != written && written != averaged);
    let classes = written.len();
    assert_eq!(written, logits(&mut *many, 0..18)[..classes]);
    many.exchange_average();
    assert_eq!(averaged, logits(&mut *many, 0..18)[..classes]);
}

/// A layer of any kind.
#[derive(Clone, Debug)]
enum Layer {
    Conv(ConvOptions),
    Max(usize, usize, Padding),
    Mean(usize, usize, Padding, bool),
    Norm,
}

fn layer() -> impl Strategy<Value = Layer> {
    // Less than a window.
    let padding = |rows: usize, columns: usize| {
        (0..rows, 0..rows, 0..columns, 0..columns).prop_map(|(top, bottom, left, right)| Padding {
            top,
            bottom,
            left,
            right,
        })
    };
    let window = move || {
        let of = move |window| (Just(window), 1..4usize, padding(window, window));
        (1..4usize).prop_flat_map(of)
    };
    let conv = (1..4usize, 1..4usize, 1..3usize).prop_flat_map(move |(kernel_h, kernel_w, dilation)| {
        let span = |kernel: usize| (kernel - 1) * dilation + 1;
        let others = (1..4usize, 1..3usize, padding(span(kernel_h), span(kernel_w)));
        others.prop_map(move |(stride, segments, padding)| {
            Layer::Conv(ConvOptions { kernel_h, kernel_w, stride, dilation, padding, segments })
        })
    });
    prop_oneof![
        conv,
        window().prop_map(|(window, stride, padding)| Layer::Max(window, stride, padding)),
        (window(), any::<bool>())
            .prop_map(|((window, stride, padding), counts)| Layer::Mean(window, stride, padding, counts)),
        Just(Layer::Norm),
    ]
}

/// These layers, and a mean over all pixels; an error if one of them does not fit.
fn chain(shape: MapShape, layers: &[Layer]) -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(shape)?;
    let mut map: NodeId = b.input();
    for (index, layer) in layers.iter().enumerate() {
        let name = format!("layer{index}");
        map = match layer {
            Layer::Conv(options) => b.conv_with_bias(&name, map, 3, *options)?,
            Layer::Max(window, stride, padding) => b.max_pool(&name, map, *window, *stride, *padding)?,
            Layer::Mean(window, stride, padding, counts) => {
                b.mean_pool(&name, map, *window, *stride, *padding, *counts)?
            }
            Layer::Norm => {
                let norm = b.batch_norm(&name, map, NORM);
                b.activation(&format!("{name}.relu"), norm, Activation::Relu)
            }
        };
    }
    let pool = b.global_mean_pool("pool", map);
    b.linear("logits", pool, 2);
    Ok(b.finish())
}

proptest! {
    #[test]
    fn any_layers_give_the_same_bits_alone_and_among_others(
        (rows, columns, channels) in (2..70usize, 1..9usize, 2..4usize),
        layers in prop::collection::vec(layer(), 1..5),
    ) {
        // Windows that do not fit are refused when a network is described.
        if let Ok(graph) = chain(MapShape::new(rows, columns, channels), &layers) {
            assert_same(&graph, Isa::best(), Arithmetic::default(), 2, &[0..1, 1..2]);
        }
    }
}
