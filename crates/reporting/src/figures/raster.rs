//! A page of shapes as PNG.

use tiny_skia::{Color, FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};

use super::canvas::{Anchor, Canvas, Shape, Style};
use super::font::{half_height, outline, text_width};
use super::palette::{Colour, PAPER};

/// Pixels of a PNG for each unit of the page.
const SCALE: f32 = 2.0;

/// Why a figure could not become a PNG.
#[derive(Debug, thiserror::Error)]
#[error("a page of {width} by {height} units cannot become a PNG: {message}")]
pub struct RasterError {
    width: f64,
    height: f64,
    message: String,
}

impl Canvas {
    /// The figure as PNG on white, two pixels a unit.
    ///
    /// # Errors
    /// [`RasterError`] for a page without extent or one too large for memory.
    pub fn png(&self) -> Result<Vec<u8>, RasterError> {
        let failed = |message: String| RasterError { width: self.width, height: self.height, message };
        let pixels = |units: f64| (units as f32 * SCALE).ceil() as u32;
        let mut page = Pixmap::new(pixels(self.width), pixels(self.height))
            .ok_or_else(|| failed("its extent is zero or too large".to_owned()))?;
        page.fill(color(PAPER, 1.0));
        for shape in &self.shapes {
            draw(&mut page, shape);
        }
        // The page is opaque, so its colours are not multiplied by anything, and the fourth byte says nothing.
        let rgb: Vec<u8> = page.data().chunks_exact(4).flat_map(|pixel| pixel[..3].to_vec()).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, page.width(), page.height());
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&rgb));
        written.map_err(|error| failed(error.to_string()))?;
        Ok(file)
    }
}

fn draw(page: &mut Pixmap, shape: &Shape) {
    let scale = Transform::from_scale(SCALE, SCALE);
    match shape {
        Shape::Line { points, colour, width, dash } => {
            let dash = (*dash > 0.0).then(|| StrokeDash::new(vec![*dash as f32; 2], 0.0)).flatten();
            let stroke =
                Stroke { width: *width as f32, line_join: LineJoin::Round, dash, ..Stroke::default() };
            if let Some(path) = polygon(points, false) {
                page.stroke_path(&path, &paint(*colour, 1.0), &stroke, scale, None);
            }
        }
        Shape::Area { points, colour, opacity } => {
            if let Some(path) = polygon(points, true) {
                page.fill_path(&path, &paint(*colour, *opacity), FillRule::Winding, scale, None);
            }
        }
        Shape::Mark { marker, place, radius, colour, opacity, .. } => {
            let corners = marker.corners(*place, *radius);
            let path = match corners.is_empty() {
                true => PathBuilder::from_circle(place.0 as f32, place.1 as f32, *radius as f32),
                false => polygon(&corners, true),
            };
            if let Some(path) = path {
                page.fill_path(&path, &paint(*colour, *opacity), FillRule::Winding, scale, None);
                let rim = Stroke { width: 0.8, ..Stroke::default() };
                page.stroke_path(&path, &paint(PAPER, 1.0), &rim, scale, None);
            }
        }
        Shape::Text { text, place, style } => draw_text(page, text, *place, style),
    }
}

fn draw_text(page: &mut Pixmap, text: &str, (x, y): (f64, f64), style: &Style) {
    let Some(path) = outline(text, style.size, style.bold) else { return };
    let width = text_width(text, style.size, style.bold);
    let before = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let turn = if style.upwards { -90.0 } else { 0.0 };
    let place = Transform::from_translate(-before as f32, half_height(style.size) as f32)
        .post_rotate(turn)
        .post_translate(x as f32, y as f32)
        .post_scale(SCALE, SCALE);
    page.fill_path(&path, &paint(style.colour, 1.0), FillRule::Winding, place, None);
}

fn polygon(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (k, &(x, y)) in points.iter().enumerate() {
        if k == 0 { path.move_to(x as f32, y as f32) } else { path.line_to(x as f32, y as f32) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn color(colour: Colour, opacity: f64) -> Color {
    let (red, green, blue) = colour.light;
    let mut color = Color::from_rgba8(red, green, blue, 255);
    color.apply_opacity(opacity as f32);
    color
}

fn paint(colour: Colour, opacity: f64) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(color(colour, opacity));
    paint
}
