//! An ONNX file read back: every value exists before it is read, every weight has
//! the extents that its operation needs, and every layer makes the map that the
//! graph says.

mod networks;

use std::collections::BTreeMap;

use decouple_export::{
    ExportError, Notes, onnx,
    proto::{Extent, Model, Node, Tensor},
    pytorch,
};
use decouple_kernels::geometry::MapShape;
use decouple_made_up::values;
use decouple_spectrum::{graph::Graph, network::figures};
use networks::{CLASSES, cases};
use prost::Message;

/// Extents of the values of one image, by name.
type Extents = BTreeMap<String, Vec<i64>>;

fn model(graph: &Graph, values: &[Vec<f32>]) -> Model {
    Model::decode(&onnx(graph, values, &Notes::default()).unwrap()[..]).unwrap()
}

fn ints(node: &Node, name: &str) -> Vec<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap().ints.clone()
}

fn int(node: &Node, name: &str) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).unwrap().i.unwrap()
}

/// Rows and columns after a window.
fn windowed(node: &Node, map: &[i64], dilation: i64) -> [i64; 2] {
    let (kernel, strides, pads) = (ints(node, "kernel_shape"), ints(node, "strides"), ints(node, "pads"));
    [0, 1].map(|axis| {
        let window = (kernel[axis] - 1) * dilation + 1;
        (map[axis + 1] + pads[axis] + pads[axis + 2] - window) / strides[axis] + 1
    })
}

/// Adds what `node` makes to `known`, having checked what it reads.
fn follow(node: &Node, known: &mut Extents, tensors: &BTreeMap<&str, &Tensor>) {
    let of = |index: usize| {
        let name = &node.input[index];
        let tensor = || tensors.get(name.as_str()).map(|tensor| tensor.dims.clone());
        known.get(name).cloned().or_else(tensor).unwrap_or_else(|| panic!("{}: no {name}", node.name))
    };
    let x = of(0);
    let made = match node.op_type.as_str() {
        "Conv" => {
            let weights = of(1);
            let groups = int(node, "group");
            assert_eq!((weights[1] * groups, weights[0] % groups), (x[0], 0), "{}", node.name);
            assert_eq!(weights[2..], ints(node, "kernel_shape"), "{}", node.name);
            if node.input.len() > 2 {
                assert_eq!(of(2), [weights[0]], "{}", node.name);
            }
            let [h, w] = windowed(node, &x, ints(node, "dilations")[0]);
            vec![weights[0], h, w]
        }
        "BatchNormalization" => {
            (1..5).for_each(|index| assert_eq!(of(index), [x[0]], "{}", node.name));
            x
        }
        "MaxPool" | "AveragePool" => {
            let [h, w] = windowed(node, &x, 1);
            vec![x[0], h, w]
        }
        "Relu" | "Elu" => x,
        "GlobalAveragePool" => vec![x[0], 1, 1],
        "Add" => {
            assert_eq!(of(1), x, "{}", node.name);
            x
        }
        "Concat" => {
            let parts: Vec<_> = (0..node.input.len()).map(of).collect();
            parts.iter().for_each(|part| assert_eq!(part[1..], x[1..], "{}", node.name));
            vec![parts.iter().map(|part| part[0]).sum(), x[1], x[2]]
        }
        "Flatten" => vec![x.iter().product()],
        "Gemm" => {
            let (weights, bias) = (of(1), of(2));
            assert_eq!((x, bias), (vec![weights[1]], vec![weights[0]]), "{}", node.name);
            vec![weights[0]]
        }
        "Split" => {
            let sizes = &tensors[node.input[1].as_str()].raw_data;
            let sizes: Vec<i64> =
                sizes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
            assert_eq!(sizes.iter().sum::<i64>(), x[0], "{}", node.name);
            for (name, size) in node.output.iter().zip(sizes) {
                known.insert(name.clone(), vec![size, x[1], x[2]]);
            }
            return;
        }
        other => panic!("{}: {other} is not followed here", node.name),
    };
    assert!(known.insert(node.output[0].clone(), made).is_none(), "{} is made twice", node.output[0]);
}

