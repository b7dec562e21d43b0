//! Trained networks for other programs.
//!
//! [`onnx()`] writes a network with its weights as one ONNX file, which onnxruntime and many
//! others execute; [`pytorch()`] writes a Python module that rebuilds the network in PyTorch
//! and reads the safetensors file of a run. Both read a
//! [`Graph`](decouple_spectrum::graph::Graph) and nothing else, so they support every network
//! that this program can train. Uneven segments, which no other program supports as one
//! operation, become one grouped convolution per size.
//!
//! Both networks take normalised images as (n, channels, rows, columns) and
//! give logits as (n, classes).
//!
//! ```
//! use decouple_export::{Notes, onnx, pytorch};
//! use decouple_kernels::geometry::MapShape;
//! use decouple_spectrum::network::NetworkSpec;
//!
//! let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
//! let values: Vec<Vec<f32>> = graph.parameters.iter().map(|p| vec![0.5; p.len()]).collect();
//! let notes = Notes { title: "an example".to_owned(), ..Notes::default() };
//! let model = onnx(&graph, &values, &notes)?;
//! let module = pytorch(&graph, &notes, "weights.safetensors")?;
//! assert!(model.len() > 4 * 67_000 && module.contains("class Network(nn.Module)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod even_parts;
mod onnx;
pub mod proto;
mod pytorch;

pub use error::ExportError;
pub use onnx::onnx;
pub use pytorch::pytorch;

/// What an exported file says about itself besides the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// The network in a few words, on one line.
    pub title: String,
    /// Names of the classes, in the order of the logits; empty where unknown.
    pub classes: Vec<String>,
    /// What is subtracted from the pixels of each channel, from 0 to 255; empty
    /// where unknown.
    pub mean: Vec<f32>,
    /// What they are then divided by.
    pub deviation: Vec<f32>,
}
