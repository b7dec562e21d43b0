//! Weights of a group cut into panels of one to four vectors of target
//! channels: what a register tile of the broadcast kernels works on.

use super::correlation::{Correlation, Run};
use crate::{isa::Isa, simd};

/// How the target channels of each group of a run are cut into panels, and
/// where a panel's weights lie in packed form.
///
/// The weights of a group lie panel by panel; within a panel the caller's
/// order of taps and source channels comes first and the panel's lanes last.
/// Every panel has `width` vectors, except that the last may have fewer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    lanes: usize,
    vectors: usize,
    width: usize,
    target_c: usize,
    /// Products of a target channel: taps times source channels.
    depth: usize,
}

/// Packed values of all groups of all runs.
pub(super) fn packed_len(isa: Isa, c: &Correlation) -> usize {
    c.runs().iter().map(|run| run.groups * Panels::new(isa, c, run).group_len()).sum()
}

/// The target channels of one panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// First target channel within the group.
    pub start: usize,
    /// Vectors, the last of which may be filled in part.
    pub vectors: usize,
    /// Channels in the last vector.
    pub last_lanes: usize,
}

impl Panels {
    /// The panels of `run`. Sixteen registers hold tiles of two vectors,
    /// thirty-two of four.
    pub(super) fn new(isa: Isa, c: &Correlation, run: &Run) -> Self {
        let lanes = simd::lanes(isa);
        let widest = simd::registers(isa) / 8;
        let vectors = run.target_c.div_ceil(lanes);
        let width = vectors.div_ceil(vectors.div_ceil(widest));
        Self { lanes, vectors, width, target_c: run.target_c, depth: c.taps() * run.source_c }
    }

    /// Panels of a group.
    pub(super) fn count(&self) -> usize {
        self.vectors.div_ceil(self.width)
    }

    /// Panel number `index` of a group.
    pub(super) fn get(&self, index: usize) -> Panel {
        let first = index * self.width;
        let vectors = self.width.min(self.vectors - first);
        let last_lanes = (self.target_c - (first + vectors - 1) * self.lanes).min(self.lanes);
        Panel { start: first * self.lanes, vectors, last_lanes }
    }

    /// Packed values of one group.
    pub(super) fn group_len(&self) -> usize {
        self.vectors * self.lanes * self.depth
    }

    /// Packed values of a full panel.
    pub(super) fn panel_len(&self) -> usize {
        self.width * self.lanes * self.depth
    }

    /// Where target channel `o` of a group lies: the offset of its panel, the
    /// lanes of that panel, and its lane there.
    pub(super) fn locate(&self, o: usize) -> (usize, usize, usize) {
        let index = o / (self.width * self.lanes);
        let panel = self.get(index);
        (index * self.panel_len(), panel.vectors * self.lanes, o - panel.start)
    }
}
