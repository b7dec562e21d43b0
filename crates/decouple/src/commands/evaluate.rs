//! `decouple evaluate`: a network's accuracy on photographs, or on the test
//! images of its own data set.

use std::path::{Path, PathBuf};

use decouple_datasets::{
    Corrupt, DataError, Looking, class_names,
    image_folder::{LabelledFiles, labelled_files},
    load as load_data,
    stream::{Part, Streamed},
};
use decouple_training::{classifier::Hits, evaluation, objective::Objective};
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    photographs::{Remarks, left_out_list},
    trained::{Trained, refuse_other_images},
};
use crate::{
    arguments::{Common, Evaluate, Format, Photographs},
    failure::{DATA, Failure, IO, NOTHING, USAGE},
    text::answer,
};

/// Shares of images that are right.
struct Accuracy {
    images: usize,
    top_1: f64,
    /// `None` where there are no more than five classes.
    top_5: Option<f64>,
    /// Of a run whose images have any number of labels.
    map_at_100: Option<f64>,
    /// Remarks from reading photographs.
    remarks: Remarks,
    /// Notes on what is not read.
    notes: Vec<String>,
}

pub(crate) fn run(common: &Common, arguments: &Evaluate) -> Result<u8, Failure> {
    let trained = Trained::open(&arguments.trained)?;
    let accuracy = match &arguments.folder {
        Some(folder) => on_photographs(common, arguments, &trained, folder)?,
        None => on_own_images(common, arguments, &trained)?,
    };
    let Accuracy { images, top_1, top_5, map_at_100, remarks, notes } = accuracy;
    match arguments.format {
        Format::Human => {
            let line = |name, share: f64| {
                format!("{name}  {share:.4}  {} of {images}\n", (share * images as f64).round())
            };
            let top_5 = top_5.map(|share| line("top-5", share)).unwrap_or_default();
            let map = map_at_100.map(|map| format!("MAP@100  {map:.4}\n")).unwrap_or_default();
            let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
            answer(&(line("top-1", top_1) + &top_5 + &map + &notes + &remarks.text(&arguments.photographs)))
        }
        Format::Json => answer(&format!(
            "{}\n",
            json!({
                "images": images,
                "top_1": top_1,
                "top_5": top_5,
                "map_at_100": map_at_100,
                "with_orientation": remarks.with_orientation,
                "skipped": left_out_list(&remarks.skipped),
                "notes": notes,
            })
        )),
    }
}

fn on_photographs(
    common: &Common,
    arguments: &Evaluate,
    trained: &Trained,
    folder: &Path,
) -> Result<Accuracy, Failure> {
    let (mut classifier, labels) = trained.classifier(common)?;
    let (files, notes) = files(folder, trained, &labels)?;
    let (mut hits, mut remarks, photographs) = (Hits::default(), Remarks::default(), &arguments.photographs);
    let bar = ProgressBar::new(files.len() as u64);
    for batch in files.chunks(arguments.batch.get()) {
        classifier.count(batch, photographs.looking(), |seen| remarks.sort(photographs, seen), &mut hits)?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let Hits { images, top_1, top_5 } = hits;
    if images == 0 {
        refuse!(NOTHING, "{}: no sound image\n{}", folder.display(), remarks.text(photographs));
    }
    let share = |hits: usize| hits as f64 / images as f64;
    let top_5 = (labels.len() > 5).then_some(share(top_5));
    Ok(Accuracy { images, top_1: share(top_1), top_5, map_at_100: None, remarks, notes })
}

/// Scores the test images of the run's data set, as the run itself has done.
fn on_own_images(common: &Common, arguments: &Evaluate, trained: &Trained) -> Result<Accuracy, Failure> {
    let Some(run) = &trained.run else {
        refuse!(USAGE, "no photographs given: expected a folder with one folder per class");
    };
    let Photographs { corrupt, as_stored, most_pixels } = arguments.photographs;
    let is_usual = corrupt == Corrupt::Refuse && !as_stored && most_pixels == Looking::default().most_pixels;
    if !is_usual || arguments.trained.labels.is_some() {
        refuse!(
            USAGE,
            "--labels, --corrupt, --as-stored and --most-pixels are about photographs: expected a folder of them; the \
             run's own images are read as the run has read them"
        );
    }
    let data = load_data(&run.record.data, common.data.as_deref())?;
    refuse_other_images(run, &data.checksum)?;
    let mut network = trained.network()?;
    let objective = Objective::new(&run.record.training, &data);
    let scores =
        evaluation::evaluate_part(&mut *network, &data, Part::Test, arguments.batch.get(), &objective);
    let scores = scores.map_err(|error| Failure::new(IO, error))?;
    if !scores.loss.is_finite() {
        let loss = scores.loss;
        refuse!(DATA, "{}: the loss is {loss}, so there is no score", trained.weights.display());
    }
    let left_out = data.stream.as_ref().map(Streamed::left_out).unwrap_or_default().1;
    Ok(Accuracy {
        images: scores.images as usize,
        top_1: scores.accuracy,
        top_5: scores.top5_accuracy,
        map_at_100: scores.map_at_100,
        remarks: Remarks { skipped: [data.skipped, left_out].concat(), with_orientation: 0 },
        notes: data.notes,
    })
}

/// Files with their classes, and notes on what is not read.
type Files = (Vec<(PathBuf, usize)>, Vec<String>);

/// Every image file of `folder` with its class among `labels`.
fn files(folder: &Path, trained: &Trained, labels: &[String]) -> Result<Files, Failure> {
    let expected = "expected a folder of JPEG, PNG or WebP files for each class";
    let found = labelled_files(folder).map_err(|error| match error {
        // Not below `--data`, as the folder of a set would be.
        DataError::Folder { folder, source, .. } => {
            Failure::new(DATA, format!("{}: {source}: {expected}", folder.display()))
        }
        error => error.into(),
    });
    let LabelledFiles { classes: folders, files, notes } = found?;
    if files.is_empty() {
        refuse!(NOTHING, "{}: no image: {expected}", folder.display());
    }
    let named = class_names::labels(&folders, labels);
    let classes = match named {
        Err(_) if trained.is_nameless() => class_names::numbered(&folders, labels.len()),
        named => named,
    };
    let classes = classes.map_err(|unknown| no_such_class(folder, trained, labels, &unknown))?;
    Ok((files.into_iter().map(|(file, index)| (file, classes[index])).collect(), notes))
}

fn no_such_class(folder: &Path, trained: &Trained, labels: &[String], unknown: &str) -> Failure {
    let (folder, last) = (folder.display(), labels.len() - 1);
    let expected = if trained.is_nameless() {
        format!(
            "the network's classes have no names: expected folders called by their numbers, 0 to {last}, or a file \
             of names in the order of the classes (--labels)"
        )
    } else {
        format!("expected folders called by a class's label or its first word, such as `{}`", labels[0])
    };
    Failure::new(DATA, format!("{folder}: folders that are not classes: {unknown}; {expected}"))
}
