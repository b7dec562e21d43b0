//! Convolution over any number of channel segments: one family of register tiles, walked over
//! rows: of a map, of pairs of its channels, or of the components of Winograd tiles.

mod gradient;
mod pairs;
mod pass;
mod tile;
mod walk;
mod winograd;

pub(crate) use gradient::{Sums, WeightGradient};
pub use pass::WeightOrder;
pub(crate) use pass::{Direction, Rows};
pub(crate) use walk::{Algorithm, Walk};
pub(crate) use winograd::has_tiles;
