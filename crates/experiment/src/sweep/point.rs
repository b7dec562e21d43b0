//! A point of a sweep: the trial table with the point's values in it, read and checked.

use decouple_datasets::seeds::{stream, uniform_below};
use decouple_datasets::{DataSpec, DataTable, derive_seed};
use decouple_keys::{InvalidKey, full_name};
use decouple_spectrum::budget::{BudgetError, Quantity, Scaling};
use decouple_spectrum::error::SpecError;
use decouple_spectrum::network::{Dense, Family, NetworkKey, NetworkSpec};
use decouple_spectrum::segments::{SegmentSchedule, Segments};

use super::as_typed::{SweepFile, TypedAxis};
use super::de;
use super::diagnostic::Diagnostic;
use super::document::{Data, Span, Table, Value};
use super::grouping;
use super::network_cache::Networks;
use crate::training::as_typed::TrainingTable;
use crate::trial::{Summary, hash64, label};
use crate::{BudgetOutcome, Drift, Held, Record, TrainingSpec, Trial};

/// For each axis, the index of a value.
pub(super) type Indices = Vec<usize>;

/// A point of the sweep: everything of its trials but the seed.
#[derive(Clone)]
pub(super) struct Point<'a> {
    pub(super) choice: Indices,
    pub(super) axes: &'a [TypedAxis],
    pub(super) network: NetworkSpec,
    /// Its amount of the held quantity, if not the reference's.
    pub(super) size: Option<u64>,
    pub(super) data: DataSpec,
    /// Whether the seed of the run draws the validation images.
    pub(super) splits_by_seed: bool,
    pub(super) training: TrainingSpec,
    pub(super) summary: Summary,
    pub(super) budget: Option<BudgetOutcome>,
}

impl<'a> Point<'a> {
    /// The trial table with the point's values in it, read and checked.
    pub(super) fn resolve(
        file: &'a SweepFile,
        choice: Indices,
        networks: &mut Networks,
    ) -> Result<Self, Diagnostic> {
        let mut trial = file.trial.clone();
        for (axis, &index) in file.axes.iter().zip(&choice) {
            trial.set(&full_name(&axis.name), &axis.key_span, axis.values[index].clone());
        }
        leave_to_others(file, &mut trial);
        grouping::resolve(&mut trial)?;
        let allocation = take_allocation(&mut trial)?;
        let splits_by_seed = take_split(&mut trial);
        let size = take_size(file, &mut trial)?;
        let mut network: NetworkSpec = section(&trial, "network")?;
        if let Some((seed, span)) = allocation {
            if !network.inner.is_empty() {
                return Err(Diagnostic::new("`network.allocation` cannot be combined with `network.inner`")
                    .at(span, "draws channels and depth anew")
                    .note("leave one of the two out"));
            }
            network = allocated(&network, seed).ok_or_else(|| {
                Diagnostic::new("`network.allocation` needs a network whose depth can change")
                    .at(span, format!("the depth of {} is fixed", network.family))
                    .note("only the family mini-xception has one")
            })?;
        }
        let typed: DataTable = section(&trial, "data")?;
        let mut data = DataSpec::try_from(typed).map_err(|error| invalid_key(&trial, "data", &error))?;
        if let Some((augment, problem)) = data.impossible_augment() {
            return Err(invalid(&trial, "data.augment", &format!("has `{augment}`, which {problem}")));
        }
        if data.stated_train_images() == Some(0) {
            return Err(invalid(&trial, "data.validation", "leaves no image to train on"));
        }
        let is_typed = trial.nearest_entry("data.validation").is_some_and(|entry| entry.key == "validation");
        if file.tune.is_some() && !is_typed {
            data.validation = validation_to_tune_by(&data);
        }
        let typed: TrainingTable = section(&trial, "training")?;
        let training =
            TrainingSpec::try_from(typed).map_err(|error| invalid_key(&trial, "training", &error))?;
        let not_to_be_smoothed = if data.is_multi_label() {
            Some("is for one label per image, but `data.multi-label` is true")
        } else if data.has_class_weights() {
            Some("cannot be combined with `data.class-weights`")
        } else {
            None
        };
        if let (Some(message), true) = (not_to_be_smoothed, training.label_smoothing > 0.0) {
            return Err(invalid(&trial, "training.label-smoothing", message));
        }
        let summary = networks.summary(&network, &data).map_err(|error| refused(&trial, &error))?;
        if training.batch == 1 && summary.normalises_a_pixel {
            let message = "of 1 leaves a batch norm over a map of one pixel a single value per channel, which becomes 0";
            return Err(invalid(&trial, "training.batch", message));
        }
        let axes = &file.axes;
        Ok(Self { choice, axes, network, size, data, splits_by_seed, training, summary, budget: None })
    }

