//! One resolved training run: its record, its name, and what it will cost.

use std::fmt;
use std::str::FromStr;

use decouple_datasets::DataSpec;
use decouple_spectrum::cost::Cost;
use decouple_spectrum::graph::Graph;
use decouple_spectrum::network::NetworkSpec;
use decouple_spectrum::segments::level;
use serde::{Deserialize, Serialize};

use crate::{BudgetOutcome, TrainingSpec};

/// Version of the files of a run: `trial.toml`, `status.json` and the rows.
/// A change that old files do not survive raises it, and with it every id.
pub const FORMAT: u32 = 1;

/// Everything that a run depends on. A run is a pure function of it: equal
/// records on one kind of processor give equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Start of every random stream of the run.
    pub seed: u64,
    /// The network, with explicit channel counts where a budget set its width.
    pub network: NetworkSpec,
    /// The images.
    pub data: DataSpec,
    /// How it is trained.
    pub training: TrainingSpec,
}

impl Record {
    /// Seed of the initial weights and of dropout.
    pub fn weights_seed(&self) -> u64 {
        self.training.weights_seed.unwrap_or(self.seed)
    }

    /// Seed of the order of the images and of augmentation.
    pub fn order_seed(&self) -> u64 {
        self.training.order_seed.unwrap_or(self.seed)
    }

    /// The name of every run of this record: the BLAKE3 hash of [`FORMAT`] and
    /// the record as compact JSON, of which the first 64 bits are kept.
    pub fn id(&self) -> RunId {
        let canonical = serde_json::to_vec(&(FORMAT, self)).expect("a record has only string keys");
        let hash = blake3::hash(&canonical);
        RunId(u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes")))
    }
}

/// The name of a run, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// The first 8 digits, which tell the runs of one experiment apart for people.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A run id that is not 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no run id: expected 16 hexadecimal digits")]
pub struct ParseRunIdError(String);

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(id) if is_hex => Ok(Self(id)),
            _ => Err(ParseRunIdError(text.to_owned())),
        }
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One training run of a sweep, resolved: nothing is left to a default.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The name of the run.
    pub id: RunId,
    /// Axis name and value as text, in the file's order, without the seed.
    pub point: Vec<(String, String)>,
    /// Everything that the run depends on.
    pub record: Record,
    /// The network of the record.
    pub graph: Graph,
    /// Cost of the graph.
    pub cost: Cost,
    /// What the budget did, where there is one.
    pub budget: Option<BudgetOutcome>,
    /// The spatial convolutions, in order.
    pub layers: Vec<LayerRecord>,
    /// Decoupling level of the network: the mean over its layers.
    pub level: f64,
}

impl Trial {
    /// The trial of a record at a point of a sweep, where `graph` is that of its network.
    pub fn new(
        point: Vec<(String, String)>,
        record: Record,
        graph: Graph,
        budget: Option<BudgetOutcome>,
    ) -> Self {
        let layers = graph
            .spatial_layers
            .iter()
            .map(|layer| LayerRecord {
                name: graph.node(layer.node).name.clone(),
                channels: layer.channels,
                segments: layer.segments,
                level: level(layer.segments, layer.channels),
            })
            .collect();
        let (cost, level) = (graph.cost(), graph.level());
        Self { id: record.id(), point, record, graph, cost, budget, layers, level }
    }

    /// The seed of the record.
    pub fn seed(&self) -> u64 {
        self.record.seed
    }

    /// Factor on the channel counts as typed: what the budget found, else the record's own.
    pub fn width(&self) -> f64 {
        self.budget.as_ref().map_or(self.record.network.width, |budget| budget.width)
    }

    /// The point in words: `segments = 3, intermediate = relu`, or `base` in a
    /// sweep over seeds alone.
    pub fn point_label(&self) -> String {
        if self.point.is_empty() {
            return "base".to_owned();
        }
        let pairs: Vec<_> = self.point.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
        pairs.join(", ")
    }

    /// Name of the run's folder, such as `segments=3,intermediate=relu,seed=1-3f9c21aa`.
    ///
    /// Safe on every file system: letters, digits and `.,=+_-` of ASCII alone,
    /// at most 200 bytes. The id at the end tells apart what this makes equal.
    pub fn dir_name(&self) -> String {
        folder_name(&self.point, self.record.seed, &self.id.short())
    }
}

/// Name of the folder of a run at a point of a sweep; `short_id` is
/// [`RunId::short`].
pub fn folder_name(point: &[(String, String)], seed: u64, short_id: &str) -> String {
    let pairs = point.iter().map(|(axis, value)| format!("{axis}={value},"));
    let name: String = pairs.collect::<String>() + &format!("seed={seed}");
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".,=+_-".contains(c) { c } else { '-' })
        .take(200 - 9)
        .collect();
    format!("{}-{short_id}", safe.trim_start_matches('.'))
}

/// A spatial convolution as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecord {
    /// Path of the layer.
    pub name: String,
    /// Its channels.
    pub channels: usize,
    /// Its segments, at most one a channel.
    pub segments: usize,
    /// Its decoupling level.
    pub level: f64,
}

#[cfg(test)]
mod tests;
