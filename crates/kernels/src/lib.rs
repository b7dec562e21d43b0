//! Slices in, slices out: the arithmetic of convolutional networks at every point
//! between a regular and a depthwise convolution, on maps in which the values of
//! sixteen images lie side by side ([`layout`]).
//!
//! Everything works on the threads of rayon's current pool. **Results are the same bits on
//! every processor and any number of threads**: a vector has sixteen values everywhere, every
//! multiply-add is fused, each sum has one order, and the division of work depends on shapes
//! alone. (Factors in bf16, which are opt-in, have one exception: `conv/bf16.rs`.)
//!
//! ```
//! use decouple_kernels::geometry::{ConvGeometry, ConvOptions, MapShape};
//!
//! // 3x3 over 8 channels in 3 segments: of 3, 3 and 2 channels.
//! let geometry = ConvGeometry::new(MapShape::new(32, 32, 8), 8, ConvOptions::spatial(3, 3))?;
//! assert_eq!(geometry.segment_inputs(2), 6..8);
//! assert_eq!(geometry.weight_count(), (9 + 9 + 4) * 9);
//! # Ok::<(), decouple_kernels::geometry::GeometryError>(())
//! ```

pub mod activation;
pub mod arithmetic;
pub mod buffer;
pub mod conv;
pub mod convs;
pub mod geometry;
pub mod isa;
pub mod layout;
pub mod maps;
pub mod peak;
pub mod pool;
pub mod resample;
pub mod rows;
pub mod update;

#[cfg(test)]
mod checks;
#[cfg(test)]
mod reference;
mod simd;
