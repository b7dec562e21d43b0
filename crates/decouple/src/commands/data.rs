//! `decouple data`: a data set in numbers and in pictures.

use decouple_datasets::{DataSpec, Dataset, contact_sheet, load};
use decouple_experiment::{StepTimes, section};
use serde_json::json;

use super::read;
use crate::{
    arguments::{Common, Data, DataChoice, DataInfo, DataShow, Format},
    failure::{Failure, IO, SUCCESS, USAGE},
    text::{Table, bytes, grouped, print},
};

/// Files left out that are listed by name.
const LISTED: usize = 20;

pub(crate) fn run(common: &Common, data: &Data) -> Result<u8, Failure> {
    match data {
        Data::Info(arguments) => info(common, arguments),
        Data::Show(arguments) => show(common, arguments),
    }
}

/// What the arguments ask for: read as the `[trial.data]` section of an
/// experiment file would be.
fn spec(choice: &DataChoice) -> Result<DataSpec, Failure> {
    if choice.set.ends_with(".toml") {
        let typed =
            |pair: &String| if pair.starts_with("data.") { pair.clone() } else { format!("data.{pair}") };
        let keys: Vec<String> = choice.keys.iter().map(typed).collect();
        let sweep = read(choice.set.as_ref(), &keys, StepTimes::Unknown)?;
        return Ok(sweep.trials.first().map_or_else(DataSpec::default, |trial| trial.record.data.clone()));
    }
    let set = std::iter::once(format!("set={}", choice.set));
    Ok(section("data", &set.chain(choice.keys.iter().cloned()).collect::<Vec<_>>())?)
}

fn info(common: &Common, arguments: &DataInfo) -> Result<u8, Failure> {
    let spec = spec(&arguments.choice)?;
    let data = load(&spec, common.data.as_deref())?;
    match arguments.format {
        Format::Human => print(&human(&spec, &data)?)?,
        Format::Json => print(&format!("{}\n", document(&spec, &data)))?,
    }
    Ok(SUCCESS)
}

fn human(spec: &DataSpec, data: &Dataset) -> Result<String, Failure> {
    let splits = [&data.train, &data.validation, &data.test];
    let [train, validation, test] = splits.map(|split| grouped(split.len() as u64));
    let memory: usize = splits.iter().map(|split| split.images.len()).sum();
    let mut text =
        format!("images    {train} train, {validation} validation, {test} test, {}\n", data.shape());
    text += &format!("memory    {}\nchecksum  {}\n", bytes(memory as u64), data.checksum);
    let record = toml::to_string(spec).map_err(|error| Failure::new(USAGE, error))?;
    text += &format!("\n[trial.data]\n{record}\n");

    let mut channels = Table::new(1, &["channel", "mean", "std"]);
    for (channel, (mean, std)) in data.mean.iter().zip(&data.std).enumerate() {
        channels.push(vec![channel.to_string(), format!("{mean:.4}"), format!("{std:.4}")]);
    }
    text += &format!("{channels}\n");

    let mut classes = Table::new(2, &["label", "class", "train", "validation", "test"]);
    let counts = splits.map(|split| split.class_counts());
    for (label, class) in data.classes.iter().enumerate() {
        let mut row = vec![label.to_string(), class.clone()];
        row.extend(counts.iter().map(|counts| grouped(counts.get(label).copied().unwrap_or(0) as u64)));
        classes.push(row);
    }
    text += &classes.to_string();
    if !data.skipped.is_empty() {
        let files = if data.skipped.len() == 1 { "file" } else { "files" };
        text += &format!("\n{} {files} left out\n", data.skipped.len());
        for skipped in data.skipped.iter().take(LISTED) {
            text += &format!("  {}: {}\n", skipped.file.display(), skipped.reason);
        }
        if data.skipped.len() > LISTED {
            text += &format!("  and {} more: --format json lists all\n", data.skipped.len() - LISTED);
        }
    }
    Ok(text)
}

fn document(spec: &DataSpec, data: &Dataset) -> serde_json::Value {
    let shape = data.shape();
    let split =
        |split: &decouple_datasets::Split| json!({ "images": split.len(), "classes": split.class_counts() });
    let skipped = data
        .skipped
        .iter()
        .map(|file| json!({ "file": file.file.display().to_string(), "reason": file.reason }));
    json!({
        "data": spec,
        "shape": [shape.h, shape.w, shape.c],
        "checksum": data.checksum,
        "mean": data.mean,
        "std": data.std,
        "classes": data.classes,
        "train": split(&data.train),
        "validation": split(&data.validation),
        "test": split(&data.test),
        "skipped": skipped.collect::<Vec<_>>(),
    })
}

fn show(common: &Common, arguments: &DataShow) -> Result<u8, Failure> {
    let spec = spec(&arguments.choice)?;
    let data = load(&spec, common.data.as_deref())?;
    let sheet = contact_sheet(&data, &spec.augment, arguments.seed, arguments.columns.clamp(1, 100));
    let path = arguments.output.clone().unwrap_or_else(|| format!("{}.png", data.name).into());
    std::fs::write(&path, sheet)
        .map_err(|error| Failure::new(IO, format!("cannot write {}: {error}", path.display())))?;
    let rows = data.classes.iter().enumerate().map(|(row, class)| format!("row {:<3} {class}\n", row + 1));
    print(&format!("sheet   {}\n{}", path.display(), rows.collect::<String>()))?;
    Ok(SUCCESS)
}