    /// The point at the width that meets the budget.
    pub(super) fn meet(
        mut self,
        hold: Held,
        quantity: Quantity,
        scaling: Scaling,
        reference: &Self,
        networks: &mut Networks,
    ) -> Result<Self, Diagnostic> {
        let reference = reference.summary.cost;
        let target = self.size.unwrap_or(quantity.of(&reference));
        let solved = networks
            .solve(&self.network, &self.data, quantity, target, scaling)
            .map_err(|error| self.over_budget(&error))?;
        self.summary =
            networks.summary(&solved.spec, &self.data).map_err(|error| self.over_budget(&error.into()))?;
        self.network = solved.spec;
        self.budget = Some(BudgetOutcome {
            hold,
            target,
            reached: solved.reached,
            spread: None,
            width: solved.width,
            drift: Drift::between(&solved.cost, &reference),
        });
        Ok(self)
    }

    /// What a trial keeps of another network on the images of this point.
    pub(super) fn summary_of(&self, network: &NetworkSpec) -> Result<Summary, SpecError> {
        Networks::default().summary(network, &self.data)
    }

    fn over_budget(&self, error: &BudgetError) -> Diagnostic {
        let message = error.to_string();
        let (title, reason) = message.split_once(": ").unwrap_or((&message, "the network cannot be built"));
        self.refused(title, reason)
    }

    /// What is wrong with this point under the budget, and what to change.
    pub(super) fn refused(&self, title: &str, reason: &str) -> Diagnostic {
        let other = if self.size.is_some() { "set another `network.size`" } else { "widen the reference" };
        let advice = match self.blamed() {
            Some(index) => format!("{other}, or drop this point from `{}`", self.axes[index].name),
            None => format!("{other}, or set `budget = \"none\"`"),
        };
        self.failed(title, reason).note(advice)
    }

    /// What went wrong at this point, whatever its networks are.
    pub(super) fn failed(&self, title: &str, reason: &str) -> Diagnostic {
        let diagnostic = Diagnostic::new(title).note(reason);
        let Some(index) = self.blamed() else { return diagnostic };
        let value = &self.axes[index].values[self.choice[index]];
        diagnostic.at(value.span.clone(), format!("at the point {}", self.label()))
    }

    /// The axis that is shown beside a fault: the segments or, if they are not varied, whatever the point varies.
    fn blamed(&self) -> Option<usize> {
        let is_segments = |axis: &TypedAxis| axis.name == "segments" || axis.name == grouping::KEY;
        self.axes.iter().position(is_segments).or((!self.axes.is_empty()).then_some(0))
    }

    fn coordinates(&self) -> Vec<(String, String)> {
        let coordinate =
            |(axis, &index): (&TypedAxis, &usize)| (axis.name.clone(), axis.values[index].text());
        self.axes.iter().zip(&self.choice).map(coordinate).collect()
    }

    pub(super) fn label(&self) -> String {
        label(&self.coordinates())
    }

    /// The data of its run with this seed.
    pub(super) fn data_of(&self, seed: u64) -> DataSpec {
        let split = if self.splits_by_seed { Some(seed) } else { self.data.split };
        DataSpec { split, ..self.data.clone() }
    }

    pub(super) fn trial(&self, seed: u64) -> Trial {
        let (network, training) = (self.network.clone(), self.training.clone());
        let record = Record { seed, network, data: self.data_of(seed), training };
        let trial = Trial::summarised(self.coordinates(), record, self.summary.clone(), self.budget.clone());
        Trial { splits_by_seed: self.splits_by_seed, ..trial }
    }

    /// A hash of everything that training depends on, with segments as each layer has them, and keys that change
    /// nothing at one value.
    pub(super) fn identity(&self) -> u64 {
        let mut network = NetworkSpec { segments: SegmentSchedule::default(), ..self.network.clone() };
        if network.family == Family::MiniXception {
            if network.middle == 0 {
                network.modules = 1;
            }
            network.dense = match (network.modules, network.dense) {
                (1, _) => Dense::None,
                // The block's input is all that comes before the previous module.
                (2, Dense::All) => Dense::First,
                (_, dense) => dense,
            };
        }
        let segments: Vec<_> = self.summary.layers.iter().map(|layer| layer.segments).collect();
        let Self { size, data, splits_by_seed, training, .. } = self;
        hash64(&(network, segments, size, data, splits_by_seed, training))
    }

    /// Whether some layer has fewer channels than the segments ask for.
    pub(super) fn is_clamped(&self) -> bool {
        let asked = |segments: &Segments| match *segments {
            Segments::Count(count) | Segments::ChannelsPerSegment(count) => count,
            Segments::PerChannel | Segments::Level(_) => 0,
        };
        let most = match &self.network.segments {
            SegmentSchedule::Uniform(segments) => asked(segments),
            SegmentSchedule::PerStage(list) => list.iter().map(asked).max().unwrap_or(0),
        };
        self.summary.layers.iter().any(|layer| layer.channels < most)
    }
}

/// Default number of validation images for tries: 5,000, or a tenth of a training set that is smaller than
/// ten times that; none if the set does not state its size: the record must not depend on what lies in a folder.
fn validation_to_tune_by(data: &DataSpec) -> usize {
    const ENOUGH: usize = 5_000;
    data.stated_train_images().map_or(0, |images| ENOUGH.min(images / 10))
}

