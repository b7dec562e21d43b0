//! The layout of the boxes of a block: rows by the longest path from the block's beginning,
//! lanes for parallel paths.

use super::steps::Step;

/// Width of a box, and distance between two lanes.
pub(super) const BOX: f64 = 164.0;
const LANE: f64 = BOX + 14.0;
/// Height of a box, with and without a second line.
const TALL: f64 = 36.0;
const LOW: f64 = 22.0;
const SUM: f64 = 18.0;
/// Between two rows.
const GAP: f64 = 16.0;
/// Around the boxes of a block, and above them for its name.
pub(super) const MARGIN: f64 = 12.0;
const TITLE: f64 = 22.0;

/// A step and its place within the block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) step: usize,
    /// Middle.
    pub(super) x: f64,
    /// Top.
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A block with its boxes.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) name: String,
    pub(super) boxes: Vec<Placed>,
    pub(super) width: f64,
    pub(super) height: f64,
    /// How often it is repeated.
    pub(super) times: usize,
}

impl Block {
    /// Whether a frame is drawn around its boxes.
    pub(super) fn is_framed(&self) -> bool {
        self.boxes.len() > 1 && !self.name.is_empty()
    }
}

/// Places the steps `members`, which are adjacent in `steps`.
pub(super) fn block(steps: &[Step], members: std::ops::Range<usize>) -> Block {
    let inside = |step: &usize| members.contains(step);
    let mut rows: Vec<usize> = Vec::new();
    let mut lanes: Vec<usize> = Vec::new();
    let mut continued = vec![false; members.len()];
    let mut lane_count = 0;
    for index in members.clone() {
        let step = &steps[index];
        let inputs: Vec<usize> =
            step.inputs.iter().copied().filter(inside).map(|i| i - members.start).collect();
        rows.push(inputs.iter().map(|&input| rows[input] + 1).max().unwrap_or(0));
        let lane = inputs.iter().copied().find(|&input| !continued[input]).map(|input| lanes[input]);
        inputs.iter().for_each(|&input| continued[input] = true);
        lanes.push(lane.unwrap_or(lane_count));
        lane_count = lane_count.max(lanes[lanes.len() - 1] + 1);
    }
    let row_count = rows.iter().max().map_or(0, |row| row + 1);
    let height = |index: usize| match &steps[members.start + index] {
        step if step.is_sum() => SUM,
        step if step.detail.is_empty() => LOW,
        _ => TALL,
    };
    let name = steps[members.start].group.clone();
    let is_framed = members.len() > 1 && !name.is_empty();
    let margin = if is_framed { MARGIN } else { 0.0 };
    let mut tops = vec![margin + if is_framed { TITLE } else { 0.0 }];
    for row in 0..row_count {
        let tallest = (0..members.len()).filter(|&i| rows[i] == row).map(height).fold(0.0, f64::max);
        tops.push(tops[row] + tallest + GAP);
    }
    let middle = |lane: usize| margin + BOX / 2.0 + lane as f64 * LANE;
    let boxes = (0..members.len()).map(|index| {
        let step = &steps[members.start + index];
        let inputs = step.inputs.iter().filter(|input| inside(input));
        let reached: Vec<usize> = inputs.map(|input| lanes[input - members.start]).collect();
        let spread = reached.iter().max().zip(reached.iter().min());
        let (x, width) = match spread {
            Some((&last, &first)) if step.title == "concat" && last > first => {
                let (left, right) = (middle(first), middle(last));
                ((left + right) / 2.0, right - left + BOX)
            }
            _ => (middle(lanes[index]), if step.is_sum() { SUM } else { BOX }),
        };
        Placed { step: members.start + index, x, y: tops[rows[index]], width, height: height(index) }
    });
    Block {
        name,
        boxes: boxes.collect(),
        width: 2.0 * margin + BOX + (lane_count - 1) as f64 * LANE,
        height: tops[row_count] - GAP + margin,
        times: 1,
    }
}
