//! An experiment file as a person types it: checked by name and shape, not yet
//! resolved into trials.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Sources, in_backticks, suggestion};
use super::document::{self, Data, Leaf, Span, Table, Value};
use super::{Axis, de};
use crate::{Declared, Held, LauncherTable};
use decouple_keys::{InvalidKey, SHORT_NAMES, axis_name, axis_names, find, full_name, names_in, other_name};
use decouple_spectrum::budget::{Pays, Scaling};

/// The name of the axis that every experiment has.
pub(super) const SEED: &str = "seed";

/// The file, with overrides from the command line applied.
#[derive(Debug, Default)]
pub(super) struct SweepFile {
    pub(super) name: Option<(String, Span)>,
    pub(super) question: Option<String>,
    pub(super) reference: Vec<Coordinate>,
    pub(super) budget: Option<Held>,
    /// Which channel counts the budget may change.
    pub(super) scaling: Scaling,
    /// What is declared before any run.
    pub(super) declared: Declared,
    /// In file order, without the seed.
    pub(super) axes: Vec<TypedAxis>,
    /// Values of the seed axis, if it was typed.
    pub(super) seeds: Option<TypedAxis>,
    /// `[tune]`, as a whole, if it was typed.
    pub(super) tune: Option<Value>,
    /// `[launcher]`, as a whole, if it was typed.
    pub(super) launcher: Option<Value>,
    /// `[trial]`: the sections that all trials begin with.
    pub(super) trial: Table,
}

/// An axis and where it was typed.
#[derive(Clone, Debug)]
pub(super) struct TypedAxis {
    pub(super) name: String,
    pub(super) key_span: Span,
    pub(super) list_span: Span,
    pub(super) values: Vec<Value>,
    pub(super) zipped_with: Option<usize>,
}

impl TypedAxis {
    /// The axis as the rest of the program sees it.
    pub(super) fn summary(&self) -> Axis {
        let values = self.values.iter().map(Value::text).collect();
        Axis { name: self.name.clone(), values, zipped_with: self.zipped_with }
    }

    /// The index of a value, by its text.
    pub(super) fn position(&self, text: &str) -> Option<usize> {
        self.values.iter().position(|value| value.text() == text)
    }
}

/// One coordinate of the reference.
#[derive(Clone, Debug)]
pub(super) struct Coordinate {
    pub(super) axis: String,
    pub(super) key_span: Span,
    pub(super) value: Value,
}

/// The name of a change from the command line in messages.
pub(super) const SET: &str = "--set";

/// Reads the file, whose text stays in `sources`.
pub(super) fn read(text: &str, file_name: &str, sources: &mut Sources) -> Result<SweepFile, Diagnostic> {
    let offset = sources.add_file(file_name, text);
    sweep_file(&document::parse(text, offset)?)
}

fn sweep_file(root: &Table) -> Result<SweepFile, Diagnostic> {
    let mut file = SweepFile { budget: Some(Held::Parameters), ..SweepFile::default() };
    for entry in &root.entries {
        match entry.key.as_str() {
            "experiment" => {
                for inner in &section("experiment", &entry.value)?.entries {
                    experiment_key(&mut file, &inner.key, &inner.key_span, &inner.value)?;
                }
            }
            "axes" => {
                for leaf in section("axes", &entry.value)?.leaves(true) {
                    add_axis(&mut file, leaf, "[axes]", None)?;
                }
            }
            "zip" => {
                let tables = entry.value.as_array().ok_or_else(|| {
                    wrong_type("zip", &entry.value, "tables, each under a header `[[zip]]`")
                })?;
                for (index, table) in tables.iter().enumerate() {
                    for leaf in section("zip", table)?.leaves(true) {
                        add_axis(&mut file, leaf, "[[zip]]", Some(index))?;
                    }
                }
            }
            "tune" => file.tune = Some(entry.value.clone()),
            "launcher" => file.launcher = Some(entry.value.clone()),
            "trial" => file.trial = trial_sections(section("trial", &entry.value)?)?.clone(),
            key @ ("network" | "data" | "training") => {
                return Err(Diagnostic::new(format!("unknown key `{key}` in the file"))
                    .at(entry.key_span.clone(), format!("did you mean `[trial.{key}]`?"))
                    .note(
                        "settings of all trials go into [trial.network], [trial.data] and [trial.training]",
                    ));
            }
            key => {
                return Err(unknown_key(
                    key,
                    &entry.key_span,
                    "the file",
                    &["experiment", "axes", "zip", "tune", "launcher", "trial"],
                ));
            }
        }
    }
    file.axes.sort_by_key(|axis| axis.key_span.start);
    Ok(file)
}

