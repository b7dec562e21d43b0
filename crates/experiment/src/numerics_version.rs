//! Which arithmetic computed a run.

/// Version of the engine's arithmetic, raised by every change that alters the bytes of some run. A run has
/// the version that last changed its own bytes ([`Trial::numerics`](crate::Trial::numerics)); a run that
/// states none has version 0.
pub const NUMERICS_VERSION: u32 = FILTERED;

/// The version of networks that are computed by the definition throughout.
pub(crate) const PLAIN: u32 = 1;

/// The version of other networks with a convolution of wide maps, whose bands of rows were divided anew.
pub(crate) const WIDE: u32 = 3;

/// The version of networks of which Winograd tiles compute a convolution and the gradient of its weights.
pub(crate) const TILED: u32 = 4;

/// The version of runs on sets in memory whose random crops are scaled by another filter than the bilinear one, which
/// scaled them all before.
pub(crate) const FILTERED: u32 = 5;
