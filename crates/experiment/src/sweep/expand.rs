//! From an experiment file to trials: axes crossed and zipped, budgets met,
//! every default spelt out.

use std::collections::HashMap;

use decouple_datasets::seeds::{stream, uniform_below};
use decouple_datasets::{DataSpec, DataTable, derive_seed};
use decouple_spectrum::budget::{BudgetError, Pays, Quantity, Scaling};
use decouple_spectrum::error::SpecError;
use decouple_spectrum::module::ModuleKind;
use decouple_spectrum::network::{Family, NetworkKey, NetworkSpec};
use decouple_spectrum::segments::{SegmentSchedule, Segments};

use super::as_typed::{Coordinate, SEED, SweepFile, TypedAxis};
use super::de;
use super::diagnostic::{Diagnostic, listed, suggestion};
use super::document::{Data, Span, Table, Value};
use super::grouping;
use super::networks::Networks;
use super::step_time;
use crate::keys::full_name;
use crate::training::as_typed::TrainingTable;
use crate::trial::{Summary, hash64};
use crate::tune::{Tune, TuneTable};
use crate::{BudgetOutcome, Drift, Held, Record, StepTimes, TrainingSpec, Trial};

/// Seeds of an experiment that names none.
const DEFAULT_SEEDS: [u64; 3] = [0, 1, 2];

/// The most trials of an experiment, and the most tries of its `[tune]`: what a plan
/// of a few hundred megabytes holds.
pub(super) const MOST_TRIALS: usize = 250_000;

