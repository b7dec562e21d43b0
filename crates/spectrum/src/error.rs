//! Why a network cannot be built from a description.

use decouple_kernels::geometry::{GeometryError, MapShape};
use decouple_keys::InvalidKey;

/// Why a network cannot be built. Names the key or the layer, and the numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A key of the description holds an impossible value.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The length of a schedule differs from the number of stages.
    #[error("`segments` lists {listed} values, but the network has {stages} stages")]
    ScheduleLength {
        /// Values listed.
        listed: usize,
        /// Stages of the network.
        stages: usize,
    },
    /// The map is too small to halve, or empty.
    #[error("{layer}: a map of {map} is too small")]
    MapTooSmall {
        /// The layer.
        layer: String,
        /// The map it was given.
        map: MapShape,
    },
    /// Two maps that should be joined do not fit together.
    #[error("{layer}: cannot join maps of {left} and {right}")]
    ShapeMismatch {
        /// The layer.
        layer: String,
        /// The first map.
        left: MapShape,
        /// The map that does not fit the first.
        right: MapShape,
    },
    /// A layer's window, stride, padding or segments do not fit its input.
    #[error("{layer}: {source}")]
    Geometry {
        /// The layer.
        layer: String,
        /// What does not fit.
        source: GeometryError,
    },
}
