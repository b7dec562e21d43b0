//! The embedded font: how wide a text is, and the outlines of its letters.

use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

/// The regular weight, as a file.
pub(crate) const REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
/// The semi-bold weight, as a file.
pub(crate) const SEMI_BOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");

static FACES: LazyLock<[Face<'static>; 2]> = LazyLock::new(|| {
    [REGULAR, SEMI_BOLD]
        .map(|file| Face::parse(file, 0).expect("the embedded fonts are whole; a test reads them"))
});

fn face(bold: bool) -> &'static Face<'static> {
    &FACES[usize::from(bold)]
}

/// Width of a text of `size` (the height of an em).
pub(super) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let face = face(bold);
    let advance = |letter| face.glyph_hor_advance(face.glyph_index(letter).unwrap_or_default());
    let units: u32 = text.chars().filter_map(advance).map(u32::from).sum();
    f64::from(units) * size / f64::from(face.units_per_em())
}

/// A text of at most `width`, with its end cut off where it is longer.
pub(super) fn shortened(text: &str, width: f64, size: f64) -> String {
    if text_width(text, size, false) <= width {
        return text.to_owned();
    }
    let mut letters: Vec<char> = text.chars().collect();
    while letters.pop().is_some() {
        let short = letters.iter().collect::<String>().trim_end().to_owned() + "…";
        if text_width(&short, size, false) <= width {
            return short;
        }
    }
    String::new()
}

/// From the baseline to the middle between the heights of small and of large letters: what to lower a text
/// by so that it stands level with its place.
pub(super) fn half_height(size: f64) -> f64 {
    0.36 * size
}

/// The outline of a text whose baseline begins at the origin; `None` for one without ink.
pub(super) fn outline(text: &str, size: f64, bold: bool) -> Option<Path> {
    let face = face(bold);
    let scale = size as f32 / f32::from(face.units_per_em());
    let mut pen = Pen { path: PathBuilder::new(), at: 0.0, scale };
    for letter in text.chars() {
        let glyph = face.glyph_index(letter).unwrap_or_default();
        face.outline_glyph(glyph, &mut pen);
        pen.at += scale * f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
    }
    pen.path.finish()
}

/// Letters are drawn with y upwards, pages with y downwards.
struct Pen {
    path: PathBuilder,
    at: f32,
    scale: f32,
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.at + self.scale * x, -self.scale * y)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_that_figures_use_has_an_outline() {
        for bold in [false, true] {
            for letter in ('!'..='~').chain("·–—±×−≥≤→µé…".chars()) {
                assert!(outline(&letter.to_string(), 12.0, bold).is_some(), "{letter}");
            }
        }
        assert!(outline(" ", 12.0, false).is_none());
    }

    #[test]
    fn widths_add_up() {
        let whole = text_width("ab", 13.0, false);
        assert!((whole - text_width("a", 13.0, false) - text_width("b", 13.0, false)).abs() < 1e-9);
        assert!((text_width("ab", 26.0, false) - 2.0 * whole).abs() < 1e-9);
        assert!(text_width("W", 13.0, true) > text_width("i", 13.0, true));
        assert_eq!(shortened("long words", text_width("long w…", 13.0, false), 13.0), "long w…");
        assert_eq!(shortened("ab", whole, 13.0), "ab");
        assert_eq!(shortened("ab", 0.0, 13.0), "");
    }
}