fn trial_sections(trial: &Table) -> Result<&Table, Diagnostic> {
    for entry in &trial.entries {
        match entry.key.as_str() {
            "network" | "data" | "training" => section(&entry.key, &entry.value)?,
            key => {
                return Err(unknown_key(key, &entry.key_span, "[trial]", &["network", "data", "training"]));
            }
        };
    }
    Ok(trial)
}

fn section<'a>(name: &str, value: &'a Value) -> Result<&'a Table, Diagnostic> {
    value.as_table().ok_or_else(|| wrong_type(name, value, "a table"))
}

fn wrong_type(name: &str, value: &Value, expected: &str) -> Diagnostic {
    let label = format!("expected {expected}, found {}", value.describe());
    Diagnostic::new(format!("wrong type of `{name}`")).at(value.span.clone(), label)
}

fn unknown_key(key: &str, span: &Span, place: &str, known: &[&str]) -> Diagnostic {
    Diagnostic::new(format!("unknown key `{key}` in {place}"))
        .at(span.clone(), suggestion(key, known.iter().copied(), "there is no such key"))
        .note(format!("keys of {place}: {}", in_backticks(known.iter().copied())))
}

pub(super) fn experiment_key(
    file: &mut SweepFile,
    key: &str,
    key_span: &Span,
    value: &Value,
) -> Result<(), Diagnostic> {
    let text = || {
        let name = format!("experiment.{key}");
        value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(&name, value, "a string"))
    };
    match key {
        "name" => file.name = Some((text()?, value.span.clone())),
        "question" => file.question = Some(text()?),
        "analysis" => file.declared.analysis = text()?,
        "hypotheses" => file.declared.hypotheses = sentences(value)?,
        // Typed in points, stored as a share.
        "margin" => file.declared.margin = Some(number("experiment.margin", value)? / 100.0),
        "budget" => budget(file, value)?,
        "budget.hold" => file.budget = quantity(value, "experiment.budget.hold")?,
        "budget.at" => budget_at(value)?,
        "budget.pays" => file.scaling.pays = pays(value)?,
        "budget.least-channels" => file.scaling.least = least_channels(value)?,
        "reference" => {
            let leaves = section("experiment.reference", value)?.leaves(false);
            file.reference = leaves.into_iter().map(coordinate).collect::<Result<_, _>>()?;
        }
        _ => {
            let known: Vec<_> = names_in("experiment").collect();
            return Err(unknown_key(key, key_span, "[experiment]", &known));
        }
    }
    Ok(())
}

fn coordinate(leaf: Leaf<'_>) -> Result<Coordinate, Diagnostic> {
    match axis_name(&leaf.name) {
        Some(axis) => {
            Ok(Coordinate { axis: axis.to_owned(), key_span: leaf.key_span, value: leaf.value.clone() })
        }
        None if leaf.name == SEED => Err(Diagnostic::new("the reference names a seed")
            .at(leaf.key_span, "points are compared over all seeds")
            .note("leave `seed` out")),
        None => Err(unknown_axis(&leaf.name, &leaf.key_span, "experiment.reference")),
    }
}

fn sentences(value: &Value) -> Result<Vec<String>, Diagnostic> {
    let refused = |value: &Value| wrong_type("experiment.hypotheses", value, "a list of sentences");
    let list = value.as_array().ok_or_else(|| refused(value))?;
    list.iter().map(|each| each.as_str().map(str::to_owned).ok_or_else(|| refused(each))).collect()
}

/// The number at `key`, if the table of keys allows it.
fn number(key: &str, value: &Value) -> Result<f64, Diagnostic> {
    let typed = match value.data {
        Data::Integer(typed) => typed as f64,
        Data::Float(typed) => typed,
        _ => f64::NAN,
    };
    match find(key) {
        Some(known) if !known.values.allows(typed) => Err(wrong_type(key, value, &known.values.text())),
        _ => Ok(typed),
    }
}

fn pays(value: &Value) -> Result<Pays, Diagnostic> {
    match value.as_str() {
        Some("all") => Ok(Pays::All),
        Some("inner") => Ok(Pays::Inner),
        _ => Err(wrong_type("experiment.budget.pays", value, "\"all\" or \"inner\"")),
    }
}

