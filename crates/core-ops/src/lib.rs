//! The operations of a convolutional network, recorded on dfdx's tape.
//!
//! dfdx gives the tape, the gradients of parameters, and the loss; what it
//! lacks on stable Rust (every convolutional operation) is recorded here as an
//! operation of our own, forward and backward side by side. This is the only
//! crate that names dfdx: networks, data and training know [`FeatureMap`],
//! [`Parameter`] and [`Recorder`].
//!
//! ```
//! use decouple_core_ops::{Context, ConvGeometry, ConvOptions, Gradients, MapShape, Parameter, Recorder};
//!
//! let geometry = ConvGeometry::new(MapShape::new(4, 4, 2), 2, ConvOptions::spatial(3, 2))?;
//! let context = Context::best();
//! let weights = Parameter::new(&context, &vec![0.1; geometry.weight_count()]);
//! let image = vec![1.0; 32];
//!
//! let mut recorder = Recorder::training(&context, Gradients::default());
//! let x = recorder.input(MapShape::new(4, 4, 2), &image)?;
//! let y = recorder.conv(&geometry, &x, &weights)?;
//! let pooled = recorder.global_mean_pool(&y)?;
//! let loss = recorder.cross_entropy(&pooled, &[1], 0.0)?;
//! let mut gradients = loss.backward(recorder)?;
//! assert_eq!(gradients.of(&weights).map(<[f32]>::len), Some(18));
//! # Ok::<(), decouple_core_ops::OpError>(())
//! ```
#![forbid(unsafe_code)]

mod activation;
mod conv;
mod dropout;
mod error;
mod feature_map;
mod fused;
mod gradient;
mod join;
mod linear;
mod loss;
mod norm;
mod parameter;
mod pool;
mod recorder;
#[cfg(test)]
mod tests;
mod values;

pub use decouple_kernels::elementwise::Dropout;
pub use decouple_kernels::{
    activation::Activation,
    buffer::{Buffer, BufferPool},
    fused::FusedGeometry,
    geometry::{ConvGeometry, ConvOptions, GeometryError, MapShape, Padding, PoolGeometry},
    isa::{Context, Isa},
    numerics::{Numerics, Precision, Winograd},
};
pub use error::OpError;
pub use feature_map::FeatureMap;
pub use loss::Loss;
pub use norm::{BatchNorm, RunningStatistics};
pub use parameter::{Gradients, Parameter};
pub use recorder::Recorder;