/// Every map of the model, as (c, h, w).
fn maps(model: &Model) -> Extents {
    let graph = model.graph.as_ref().unwrap();
    let tensors: BTreeMap<&str, &Tensor> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    assert_eq!(tensors.len(), graph.initializer.len(), "two tensors have one name");
    for tensor in &graph.initializer {
        let width = if tensor.data_type == 7 { 8 } else { 4 };
        assert_eq!(
            tensor.dims.iter().product::<i64>() * width,
            tensor.raw_data.len() as i64,
            "{}",
            tensor.name
        );
    }
    let input = &graph.input[0];
    let shape = input.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap();
    let extents = shape.dim[1..].iter().map(|dim| match dim.value {
        Some(Extent::Known(extent)) => extent,
        _ => panic!("only the number of images is open"),
    });
    let mut known = Extents::from([(input.name.clone(), extents.collect())]);
    graph.node.iter().for_each(|node| follow(node, &mut known, &tensors));
    assert!(known.contains_key(&graph.output[0].name));
    known
}

#[test]
fn every_layer_makes_the_map_of_the_graph() {
    for case in cases() {
        let graph = case.graph();
        let maps = maps(&model(&graph, &values(&graph)));
        assert_eq!(maps["logits"], [CLASSES as i64], "{}", case.name);
        let mut compared = 0;
        for node in &graph.nodes {
            let MapShape { h, w, c } = node.output;
            if let Some(found) = maps.get(&node.name) {
                // What a dense layer makes is a row there and a map of one pixel here.
                let expected = [c, h, w].map(|extent| extent as i64);
                let expected = &expected[..if (h, w) == (1, 1) { found.len() } else { 3 }];
                assert_eq!(found, expected, "{}: {}", case.name, node.name);
                compared += 1;
            }
        }
        // All but the images, dropout and the dense layers.
        assert!(compared + 6 >= graph.nodes.len(), "{}: {compared} of {}", case.name, graph.nodes.len());
    }
}

#[test]
fn a_network_without_a_dense_layer_gives_a_row_an_image() {
    let graph = figures::module(3).unwrap();
    let maps = maps(&model(&graph, &values(&graph)));
    assert_eq!(maps["logits"], [graph.output().len() as i64]);
}

#[test]
fn values_that_are_not_the_network_s_are_refused() {
    let graph = cases()[0].graph();
    let mut values = values(&graph);
    values[3].pop();
    let error = onnx(&graph, &values, &Notes::default()).unwrap_err();
    assert!(matches!(error, ExportError::Values { expected, found, .. } if found + 1 == expected), "{error}");
    values.pop();
    assert!(matches!(onnx(&graph, &values, &Notes::default()), Err(ExportError::Parameters { .. })));
}

#[test]
fn notes_reach_both_files() {
    let graph = cases()[0].graph();
    let notes = Notes {
        title: "one \"quoted\" title".to_owned(),
        classes: vec!["a \"b\"".to_owned(), "c\nd".to_owned()],
        mean: vec![127.5],
        deviation: vec![0.25],
    };
    let model = Model::decode(&onnx(&graph, &values(&graph), &notes).unwrap()[..]).unwrap();
    let of =
        |key: &str| model.metadata_props.iter().find(|property| property.key == key).unwrap().value.clone();
    assert_eq!((of("pixel_mean"), of("pixel_deviation")), ("127.5".to_owned(), "0.25".to_owned()));
    let module = pytorch(&graph, &notes, "a.safetensors").unwrap();
    assert!(module.starts_with("\"\"\"one 'quoted' title.\n"), "{module:.80}");
    assert!(module.contains("CLASSES = [\n    \"a \\\"b\\\"\",\n    \"c\\x0ad\",\n]"), "{module:.900}");
}

#[test]
fn python_has_a_layer_for_every_weight() {
    for case in cases() {
        let graph = case.graph();
        let module = pytorch(&graph, &Notes::default(), "a.safetensors").unwrap();
        let layers = module.matches("        self.").count();
        let with_weights = graph.nodes.iter().filter(|node| !node.op.parameters().is_empty()).count();
        // The class of uneven segments has two such lines of its own.
        let own = if module.contains("class Segments") { 2 } else { 0 };
        assert_eq!(layers, with_weights + own, "{}", case.name);
    }
}
