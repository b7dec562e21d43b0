//! Figures, each as SVG and as PNG from the same drawing.
//!
//! A figure is laid out as shapes on a [`canvas::Canvas`] and only then handed
//! to plotters, so both files show the same thing and layout can be tested
//! without pixels. The same analysis gives the same bytes.

mod axis;
mod canvas;
mod costs;
mod curves;
mod headline;
mod palette;
mod series;

pub use canvas::{Canvas, DrawError};

use crate::Analysis;

/// Every figure of a report with its file name, the headline first.
pub fn all(analysis: &Analysis) -> Vec<(&'static str, Canvas)> {
    let mut figures = vec![("accuracy-vs-decoupling", headline::draw(analysis))];
    figures.extend(curves::draw(analysis).map(|curves| ("learning-curves", curves)));
    figures
}

#[cfg(test)]
mod tests;
