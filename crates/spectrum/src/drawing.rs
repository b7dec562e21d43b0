//! A network as a picture: blocks as frames, steps as boxes, residual
//! connections as arcs.
//!
//! The result is one SVG document without scripts, styles or references. Blocks
//! that repeat are drawn once, with how often.

mod layout;
mod steps;

use std::fmt::Write;

use crate::graph::Graph;
use layout::{BOX, Block, MARGIN, Placed};
use steps::{Kind, Step, steps};

/// Between two blocks of a column, and between two columns.
const BLOCK_GAP: f64 = 26.0;
const COLUMN_GAP: f64 = 40.0;
/// Room for arcs beside a block.
const SIDE: f64 = 30.0;
/// The height at which another column is begun.
const COLUMN: f64 = 1_100.0;
const HEADER: f64 = 68.0;
const PAGE: f64 = 20.0;

const FONT: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";
const INK: &str = "#1f2933";
const FAINT: &str = "#7b8794";

/// Draws `graph` as an SVG document under `title`.
///
/// ```
/// use decouple_spectrum::{drawing::svg, networks::figures};
/// let picture = svg(&figures::module(4).unwrap(), "An extreme Inception module");
/// assert!(picture.starts_with("<svg") && picture.contains("3x3 per channel"));
/// ```
pub fn svg(graph: &Graph, title: &str) -> String {
    let steps = steps(graph);
    let columns = columns(blocks(&steps));
    // In a column, the ways into all blocks stand below each other.
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
    // A text of 12 is about 6.2 wide a letter, one of 17 about 9.
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
        "{} in · {:.2} M parameters · {:.2} G multiply-adds · {:.1} M activations",
        graph.input(),
        cost.parameters as f64 / 1e6,
        cost.macs as f64 / 1e9,
        cost.activations as f64 / 1e6
    )
}

