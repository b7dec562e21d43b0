//! Slices in, slices out: the arithmetic of convolutional networks on
//! channels-last feature maps, at every point between a regular and a
//! depthwise convolution.
//!
//! Every function takes a [`Context`](isa::Context) (instructions, scratch), a
//! validated geometry where there is one, and slices; it works on the threads
//! of rayon's current pool. **Results do not depend on the number of threads**:
//! a thread owns the outputs it writes, and sums over images are taken over a
//! fixed number of parts in a fixed order.
//!
//! ```
//! use decouple_kernels::geometry::{ConvGeometry, ConvOptions, MapShape};
//!
//! // 3x3 over 8 channels in 3 segments: of 3, 3 and 2 channels.
//! let geometry = ConvGeometry::new(MapShape::new(32, 32, 8), 8, ConvOptions::spatial(3, 3))?;
//! assert_eq!(geometry.group_inputs(2), 6..8);
//! assert_eq!(geometry.weight_count(), (9 + 9 + 4) * 9);
//! # Ok::<(), decouple_kernels::geometry::GeometryError>(())
//! ```

pub mod activation;
pub mod buffer;
pub mod conv;
pub mod elementwise;
pub mod error;
pub mod fused;
pub mod geometry;
pub mod isa;
pub mod linear;
pub mod norm;
pub mod numerics;
pub mod peak;
pub mod pool;
pub mod reference;

mod bf16;
#[cfg(test)]
mod checks;
mod per_isa;
mod rows;
mod simd;
mod transpose;

/// Sums over a batch are taken over this many parts, each in image order, and
/// the parts are added in order: the same result on any number of threads.
pub const REDUCTION_PARTS: usize = 8;
