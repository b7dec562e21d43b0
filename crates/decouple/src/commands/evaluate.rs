//! `decouple evaluate`: a network's accuracy on a folder of photographs.

use std::path::{Path, PathBuf};

use decouple_datasets::image_folder::{LabelledFiles, labelled_files};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde_json::json;

use super::model::{Classifier, ranked, see};
use crate::{
    arguments::{Evaluate, Format},
    failure::{DATA, Failure, NOTHING, SUCCESS},
    text::print,
};

pub(crate) fn run(arguments: &Evaluate) -> Result<u8, Failure> {
    let mut classifier = Classifier::load(&arguments.classifier)?;
    let files = files(&arguments.folder, &classifier.labels)?;
    let (mut first, mut among_five) = (0, 0);
    let bar = ProgressBar::new(files.len() as u64);
    let preprocessing = classifier.preprocessing();
    for batch in files.chunks(arguments.batch.max(1)) {
        let images: Vec<Vec<f32>> =
            batch.par_iter().map(|(file, _)| see(&preprocessing, file)).collect::<Result<_, _>>()?;
        let probabilities = classifier.probabilities(&images.concat())?;
        for ((_, class), probabilities) in batch.iter().zip(probabilities) {
            let place = ranked(&probabilities).iter().position(|found| found == class);
            first += usize::from(place == Some(0));
            among_five += usize::from(place.is_some_and(|place| place < 5));
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    let count = files.len();
    let share = |hits: usize| hits as f64 / count as f64;
    match arguments.format {
        Format::Human => print(&format!(
            "top-1  {:.4}  {first} of {count}\ntop-5  {:.4}  {among_five} of {count}\n",
            share(first),
            share(among_five)
        ))?,
        Format::Json => print(&format!(
            "{}\n",
            json!({ "images": count, "top_1": share(first), "top_5": share(among_five) })
        ))?,
    }
    Ok(SUCCESS)
}

/// Every image file of `folder` with its class among `labels`.
fn files(folder: &Path, labels: &[String]) -> Result<Vec<(PathBuf, usize)>, Failure> {
    let LabelledFiles { classes: folders, files } = labelled_files(folder)?;
    if files.is_empty() {
        let expected = "expected a folder of JPEG or PNG files for each class";
        return Err(Failure::new(NOTHING, format!("{}: no image: {expected}", folder.display())));
    }
    let by_name = |name: &String| {
        let is_called = |label: &String| label == name || label.split(' ').next() == Some(name);
        labels.iter().position(is_called)
    };
    let classes: Vec<Option<usize>> = folders.iter().map(by_name).collect();
    let unknown = classes.iter().position(Option::is_none);
    match unknown {
        None => Ok(files.into_iter().map(|(file, index)| (file, classes[index].unwrap_or(index))).collect()),
        Some(_) if folders.len() == labels.len() => Ok(files),
        Some(index) => {
            let (name, found, expected) = (&folders[index], folders.len(), labels.len());
            Err(Failure::new(
                DATA,
                format!(
                    "{}: no class is called `{name}`: expected labels, or {expected} folders in the order of the classes and not {found}",
                    folder.display()
                ),
            ))
        }
    }
}