/// Whether `data.split` is `"seed"`, which draws the images held out by the seed of each run.
fn take_split(trial: &mut Table) -> bool {
    trial.table_mut("data").and_then(take_split_word).as_deref() == Some("seed")
}

/// Takes `split` out of `[trial.data]` where it is a word: `"seed"`, or `"fixed"`, the default.
pub(super) fn take_split_word(data: &mut Table) -> Option<String> {
    let word = data.get("split")?.value.as_str().filter(|word| ["seed", "fixed"].contains(word))?.to_owned();
    data.retain(|key| key != "split");
    Some(word)
}

/// `network.allocation`: the seed of another allocation of width and depth. Records hold the counts themselves.
fn take_allocation(trial: &mut Table) -> Result<Option<(u64, Span)>, Diagnostic> {
    let Some(network) = trial.table_mut("network") else { return Ok(None) };
    let Some(entry) = network.get("allocation") else { return Ok(None) };
    let (value, span) = (entry.value.clone(), entry.value.span.clone());
    network.retain(|key| key != "allocation");
    if value.as_str() == Some("own") {
        return Ok(None);
    }
    Ok(Some((de::read("network.allocation", &value)?, span)))
}

/// `network.size`: the amount of the budget's quantity.
fn take_size(file: &SweepFile, trial: &mut Table) -> Result<Option<u64>, Diagnostic> {
    let Some(network) = trial.table_mut("network") else { return Ok(None) };
    let Some(entry) = network.get("size") else { return Ok(None) };
    let value = entry.value.clone();
    network.retain(|key| key != "size");
    if file.budget.and_then(Held::counted).is_none() {
        return Err(Diagnostic::new("`network.size` needs a budget that is counted")
            .at(value.span, "how much of what?")
            .note("hold parameters, macs or activations in [experiment]"));
    }
    let size: u64 = de::read("network.size", &value)?;
    if size == 0 {
        return Err(
            Diagnostic::new("impossible value of `network.size`").at(value.span, "must be at least 1")
        );
    }
    Ok(Some(size))
}

/// The network with the allocation that `seed` draws.
fn allocated(network: &NetworkSpec, seed: u64) -> Option<NetworkSpec> {
    const PARTS: u32 = 1 << 24;
    let mut random = stream(derive_seed(seed, "allocation", 0, 0));
    network.allocated(|| f64::from(uniform_below(&mut random, PARTS)) / f64::from(PARTS))
}

/// If the family is varied, a key of `[trial.network]` need not be read by all families: the
/// others ignore it.
fn leave_to_others(file: &SweepFile, trial: &mut Table) {
    let Some(axis) = file.axes.iter().find(|axis| full_name(&axis.name) == "network.family") else { return };
    let family = |name: &str| Family::ALL.into_iter().find(|family| family.name() == name);
    let families: Vec<Family> = axis.values.iter().filter_map(|value| family(&value.text())).collect();
    let Some(network) = trial.table_mut("network") else { return };
    let Some(own) = network.get("family").and_then(|entry| family(&entry.value.text())) else { return };
    let is_left = |key| !own.reads(key) && families.iter().any(|family| family.reads(key));
    network.retain(|key| !NetworkKey::named(key).is_some_and(is_left));
}

fn section<T: serde::de::DeserializeOwned>(trial: &Table, name: &str) -> Result<T, Diagnostic> {
    let empty = Value { span: 0..0, data: Data::Table(Table::default()) };
    de::read(name, trial.get(name).map_or(&empty, |entry| &entry.value))
}

/// The message for a value that is refused after reading.
fn invalid(trial: &Table, name: &str, message: &str) -> Diagnostic {
    let span = trial.nearest_entry(name).map(|entry| entry.value.span.clone());
    Diagnostic::new(format!("impossible value of `{name}`")).at_or_note(span, format!("`{name}` {message}"))
}

fn invalid_key(trial: &Table, section: &str, error: &InvalidKey) -> Diagnostic {
    invalid(trial, &format!("{section}.{}", error.key), &error.message)
}

fn refused(trial: &Table, error: &SpecError) -> Diagnostic {
    match error {
        SpecError::Key(error) => invalid_key(trial, "network", error),
        SpecError::ScheduleLength { listed, stages } => invalid(
            trial,
            "network.segments",
            &format!("lists {listed} values, but the network has {stages} stages"),
        ),
        SpecError::MapTooSmall { layer, map } => {
            let entry = trial.nearest_entry("network.entry").filter(|entry| entry.key == "entry");
            let family = trial.nearest_entry("network.family").and_then(|entry| entry.value.as_str());
            let family = family.and_then(|name| Family::ALL.into_iter().find(|family| family.name() == name));
            let stem = if family.unwrap_or_default().reads(NetworkKey::SmallStem) {
                " keep its size in the stem (`network.small-stem`),"
            } else {
                ""
            };
            Diagnostic::new("the images are too small for the network")
                .at_or_note(
                    entry.map(|entry| entry.value.span.clone()),
                    format!("{layer} is given a map of {map}"),
                )
                .note(format!("halve the map fewer times,{stem} or take larger images"))
        }
        other => Diagnostic::new("the network cannot be built").note(other.to_string()),
    }
}