/// What an experiment file resolves to.
pub(super) struct Expansion {
    pub(super) reference: Vec<(String, String)>,
    pub(super) seeds: Vec<u64>,
    pub(super) trials: Vec<Trial>,
    pub(super) tune: Option<Tune>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Resolves every trial of a file. `name` is the experiment's.
pub(super) fn expand(
    file: &SweepFile,
    name: &str,
    step_times: StepTimes<'_>,
) -> Result<Expansion, Diagnostic> {
    let seeds = seeds(file.seeds.as_ref())?;
    refuse_too_many(file, seeds.len())?;
    let reference = reference(file)?;
    let mut warnings = Vec::new();
    let mut networks = Networks::default();
    let points = points(&file.axes)
        .into_iter()
        .map(|choice| Point::resolve(file, choice, &mut networks))
        .collect::<Result<_, _>>()?;
    let points = distinct(points, &reference, &mut warnings)?;
    one_metric(&points)?;
    if file.scaling.pays == Pays::Inner {
        check_inner(file, &points)?;
    }
    let points = match file.budget {
        None => points,
        Some(hold) => {
            let own = Point::resolve(file, reference.clone(), &mut networks)?;
            match hold.counted() {
                Some(quantity) => points
                    .into_iter()
                    .map(|point| point.meet(hold, quantity, file.scaling, &own, &mut networks))
                    .collect::<Result<_, _>>()?,
                None => step_time::fit(points, &own, name, step_times, &mut warnings)?,
            }
        }
    };
    let tune = tune(file, &points)?;
    // Seeds outermost: a sweep stopped early has seen every point.
    let trials = seeds.iter().flat_map(|&seed| points.iter().map(move |point| point.trial(seed))).collect();
    let reference =
        file.axes.iter().zip(&reference).map(|(axis, &index)| (axis.name.clone(), axis.values[index].text()));
    Ok(Expansion { reference: reference.collect(), seeds, trials, tune, warnings })
}

/// Refuses a budget that inner channels alone pay where there are none, or where nothing can be counted.
fn check_inner(file: &SweepFile, points: &[Point<'_>]) -> Result<(), Diagnostic> {
    let has_inner = |point: &Point<'_>| {
        point.network.family.reads(NetworkKey::Inner) && point.network.module == ModuleKind::Spectrum
    };
    let reason = match file.budget {
        None => "no budget is held",
        Some(Held::StepTime) => "a step time is met by the width of the whole network",
        Some(_) if !points.iter().all(has_inner) => {
            "only networks of the family mini-xception, of two convolutions a module, list inner channels"
        }
        Some(_) => return Ok(()),
    };
    Err(Diagnostic::new("`experiment.budget.pays = \"inner\"` means nothing here")
        .note(reason)
        .note("leave `pays` out, or hold parameters, macs or activations"))
}

/// Refuses points whose scores are of different kinds.
fn one_metric(points: &[Point<'_>]) -> Result<(), Diagnostic> {
    let kinds = |many: bool| points.iter().find(|point| point.data.is_multi_label() == many);
    match (kinds(false), kinds(true)) {
        (Some(one), Some(many)) => {
            let title = "points with one label an image cannot be compared with points with many";
            let note = format!("{} is scored by accuracy, {} by MAP@100", one.label(), many.label());
            Err(Diagnostic::new(title).note(note))
        }
        _ => Ok(()),
    }
}

/// Refuses more trials than a plan can hold, before any of them is made.
fn refuse_too_many(file: &SweepFile, seeds: usize) -> Result<(), Diagnostic> {
    let own = |axis: &&TypedAxis| {
        axis.zipped_with.is_none()
            || file.axes.iter().find(|other| other.zipped_with == axis.zipped_with).map(|a| &a.name)
                == Some(&axis.name)
    };
    let lengths: Vec<(&TypedAxis, usize)> =
        file.axes.iter().filter(own).chain(&file.seeds).map(|axis| (axis, axis.values.len())).collect();
    let unnamed_seeds = if file.seeds.is_some() { 1 } else { seeds };
    let all = lengths
        .iter()
        .try_fold(unnamed_seeds as u128, |all, (_, length)| all.checked_mul(*length as u128))
        .unwrap_or(u128::MAX);
    if all <= MOST_TRIALS as u128 {
        return Ok(());
    }
    let diagnostic =
        Diagnostic::new(format!("{all} trials are too many: an experiment has at most {MOST_TRIALS}"))
            .note("shorten the lists, or split the experiment into several files");
    Err(match lengths.iter().max_by_key(|(_, length)| *length) {
        Some((axis, length)) => {
            diagnostic.at(axis.list_span.clone(), format!("{length} values, crossed with all others"))
        }
        None => diagnostic,
    })
}

/// The `[tune]` section, if it can mean something here.
fn tune(file: &SweepFile, points: &[Point<'_>]) -> Result<Option<Tune>, Diagnostic> {
    let (Some(value), Some(first)) = (&file.tune, points.first()) else { return Ok(None) };
    let refused = |message: &str, note: &str| {
        Diagnostic::new("[tune] cannot choose a recipe").at(value.span.clone(), message).note(note)
    };
    let is_tuned = |axis: &&TypedAxis| {
        axis.name.starts_with("training.schedule") || axis.name == "training.weight-decay"
    };
    if let Some(axis) = file.axes.iter().find(is_tuned) {
        let message = format!("`{}` is both varied and tuned", axis.name);
        return Err(refused(&message, "vary it in [axes] or tune it, not both"));
    }
    if points.iter().any(|point| point.data.validation == 0) {
        let note = "set `validation` in [trial.data]: the test images must not choose";
        return Err(refused("no image is held out to judge the tries by", note));
    }
    let typed: TuneTable = de::read("tune", value)?;
    let too_many = |tries: usize| {
        let message = format!("{tries} tries at each of {} points are more than {MOST_TRIALS}", points.len());
        refused(&message, "shorten the lists, or set a lower `tries`, `finalists` or `seeds`")
    };
    if typed.combinations() > MOST_TRIALS {
        return Err(too_many(typed.combinations()));
    }
    let tune = typed
        .resolve(first.training.weight_decay)
        .map_err(|error| refused(&format!("`{}` {}", error.key, error.message), "see docs/experiments.md"))?;
    match tune.runs_a_point().saturating_mul(points.len()) {
        runs if runs > MOST_TRIALS => Err(too_many(tune.runs_a_point())),
        _ => Ok(Some(tune)),
    }
}

/// Images that tries are judged by where none are asked for: 5,000, of which a tenth of the training set has as many,
/// else that tenth; none where the set is not known yet.
fn validation_to_tune_by(data: &DataSpec) -> usize {
    const ENOUGH: usize = 5_000;
    data.train_images(None).map_or(0, |images| ENOUGH.min(images / 10))
}

fn seeds(axis: Option<&TypedAxis>) -> Result<Vec<u64>, Diagnostic> {
    let Some(axis) = axis else { return Ok(DEFAULT_SEEDS.to_vec()) };
    axis.values.iter().map(|value| de::read(SEED, value)).collect()
}

/// The index of each axis's reference value.
fn reference(file: &SweepFile) -> Result<Choice, Diagnostic> {
    let mut choice: Choice = file.axes.iter().map(default_reference).collect();
    for coordinate in &file.reference {
        let Some(index) = file.axes.iter().position(|axis| axis.name == coordinate.axis) else {
            let names = || file.axes.iter().map(|axis| axis.name.as_str());
            return Err(Diagnostic::new(format!(
                "the reference names `{}`, which is no axis",
                coordinate.axis
            ))
            .at(coordinate.key_span.clone(), suggestion(&coordinate.axis, names(), "nothing varies it"))
            .note(format!("axes of this experiment: {}", listed(names()))));
        };
        let axis = &file.axes[index];
        let Some(value) = axis.position(&coordinate.value.text()) else {
            let texts: Vec<_> = axis.values.iter().map(Value::text).collect();
            let texts = || texts.iter().map(String::as_str);
            let typed = coordinate.value.text();
            return Err(Diagnostic::new(format!("the reference is not a value of axis `{}`", axis.name))
                .at(coordinate.value.span.clone(), suggestion(&typed, texts(), "no point has this value"))
                .at(axis.list_span.clone(), "the axis"));
        };
        choice[index] = value;
    }
    follow_zips(file, choice)
}

/// `per-channel`, or one channel a segment, where an axis has it: the paper's own point; else the first value.
fn default_reference(axis: &TypedAxis) -> usize {
    let own = if axis.name == grouping::KEY { "1" } else { "per-channel" };
    axis.position(own).unwrap_or(0)
}

/// Axes walked together stand at one row: the first that has all values that are named
/// of them, if any are.
fn follow_zips(file: &SweepFile, mut choice: Choice) -> Result<Choice, Diagnostic> {
    for (index, axis) in file.axes.iter().enumerate() {
        let Some(zip) = axis.zipped_with else { continue };
        let partner = |name: &str| {
            file.axes.iter().position(|other| other.zipped_with == Some(zip) && other.name == name)
        };
        let named: Vec<(usize, &Coordinate)> =
            file.reference.iter().filter_map(|named| Some((partner(&named.axis)?, named))).collect();
        let first = file.axes.iter().position(|other| other.zipped_with == Some(zip)).unwrap_or(index);
        let Some((_, last)) = named.last() else {
            choice[index] = choice[first];
            continue;
        };
        let has_all = |row: &usize| {
            named.iter().all(|(axis, named)| file.axes[*axis].values[*row].text() == named.value.text())
        };
        choice[index] = (0..axis.values.len()).find(has_all).ok_or_else(|| {
            Diagnostic::new("the reference names two rows of one [[zip]]")
                .at(last.value.span.clone(), format!("stands beside another value of `{}`", named[0].1.axis))
        })?;
    }
    Ok(choice)
}

/// For each axis, the index of a value.
type Choice = Vec<usize>;

/// Every combination: axes in file order, the last fastest; those walked
/// together move as one, at the place of their first.
fn points(axes: &[TypedAxis]) -> Vec<Choice> {
    let mut points = vec![vec![0; axes.len()]];
    for (index, axis) in axes.iter().enumerate() {
        let partners: Vec<usize> = match axis.zipped_with {
            None => vec![index],
            Some(zip) => (0..axes.len()).filter(|&other| axes[other].zipped_with == Some(zip)).collect(),
        };
        if partners[0] != index {
            continue;
        }
        let vary = |point: &Choice| {
            let at_row = |row| {
                let mut point = point.clone();
                partners.iter().for_each(|&partner| point[partner] = row);
                point
            };
            (0..axis.values.len()).map(at_row).collect::<Vec<_>>()
        };
        points = points.iter().flat_map(vary).collect();
    }
    points
}

/// A point of the sweep: everything of its trials but the seed.
#[derive(Clone)]
pub(super) struct Point<'a> {
    pub(super) choice: Choice,
    pub(super) axes: &'a [TypedAxis],
    pub(super) network: NetworkSpec,
    /// How much of the held quantity it has, where it is not as much as the reference.
    pub(super) size: Option<u64>,
    pub(super) data: DataSpec,
    /// Whether the images held out are drawn by the seed of the run.
    pub(super) splits_by_seed: bool,
    pub(super) training: TrainingSpec,
    pub(super) summary: Summary,
    pub(super) budget: Option<BudgetOutcome>,
}

impl<'a> Point<'a> {
    /// The trial table with the point's values in it, read and checked.
    fn resolve(file: &'a SweepFile, choice: Choice, networks: &mut Networks) -> Result<Self, Diagnostic> {
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
            network = allocated(&network, seed).ok_or_else(|| {
                Diagnostic::new("`network.allocation` needs a network whose depth can change")
                    .at(span, format!("the depth of {} is fixed", network.family))
                    .note("only the family mini-xception has one")
            })?;
        }
        let typed: DataTable = section(&trial, "data")?;
        let mut data = DataSpec::try_from(typed)
            .map_err(|error| invalid(&trial, &format!("data.{}", error.key), &error.message))?;
        let is_typed = trial.nearest_entry("data.validation").is_some_and(|entry| entry.key == "validation");
        if file.tune.is_some() && !is_typed {
            data.validation = validation_to_tune_by(&data);
        }
        let typed: TrainingTable = section(&trial, "training")?;
        let training = TrainingSpec::try_from(typed)
            .map_err(|error| invalid(&trial, &format!("training.{}", error.key), &error.message))?;
        let not_to_be_smoothed = if data.is_multi_label() {
            Some("is for images of one label, and `data.multi-label` is true")
        } else if data.has_class_weights() {
            Some("is for classes that count alike, and `data.class-weights` says what each counts")
        } else {
            None
        };
        if let (Some(message), true) = (not_to_be_smoothed, training.label_smoothing > 0.0) {
            return Err(invalid(&trial, "training.label-smoothing", message));
        }
        let summary = networks.summary(&network, &data).map_err(|error| refused(&trial, &error))?;
        let axes = &file.axes;
        Ok(Self { choice, axes, network, size, data, splits_by_seed, training, summary, budget: None })
    }

    /// The point at the width that meets the budget.
    fn meet(
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

    /// What is wrong with this point under the budget.
    pub(super) fn refused(&self, title: &str, reason: &str) -> Diagnostic {
        // What is to blame is the segments, or else whatever the point varies.
        let blamed = self
            .axes
            .iter()
            .position(|axis| axis.name == "segments" || axis.name == grouping::KEY)
            .or((!self.axes.is_empty()).then_some(0));
        let diagnostic = Diagnostic::new(title).note(reason);
        let Some(index) = blamed else {
            return diagnostic.note("widen the reference, or set `budget = \"none\"`");
        };
        let axis = &self.axes[index];
        diagnostic
            .at(axis.values[self.choice[index]].span.clone(), format!("at the point {}", self.label()))
            .note(format!("widen the reference, or drop this point from `{}`", axis.name))
    }

    fn coordinates(&self) -> Vec<(String, String)> {
        let coordinate =
            |(axis, &index): (&TypedAxis, &usize)| (axis.name.clone(), axis.values[index].text());
        self.axes.iter().zip(&self.choice).map(coordinate).collect()
    }

    pub(super) fn label(&self) -> String {
        let pairs: Vec<_> =
            self.coordinates().iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
        pairs.join(", ")
    }

    pub(super) fn trial(&self, seed: u64) -> Trial {
        let mut data = self.data.clone();
        if self.splits_by_seed {
            data.split = Some(seed);
        }
        let record = Record { seed, network: self.network.clone(), data, training: self.training.clone() };
        Trial::summarised(self.coordinates(), record, self.summary.clone(), self.budget.clone())
    }

    /// A hash of everything that training depends on, with segments as each layer has them.
    fn identity(&self) -> u64 {
        let network = NetworkSpec { segments: SegmentSchedule::default(), ..self.network.clone() };
        let segments: Vec<_> = self.summary.layers.iter().map(|layer| layer.segments).collect();
        let Self { size, data, splits_by_seed, training, .. } = self;
        hash64(&(network, segments, size, data, splits_by_seed, training))
    }

    /// Whether some layer has fewer channels than the segments ask for.
    fn is_clamped(&self) -> bool {
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

/// Refuses two points that are the same training. Where that is so only because
/// a layer has too few channels for the segments asked for, one is dropped, with
/// a warning: the reference stays, else the first.
fn distinct<'a>(
    points: Vec<Point<'a>>,
    reference: &Choice,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<Point<'a>>, Diagnostic> {
    let mut kept: Vec<Point<'a>> = Vec::new();
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for point in points {
        let identity = point.identity();
        let Some(&first) = seen.get(&identity) else {
            seen.insert(identity, kept.len());
            kept.push(point);
            continue;
        };
        let earlier = &mut kept[first];
        let is_clamped = point.is_clamped() || earlier.is_clamped();
        let stays = if point.choice == *reference { point.label() } else { earlier.label() };
        let (title, note) = if is_clamped {
            (
                "two points are the same network: no layer has more channels than segments",
                format!("trained once, as {stays}"),
            )
        } else {
            ("two points are the same trial", "drop one of the two values".to_owned())
        };
        // Point at the axis in which they differ.
        let differs = |axis: &usize| earlier.choice[*axis] != point.choice[*axis];
        let axis = (0..point.choice.len()).find(differs).unwrap_or(0);
        let span = |p: &Point<'_>| p.axes[axis].values[p.choice[axis]].span.clone();
        let diagnostic = Diagnostic::new(title)
            .at(span(&point), point.label())
            .at(span(earlier), earlier.label())
            .note(note);
        if !is_clamped {
            return Err(diagnostic);
        }
        warnings.push(diagnostic);
        if point.choice == *reference {
            *earlier = point;
        }
    }
    Ok(kept)
}

/// `data.split` where it is a word: `"seed"` draws the images held out by the seed of each run, `"fixed"` is what
/// leaving it out means.
fn take_split(trial: &mut Table) -> bool {
    let Some(data) = trial.table_mut("data") else { return false };
    let word = data.get("split").and_then(|entry| entry.value.as_str().map(str::to_owned));
    if matches!(word.as_deref(), Some("seed" | "fixed")) {
        data.retain(|key| key != "split");
    }
    word.as_deref() == Some("seed")
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

/// `network.size`: how much of what the budget holds.
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

/// Where the family is varied, a key of `[trial.network]` need not be read by all of
/// them: the others leave it to those that do.
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
    let diagnostic = Diagnostic::new(format!("impossible value of `{name}`"));
    match trial.nearest_entry(name) {
        Some(entry) => diagnostic.at(entry.value.span.clone(), format!("`{name}` {message}")),
        None => diagnostic.note(format!("`{name}` {message}")),
    }
}

fn refused(trial: &Table, error: &SpecError) -> Diagnostic {
    match error {
        SpecError::Key { key, found, expected } => {
            invalid(trial, &format!("network.{key}"), &format!("must be {expected}, found {found}"))
        }
        SpecError::ScheduleLength { listed, stages } => invalid(
            trial,
            "network.segments",
            &format!("lists {listed} values, but the network has {stages} stages"),
        ),
        SpecError::MapTooSmall { layer, map } => {
            let diagnostic = Diagnostic::new("the images are too small for the network");
            let reason = format!("{layer} is given a map of {map}");
            let entry = trial.nearest_entry("network.entry").filter(|entry| entry.key == "entry");
            match entry {
                Some(entry) => diagnostic.at(entry.value.span.clone(), reason),
                None => diagnostic.note(reason),
            }
            .note("halve the map fewer times, keep its size in the stem (`network.small-stem`), or take larger images")
        }
        other => Diagnostic::new("the network cannot be built").note(other.to_string()),
    }
}
