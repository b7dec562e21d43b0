//! A network as a picture: blocks as frames, steps as boxes, residual
//! connections as arcs.
//!
//! The result is one SVG document without scripts, styles or references. Repeated blocks are
//! drawn once, with their number.

mod page;
mod placement;
mod steps;

use crate::graph::Graph;
use page::{FAINT, INK, Page};
use placement::{BOX, Block, MARGIN, Placed};
use steps::{Step, steps};

/// Between two blocks of a column, and between two columns.
const BLOCK_GAP: f64 = 26.0;
const COLUMN_GAP: f64 = 40.0;
/// Room for arcs beside a block.
const SIDE: f64 = 30.0;
/// The height at which another column is started.
const COLUMN: f64 = 1_100.0;
/// Between the top of a block and the fork of the paths to its boxes.
const FORK: f64 = 20.0;
const HEADER: f64 = 68.0;
const PAGE: f64 = 20.0;

/// Draws `graph` as an SVG document under `title`.
///
/// ```
/// use decouple_spectrum::{drawing::svg, network::figures};
/// let picture = svg(&figures::module(4).unwrap(), "An extreme Inception module");
/// assert!(picture.starts_with("<svg") && picture.contains("3x3 per channel"));
/// ```
pub fn svg(graph: &Graph, title: &str) -> String {
    let steps = steps(graph);
    let columns = columns(blocks(&steps));
    // In a column, the entries of all blocks are aligned.
    let extents: Vec<(f64, f64)> = columns
        .iter()
        .map(|column| {
            let of = |(left, right): (f64, f64), block: &Block| {
                let entry = entry(&steps, block);
                (left.max(entry + SIDE), right.max(block.width - entry + SIDE))
            };
            column.iter().fold((0.0, 0.0), of)
        })
        .collect();
    let widths = extents.iter().map(|(left, right)| left + right);
    let heights = columns.iter().map(|column| {
        column.iter().map(|block| block.height).sum::<f64>() + BLOCK_GAP * (column.len() - 1) as f64
    });
    let height = heights.fold(0.0, f64::max) + HEADER + 2.0 * PAGE;
    let width = widths.sum::<f64>() + COLUMN_GAP * (columns.len() - 1) as f64 + 2.0 * PAGE;
    let subtitle = subtitle(graph);
    // Letters of size 12 are about 6.2 wide, of size 17 about 9.
    let text_width = (6.2 * subtitle.chars().count() as f64).max(9.0 * title.chars().count() as f64);
    let width = width.max(text_width + 2.0 * PAGE);

    let mut page = Page::new(width, height);
    page.text((PAGE, PAGE + 14.0), 17.0, "start", INK, true, title);
    page.text((PAGE, PAGE + 34.0), 12.0, "start", FAINT, false, &subtitle);
    let mut left = PAGE;
    let mut end: Option<(f64, f64)> = None;
    for (column, (before, after)) in columns.iter().zip(extents) {
        let mut top = PAGE + HEADER;
        for block in column {
            let begin = (left + before, top);
            let origin = (begin.0 - entry(&steps, block), top);
            if let Some(from) = end {
                page.connect(from, begin, left - COLUMN_GAP / 2.0);
            }
            draw_block(&mut page, &steps, block, origin);
            let last = block.boxes[block.boxes.len() - 1];
            end = Some((origin.0 + last.x, origin.1 + block.height));
            top += block.height + BLOCK_GAP;
        }
        left += before + after + COLUMN_GAP;
    }
    page.finish()
}

fn subtitle(graph: &Graph) -> String {
    let cost = graph.cost();
    format!(
        "{} in · {} parameters · {} multiply-adds · {} activations",
        graph.input(),
        short(cost.parameters),
        short(cost.macs),
        short(cost.activations)
    )
}

/// A few digits and a unit: `8.36 G`, `22.86 M`, `910.5 k`.
fn short(count: u64) -> String {
    let value = count as f64;
    let (value, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (value / 1e3, 'k'),
        1_000_000..1_000_000_000 => (value / 1e6, 'M'),
        _ => (value / 1e9, 'G'),
    };
    let decimals = if value >= 100.0 { 1 } else { 2 };
    format!("{value:.decimals$} {unit}")
}

/// The blocks in order, with equal neighbours merged.
fn blocks(steps: &[Step]) -> Vec<Block> {
    // A single module is one block, whatever the names of its layers.
    let is_single = steps.iter().skip(1).all(|step| !is_chained(steps, step));
    let mut blocks: Vec<Block> = Vec::new();
    let mut start = 0;
    for index in 1..=steps.len() {
        let ends =
            index == steps.len() || (!is_single || start == 0) && steps[index].group != steps[start].group;
        if !ends {
            continue;
        }
        let block = placement::block(steps, start..index);
        match blocks.last_mut().filter(|last| looks_like(steps, last, &block)) {
            Some(last) => {
                last.times += 1;
                last.name = span(last.name.split(" to ").next().unwrap_or_default(), &block.name);
            }
            None => blocks.push(block),
        }
        start = index;
    }
    if is_single && let Some(block) = blocks.get_mut(1) {
        block.name.clear();
    }
    blocks
}

