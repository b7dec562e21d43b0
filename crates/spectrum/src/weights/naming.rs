//! The naming of a weight file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The names and layouts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Ours: the names of the graph's parameters, in their layouts.
    Decouple,
    /// Those of PyTorch's image models: Wightman's timm 1.0.
    Timm,
    /// Those of `keras.applications` of Keras 3, as `layer/variable`.
    Keras,
}

impl Naming {
    /// Every naming.
    pub const ALL: [Self; 3] = [Self::Decouple, Self::Timm, Self::Keras];

    /// Its name in files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decouple => "decouple",
            Self::Timm => "timm",
            Self::Keras => "keras",
        }
    }

    /// What it is, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Decouple => "as this program names and stores them",
            Self::Timm => "as timm 1.0 does (PyTorch)",
            Self::Keras => "as keras.applications of Keras 3 does",
        }
    }

    /// Whether a file may hold the tensor `name` although none of our networks uses it: timm
    /// counts the batches that a norm has seen, and its Inception V3 has an auxiliary tower in
    /// training.
    pub fn ignores(self, name: &str) -> bool {
        self == Self::Timm && (name.ends_with(".num_batches_tracked") || name.starts_with("AuxLogits."))
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