/// The blocks in order, equal neighbours as one.
fn blocks(steps: &[Step]) -> Vec<Block> {
    // A single module is one block, whatever its layers are called.
    let is_single = steps.iter().skip(1).all(|step| !is_chained(steps, step));
    let mut blocks: Vec<Block> = Vec::new();
    let mut start = 0;
    for index in 1..=steps.len() {
        let ends =
            index == steps.len() || (!is_single || start == 0) && steps[index].group != steps[start].group;
        if !ends {
            continue;
        }
        let block = layout::block(steps, start..index);
        match blocks.last_mut().filter(|last| looks_like(steps, last, &block)) {
            Some(last) => {
                last.times += 1;
                last.name =
                    format!("{} to {}", last.name.split(" to ").next().unwrap_or_default(), block.name);
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

/// Where the way into a block begins: over the middle of the boxes that read
/// what comes from outside.
fn entry(steps: &[Step], block: &Block) -> f64 {
    let first = block.boxes[0].step;
    let reads_outside = |placed: &&Placed| {
        !steps[placed.step].is_sum() && steps[placed.step].inputs.iter().all(|&input| input < first)
    };
    let places: Vec<f64> = block.boxes.iter().filter(reads_outside).map(|placed| placed.x).collect();
    let most = places.iter().copied().fold(f64::MIN, f64::max);
    let least = places.iter().copied().fold(f64::MAX, f64::min);
    // One skip beside the main way: the main way goes straight on.
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
        page.text((left + MARGIN, top + 17.0), 12.0, "start", FAINT, false, &block.name);
        if block.times > 1 {
            let place = (left - 6.0, top + block.height / 2.0 + 5.0);
            page.text(place, 15.0, "end", INK, true, &format!("{}×", block.times));
        }
    }
    let begin = (left + entry(steps, block), top);
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
                page.edge(begin, to, false, placed.height);
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

/// SVG as it grows.
struct Page {
    text: String,
}

impl Page {
    fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"{FONT}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        Self { text }
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: &str, colour: &str, bold: bool, text: &str) {
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\"{weight}>{text}</text>"
        ));
    }

    fn frame(&mut self, x: f64, y: f64, width: f64, height: f64) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"10\" fill=\"#f8f9fb\" stroke=\"#d5dae1\"/>"
        ));
    }

    fn path(&mut self, path: &str, width: f64) {
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"#52606d\" stroke-width=\"{width}\"/>"
        ));
    }

    /// The tip of an arrow that points down at `(x, y)`, or to the left.
    fn tip(&mut self, (x, y): (f64, f64), down: bool) {
        let (a, b) = if down {
            ((x - 3.5, y - 7.0), (x + 3.5, y - 7.0))
        } else {
            ((x + 7.0, y - 3.5), (x + 7.0, y + 3.5))
        };
        self.push(format_args!(
            "<path d=\"M{x:.1} {y:.1}L{:.1} {:.1}L{:.1} {:.1}Z\" fill=\"#52606d\"/>",
            a.0, a.1, b.0, b.1
        ));
    }

    /// From the foot of one box to the head of another; into the side of a sum
    /// where it is not the first to arrive.
    fn edge(&mut self, from: (f64, f64), to: (f64, f64), into_side: bool, height: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        if dx.abs() < 0.5 {
            self.path(&format!("M{:.1} {:.1}V{:.1}", from.0, from.1, to.1), 1.3);
            self.tip(to, true);
        } else if into_side && dx < 0.0 {
            // A skip joins the sum on the main way from the right.
            let y = to.1 + height / 2.0;
            let end = to.0 + height / 2.0;
            let bend = 24f64.min(y - from.1);
            let path = format!(
                "M{:.1} {:.1}V{:.1}Q{:.1} {y:.1} {:.1} {y:.1}H{end:.1}",
                from.0,
                from.1,
                y - bend,
                from.0,
                from.0 - bend
            );
            self.path(&path, 1.3);
            self.tip((end, y), false);
        } else {
            let half = dy.min(40.0) / 2.0;
            let (first, last) = (from.1 + half, to.1 - half);
            // Down, across within the gap above the target, down.
            let path = format!(
                "M{:.1} {:.1}V{:.1}C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
                from.0,
                from.1,
                last - half,
                from.0,
                last.max(first),
                to.0,
                last - half,
                to.0,
                to.1
            );
            self.path(&path, 1.3);
            self.tip(to, true);
        }
    }

    /// A residual connection: out to the right of the block and back to a sum.
    fn arc(&mut self, from: (f64, f64), to: (f64, f64), right: f64, radius: f64) {
        let out = right + 16.0;
        let end = to.0 + radius;
        let path = format!(
            "M{:.1} {:.1}C{:.1} {:.1} {out:.1} {:.1} {out:.1} {:.1}V{:.1}C{out:.1} {:.1} {:.1} {:.1} {end:.1} {:.1}",
            from.0,
            from.1 - 8.0,
            from.0 + 60.0,
            from.1 - 8.0,
            from.1 - 8.0,
            from.1 + 40.0,
            to.1 - 30.0,
            to.1,
            out - 40.0,
            to.1,
            to.1
        );
        self.path(&path, 1.6);
        self.tip((end, to.1), false);
    }

    /// From one block to the next, within a column or to the top of the next.
    /// One, through the channel at x = `channel`.
    fn connect(&mut self, from: (f64, f64), to: (f64, f64), channel: f64) {
        if to.1 > from.1 {
            return self.edge(from, to, false, 0.0);
        }
        let path = format!(
            "M{:.1} {:.1}v10H{channel:.1}V{:.1}H{:.1}V{:.1}",
            from.0,
            from.1,
            to.1 - 14.0,
            to.0,
            to.1
        );
        self.path(&path, 1.3);
        self.tip(to, true);
    }

    fn step(&mut self, step: &Step, placed: &Placed, (left, top): (f64, f64)) {
        let (x, y) = (left + placed.x, top + placed.y);
        let (fill, stroke) = colours(step.kind);
        if step.is_sum() {
            let radius = placed.height / 2.0;
            self.push(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
                y + radius
            ));
            return self.text((x, y + radius + 5.0), 15.0, "middle", INK, false, "+");
        }
        self.push(format_args!(
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"5\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
            x - placed.width / 2.0,
            placed.width,
            placed.height
        ));
        let baseline = if step.detail.is_empty() { placed.height / 2.0 + 4.0 } else { 15.0 };
        // Long words are set smaller, so that they stay within the box.
        let size = |text: &str, most: f64| most.min(1.72 * placed.width / text.chars().count() as f64);
        self.text((x, y + baseline), size(&step.title, 12.0), "middle", INK, true, &step.title);
        if !step.detail.is_empty() {
            self.text((x, y + 29.0), size(&step.detail, 11.0), "middle", INK, false, &step.detail);
        }
    }
}

/// Fill and outline. Kinds differ in lightness as well as in hue.
fn colours(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Plain => ("#ffffff", "#9aa5b1"),
        Kind::Pointwise => ("#cfe3f5", "#4a7fb0"),
        Kind::Regular => ("#a9d5c4", "#3d8a6c"),
        Kind::Segmented => ("#fbdca5", "#c0801d"),
        Kind::Pool => ("#e4e1ee", "#8379a8"),
        Kind::Join => ("#f3f4f6", "#52606d"),
    }
}