/// The names of blocks from `first` to `last`: `block4 to 11`.
fn span(first: &str, last: &str) -> String {
    let is_shared = |(a, b): &(char, char)| a == b;
    let shared = first.chars().zip(last.chars()).take_while(is_shared).map(|(a, _)| a.len_utf8()).sum();
    // Do not split within a number: block10 to 11.
    let shared = first[..shared].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    format!("{first} to {}", &last[shared..])
}

/// Whether `step` follows the block before it as a whole, so that blocks form a
/// chain. The branches of a single module do not.
fn is_chained(steps: &[Step], step: &Step) -> bool {
    step.title != "concat" && step.inputs.iter().any(|&input| input != 0 && steps[input].group != step.group)
}

fn looks_like(steps: &[Step], one: &Block, other: &Block) -> bool {
    let shown = |placed: &Placed| {
        let Step { title, detail, .. } = &steps[placed.step];
        (title.clone(), detail.clone(), placed.x.to_bits(), placed.y.to_bits())
    };
    one.boxes.len() > 1 && one.boxes.iter().map(shown).eq(other.boxes.iter().map(shown))
}

/// Where the path into a block begins: over the middle of the boxes that read from outside.
fn entry(steps: &[Step], block: &Block) -> f64 {
    let first = block.boxes[0].step;
    let reads_outside = |placed: &&Placed| {
        !steps[placed.step].is_sum() && steps[placed.step].inputs.iter().all(|&input| input < first)
    };
    let places: Vec<f64> = block.boxes.iter().filter(reads_outside).map(|placed| placed.x).collect();
    let most = places.iter().copied().fold(f64::MIN, f64::max);
    let least = places.iter().copied().fold(f64::MAX, f64::min);
    // With one skip beside the main path, the main path goes straight on.
    if places.len() == 2 { places[0] } else { (most + least) / 2.0 }
}

/// Distributes blocks over columns of about equal height.
fn columns(blocks: Vec<Block>) -> Vec<Vec<Block>> {
    let total: f64 = blocks.iter().map(|block| block.height + BLOCK_GAP).sum();
    let count = (total / COLUMN).ceil();
    let mut limit = total / count;
    loop {
        let columns = filled(&blocks, limit);
        if columns.len() as f64 <= count {
            return columns;
        }
        limit *= 1.05;
    }
}

/// Columns that are filled up to `limit`, one after the other.
fn filled(blocks: &[Block], limit: f64) -> Vec<Vec<Block>> {
    let mut columns: Vec<Vec<Block>> = Vec::new();
    let mut filled = f64::INFINITY;
    for block in blocks {
        if filled + block.height > limit && filled > 0.0 {
            columns.push(Vec::new());
            filled = 0.0;
        }
        filled += block.height + BLOCK_GAP;
        columns.last_mut().expect("begun with the first block").push(block.clone());
    }
    columns
}

fn draw_block(page: &mut Page, steps: &[Step], block: &Block, (left, top): (f64, f64)) {
    if block.is_framed() {
        page.frame(left, top, block.width, block.height);
        page.text((left + MARGIN, top + 16.0), 11.0, "start", FAINT, false, &block.name);
        if block.times > 1 {
            let place = (left - 6.0, top + block.height / 2.0 + 5.0);
            page.text(place, 15.0, "end", INK, true, &format!("{}×", block.times));
        }
    }
    let begin = (left + entry(steps, block), top);
    // The paths to the boxes fork below the block's name.
    let fork = (begin.0, top + if block.is_framed() { FORK } else { 0.0 });
    if block.is_framed() {
        page.line(begin, fork);
    }
    let first = block.boxes[0].step;
    for placed in &block.boxes {
        let to = (left + placed.x, top + placed.y);
        for (rank, &input) in steps[placed.step].inputs.iter().enumerate() {
            let to = if placed.width > BOX { (spread(block, placed, input, left), to.1) } else { to };
            if input >= first {
                let from = &block.boxes[input - first];
                page.edge((left + from.x, top + from.y + from.height), to, rank > 0, placed.height);
            } else if rank > 0 || steps[placed.step].is_sum() {
                let middle = (to.0, to.1 + placed.height / 2.0);
                page.arc(begin, middle, left + block.width, placed.width / 2.0);
            } else {
                page.edge(fork, to, false, placed.height);
            }
        }
    }
    for placed in &block.boxes {
        page.step(&steps[placed.step], placed, (left, top));
    }
}

/// Where an edge reaches a wide box: under its source.
fn spread(block: &Block, to: &Placed, input: usize, left: f64) -> f64 {
    let first = block.boxes[0].step;
    let source = input.checked_sub(first).map_or(to.x, |index| block.boxes[index].x);
    left + source.clamp(to.x - to.width / 2.0 + 8.0, to.x + to.width / 2.0 - 8.0)
}
