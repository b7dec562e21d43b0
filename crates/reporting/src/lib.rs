//! From runs to statistics, a verdict, tables and figures.
//!
//! [`analyse`] turns a sweep and the runs on disk into one [`Analysis`]; everything shown reads only that:
//! [`terminal_table`], [`runs_csv`], [`summary_csv`], the [`figures`], the [`report`] and [`write()`], which
//! puts them all into the results folder. Nothing here is the only copy of anything: all of it can be rebuilt
//! from the runs, and is rebuilt to the same bytes.
//!
//! ```
//! use decouple_reporting::analysis::{Study, summarise};
//!
//! let nothing = summarise(Study::default(), Vec::new(), Vec::new());
//! assert_eq!(nothing.verdict.to_string(), "No run has finished, so there is nothing to say yet.");
//! ```
#![forbid(unsafe_code)]

mod analyse;
pub mod analysis;
mod csv_files;
mod epochs;
pub mod figures;
mod json;
pub mod numbers;
mod odd_runs;
pub mod report;
mod side_by_side;
pub mod statistics;
pub mod tensorboard;
mod text_table;
mod written;

pub use analyse::analyse;
pub use analysis::{Analysis, Verdict};
pub use csv_files::{runs_csv, summary_csv};
pub use epochs::epochs_csv;
pub use json::document;
pub use side_by_side::{Pair, Side, side_by_side};
pub use text_table::{TextTable, terminal_table};
pub use written::{ReportError, Written, update_index, write, write_events, write_index, write_latex};
