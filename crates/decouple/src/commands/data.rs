//! `decouple data`: a data set in numbers and in pictures.

use std::path::Path;

use decouple_datasets::{
    Corrupt, DataSpec, Dataset, Source, StandIn, bytes_in_memory, contact_sheet,
    image_folder::ImageFolder,
    import as import_folder,
    known::{KNOWN, KnownError},
    load,
    manifest::Manifest,
    stream::{BatchOrder, Part, Shards},
};
use decouple_experiment::section;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    experiment::{is_experiment, read_as_run},
    photographs::{left_out, left_out_list},
    targets::write,
};
use crate::{
    arguments::{
        Common, Data, DataChoice, DataFetch, DataImport, DataInfo, DataShow, DataStandIn, DataVerify, Format,
    },
    environment::cores,
    failure::{DATA, Failure, IO, SUCCESS, USAGE},
    text::{TextTable, answer, bytes, grouped, print},
};

pub(crate) fn run(common: &Common, data: &Data) -> Result<u8, Failure> {
    match data {
        Data::List => list(common),
        Data::Info(arguments) => info(common, arguments),
        Data::Verify(arguments) => verify(common, arguments),
        Data::Fetch(arguments) => fetch(common, arguments),
        Data::Import(arguments) => import(common, arguments),
        Data::StandIn(arguments) => stand_in(arguments),
        Data::Show(arguments) => show(common, arguments),
    }
}

/// What the arguments ask for: read as the `[trial.data]` section of an
/// experiment file would be.
fn spec(common: &Common, choice: &DataChoice) -> Result<DataSpec, Failure> {
    let set = std::iter::once(format!("set={}", choice.set));
    let of_set = section("data", &set.chain(choice.keys.iter().cloned()).collect::<Vec<_>>());
    if of_set.is_err() && is_experiment(&choice.set) {
        let typed =
            |pair: &String| if pair.starts_with("data.") { pair.clone() } else { format!("data.{pair}") };
        let keys: Vec<String> = choice.keys.iter().map(typed).collect();
        let sweep = read_as_run(common, choice.set.as_ref(), &keys)?;
        return Ok(sweep.trials.first().map_or_else(DataSpec::default, |trial| trial.record.data.clone()));
    }
    Ok(of_set?)
}

/// The folder of data sets.
fn folder(common: &Common) -> &Path {
    common.data.as_deref().unwrap_or(Path::new("."))
}

fn list(common: &Common) -> Result<u8, Failure> {
    let mut table = TextTable::new(4, &["set", "what", "folder", "there"]);
    for known in KNOWN {
        let own = folder(common).join(known.folder);
        let is_there = if known.is_there(common.data.as_deref()) { "yes" } else { "no" };
        let own = own.display().to_string();
        table.push(vec![known.name.to_owned(), known.what.to_owned(), own, is_there.to_owned()]);
    }
    let others = "Without a folder: fashion-mnist (subset = \"embedded\") and planted. Your own: image-folder, shards, manifest.";
    answer(&format!("{table}\n{others}\n"))
}

