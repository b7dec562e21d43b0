//! Figures, each as SVG and as PNG from the same drawing.
//!
//! A figure is laid out as shapes on a [`Canvas`] and only then becomes SVG ([`Canvas::svg`]) or PNG
//! ([`Canvas::png`]), so both show the same thing and layout can be tested without pixels. The same analysis
//! gives the same bytes.

mod annotations;
mod axis;
mod canvas;
mod costs;
pub(crate) mod curve;
pub(crate) mod font;
mod headline;
mod palette;
mod pareto;
mod profiles;
mod raster;
mod series;
mod svg;
mod tuning;

pub use canvas::Canvas;
pub use raster::RasterError;
pub use svg::TextSetting;

use crate::Analysis;

/// A figure of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The name of its files, without the ending.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The drawing.
    pub canvas: Canvas,
}

/// The headline figure: accuracy against decoupling level.
pub fn headline(analysis: &Analysis) -> Canvas {
    headline::draw(analysis)
}

/// The names of all figures that a report may have.
pub const NAMES: [&str; 5] =
    ["accuracy-vs-decoupling", "group-width", "pareto", "tuning", "training-profiles"];

/// Every figure of a report, the headline first.
pub fn all(analysis: &Analysis) -> Vec<Figure> {
    let metric = analysis.study.metric;
    let figures = [
        (
            format!(
                "Test {metric} of every seed, the mean and its 95 % interval; below, what the points cost."
            ),
            Some(headline(analysis)),
        ),
        (
            "A smooth curve over the logarithm of channels per segment with its 95 % band; below, the 95 % \
             interval of the best width."
                .to_owned(),
            curve::draw(analysis),
        ),
        (
            format!(
                "Test {metric} against what a network costs. Points on the stepped line are Pareto-optimal: no point \
                 that costs as little is better."
            ),
            pareto::draw(analysis),
        ),
        (
            format!(
                "Validation {metric} of every try of a recipe; the test images play no part in the choice."
            ),
            tuning::draw(analysis),
        ),
        (
            "Training profiles: the mean over seeds, and a band from the lowest to the highest seed."
                .to_owned(),
            profiles::draw(analysis),
        ),
    ];
    let drawn = NAMES.into_iter().zip(figures);
    drawn.filter_map(|(name, (caption, canvas))| Some(Figure { name, caption, canvas: canvas? })).collect()
}

#[cfg(test)]
mod tests;
