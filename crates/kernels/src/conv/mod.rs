//! Convolution over any number of channel segments: one family of register
//! tiles, walked over rows, of a map or of the components of Winograd's tiles.

mod gradient;
mod pass;
mod tile;
mod walk;
mod winograd;

pub(crate) use gradient::{Sums, WeightGradient};
pub use pass::WeightOrder;
pub(crate) use pass::{Direction, Rows};
pub(crate) use walk::Walk;
pub(crate) use winograd::has_tiles;
