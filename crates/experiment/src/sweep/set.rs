//! `--set key=value`: changes to a file, or a whole section, from the command line.

use std::collections::HashMap;

use super::as_typed::{SEED, SET, SweepFile, experiment_key, typed_axis, unknown_axis};
use super::diagnostic::{Diagnostic, Sources};
use super::document::{self, Data, Leaf, Span, Table, Value};
use super::point::take_split_word;
use decouple_keys::{axis_name, full_name};

/// Applies one change to `file`.
pub(super) fn apply(argument: &str, file: &mut SweepFile, sources: &mut Sources) -> Result<(), Diagnostic> {
    let (root, whole) = parse(SET, argument, sources)?;
    let mut leaf = only_leaf(&root, whole)?;
    // The full name of a trial's key or of an axis, as in the file, is accepted here, too.
    let inner = ["trial.", "axes."].into_iter().find_map(|section| leaf.name.strip_prefix(section));
    leaf.name = inner.unwrap_or(&leaf.name).to_owned();
    if let Some(key) = leaf.name.strip_prefix("experiment.") {
        return experiment_key(file, key, &leaf.key_span, leaf.value);
    }
    if let Some(key) = leaf.name.strip_prefix("launcher.") {
        let empty = || Value { span: leaf.key_span.clone(), data: Data::Table(Table::default()) };
        if let Data::Table(table) = &mut file.launcher.get_or_insert_with(empty).data {
            table.set(key, &leaf.key_span, leaf.value.clone());
        }
        return Ok(());
    }
    if leaf.name == "tune" || leaf.name.starts_with("tune.") {
        return Err(Diagnostic::new("`--set` does not change [tune]")
            .at(leaf.key_span, "not changed from here")
            .note("the tries of all commands are those of the file: change it there"));
    }
    let name = axis_name(&leaf.name).or((leaf.name == SEED).then_some(SEED));
    let Some(name) = name else { return Err(unknown_axis(&leaf.name, &leaf.key_span, SET)) };
    let axis = file.axes.iter_mut().chain(&mut file.seeds).find(|axis| axis.name == name);
    if axis.is_none() && name != SEED {
        file.trial.set(&full_name(name), &leaf.key_span, leaf.value.clone());
        return Ok(());
    }
    // Setting an axis replaces its values; a single value is a list of one.
    let mut list = leaf.value.clone();
    if list.as_array().is_none() {
        list.data = Data::Array(vec![leaf.value.clone()]);
    }
    let zipped_with = axis.as_ref().and_then(|axis| axis.zipped_with);
    let replacement = typed_axis(&Leaf { value: &list, ..leaf }, SET, zipped_with)?;
    match axis {
        Some(axis) => *axis = replacement,
        None => file.seeds = Some(replacement),
    }
    Ok(())
}

/// The table of section `name`, given only by changes, each after the option that makes it. Their keys may begin
/// with the section's name.
pub(super) fn section<'a>(
    name: &str,
    arguments: impl IntoIterator<Item = (&'a str, &'a str)>,
    sources: &mut Sources,
) -> Result<Value, Diagnostic> {
    let mut table = Table::default();
    let mut given: HashMap<String, &str> = HashMap::new();
    for (option, argument) in arguments {
        let (root, whole) = parse(option, argument, sources)?;
        let leaf = only_leaf(&root, whole)?;
        let key = leaf.name.strip_prefix(name).and_then(|key| key.strip_prefix('.')).unwrap_or(&leaf.name);
        let outer = key.split('.').next().unwrap_or(key);
        match given.insert(outer.to_owned(), option) {
            Some(other) if other != option => {
                return Err(Diagnostic::new(format!(
                    "`{name}.{outer}` is given twice, by {other} and by {option}"
                ))
                .at(leaf.key_span, format!("leave this out, or {other}")));
            }
            _ => table.set(key, &leaf.key_span, leaf.value.clone()),
        }
    }
    if name == "data" {
        // Which images the words hold out depends on a run's seed at most; no other command has one.
        take_split_word(&mut table);
    }
    Ok(Value { span: 0..0, data: Data::Table(table) })
}

/// An argument of `option` parsed as a document, with its position.
fn parse(option: &str, argument: &str, sources: &mut Sources) -> Result<(Table, Span), Diagnostic> {
    let argument = quoted(argument);
    let offset = sources.add_argument(option, &argument);
    let root = document::parse(&argument, offset).map_err(|error| match option {
        SET => error.note(
            "--set takes key=value, the value as in the file, such as training.epochs=3 or segments=[1,3]",
        ),
        _ => error,
    })?;
    Ok((root, offset..offset + argument.len()))
}

/// The one key and value of an argument.
fn only_leaf(root: &Table, whole: Span) -> Result<Leaf<'_>, Diagnostic> {
    match root.leaves(false).as_slice() {
        [leaf] => Ok(leaf.clone()),
        _ => Err(Diagnostic::new("--set takes one key=value").at(whole, "expected key=value")),
    }
}

/// `argument` with quotes around a value that is a bare word, which a shell makes
/// tedious to type: `order=spatial-first` is `order="spatial-first"`.
fn quoted(argument: &str) -> String {
    let is_word = |value: &str| {
        let toml_has_it = ["true", "false", "nan", "inf"].contains(&value);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        value.starts_with(|c: char| c.is_ascii_alphabetic()) && value.chars().all(is_part) && !toml_has_it
    };
    match argument.split_once('=') {
        Some((key, value)) if is_word(value.trim()) => format!("{key}=\"{}\"", value.trim()),
        _ => argument.to_owned(),
    }
}
