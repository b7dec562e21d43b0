//! A page of shapes as PNG, drawn with plotters.
//!
//! plotters' bitmap supports whole pixels only, and its text ignores fractional advances. So shapes are drawn
//! several times larger and averaged, and letters are placed by the widths used in the layout.

use ab_glyph::Font;
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, DashedPathElement, PathElement, Polygon};
use plotters::style::{Color, RGBAColor, ShapeStyle};

use super::canvas::{Anchor, Canvas, Shape, Style};
use super::font::{face, half_height, letters, text_width};
use super::palette::{Colour, PAPER};

/// Pixels of a PNG for each unit of the page.
const SCALE: usize = 2;
/// Each pixel of a PNG is the mean of a square with this many drawn pixels per side.
const SAMPLES: usize = 2;
/// Pixels that are drawn for each unit of the page.
const DRAWN: f64 = (SCALE * SAMPLES) as f64;

/// Why a figure could not become a PNG.
#[derive(Debug, thiserror::Error)]
#[error("a page of {width} by {height} units cannot become a PNG: {message}")]
pub struct RasterError {
    width: f64,
    height: f64,
    message: String,
}

type Page<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

impl Canvas {
    /// The figure as PNG on white, two pixels a unit.
    ///
    /// # Errors
    /// [`RasterError`] for a page without extent or one too large for memory.
    pub fn png(&self) -> Result<Vec<u8>, RasterError> {
        let failed = |message: String| RasterError { width: self.width, height: self.height, message };
        let pixels = |units: f64| (units * SCALE as f64).ceil() as usize;
        let (width, height) = (pixels(self.width), pixels(self.height));
        if width == 0 || height == 0 || width.max(height) > 1 << 15 {
            return Err(failed("its extent is zero or too large".to_owned()));
        }
        let size = (width * SAMPLES, height * SAMPLES);
        let mut drawn = vec![0; 3 * size.0 * size.1];
        self.draw(&mut drawn, (size.0 as u32, size.1 as u32)).map_err(|error| failed(error.to_string()))?;
        encode(&averaged(&drawn, width), (width as u32, height as u32))
            .map_err(|error| failed(error.to_string()))
    }

    fn draw(&self, pixels: &mut [u8], size: (u32, u32)) -> Drawn {
        let page = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
        page.fill(&color(PAPER, 1.0))?;
        for shape in &self.shapes {
            draw(&page, shape)?;
        }
        Ok(page.present()?)
    }
}

/// Rows of `width` pixels, each the mean of a square of the drawn ones.
fn averaged(drawn: &[u8], width: usize) -> Vec<u8> {
    let row = 3 * width * SAMPLES;
    let mut means = Vec::with_capacity(drawn.len() / (SAMPLES * SAMPLES));
    for rows in drawn.chunks_exact(row * SAMPLES) {
        for x in 0..width {
            for channel in 0..3 {
                let first = 3 * x * SAMPLES + channel;
                let square = (0..SAMPLES * SAMPLES)
                    .map(|k| usize::from(rows[first + row * (k / SAMPLES) + 3 * (k % SAMPLES)]));
                let (count, sum) = (SAMPLES * SAMPLES, square.sum::<usize>());
                means.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    means
}

fn encode(rgb: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(rgb)?;
    Ok(file)
}

fn draw(page: &Page<'_>, shape: &Shape) -> Drawn {
    match shape {
        Shape::Line { points, colour, width, dash } => {
            let stroke = stroke(*colour, *width);
            match length(*dash) {
                0 => page.draw(&PathElement::new(places(points), stroke))?,
                dash => page.draw(&DashedPathElement::new(places(points), dash, dash, stroke))?,
            }
        }
        Shape::Area { points, colour, opacity } => {
            page.draw(&Polygon::new(places(points), color(*colour, *opacity)))?;
        }
        Shape::Mark { marker, place: at, radius, colour, opacity, .. } => {
            let fill = color(*colour, *opacity).filled();
            let rim = stroke(PAPER, 0.8);
            let mut corners = places(&marker.corners(*at, *radius));
            if corners.is_empty() {
                page.draw(&Circle::new(place(*at), length(*radius), fill))?;
                page.draw(&Circle::new(place(*at), length(*radius), rim))?;
            } else {
                page.draw(&Polygon::new(corners.clone(), fill))?;
                // Continues to the second corner, so that the first is joined, too.
                corners.extend_from_within(..2);
                page.draw(&PathElement::new(corners, rim))?;
            }
        }
        Shape::Text { text, place, style } => draw_text(page, text, *place, style)?,
    }
    Ok(())
}

fn draw_text(page: &Page<'_>, text: &str, (x, y): (f64, f64), style: &Style) -> Drawn {
    let face = face(style.bold);
    let before = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => 0.5,
        Anchor::End => 1.0,
    } * text_width(text, style.size, style.bold);
    // Where the text begins, from its place, as it is read.
    let start = (-DRAWN * before, DRAWN * half_height(style.size));
    let (x, y) = place((x, y));
    for letter in letters(text, style.size * DRAWN, style.bold, start) {
        let Some(outline) = face.outline_glyph(letter) else { continue };
        let corner = outline.px_bounds().min;
        let mut drawn = Ok(());
        outline.draw(|across, down, coverage| {
            let (right, below) = (corner.x as i32 + across as i32, corner.y as i32 + down as i32);
            let pixel = if style.upwards { (x + below, y - right) } else { (x + right, y + below) };
            if drawn.is_ok() {
                drawn = page.draw_pixel(pixel, &color(style.colour, f64::from(coverage)));
            }
        });
        drawn?;
    }
    Ok(())
}

/// plotters fills both edges of a stroke, which makes it one pixel too wide.
fn stroke(colour: Colour, width: f64) -> ShapeStyle {
    color(colour, 1.0).stroke_width((length(width) - 1).max(1) as u32)
}

fn length(units: f64) -> i32 {
    (units * DRAWN).round() as i32
}

fn place((x, y): (f64, f64)) -> (i32, i32) {
    (length(x), length(y))
}

fn places(points: &[(f64, f64)]) -> Vec<(i32, i32)> {
    points.iter().map(|&point| place(point)).collect()
}

fn color(colour: Colour, opacity: f64) -> RGBAColor {
    let (red, green, blue) = colour.light;
    RGBAColor(red, green, blue, opacity)
}
