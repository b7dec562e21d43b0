//! The logits of a trained network.

use decouple_spectrum::backend::{ExecutionError, Executor, Pass};

/// The logits of `images`, normalised values as (n, h, w, c) one image after the
/// other: as (n, classes).
///
/// ```
/// use decouple_kernels::{geometry::MapShape, arithmetic::Arithmetic};
/// use decouple_spectrum::network::NetworkSpec;
/// use decouple_training::{device::backend, inference::logits, start_values};
/// let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
/// let mut network = start_values::start(&graph, 0, &*backend(), Arithmetic::default())?;
/// assert_eq!(logits(&mut *network, &[0.5; 2 * 28 * 28])?.len(), 2 * 10);
/// assert!(logits(&mut *network, &[0.5; 2 * 28 * 28 + 1]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ExecutionError`] when `images` are not whole images of the network's shape.
pub fn logits(network: &mut dyn Executor, images: &[f32]) -> Result<Vec<f32>, ExecutionError> {
    let image = network.plan().graph.input().len();
    let count = images.len().div_ceil(image);
    if images.len() != count * image {
        let what = format!("{count} images of {image} values");
        return Err(ExecutionError::Length { what, expected: count * image, found: images.len() });
    }
    let batch = network.batch_layout(count).of(images);
    network.forward(&batch, count, Pass::Inference)
}