fn least_channels(value: &Value) -> Result<usize, Diagnostic> {
    Ok(number("experiment.budget.least-channels", value)? as usize)
}

/// The one place where a budget can be read off.
fn budget_at(value: &Value) -> Result<(), Diagnostic> {
    if value.as_str() == Some("reference") {
        return Ok(());
    }
    Err(Diagnostic::new("unknown value of `experiment.budget.at`")
        .at(value.span.clone(), "expected \"reference\""))
}

/// The budget as a whole: what it leaves out is at its default, whatever the file says.
fn budget(file: &mut SweepFile, value: &Value) -> Result<(), Diagnostic> {
    file.scaling = Scaling::default();
    let Some(table) = value.as_table() else {
        file.budget = quantity(value, "experiment.budget")?;
        return Ok(());
    };
    let mut hold = Some(Held::Parameters);
    for entry in &table.entries {
        match entry.key.as_str() {
            "hold" => hold = quantity(&entry.value, "experiment.budget.hold")?,
            "pays" => file.scaling.pays = pays(&entry.value)?,
            "least-channels" => file.scaling.least = least_channels(&entry.value)?,
            "at" => budget_at(&entry.value)?,
            key => {
                let known: Vec<_> = names_in("experiment.budget").collect();
                return Err(unknown_key(key, &entry.key_span, "`experiment.budget`", &known));
            }
        }
    }
    file.budget = hold;
    Ok(())
}

fn quantity(value: &Value, name: &str) -> Result<Option<Held>, Diagnostic> {
    const NONE: &str = "none";
    let Some(typed) = value.as_str() else {
        return Err(wrong_type(name, value, "the name of a quantity, or a table { hold = ..., pays = ... }"));
    };
    let held = Held::ALL.into_iter().find(|held| held.name() == typed);
    if held.is_none() && typed != NONE {
        let names = || Held::ALL.map(Held::name).into_iter().chain([NONE]);
        return Err(Diagnostic::new(format!("unknown value `{typed}` of `{name}`"))
            .at(value.span.clone(), suggestion(typed, names(), "there is no such budget"))
            .note(format!("`{name}` may be: {}", in_backticks(names()))));
    }
    Ok(held)
}

/// Which axis `name` was probably meant to be.
fn axis_suggestion(name: &str) -> String {
    match other_name(name) {
        Some(known) => format!("did you mean `{known}`?"),
        None => suggestion(name, axis_names().chain([SEED]), "there is no such key"),
    }
}

pub(super) fn unknown_axis(name: &str, span: &Span, place: &str) -> Diagnostic {
    let (subject, of_experiment) = if place == SET {
        ("--set", ", or one of [experiment], such as experiment.budget")
    } else {
        ("axes", "")
    };
    let short = SHORT_NAMES.join(", ");
    Diagnostic::new(format!("unknown key `{name}` in {place}")).at(span.clone(), axis_suggestion(name)).note(
        format!(
            "{subject} may name: {short}, {SEED}, or any key of [trial.*] in full, \
             such as training.weight-decay{of_experiment}"
        ),
    )
}

fn add_axis(
    file: &mut SweepFile,
    leaf: Leaf<'_>,
    place: &str,
    zipped_with: Option<usize>,
) -> Result<(), Diagnostic> {
    let axis = typed_axis(&leaf, place, zipped_with)?;
    let first = file.axes.iter().chain(&file.seeds).find(|other| other.name == axis.name);
    if let Some(first) = first {
        return Err(Diagnostic::new(format!("`{}` is varied twice", axis.name))
            .at(axis.key_span, "here again")
            .at(first.key_span.clone(), "here first")
            .note("an axis may occur only once, in [axes] or in one [[zip]]"));
    }
    if axis.name == SEED {
        file.seeds = Some(axis)
    } else {
        file.axes.push(axis)
    }
    Ok(())
}

