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

/// Packs `[input block][tap][input][lane]`. Of one tap the weights between all
/// inputs and lanes are a matrix, one way up where they are stored, and maybe
/// the other where they are read.
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
    let taps = c.taps();
    let lanes = packed.len() / (taps * run.source_c);
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
                let weights = &weights[start..];
                match c.direction {
                    Direction::Forward => {
                        transpose(weights, (run.source_c * taps, taps), packed, lanes, (filled, inputs));
                    }
                    Direction::Backward => {
                        let rows = packed.chunks_exact_mut(lanes).zip(weights.chunks(run.target_c * taps));
                        for (packed, weights) in rows {
                            let weights = weights.iter().step_by(taps);
                            packed[..filled]
                                .iter_mut()
                                .zip(weights)
                                .for_each(|(slot, weight)| *slot = *weight);
                        }
                    }
                }
            }
        }
    }
}
