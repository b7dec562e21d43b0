//! Convolution over any number of channel segments: one family of register tiles, walked over
//! rows: of a map, of pairs of its channels, or of the components of Winograd tiles.

mod bf16;
mod direct;
mod gradient;
mod tile;
mod walk;
mod winograd;

pub use direct::WeightOrder;
pub(crate) use direct::{Direction, Rows};
pub(crate) use gradient::Sums;
pub(crate) use walk::{Algorithm, Walk, WeightGradient};
pub(crate) use winograd::has_tiles;
