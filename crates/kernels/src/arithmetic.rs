//! Trade-offs of precision for speed.

use serde::{Deserialize, Serialize};

/// Which algorithms kernels may use that are faster than the definition but round differently.
/// The default allows those whose errors are equally small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// For 3x3 convolutions at stride 1 with many channels per segment.
    pub winograd: Winograd,
    /// For the factors of matrix products.
    pub precision: Precision,
}

/// How many outputs a tile of Winograd's 3x3 convolution has (Lavin and Gray,
/// "Fast Algorithms for Convolutional Neural Networks", 2016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Winograd {
    /// None: nine products per output.
    Off,
    /// F(2x2, 3x3): four products per output, with equally small rounding errors.
    #[default]
    F2,
    /// F(4x4, 3x3): two and a quarter products per output, but errors ten times larger.
    F4,
}

/// What the factors of a matrix product are rounded to. Sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To the nearest bf16: the exponents of f32 with eight bits of significand.
    Bf16,
}
