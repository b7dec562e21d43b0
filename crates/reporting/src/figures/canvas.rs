//! Shapes on a page, and how they become SVG and PNG.

use std::sync::OnceLock;

use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontStyle, FontTransform, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::palette::{Colour, INK};

/// Pixels of a PNG for each unit of the page.
const PNG_SCALE: f64 = 2.0;

/// What an SVG falls back to where Inter is not installed.
const FONT_STACK: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DrawError(String);

/// Where a text stands relative to its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// A text before it is placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: Colour,
    pub(super) anchor: Anchor,
    /// Whether it reads upwards.
    pub(super) upwards: bool,
}

impl Style {
    pub(super) const fn new(size: f64, anchor: Anchor) -> Self {
        Self { size, bold: false, colour: INK, anchor, upwards: false }
    }

    pub(super) const fn coloured(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    pub(super) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// How the places of data are marked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Marker {
    pub(super) fn of(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][index % 4]
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// `dash` is the length of dashes and gaps, 0 for a whole line.
    Line {
        points: Vec<(f64, f64)>,
        colour: Colour,
        width: f64,
        dash: f64,
    },
    Area {
        points: Vec<(f64, f64)>,
        colour: Colour,
        opacity: f64,
    },
    Text {
        text: String,
        place: (f64, f64),
        style: Style,
    },
}

/// A page of shapes, drawn in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas {
    width: f64,
    height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn line(&mut self, points: Vec<(f64, f64)>, colour: Colour, width: f64, dash: f64) {
        self.shapes.push(Shape::Line { points, colour, width, dash });
    }

    pub(super) fn area(&mut self, points: Vec<(f64, f64)>, colour: Colour, opacity: f64) {
        self.shapes.push(Shape::Area { points, colour, opacity });
    }

    pub(super) fn text(&mut self, text: impl Into<String>, place: (f64, f64), style: Style) {
        self.shapes.push(Shape::Text { text: text.into(), place, style });
    }

    /// A filled mark of `radius` around `place`.
    pub(super) fn mark(
        &mut self,
        marker: Marker,
        place: (f64, f64),
        radius: f64,
        colour: Colour,
        opacity: f64,
    ) {
        let corners: Vec<(f64, f64)> = match marker {
            Marker::Circle => (0..20).map(|k| corner(f64::from(k) / 20.0, radius)).collect(),
            Marker::Square => (0..4).map(|k| corner((f64::from(k) + 0.5) / 4.0, 1.25 * radius)).collect(),
            Marker::Triangle => (0..3).map(|k| corner(f64::from(k) / 3.0 - 0.25, 1.3 * radius)).collect(),
            Marker::Diamond => (0..4).map(|k| corner(f64::from(k) / 4.0, 1.3 * radius)).collect(),
        };
        let points = corners.iter().map(|corner| (place.0 + corner.0, place.1 + corner.1)).collect();
        self.area(points, colour, opacity);
    }

    /// The figure as SVG.
    ///
    /// # Errors
    /// [`DrawError`] if plotters refuses a shape.
    pub fn svg(&self) -> Result<String, DrawError> {
        let mut svg = String::new();
        let size = (self.width.ceil() as u32, self.height.ceil() as u32);
        self.render(&SVGBackend::with_string(&mut svg, size).into_drawing_area(), 1.0)?;
        Ok(svg.replace("font-family=\"Inter\"", &format!("font-family=\"{FONT_STACK}\"")))
    }

    /// The figure as PNG, two pixels a unit.
    ///
    /// # Errors
    /// [`DrawError`] if plotters refuses a shape.
    pub fn png(&self) -> Result<Vec<u8>, DrawError> {
        let (width, height) =
            ((self.width * PNG_SCALE).ceil() as u32, (self.height * PNG_SCALE).ceil() as u32);
        let mut pixels = vec![255; (width * height * 3) as usize];
        self.render(
            &BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(),
            PNG_SCALE,
        )?;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
        written.map_err(|error| DrawError(error.to_string()))?;
        Ok(file)
    }

    fn render<DB: DrawingBackend>(&self, page: &DrawingArea<DB, Shift>, scale: f64) -> Result<(), DrawError> {
        register_fonts()?;
        let failed = |error: DrawingAreaErrorKind<DB::ErrorType>| DrawError(error.to_string());
        page.fill(&WHITE).map_err(failed)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, colour, width, dash } => {
                    let style = rgb(*colour).stroke_width((width * scale).round().max(1.0) as u32);
                    for piece in dashes(points, *dash) {
                        page.draw(&PathElement::new(scaled(&piece, scale), style)).map_err(failed)?;
                    }
                }
                Shape::Area { points, colour, opacity } => {
                    let fill = rgb(*colour).mix(*opacity).filled();
                    page.draw(&Polygon::new(scaled(points, scale), fill)).map_err(failed)?;
                }
                Shape::Text { text, place, style } => {
                    let place = scaled(&[*place], scale)[0];
                    page.draw(&Text::new(text.as_str(), place, text_style(style, scale))).map_err(failed)?;
                }
            }
        }
        page.present().map_err(failed)
    }
}

/// The point of a circle of `radius` at `turn` of a whole turn.
fn corner(turn: f64, radius: f64) -> (f64, f64) {
    let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
    (radius * cosine, radius * sine)
}

fn rgb((red, green, blue): Colour) -> RGBColor {
    RGBColor(red, green, blue)
}

fn scaled(points: &[(f64, f64)], scale: f64) -> Vec<(i32, i32)> {
    points.iter().map(|(x, y)| ((x * scale).round() as i32, (y * scale).round() as i32)).collect()
}

/// A line cut into dashes of equal length.
fn dashes(points: &[(f64, f64)], dash: f64) -> Vec<Vec<(f64, f64)>> {
    if dash <= 0.0 {
        return vec![points.to_vec()];
    }
    let mut pieces = Vec::new();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let at = |along: f64| {
            let share = (along / length).min(1.0);
            (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
        };
        let mut along = 0.0;
        while along < length {
            pieces.push(vec![at(along), at(along + dash)]);
            along += 2.0 * dash;
        }
    }
    pieces
}

fn text_style(style: &Style, scale: f64) -> TextStyle<'static> {
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let horizontal = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let font = FontDesc::new(FontFamily::Name("Inter"), style.size * scale, weight);
    let font = if style.upwards { font.transform(FontTransform::Rotate270) } else { font };
    font.color(&rgb(style.colour)).pos(Pos::new(horizontal, VPos::Center))
}

/// Hands the embedded font to plotters, once.
fn register_fonts() -> Result<(), DrawError> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        let regular: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
        let bold: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");
        register_font("Inter", FontStyle::Normal, regular).is_ok()
            && register_font("Inter", FontStyle::Bold, bold).is_ok()
    });
    if *done { Ok(()) } else { Err(DrawError("the embedded font cannot be read".to_owned())) }
}