pub(super) fn typed_axis(
    leaf: &Leaf<'_>,
    place: &str,
    zipped_with: Option<usize>,
) -> Result<TypedAxis, Diagnostic> {
    let name = match axis_name(&leaf.name) {
        Some(name) => name,
        None if leaf.name == SEED && zipped_with.is_none() => SEED,
        None if leaf.name == SEED => {
            return Err(Diagnostic::new("`seed` cannot be zipped with other keys")
                .at(leaf.key_span.clone(), "every point is trained with every seed")
                .note("put `seed` into [axes]"));
        }
        None => return Err(unknown_axis(&leaf.name, &leaf.key_span, place)),
    };
    let values =
        leaf.value.as_array().ok_or_else(|| wrong_type(&leaf.name, leaf.value, "a list of values"))?;
    let axis = TypedAxis {
        name: name.to_owned(),
        key_span: leaf.key_span.clone(),
        list_span: leaf.value.span.clone(),
        values: values.to_vec(),
        zipped_with,
    };
    if values.is_empty() {
        return Err(Diagnostic::new(format!("axis `{name}` is empty"))
            .at(axis.list_span, "an axis needs at least one value"));
    }
    // Zipped lists may repeat values: rows must differ, not cells.
    let is_alone = zipped_with.is_none();
    let mut seen = HashMap::new();
    for (index, value) in values.iter().enumerate().filter(|_| is_alone) {
        if let Some(first) = seen.insert(value.text(), index) {
            return Err(Diagnostic::new(format!("axis `{name}` has the value `{}` twice", value.text()))
                .at(value.span.clone(), "here again")
                .at(values[first].span.clone(), "here first"));
        }
    }
    Ok(axis)
}

/// `[launcher]`, every value checked; empty where it was not typed.
pub(super) fn launcher(file: &SweepFile) -> Result<LauncherTable, Diagnostic> {
    let Some(value) = &file.launcher else { return Ok(LauncherTable::default()) };
    let table: LauncherTable = de::read("launcher", value)?;
    match table.resolve() {
        Ok(_) => Ok(table),
        Err(InvalidKey { key, message }) => {
            let entry = value.as_table().and_then(|table| table.get(&key));
            let span = entry.map_or(&value.span, |entry| &entry.value.span).clone();
            Err(Diagnostic::new(format!("impossible value of `launcher.{key}`"))
                .at(span, format!("`launcher.{key}` {message}")))
        }
    }
}

/// Refuses keys of a table that an axis varies as a whole, each value of which takes the place of the table.
fn refuse_parts(axis: &TypedAxis, trial: &Table) -> Result<(), Diagnostic> {
    let name = full_name(&axis.name);
    let (_, last) = name.rsplit_once('.').unwrap_or(("", &name));
    let table = trial.nearest_entry(&name).filter(|entry| entry.key == last);
    let first = table.and_then(|table| table.value.as_table()?.entries.first());
    // The values of other keys may be tables, too, as in segments = { level = 0.5 }.
    let has_parts = names_in(&name).next().is_some();
    let Some(entry) = first.filter(|_| has_parts) else { return Ok(()) };
    let key = format!("{name}.{}", entry.key);
    Err(Diagnostic::new(format!("`{key}` has no effect, since `{name}` is an axis"))
        .at(entry.key_span.clone(), "not used at any point")
        .at(axis.key_span.clone(), "each of its values is a whole table")
        .note(format!("put `{}` into the values of the axis, or vary `{key}` instead", entry.key)))
}

/// Checks what concerns several axes at once.
pub(super) fn check_axes(file: &SweepFile) -> Result<(), Diagnostic> {
    for axis in &file.axes {
        let first = file.axes.iter().find(|other| other.zipped_with == axis.zipped_with);
        if let (Some(first), Some(_)) = (first, axis.zipped_with)
            && first.values.len() != axis.values.len()
        {
            let values = |axis: &TypedAxis| match axis.values.len() {
                1 => "1 value".to_owned(),
                count => format!("{count} values"),
            };
            return Err(Diagnostic::new(format!("`{}` and `{}` cannot be zipped", first.name, axis.name))
                .at(axis.list_span.clone(), values(axis))
                .at(first.list_span.clone(), values(first))
                .note("the lists of one [[zip]] must have equal length"));
        }
    }
    file.axes.iter().try_for_each(|axis| refuse_parts(axis, &file.trial))?;
    let width = file.axes.iter().find(|axis| axis.name == "network.width");
    if let (Some(axis), Some(hold)) = (width, file.budget) {
        return Err(Diagnostic::new("`network.width` cannot be varied under a budget")
            .at(axis.key_span.clone(), format!("the budget of {hold} decides the width of every point"))
            .note("set `budget = \"none\"` in [experiment] to compare widths"));
    }
    Ok(())
}
