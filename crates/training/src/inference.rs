//! What a trained network says of images.

use decouple_core_ops::{Context, Recorder};

use crate::network::{Network, NetworkError};

/// The logits of `images`, normalised values as (n, h, w, c) one image after the
/// other: as (n, classes).
///
/// ```
/// use decouple_core_ops::{Context, MapShape};
/// use decouple_spectrum::network::NetworkSpec;
/// use decouple_training::{inference::logits, network::Network};
/// let context = Context::best();
/// let graph = NetworkSpec::default().graph(MapShape::new(28, 28, 1), 10)?;
/// let mut network = Network::new(graph, 0, &context);
/// assert_eq!(logits(&mut network, &context, &[0.5; 2 * 28 * 28])?.len(), 2 * 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`NetworkError`] when `images` are not whole images of the network's shape.
pub fn logits(network: &mut Network, context: &Context, images: &[f32]) -> Result<Vec<f32>, NetworkError> {
    let mut recorder = Recorder::inference(context);
    let images = recorder.input(network.graph().input(), images)?;
    let logits = network.forward(&mut recorder, images, 0)?;
    Ok(logits.values()?.to_vec())
}
