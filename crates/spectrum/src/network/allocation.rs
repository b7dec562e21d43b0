//! Networks of one family with other channel counts and depths, drawn at random.

use super::NetworkSpec;
use super::architectures::Channels;

/// Blocks of the middle flow, and modules in one, are drawn from 1 up to these.
const MOST_BLOCKS: usize = 4;
const MOST_MODULES: usize = 4;
/// The largest factor on a channel count, up or down, as a power of two.
const DOUBLINGS: f64 = 1.0;

impl NetworkSpec {
    /// This network with another allocation of channels and depth: a factor from a half to two on each of the
    /// channel counts of stem, entry stages and exit, kept from falling along the network, and 1 to 4 middle blocks
    /// of 1 to 4 modules. A budget then scales the whole.
    ///
    /// `uniform` returns numbers from 0 up to 1; the same numbers give the same network: an empirical
    /// distribution over designs instead of one hand-made network (I. Radosavovic et al., "On Network Design
    /// Spaces for Visual Recognition", 2019). `None` for a family whose depth is fixed.
    pub fn allocated(&self, mut uniform: impl FnMut() -> f64) -> Option<Self> {
        if !matches!(self.family.architecture().channels, Channels::InKeys) {
            return None;
        }
        let stream = Self { inner: Vec::new(), ..self.clone() };
        let mut least = 1;
        let mut channels = Vec::new();
        for count in stream.channels() {
            let factor = (DOUBLINGS * (2.0 * uniform() - 1.0)).exp2();
            least = super::scaled(count, factor).max(least);
            channels.push(least);
        }
        let mut spec = stream.with_channels(1.0, &channels);
        spec.width = self.width;
        let mut draw = |most: usize| 1 + ((uniform() * most as f64) as usize).min(most - 1);
        spec.middle = draw(MOST_BLOCKS);
        spec.modules = draw(MOST_MODULES);
        Some(spec)
    }
}
