//! `decouple evaluate`: a network's accuracy on photographs, or on the test
//! images of its own data set.

use std::path::{Path, PathBuf};

use decouple_datasets::{
    image_folder::{LabelledFiles, labelled_files},
    load as load_data,
};
use decouple_training::{
    classifier::{Classifier, Hits},
    evaluation,
};
use indicatif::ProgressBar;
use serde_json::json;

use super::model::Trained;
use crate::{
    arguments::{Common, Evaluate, Format},
    failure::{DATA, Failure, IO, NOTHING, SUCCESS, USAGE},
    text::print,
};

/// Shares of images that are right.
struct Accuracy {
    images: usize,
    top_1: f64,
    /// `None` where there are no more than five classes.
    top_5: Option<f64>,
}

pub(crate) fn run(common: &Common, arguments: &Evaluate) -> Result<u8, Failure> {
    let trained = Trained::open(&arguments.trained)?;
    let accuracy = match &arguments.folder {
        Some(folder) => on_photographs(common, arguments, &trained, folder)?,
        None => on_own_images(common, arguments, &trained)?,
    };
    let Accuracy { images, top_1, top_5 } = accuracy;
    match arguments.format {
        Format::Human => {
            let line = |name, share: f64| {
                format!("{name}  {share:.4}  {} of {images}\n", (share * images as f64).round())
            };
            let top_5 = top_5.map(|share| line("top-5", share)).unwrap_or_default();
            print(&(line("top-1", top_1) + &top_5))?;
        }
        Format::Json => print(&format!("{}\n", json!({ "images": images, "top_1": top_1, "top_5": top_5 })))?,
    }
    Ok(SUCCESS)
}

fn on_photographs(
    common: &Common,
    arguments: &Evaluate,
    trained: &Trained,
    folder: &Path,
) -> Result<Accuracy, Failure> {
    let (mut classifier, labels) = trained.classifier(common)?;
    let files = files(folder, &labels)?;
    let bar = ProgressBar::new(files.len() as u64);
    let hits = classifier.score(&files, arguments.batch, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let Hits { images, top_1, top_5 } = hits?;
    let share = |hits: usize| hits as f64 / images as f64;
    Ok(Accuracy { images, top_1: share(top_1), top_5: (labels.len() > 5).then_some(share(top_5)) })
}

/// Scores the test images of the run's data set, as the run itself has done.
fn on_own_images(common: &Common, arguments: &Evaluate, trained: &Trained) -> Result<Accuracy, Failure> {
    let Some(run) = &trained.run else {
        return Err(Failure::new(USAGE, "say which photographs: a folder with a folder for each class"));
    };
    let data = load_data(&run.record.data, common.data.as_deref())?;
    let (Classifier { mut network, .. }, _) = trained.classifier(common)?;
    let scores = evaluation::evaluate(&mut *network, &data.test, &data.normalisation(), arguments.batch);
    let scores = scores.map_err(|error| Failure::new(IO, error))?;
    Ok(Accuracy { images: data.test.len(), top_1: scores.accuracy, top_5: scores.top5_accuracy })
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
