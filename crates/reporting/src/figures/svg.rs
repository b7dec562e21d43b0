//! A page of shapes as SVG.

use std::fmt::{self, Write};

use super::canvas::{Anchor, Canvas, Shape, Style};
use super::font::half_height;
use super::palette::{Colour, PAPER};

/// Inter if the reader has it; the others are no wider, so a layout made with Inter does not collide.
const FONT_STACK: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif";

/// Where an SVG is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSetting {
    /// A file of its own: a white page.
    File,
    /// Inside an HTML page that may be light or dark.
    Page,
}

impl Canvas {
    /// The figure as SVG. Inside a page it scales down to the width that it is given.
    pub fn svg(&self, setting: TextSetting) -> String {
        let mut svg = String::new();
        self.write_svg(&mut svg, setting).expect("writing to a string cannot fail");
        svg
    }

    fn write_svg(&self, out: &mut String, setting: TextSetting) -> fmt::Result {
        let (width, height) = (self.width, self.height);
        let paint = |colour: Colour| Paint { colour, setting };
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 \
             {width} {height}\" role=\"img\" aria-label=\"{}\" font-family=\"{FONT_STACK}\">",
            Escaped(&self.description)
        )?;
        if setting == TextSetting::File {
            writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>", paint(PAPER))?;
        }
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, colour, width, dash } => {
                    write!(
                        out,
                        "<path d=\"{}\" fill=\"none\" stroke=\"{}\"",
                        Points(points),
                        paint(*colour)
                    )?;
                    write!(out, " stroke-width=\"{}\" stroke-linejoin=\"round\"", Number(*width))?;
                    if *dash > 0.0 {
                        write!(out, " stroke-dasharray=\"{}\"", Number(*dash))?;
                    }
                    writeln!(out, "/>")?;
                }
                Shape::Area { points, colour, opacity } => {
                    write!(out, "<path d=\"{}Z\" fill=\"{}\"", Points(points), paint(*colour))?;
                    writeln!(out, " fill-opacity=\"{}\"/>", Number(*opacity))?;
                }
                Shape::Mark { marker, place, radius, colour, opacity, says } => {
                    let corners = marker.corners(*place, *radius);
                    let name = if corners.is_empty() { "circle" } else { "path" };
                    if corners.is_empty() {
                        let (x, y, r) = (Number(place.0), Number(place.1), Number(*radius));
                        write!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"")?;
                    } else {
                        write!(out, "<path d=\"{}Z\"", Points(&corners))?;
                    }
                    write!(out, " fill=\"{}\" fill-opacity=\"{}\"", paint(*colour), Number(*opacity))?;
                    write!(out, " stroke=\"{}\" stroke-width=\"0.8\"", paint(PAPER))?;
                    if says.is_empty() {
                        writeln!(out, "/>")?;
                    } else {
                        writeln!(out, "><title>{}</title></{name}>", Escaped(says))?;
                    }
                }
                Shape::Text { text, place, style } => write_text(out, text, *place, style, setting)?,
            }
        }
        writeln!(out, "</svg>")
    }
}

fn write_text(
    out: &mut String,
    text: &str,
    (x, y): (f64, f64),
    style: &Style,
    setting: TextSetting,
) -> fmt::Result {
    let anchor = match style.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    let lowered = half_height(style.size);
    if style.upwards {
        let (x, y) = (Number(x + lowered), Number(y));
        write!(out, "<text transform=\"translate({x} {y}) rotate(-90)\"")?;
    } else {
        write!(out, "<text x=\"{}\" y=\"{}\"", Number(x), Number(y + lowered))?;
    }
    write!(out, " font-size=\"{}\" text-anchor=\"{anchor}\"", Number(style.size))?;
    if style.bold {
        write!(out, " font-weight=\"600\"")?;
    }
    let paint = Paint { colour: style.colour, setting };
    writeln!(out, " fill=\"{paint}\">{}</text>", Escaped(text))
}

/// A colour in SVG: one, or one each for light and dark pages.
struct Paint {
    colour: Colour,
    setting: TextSetting,
}

impl fmt::Display for Paint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |(red, green, blue): (u8, u8, u8)| format!("#{red:02x}{green:02x}{blue:02x}");
        match self.setting {
            TextSetting::File => f.write_str(&hex(self.colour.light)),
            TextSetting::Page => {
                write!(f, "light-dark({},{})", hex(self.colour.light), hex(self.colour.dark))
            }
        }
    }
}

/// A coordinate with two digits at most.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding zero removes the sign of a negative zero.
        write!(f, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// A path through points, left open.
struct Points<'a>(&'a [(f64, f64)]);

impl fmt::Display for Points<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, (x, y)) in self.0.iter().enumerate() {
            write!(f, "{}{} {}", if k == 0 { "M" } else { "L" }, Number(*x), Number(*y))?;
        }
        Ok(())
    }
}

/// A text with XML's special characters escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // XML cannot represent other control characters.
                letter if letter.is_control() => f.write_char(' ')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
