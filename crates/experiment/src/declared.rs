//! What an experiment declares before any run.

use serde::{Deserialize, Serialize};

/// Hypotheses, margin and analysis, as declared before any run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// What is expected, one sentence each.
    pub hypotheses: Vec<String>,
    /// The margin within which points count as equal, a share of the images.
    pub margin: Option<f64>,
    /// How the runs are to be analysed.
    pub analysis: String,
}

/// The hash of an experiment file's text. How lines end does not count.
pub fn file_hash(text: &str) -> String {
    blake3::hash(text.replace("\r\n", "\n").as_bytes()).to_string()
}