fn fetch(common: &Common, arguments: &DataFetch) -> Result<u8, Failure> {
    let known = KNOWN.iter().find(|known| known.name == arguments.set).ok_or_else(|| {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        Failure::new(
            USAGE,
            format!("there is no known set `{}`: expected one of {}", arguments.set, names.join(", ")),
        )
    })?;
    let style = ProgressStyle::with_template("{bar:20} {bytes} of {total_bytes}  {wide_msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let place = known.fetch(folder(common), &mut |file, done, whole| {
        bar.set_message(file.to_owned());
        bar.set_length(whole.unwrap_or(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let place = place.map_err(|error| match error {
        KnownError::Fetch(error) => Failure::new(IO, error),
        KnownError::Data(error) => error.into(),
    })?;
    answer(&format!("{}: complete, with the published checksum\n", place.display()))
}

fn import(common: &Common, arguments: &DataImport) -> Result<u8, Failure> {
    let set = std::iter::once("set=image-folder".to_owned());
    let spec: DataSpec = section("data", &set.chain(arguments.keys.iter().cloned()).collect::<Vec<_>>())?;
    let Source::ImageFolder(images) = &spec.source else {
        refuse!(USAGE, "expected keys of an image folder");
    };
    let imported = import_folder(images, common.data.as_deref(), &arguments.target, arguments.samples)?;
    let [train, test] = imported.images.map(|count| grouped(count as u64));
    let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
    let skipped = left_out(imported.skipped.len(), &imported.skipped, "");
    let target = arguments.target.display();
    answer(&format!("{target}: {train} train, {test} test in {} shards\n{notes}{skipped}", imported.shards))
}

fn stand_in(arguments: &DataStandIn) -> Result<u8, Failure> {
    let &DataStandIn { ref target, train, test, classes, labels, size, seed, samples } = arguments;
    let stand_in = StandIn { images: [train, test], classes, labels, side: size, samples, seed };
    let written = stand_in.write(target)?;
    let [most, median] = written.shares.map(|share| format!("{:.3} %", 100.0 * share));
    answer(&format!(
        "{}: {} train, {} test in {} shards\n{:.1} labels an image; the most frequent class is in {most} of the \
         images, the median class in {median}\n",
        target.display(),
        grouped(train as u64),
        grouped(test as u64),
        written.shards,
        written.mean_labels
    ))
}

/// Decodes everything. A set in memory was already decoded when it was loaded.
fn verify(common: &Common, arguments: &DataVerify) -> Result<u8, Failure> {
    let mut spec = spec(common, &arguments.choice)?;
    if let Source::ImageFolder(ImageFolder { reading, .. })
    | Source::Shards(Shards { reading, .. })
    | Source::Manifest(Manifest { reading, .. }) = &mut spec.source
    {
        reading.corrupt = Corrupt::Skip;
    }
    let data = load(&spec, common.data.as_deref())?;
    let (mut skipped, mut count) = (data.skipped.clone(), data.skipped.len());
    let mut images: usize = Part::ALL.iter().map(|&part| data.split(part).len()).sum();
    if let Some(stream) = &data.stream {
        for part in Part::ALL {
            for batch in stream.batches(part, BatchOrder::AsStored, 64, &[], cores()) {
                images += batch?.len();
            }
        }
        let (more, first) = stream.left_out();
        count += more;
        skipped.extend(first);
    }
    let notes: String = data.notes.iter().map(|note| format!("{note}\n")).collect();
    let sound = format!("{} sound images\nchecksum  {}\n{notes}", grouped(images as u64), data.checksum);
    print(&(sound + &left_out(count, &skipped, "")))?;
    if let Some(expected) = arguments.checksum.as_ref().filter(|expected| **expected != data.checksum) {
        refuse!(DATA, "{}: expected the checksum {expected}, found {}", data.name, data.checksum);
    }
    Ok(if skipped.is_empty() { SUCCESS } else { DATA })
}

fn info(common: &Common, arguments: &DataInfo) -> Result<u8, Failure> {
    let spec = spec(common, &arguments.choice)?;
    let data = load(&spec, common.data.as_deref())?;
    match arguments.format {
        Format::Human => answer(&human(&spec, &data)?),
        Format::Json => answer(&format!("{}\n", document(&spec, &data))),
    }
}

fn human(spec: &DataSpec, data: &Dataset) -> Result<String, Failure> {
    let splits = [&data.train, &data.validation, &data.test];
    let [train, validation, test] =
        [Part::Train, Part::Validation, Part::Test].map(|part| grouped(data.images(part) as u64));
    let mut text =
        format!("images    {train} train, {validation} validation, {test} test, {}\n", data.shape());
    let memory = if data.stream.is_some() { "streamed".to_owned() } else { bytes(bytes_in_memory([data])) };
    text += &format!("memory    {memory}\nchecksum  {}\n", data.checksum);
    let record = toml::to_string(spec).map_err(|error| Failure::new(USAGE, error))?;
    text += &format!("\n[trial.data]\n{record}\n");

    let mut channels = TextTable::new(1, &["channel", "mean", "std"]);
    for (channel, (mean, std)) in data.mean.iter().zip(&data.std).enumerate() {
        channels.push(vec![channel.to_string(), format!("{mean:.4}"), format!("{std:.4}")]);
    }
    text += &format!("{channels}\n");

    let mut classes = TextTable::new(2, &["label", "class", "train", "validation", "test"]);
    let counts = splits.map(|split| split.class_counts());
    for (label, class) in data.classes.iter().enumerate() {
        let mut row = vec![label.to_string(), class.clone()];
        let count = |counts: &Vec<usize>| match data.stream {
            Some(_) => String::new(),
            None => grouped(counts.get(label).copied().unwrap_or(0) as u64),
        };
        row.extend(counts.iter().map(count));
        classes.push(row);
    }
    text += &classes.to_string();
    if !data.notes.is_empty() || !data.skipped.is_empty() {
        text.push('\n');
    }
    text.extend(data.notes.iter().map(|note| format!("{note}\n")));
    text += &left_out(data.skipped.len(), &data.skipped, ": --format json lists all");
    Ok(text)
}

fn document(spec: &DataSpec, data: &Dataset) -> serde_json::Value {
    let shape = data.shape();
    // The labels of a streamed set are not known before it is read.
    let split = |part: Part| {
        let classes = data.stream.is_none().then(|| data.split(part).class_counts());
        json!({ "images": data.images(part), "classes": classes })
    };
    json!({
        "data": spec,
        "shape": [shape.h, shape.w, shape.c],
        "checksum": data.checksum,
        "mean": data.mean,
        "std": data.std,
        "classes": data.classes,
        "train": split(Part::Train),
        "validation": split(Part::Validation),
        "test": split(Part::Test),
        "skipped": left_out_list(&data.skipped),
        "notes": data.notes,
    })
}

fn show(common: &Common, arguments: &DataShow) -> Result<u8, Failure> {
    let spec = spec(common, &arguments.choice)?;
    let data = load(&spec, common.data.as_deref())?;
    if data.stream.is_some() {
        refuse!(
            USAGE,
            "no contact sheet can be made of a streamed set: expected an image folder without `stream`"
        );
    }
    let sheet = contact_sheet(&data, &spec.augment, arguments.seed, arguments.columns as usize);
    let path = arguments.output.clone().unwrap_or_else(|| format!("{}.png", data.name).into());
    if path.is_file() {
        // It could be one of the photographs.
        refuse!(
            USAGE,
            "{}: there is such a file already: remove it, or name another by --output",
            path.display()
        );
    }
    write(&path, &sheet)?;
    let rows = data.classes.iter().enumerate().map(|(row, class)| format!("row {:<3} {class}\n", row + 1));
    answer(&format!("sheet   {}\n{}", path.display(), rows.collect::<String>()))
}
