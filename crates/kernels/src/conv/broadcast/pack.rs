//! The weights in the order that the register tiles read them.

use rayon::prelude::*;

use super::input_blocks;
use crate::{
    buffer::Buffer,
    conv::{
        correlation::{Correlation, Direction, Run},
        panel::{Panel, Panels, packed_len},
    },
    isa::Context,
    transpose::transpose,
};

/// The weights of `c` in the order that [`rows`](super::rows) reads them.
pub(in crate::conv) fn pack(ctx: &Context, c: &Correlation, weights: &[f32]) -> Buffer {
    let mut packed = ctx.pool.take(packed_len(ctx.isa(), c));
    pack_into(ctx, c, weights, &mut packed);
    packed
}

/// The same, into `packed`.
pub(in crate::conv) fn pack_into(ctx: &Context, c: &Correlation, weights: &[f32], packed: &mut [f32]) {
    let mut rest = packed;
    for run in c.runs() {
        let panels = Panels::new(ctx.isa(), c, run);
        let packed = rest.split_off_mut(..run.groups * panels.group_len()).unwrap_or_default();
        packed.par_chunks_mut(panels.group_len()).enumerate().for_each(|(group, packed)| {
            packed.par_chunks_mut(panels.panel_len()).enumerate().for_each(|(index, packed)| {
                pack_panel(c, run, group, &panels, panels.get(index), weights, packed);
            });
        });
    }
}

/// Packs `[input block][tap][input][lane]`.
fn pack_panel(
    c: &Correlation,
    run: &Run,
    group: usize,
    panels: &Panels,
    panel: Panel,
    weights: &[f32],
    packed: &mut [f32],
) {
    let (inputs, blocks) = input_blocks(run, panels);
    let lanes = packed.len() / (c.taps() * run.source_c);
    let filled = lanes.min(run.target_c - panel.start);
    if filled < lanes {
        packed.fill(0.0);
    }
    let mut rest = packed;
    for block in 0..blocks {
        let first = block * inputs;
        let inputs = inputs.min(run.source_c - first);
        for row in 0..c.rows.taps {
            for column in 0..c.columns.taps {
                let packed = rest.split_off_mut(..inputs * lanes).unwrap_or_default();
                let start = c.weight_index(run, group, (first, panel.start), (row, column));
                pack_tap(c, run, &weights[start..], packed, (inputs, lanes, filled));
            }
        }
    }
}

/// Packs one tap of some inputs, of which `weights` begins with the first: a
/// matrix of inputs by lanes, stored that way up or the other.
fn pack_tap(
    c: &Correlation,
    run: &Run,
    weights: &[f32],
    packed: &mut [f32],
    (inputs, lanes, filled): (usize, usize, usize),
) {
    let taps = c.taps();
    if c.direction == Direction::Forward {
        transpose(weights, (run.source_c * taps, taps), packed, lanes, (filled, inputs));
        return;
    }
    for (packed, weights) in packed.chunks_exact_mut(lanes).zip(weights.chunks(run.target_c * taps)) {
        for (slot, weight) in packed[..filled].iter_mut().zip(weights.iter().step_by(taps)) {
            *slot = *weight;
        }
    }
}
