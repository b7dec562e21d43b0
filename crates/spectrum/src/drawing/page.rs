//! SVG, element by element.

use std::fmt::Write;

use super::placement::Placed;
use super::steps::{Kind, Step};

const FONT: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";
/// Colour of primary text.
pub(super) const INK: &str = "#1f2933";
/// Colour of secondary text.
pub(super) const FAINT: &str = "#7b8794";

/// SVG as it grows.
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"{FONT}\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        Self { text }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    pub(super) fn text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        anchor: &str,
        colour: &str,
        bold: bool,
        text: &str,
    ) {
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\"{weight}>{text}</text>"
        ));
    }

    pub(super) fn frame(&mut self, x: f64, y: f64, width: f64, height: f64) {
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"10\" fill=\"#f8f9fb\" stroke=\"#d5dae1\"/>"
        ));
    }

    fn path(&mut self, path: &str, width: f64) {
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"#52606d\" stroke-width=\"{width}\"/>"
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.path(&format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1), 1.3);
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

    /// From the bottom of one box to the top of another, or into the side of a sum if it is not
    /// its first input.
    pub(super) fn edge(&mut self, from: (f64, f64), to: (f64, f64), into_side: bool, height: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        if dx.abs() < 0.5 {
            self.path(&format!("M{:.1} {:.1}V{:.1}", from.0, from.1, to.1), 1.3);
            self.tip(to, true);
        } else if into_side && dx < 0.0 {
            // A skip joins the sum on the main path from the right.
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
    pub(super) fn arc(&mut self, from: (f64, f64), to: (f64, f64), right: f64, radius: f64) {
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
    pub(super) fn connect(&mut self, from: (f64, f64), to: (f64, f64), channel: f64) {
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

    pub(super) fn step(&mut self, step: &Step, placed: &Placed, (left, top): (f64, f64)) {
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

/// Fill and outline. Kinds differ in lightness as well as hue.
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
