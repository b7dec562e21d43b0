//! `decouple evaluate`: a network's accuracy on a folder of photographs.

use std::path::{Path, PathBuf};

use decouple_datasets::class_names;
use decouple_datasets::image_folder::{LabelledFiles, labelled_files};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde_json::json;

use super::model::{Classifier, Remarks, left_out_list, ranked, see};
use crate::{
    arguments::{Evaluate, Format},
    failure::{DATA, Failure, NOTHING, SUCCESS},
    text::print,
};

pub(crate) fn run(arguments: &Evaluate) -> Result<u8, Failure> {
    let mut classifier = Classifier::load(&arguments.classifier)?;
    let (files, notes) = files(&arguments.folder, &classifier)?;
    let (mut count, mut first, mut among_five) = (0, 0, 0);
    let bar = ProgressBar::new(files.len() as u64);
    let (preprocessing, photographs) = (classifier.preprocessing(), &arguments.photographs);
    let mut remarks = Remarks::default();
    for batch in files.chunks(arguments.batch.max(1)) {
        let seen: Vec<_> =
            batch.par_iter().map(|(file, _)| see(&preprocessing, photographs.looking(), file)).collect();
        let (mut images, mut classes) = (Vec::new(), Vec::new());
        for ((_, class), seen) in batch.iter().zip(seen) {
            if let Some(values) = remarks.sort(photographs, seen)? {
                images.extend(values);
                classes.push(*class);
            }
        }
        bar.inc(batch.len() as u64);
        if classes.is_empty() {
            continue;
        }
        for (class, probabilities) in classes.iter().zip(classifier.probabilities(&images)?) {
            let place = ranked(&probabilities).iter().position(|found| found == class);
            count += 1;
            first += usize::from(place == Some(0));
            among_five += usize::from(place.is_some_and(|place| place < 5));
        }
    }
    bar.finish_and_clear();
    if count == 0 {
        let folder = arguments.folder.display();
        return Err(Failure::new(
            NOTHING,
            format!("{folder}: no sound image\n{}", remarks.text(photographs)),
        ));
    }
    let share = |hits: usize| hits as f64 / count as f64;
    match arguments.format {
        Format::Human => {
            let text = format!(
                "top-1  {:.4}  {first} of {count}\ntop-5  {:.4}  {among_five} of {count}\n",
                share(first),
                share(among_five)
            );
            let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
            print(&(text + &notes + &remarks.text(photographs)))?;
        }
        Format::Json => print(&format!(
            "{}\n",
            json!({
                "images": count,
                "top_1": share(first),
                "top_5": share(among_five),
                "with_orientation": remarks.with_orientation,
                "skipped": left_out_list(&remarks.skipped),
                "notes": notes,
            })
        ))?,
    }
    Ok(SUCCESS)
}

/// Files with their classes, and words on what is not read.
type Files = (Vec<(PathBuf, usize)>, Vec<String>);

/// Every image file of `folder` with its class among those of `classifier`.
fn files(folder: &Path, classifier: &Classifier) -> Result<Files, Failure> {
    let LabelledFiles { classes: folders, files, notes } = labelled_files(folder)?;
    if files.is_empty() {
        let expected = "expected a folder of JPEG, PNG or WebP files for each class";
        return Err(Failure::new(NOTHING, format!("{}: no image: {expected}", folder.display())));
    }
    let labels = &classifier.labels;
    let classes = match class_names::labels(&folders, labels) {
        Ok(classes) => classes,
        Err(unknown) => {
            let numbers = class_names::numbered(&folders, labels.len()).filter(|_| classifier.is_nameless);
            numbers.ok_or_else(|| no_such_class(folder, classifier, &unknown))?
        }
    };
    Ok((files.into_iter().map(|(file, index)| (file, classes[index])).collect(), notes))
}

fn no_such_class(folder: &Path, classifier: &Classifier, unknown: &str) -> Failure {
    let (folder, last) = (folder.display(), classifier.labels.len() - 1);
    let expected = if classifier.is_nameless {
        format!(
            "the network's classes have no names: expected folders called by their numbers, 0 to {last}, or a file \
             of names in the order of the classes (--labels)"
        )
    } else {
        format!(
            "expected folders called by a class's label or its first word, such as `{}`",
            classifier.labels[0]
        )
    };
    Failure::new(DATA, format!("{folder}: folders that are no class: {unknown}; {expected}"))
}
