//! One resolved training run: its record, its name, and what it will cost.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use decouple_datasets::DataSpec;
use decouple_kernels::{
    conv::WeightOrder,
    convs::{has_wide_bands, tiles_pay},
    geometry::{ConvGeometry, MapShape},
};
use decouple_spectrum::cost::Cost;
use decouple_spectrum::error::SpecError;
use decouple_spectrum::graph::{Graph, Node, Op, SpatialLayer};
use decouple_spectrum::network::NetworkSpec;
use decouple_spectrum::segments::level;
use serde::{Deserialize, Serialize};

use crate::numerics_version::{FILTERED, PLAIN, TILED, WIDE};
use crate::{BudgetOutcome, TrainingSpec, Winograd};

/// Version of the files of a run: `trial.toml`, `status.json` and the rows. An incompatible
/// change raises it, and with it changes every id.
pub const FORMAT: u32 = 1;

/// The value of a point on an axis.
pub fn value_on<'a>(point: &'a [(String, String)], axis: &str) -> Option<&'a str> {
    point.iter().find(|(name, _)| name == axis).map(|(_, value)| value.as_str())
}

/// Everything that a run depends on. A run is a pure function of it: equal
/// records give equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Seed of every random stream of the run.
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
        RunId(hash64(&(FORMAT, self)))
    }

    /// The network, built on the images of the record.
    ///
    /// # Errors
    /// [`SpecError`] if the images are too small for the network.
    pub fn graph(&self) -> Result<Graph, SpecError> {
        let shape = self.data.shape();
        self.network.graph(MapShape::new(shape.h, shape.w, shape.c), self.data.classes())
    }
}

/// The version of the arithmetic that computes `graph`, with Winograd tiles where they pay if `tiles`.
fn numerics(graph: &Graph, tiles: bool) -> u32 {
    let has = |is: fn(&ConvGeometry) -> bool| {
        let is_one = |node: &Node| matches!(&node.op, Op::Conv { geometry, .. } if is(geometry));
        graph.nodes.iter().any(is_one)
    };
    if tiles && has(|geometry| tiles_pay(geometry, WeightOrder::ChannelFirst)) {
        TILED
    } else if has(has_wide_bands) {
        WIDE
    } else {
        PLAIN
    }
}

/// The first 64 bits of the BLAKE3 hash of a value as compact JSON.
pub(crate) fn hash64(value: &impl Serialize) -> u64 {
    let canonical = serde_json::to_vec(value).expect("a record has only string keys");
    let hash = blake3::hash(&canonical);
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// The name of a run, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// The first 8 digits, enough to distinguish the runs of one experiment.
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
#[error("`{0}` is not a run id: expected 16 hexadecimal digits")]
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
///
/// It takes one or two kilobytes, so a sweep may have a hundred thousand. Its graph, which
/// takes a hundred kilobytes, is built on request.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The name of the run.
    pub id: RunId,
    /// Axis name and value as text, in the file's order, without the seed.
    pub point: Vec<(String, String)>,
    /// Everything that the run depends on.
    pub record: Record,
    /// Cost of the network.
    pub cost: Cost,
    /// The effect of the budget, if there is one.
    pub budget: Option<BudgetOutcome>,
    /// The spatial convolutions, in order; trials of one network share them.
    pub layers: Arc<[LayerRecord]>,
    /// Decoupling level of the network: the mean over its layers.
    pub level: f64,
    /// The version of the engine's arithmetic that last changed the bytes of its runs.
    pub numerics: u32,
    /// Whether another seed holds out other images: `split = "seed"`.
    pub splits_by_seed: bool,
}

impl Trial {
    /// The trial of a record at a point of a sweep, where `graph` is that of its network.
    pub fn new(
        point: Vec<(String, String)>,
        record: Record,
        graph: &Graph,
        budget: Option<BudgetOutcome>,
    ) -> Self {
        Self::summarised(point, record, Summary::of(graph), budget)
    }

    /// A trial for timing steps of `network`: the default recipe with this batch, on images of this shape. No
    /// data set has such images, so it is not meant to be run.
    ///
    /// # Errors
    /// [`SpecError`] when the network cannot be built on such images.
    pub fn to_time(
        network: &NetworkSpec,
        input: MapShape,
        classes: usize,
        batch: usize,
    ) -> Result<Self, SpecError> {
        let record = Record {
            network: network.explicit(),
            data: DataSpec::of_images([input.h, input.w, input.c], classes),
            training: TrainingSpec { batch, ..TrainingSpec::default() },
            seed: 0,
        };
        let point = vec![("segments".to_owned(), network.segments.to_string())];
        Ok(Self::new(point, record, &network.graph(input, classes)?, None))
    }

