//! Convolution over any number of channel segments: one family of register
//! tiles, walked over rows.

mod gradient;
mod pass;
mod tile;

pub(crate) use gradient::{Sums, WeightGradient};
pub use pass::WeightOrder;
pub(crate) use pass::{Direction, Pass, Rows};
