//! Shapes on a page. Units are pixels of a screen; x grows to the right and y downwards.

use super::palette::{Colour, INK};

/// The anchor of a text relative to its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// The style of a text. Its position is at half the height of its letters.
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
    Inverted,
    Star,
    Spark,
    Left,
    Right,
    Cross,
}

impl Marker {
    pub(super) fn of(index: usize) -> Self {
        use Marker::{Circle, Cross, Diamond, Inverted, Left, Right, Spark, Square, Star, Triangle};
        [Circle, Square, Triangle, Diamond, Inverted, Star, Spark, Left, Right, Cross][index % 10]
    }

    /// Corners of the mark around `place`; a circle has none. All marks of one radius look equally large.
    pub(super) fn corners(self, (x, y): (f64, f64), radius: f64) -> Vec<(f64, f64)> {
        // Every second corner of a star lies further in.
        let (count, first_turn, reach, inner) = match self {
            Self::Circle => return Vec::new(),
            Self::Square => (4, 0.125, 1.25, 1.25),
            Self::Triangle => (3, -0.25, 1.4, 1.4),
            Self::Inverted => (3, 0.25, 1.4, 1.4),
            Self::Left => (3, 0.5, 1.4, 1.4),
            Self::Right => (3, 0.0, 1.4, 1.4),
            Self::Diamond => (4, 0.0, 1.35, 1.35),
            Self::Star => (10, -0.25, 1.6, 0.7),
            Self::Spark => (8, 0.0, 1.7, 0.6),
            Self::Cross => (8, 0.125, 1.7, 0.6),
        };
        let corner = |k: u8| {
            let reach = if k.is_multiple_of(2) { reach } else { inner };
            let (sine, cosine) =
                (std::f64::consts::TAU * (f64::from(k) / f64::from(count) + first_turn)).sin_cos();
            (x + reach * radius * cosine, y + reach * radius * sine)
        };
        (0..count).map(corner).collect()
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
    /// A mark with a rim in the page's colour, and its tooltip.
    Mark {
        marker: Marker,
        place: (f64, f64),
        radius: f64,
        colour: Colour,
        opacity: f64,
        says: String,
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
    pub(super) width: f64,
    pub(super) height: f64,
    /// Alternative text, for those who cannot see the figure.
    pub(super) description: String,
    pub(super) shapes: Vec<Shape>,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64, description: impl Into<String>) -> Self {
        Self {
            width: width.ceil(),
            height: height.ceil(),
            description: description.into(),
            shapes: Vec::new(),
        }
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

    /// A mark without a tooltip.
    pub(super) fn mark(&mut self, marker: Marker, place: (f64, f64), radius: f64, colour: Colour) {
        self.datum(marker, place, radius, colour, 1.0, String::new());
    }

    /// A mark for a value; `says` is its tooltip.
    pub(super) fn datum(
        &mut self,
        marker: Marker,
        place: (f64, f64),
        radius: f64,
        colour: Colour,
        opacity: f64,
        says: String,
    ) {
        self.shapes.push(Shape::Mark { marker, place, radius, colour, opacity, says });
    }
}