    /// As [`Trial::new`], from the summary of a graph that is gone.
    pub(crate) fn summarised(
        point: Vec<(String, String)>,
        record: Record,
        network: Summary,
        budget: Option<BudgetOutcome>,
    ) -> Self {
        let Summary { cost, level, layers, numerics: [by_definition, by_tiles], .. } = network;
        let numerics = match record.training.winograd {
            _ if record.data.crops_by_another_filter() => FILTERED,
            Winograd::Off => by_definition,
            Winograd::F2 | Winograd::F4 => by_tiles,
        };
        let (id, splits_by_seed) = (record.id(), false);
        Self { id, point, record, cost, budget, layers, level, numerics, splits_by_seed }
    }

    /// The trial of another record with the same network, at the same point.
    pub(crate) fn with_record(&self, record: Record) -> Self {
        Self { id: record.id(), record, ..self.clone() }
    }

    /// The network of the record, built anew.
    ///
    /// # Panics
    /// Never for a trial of a sweep, whose network was built once when its file was
    /// read; only if `record` was given another network since.
    pub fn graph(&self) -> Graph {
        self.record.graph().expect("the network was built when the trial was made")
    }

    /// A hash of what the time and the memory of a step depend on most: network, image shape, classes, batch
    /// and arithmetic. The optimiser takes a few thousandths of a step.
    pub fn workload(&self) -> u64 {
        let Record { network, data, training, .. } = &self.record;
        let (shape, classes) = (data.shape(), data.classes());
        let arithmetic = (training.winograd, training.precision);
        hash64(&(network, [shape.h, shape.w, shape.c], classes, self.step_images(), arithmetic))
    }

    /// Images of a step: the batch, or all training images if they are fewer, as far as their number is known without
    /// a look at the disk.
    pub fn step_images(&self) -> usize {
        let Record { data, training, .. } = &self.record;
        data.stated_train_images().map_or(training.batch, |images| training.batch.min(images.max(1)))
    }

    /// The seed of the record.
    pub fn seed(&self) -> u64 {
        self.record.seed
    }

    /// Factor on the channel counts as typed: what the budget found, else the record's own.
    pub fn width(&self) -> f64 {
        self.budget.as_ref().map_or(self.record.network.width, |budget| budget.width)
    }

    /// A label of the point: `segments = 3, intermediate = relu`, or `base` in a sweep over
    /// seeds alone.
    pub fn point_label(&self) -> String {
        label(&self.point)
    }

    /// The trial in words: its point and its seed.
    pub fn label(&self) -> String {
        format!("{}, seed = {}", self.point_label(), self.seed())
    }

    /// A try in words: as [`Self::label`], with the recipe in which it differs from others.
    pub fn label_of_try(&self) -> String {
        let TrainingSpec { schedule, weight_decay, .. } = &self.record.training;
        format!("{}, learning rate {}, weight decay {weight_decay}", self.label(), schedule.peak())
    }

    /// Name of the run's folder, such as `segments=3,intermediate=relu,seed=1-3f9c21aa`.
    ///
    /// Safe on every file system: letters, digits and `.,=+_-` of ASCII alone,
    /// at most 200 bytes. The id at the end distinguishes names that this makes equal.
    pub fn dir_name(&self) -> String {
        let pairs = self.point.iter().map(|(axis, value)| format!("{axis}={value},"));
        let name: String = pairs.collect::<String>() + &format!("seed={}", self.record.seed);
        let safe: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || ".,=+_-".contains(c) { c } else { '-' })
            .take(200 - 9)
            .collect();
        format!("{}-{}", safe.trim_start_matches('.'), self.id.short())
    }
}

/// A label of a point, as [`Trial::point_label`] has it.
pub(crate) fn label(point: &[(String, String)]) -> String {
    let pairs: Vec<_> = point.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
    if pairs.is_empty() { "base".to_owned() } else { pairs.join(", ") }
}

/// The summary of a graph that a trial keeps.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) cost: Cost,
    pub(crate) level: f64,
    pub(crate) layers: Arc<[LayerRecord]>,
    /// The version of the arithmetic without Winograd tiles and with them.
    pub(crate) numerics: [u32; 2],
    /// Whether a batch norm is over maps of one pixel.
    pub(crate) normalises_a_pixel: bool,
}

impl Summary {
    pub(crate) fn of(graph: &Graph) -> Self {
        let record = |layer: &SpatialLayer| LayerRecord {
            name: graph.node(layer.node).name.clone(),
            channels: layer.channels,
            segments: layer.segments,
            level: level(layer.segments, layer.channels),
        };
        let layers = graph.spatial_layers.iter().map(record).collect();
        Self {
            cost: graph.cost(),
            level: graph.level(),
            layers,
            numerics: [false, true].map(|tiles| numerics(graph, tiles)),
            normalises_a_pixel: graph.nodes.iter().any(is_norm_of_a_pixel),
        }
    }
}

fn is_norm_of_a_pixel(node: &Node) -> bool {
    matches!(node.op, Op::BatchNorm { .. }) && node.output.h * node.output.w == 1
}

/// A spatial convolution as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecord {
    /// Path of the layer.
    pub name: String,
    /// Its channels.
    pub channels: usize,
    /// Its segments, at most one per channel.
    pub segments: usize,
    /// Its decoupling level.
    pub level: f64,
}

#[cfg(test)]
mod tests;
