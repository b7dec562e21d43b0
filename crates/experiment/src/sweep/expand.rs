//! From an experiment file to trials: axes crossed and zipped, budgets met,
//! every default spelt out.

use std::collections::HashMap;

use decouple_spectrum::budget::{Pays, Scaling};
use decouple_spectrum::module::ModuleKind;
use decouple_spectrum::network::NetworkKey;

use super::as_typed::{Coordinate, SEED, SweepFile, TypedAxis};
use super::de;
use super::diagnostic::{Diagnostic, in_backticks, suggestion};
use super::document::Value;
use super::fitted;
use super::grouping;
use super::network_cache::Networks;
use super::point::{Indices, Point};
use crate::tune::{Tune, TuneTable};
use crate::{Held, Schedule, StepTimes, Trial};

/// Seeds of an experiment that names none.
const DEFAULT_SEEDS: [u64; 3] = [0, 1, 2];

/// The most trials of an experiment, and the most tries of its `[tune]`: a plan of them takes a
/// few hundred megabytes.
pub(super) const MOST_TRIALS: usize = 250_000;

/// What an experiment file resolves to.
pub(super) struct Expansion {
    pub(super) reference: Vec<(String, String)>,
    pub(super) seeds: Vec<u64>,
    pub(super) trials: Vec<Trial>,
    pub(super) tune: Option<Tune>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// Resolves every trial of a file.
pub(super) fn expand(file: &SweepFile, step_times: StepTimes<'_>) -> Result<Expansion, Diagnostic> {
    let seeds = seeds(file.seeds.as_ref())?;
    refuse_too_many(file, seeds.len())?;
    let reference = reference(file);
    let mut warnings = Vec::new();
    let mut networks = Networks::default();
    let points = points(&file.axes)
        .into_iter()
        .map(|choice| Point::resolve(file, choice, &mut networks))
        .collect::<Result<Vec<_>, _>>()?;
    // A value that no axis may have is the cause where the reference has the right one.
    let reference = reference?;
    warnings.extend(rising_until_the_end(&points));
    warnings.extend(idle_split(&points));
    refuse_idle_seeds(&points, seeds.len())?;
    one_metric(&points)?;
    check_scaling(file, &points)?;
    let points = match file.budget {
        None => distinct(points, &reference, &mut warnings)?,
        Some(hold) => {
            let own = Point::resolve(file, reference.clone(), &mut networks)?;
            match hold.counted() {
                Some(quantity) => {
                    let met = points
                        .into_iter()
                        .map(|point| point.meet(hold, quantity, file.scaling, &own, &mut networks))
                        .collect::<Result<_, _>>()?;
                    // Only now: it is the new width that decides whether a layer has fewer channels than
                    // segments.
                    distinct(met, &reference, &mut warnings)?
                }
                None => {
                    let points = distinct(points, &reference, &mut warnings)?;
                    fitted::fit(points, &own, step_times, &mut warnings)?
                }
            }
        }
    };
    let tune = tune(file, &points)?;
    warnings.extend(tune.iter().flat_map(|tune| without_effect(tune, &points)));
    // Seeds outermost, so that a sweep stopped early has covered every point.
    let trials = seeds.iter().flat_map(|&seed| points.iter().map(move |point| point.trial(seed))).collect();
    let reference =
        file.axes.iter().zip(&reference).map(|(axis, &index)| (axis.name.clone(), axis.values[index].text()));
    Ok(Expansion { reference: reference.collect(), seeds, trials, tune, warnings })
}

/// Refuses a budget met by inner channels alone if there are none, and either control of the channels if the
/// budget is not a counted quantity.
fn check_scaling(file: &SweepFile, points: &[Point<'_>]) -> Result<(), Diagnostic> {
    let Scaling { pays, least } = file.scaling;
    let (key, typed) = if pays == Pays::Inner {
        ("pays", "pays = \"inner\"".to_owned())
    } else if least != Scaling::default().least {
        ("least-channels", format!("least-channels = {least}"))
    } else {
        return Ok(());
    };
    let has_inner = |point: &Point<'_>| {
        point.network.family.reads(NetworkKey::Inner) && point.network.module == ModuleKind::Spectrum
    };
    let hold_another = format!("leave `{key}` out, or hold parameters, macs or activations");
    let (reason, remedy) = match file.budget {
        None => ("no budget is held", hold_another),
        Some(Held::StepTime) => ("a step time is met by the width of the whole network", hold_another),
        Some(_) if least > 1 && points.iter().any(|point| !point.network.lists_channels()) => {
            ("the channels of inception-v3 follow the width alone", "leave `least-channels` out".to_owned())
        }
        Some(_) if pays == Pays::Inner && !points.iter().all(has_inner) => (
            "only mini-xception networks with two convolutions per module have inner channels",
            "leave `pays` out".to_owned(),
        ),
        Some(_) => return Ok(()),
    };
    let title = format!("`experiment.budget.{typed}` does not apply here");
    Err(Diagnostic::new(title).note(reason).note(remedy))
}

/// A warning about the first point whose learning rate is still rising when training ends.
fn rising_until_the_end(points: &[Point<'_>]) -> Option<Diagnostic> {
    let warmup = |point: &Point<'_>| point.training.schedule.warmup_epochs();
    let point = points.iter().find(|point| warmup(point) >= point.training.epochs as f64)?;
    let title = "the learning rate rises until the end of training, and never falls".to_owned();
    let note =
        format!("{}: warm-up takes {} of {} epochs", point.label(), warmup(point), point.training.epochs);
    Some(Diagnostic::new(title).note(note).note("set a lower `training.schedule.warmup-epochs`"))
}

/// A warning about the first point that says how images are held out, and holds out none.
fn idle_split(points: &[Point<'_>]) -> Option<Diagnostic> {
    let is_idle = |point: &&Point<'_>| {
        point.data.validation == 0 && (point.splits_by_seed || point.data.split.is_some())
    };
    let point = points.iter().find(is_idle)?;
    let note = format!("{}: no images are held out", point.label());
    Some(
        Diagnostic::new("`data.split` has no effect")
            .note(note)
            .note("set `data.validation`, or leave it out"),
    )
}

/// Refuses several seeds of a point on whose runs the seed has no effect: they would be one run, counted as many.
fn refuse_idle_seeds(points: &[Point<'_>], seeds: usize) -> Result<(), Diagnostic> {
    let is_idle = |point: &&Point<'_>| {
        let training = &point.training;
        let splits = point.splits_by_seed && point.data.validation > 0;
        training.weights_seed.is_some() && training.order_seed.is_some() && !splits
    };
    let Some(point) = points.iter().find(is_idle).filter(|_| seeds > 1) else { return Ok(()) };
    Err(Diagnostic::new("every seed would train the same run")
        .note(format!("{}: `training.weights-seed` and `training.order-seed` are both set", point.label()))
        .note("list one `seed` in [axes], or leave one of the two out"))
}

/// Refuses points whose scores are of different kinds.
fn one_metric(points: &[Point<'_>]) -> Result<(), Diagnostic> {
    let kinds = |many: bool| points.iter().find(|point| point.data.is_multi_label() == many);
    match (kinds(false), kinds(true)) {
        (Some(one), Some(many)) => {
            let title = "points with one label per image cannot be compared with points with several";
            let note = format!("{} is scored by accuracy, {} by MAP@100", one.label(), many.label());
            Err(Diagnostic::new(title).note(note))
        }
        _ => Ok(()),
    }
}

/// Refuses more trials than a plan can hold, before any of them is created.
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

/// The `[tune]` section, if it is meaningful here.
fn tune(file: &SweepFile, points: &[Point<'_>]) -> Result<Option<Tune>, Diagnostic> {
    let (Some(value), Some(first)) = (&file.tune, points.first()) else { return Ok(None) };
    let refused = |message: &str, note: &str| {
        Diagnostic::new("[tune] cannot choose a recipe").at(value.span.clone(), message).note(note)
    };
    let is_tuned = |axis: &&TypedAxis| {
        ["training.schedule", "training.schedule.peak", "training.weight-decay"].contains(&axis.name.as_str())
    };
    if let Some(axis) = file.axes.iter().find(is_tuned) {
        let message = format!("`{}` is both varied and tuned", axis.name);
        return Err(refused(&message, "vary it in [axes] or tune it, not both"));
    }
    if points.iter().any(|point| point.data.validation == 0) {
        let note = "set `validation` in [trial.data]: test images must not be used to choose";
        return Err(refused("no validation images to judge the tries by", note));
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
    let lowest = tune.settings.iter().map(|setting| setting.learning_rate).fold(f64::INFINITY, f64::min);
    let floor = |point: &Point<'_>| match point.training.schedule {
        Schedule::Cosine { floor, .. } if floor > lowest => Some(floor),
        _ => None,
    };
    if let Some(floor) = points.iter().find_map(floor) {
        let message = format!("tries a learning rate of {lowest}, below `training.schedule.floor`, {floor}");
        return Err(refused(&message, "try higher rates, or set a lower floor"));
    }
    match tune.runs_a_point().saturating_mul(points.len()) {
        runs if runs > MOST_TRIALS => Err(too_many(tune.runs_a_point())),
        _ => Ok(Some(tune)),
    }
}

/// Warnings about keys of [tune] that change nothing here.
fn without_effect(tune: &Tune, points: &[Point<'_>]) -> impl Iterator<Item = Diagnostic> {
    let is_whole = |point: &Point<'_>| tune.rungs(point.training.epochs as u64).is_empty();
    let halved = tune.settings.len().div_ceil(2);
    let keys = [
        (
            tune.finalists > 1 && tune.seeds == 1,
            "finalists",
            "the best try by one seed is chosen",
            "set `seeds` in [tune] above 1, so that the finalists are run with more seeds",
        ),
        (
            tune.seeds > 1 && tune.finalists == 1,
            "seeds",
            "a single finalist is chosen whatever its other seeds say",
            "set `finalists` in [tune] above 1, or leave `seeds` out",
        ),
        (
            tune.seeds > 1 && tune.finalists > halved && !points.iter().any(is_whole),
            "finalists",
            "`halving` trains only the better half of the tries to the end",
            "set `finalists` to half of the tries at most, or leave `halving` out",
        ),
        (
            tune.halving && points.iter().all(is_whole),
            "halving",
            "of so few epochs none ends between seven eighths of them and the last",
            "train for 8 epochs or more, or leave `halving` out",
        ),
    ];
    let warning = |(is_idle, key, reason, advice): (bool, &str, &str, &str)| {
        is_idle.then(|| Diagnostic::new(format!("`tune.{key}` has no effect")).note(reason).note(advice))
    };
    keys.into_iter().filter_map(warning)
}

fn seeds(axis: Option<&TypedAxis>) -> Result<Vec<u64>, Diagnostic> {
    let Some(axis) = axis else { return Ok(DEFAULT_SEEDS.to_vec()) };
    axis.values.iter().map(|value| de::read(SEED, value)).collect()
}

/// The index of each axis's reference value.
fn reference(file: &SweepFile) -> Result<Indices, Diagnostic> {
    let mut choice: Indices = file.axes.iter().map(default_reference).collect();
    for coordinate in &file.reference {
        let Some(index) = file.axes.iter().position(|axis| axis.name == coordinate.axis) else {
            let names = || file.axes.iter().map(|axis| axis.name.as_str());
            return Err(Diagnostic::new(format!(
                "the reference names `{}`, which is not an axis",
                coordinate.axis
            ))
            .at(coordinate.key_span.clone(), suggestion(&coordinate.axis, names(), "nothing varies it"))
            .note(format!("axes of this experiment: {}", in_backticks(names()))));
        };
        let axis = &file.axes[index];
        let Some(value) = axis.position(&coordinate.value.text()) else {
            let texts: Vec<_> = axis.values.iter().map(Value::text).collect();
            let texts = || texts.iter().map(String::as_str);
            let typed = coordinate.value.text();
            return Err(Diagnostic::new(format!("the reference is not a value of axis `{}`", axis.name))
                .at(coordinate.value.span.clone(), suggestion(&typed, texts(), "no point has this value"))
                .at(axis.list_span.clone(), "the axis")
                .note(format!(
                    "or name another reference, as in --set 'experiment.reference={{ {} = {} }}'",
                    axis.name,
                    axis.values.first().map_or(String::new(), Value::text)
                )));
        };
        choice[index] = value;
    }
    follow_zips(file, choice)
}

/// `per-channel`, or one channel per segment, where an axis has it: the paper's own point; else the first
/// value.
fn default_reference(axis: &TypedAxis) -> usize {
    let own = if axis.name == grouping::KEY { "1" } else { "per-channel" };
    axis.position(own).unwrap_or(0)
}

/// Zipped axes share a row: the first that has all the values named for them, if any are.
fn follow_zips(file: &SweepFile, mut choice: Indices) -> Result<Indices, Diagnostic> {
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
                .at(last.value.span.clone(), format!("conflicts with another value of `{}`", named[0].1.axis))
        })?;
    }
    Ok(choice)
}

/// Every combination: axes in file order, the last varying fastest; zipped axes move as one, at
/// the place of their first.
fn points(axes: &[TypedAxis]) -> Vec<Indices> {
    let mut points = vec![vec![0; axes.len()]];
    for (index, axis) in axes.iter().enumerate() {
        let partners: Vec<usize> = match axis.zipped_with {
            None => vec![index],
            Some(zip) => (0..axes.len()).filter(|&other| axes[other].zipped_with == Some(zip)).collect(),
        };
        if partners[0] != index {
            continue;
        }
        let vary = |point: &Indices| {
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

/// Refuses two points that would train the same network. If they coincide only because a layer
/// has too few channels for the segments, one is dropped with a warning; the reference, or else
/// the first, is kept.
fn distinct<'a>(
    points: Vec<Point<'a>>,
    reference: &Indices,
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
        // Mark the axis in which they differ.
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
