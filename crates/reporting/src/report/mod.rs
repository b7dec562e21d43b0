//! The report of an experiment: an HTML page, the same in Markdown, LaTeX tables, and a page over all
//! experiments.
//!
//! Their content is the same, so the tables are made once and only rendered here. The HTML page is one file
//! that loads nothing: figures are inline SVG, the font is embedded, the script only filters and sorts the
//! table of runs.

mod budgets;
mod frame;
mod html;
mod index;
mod latex;
mod markdown;
mod runs;
mod tables;

pub use budgets::{Curve, CurveRun, under_each_budget};
pub use html::html;
pub use index::{Card, index, lists};
pub use latex::latex;
pub use markdown::markdown;
