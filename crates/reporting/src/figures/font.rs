//! The embedded font: the width of a text, and the positions of its letters.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, GlyphId, Point};

/// The regular weight, as a file.
pub(crate) const REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
/// The semi-bold weight, as a file.
pub(crate) const SEMI_BOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");

static FACES: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    [REGULAR, SEMI_BOLD]
        .map(|file| FontRef::try_from_slice(file).expect("the embedded fonts are whole; a test reads them"))
});

pub(super) fn face(bold: bool) -> &'static FontRef<'static> {
    &FACES[usize::from(bold)]
}

/// Width of a text of `size` (the height of an em).
pub(super) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let face = face(bold);
    text.chars().map(|letter| advance(face, face.glyph_id(letter), size)).sum()
}

/// From the beginning of a letter to that of the next.
fn advance(face: &FontRef<'_>, letter: GlyphId, size: f64) -> f64 {
    size * f64::from(face.h_advance_unscaled(letter)) / units_per_em(face)
}

fn units_per_em(face: &FontRef<'_>) -> f64 {
    f64::from(face.units_per_em().expect("an OpenType font says it"))
}

/// The letters of a text whose baseline begins at `start`.
pub(super) fn letters(text: &str, size: f64, bold: bool, start: (f64, f64)) -> impl Iterator<Item = Glyph> {
    let face = face(bold);
    // In ab_glyph, size means the height from the lowest to the highest letter.
    let scale = size * f64::from(face.height_unscaled()) / units_per_em(face);
    text.chars().scan(start.0, move |x, letter| {
        let id = face.glyph_id(letter);
        let position = Point { x: *x as f32, y: start.1 as f32 };
        *x += advance(face, id, size);
        Some(Glyph { position, ..id.with_scale(scale as f32) })
    })
}

/// A text of at most `width`, shortened at its end if necessary.
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

/// From the baseline to the middle between the heights of small and of large letters: how far to lower a
/// text so that it is level with its position.
pub(super) fn half_height(size: f64) -> f64 {
    0.36 * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_that_figures_use_has_an_outline() {
        for bold in [false, true] {
            for letter in ('!'..='~').chain("·–—±×−≥≤→µé…".chars()) {
                let glyph = letters(&letter.to_string(), 12.0, bold, (0.0, 0.0)).next().unwrap();
                assert!(glyph.id != GlyphId(0), "{letter} is not in the font");
                assert!(face(bold).outline_glyph(glyph).is_some(), "{letter}");
            }
        }
    }

    #[test]
    fn letters_stand_where_those_before_them_end() {
        let places: Vec<f32> =
            letters("abc", 13.0, false, (5.0, 7.0)).map(|glyph| glyph.position.x).collect();
        let ends = ["", "a", "ab"].map(|text| 5.0 + text_width(text, 13.0, false) as f32);
        assert!(places.len() == 3 && places.iter().zip(ends).all(|(at, end)| (at - end).abs() < 1e-4));
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
