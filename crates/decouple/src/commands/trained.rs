//! Trained networks on the command line: a run, or a file of weights.

use std::path::{Path, PathBuf};

use decouple_datasets::{class_names, load as load_data};
use decouple_experiment::{Loss, Outcome, Run};
use decouple_reporting::analysis::ending;
use decouple_spectrum::{
    backend::Executor,
    weights::{Description, Images, file::WeightFile, names::Naming},
};
use decouple_training::{
    classifier::{Classifier, ClassifierError, Sight, images as images_of},
    stored_network::{LoadError, WEIGHTS_FILE, load},
};

use super::model::{description, tell_prefix};
use crate::{
    arguments::{self, Common},
    failure::{DATA, Failure, NOTHING, USAGE},
};

/// ImageNet's classes (tools/imagenet-classes.py).
const IMAGENET: &str = include_str!("../../assets/imagenet-classes.txt");

/// A trained network on disk, from a run or from elsewhere.
pub(super) struct Trained {
    /// Its file of weights.
    pub(super) weights: PathBuf,
    /// Format of its names.
    pub(super) naming: Naming,
    /// The network.
    pub(super) description: Description,
    /// The run that it belongs to, if any.
    pub(super) run: Option<Run>,
    /// What the file records about its training images.
    noted: Option<Images>,
    /// The file of class names that was asked for.
    labels: Option<PathBuf>,
}

impl Trained {
    /// Finds what `arguments` ask for and reads what it says about itself.
    pub(super) fn open(arguments: &arguments::TrainedArguments) -> Result<Self, Failure> {
        let run = arguments.run.as_deref().map(run).transpose()?;
        let weights = match (&run, &arguments.weights) {
            (Some(run), _) => weights_of(run, "decouple run FILE")?,
            (None, Some(weights)) => weights.clone(),
            (None, None) => return Err(Failure::new(USAGE, "no network given: expected --run or --weights")),
        };
        let file = WeightFile::open(&weights)?;
        let naming = arguments.from.unwrap_or_else(|| Naming::of(file.header()));
        let description = description(&arguments.model, &file, naming)?;
        tell_prefix(&file, naming, &description)?;
        let noted = Images::of(&file, &description)?;
        Ok(Self { weights, naming, description, run, noted, labels: arguments.labels.clone() })
    }

    /// Its training images: as recorded beside its weights or, for older runs, from the run's
    /// data. `None` for weights from elsewhere.
    pub(super) fn images(&self, common: &Common) -> Result<Option<Images>, Failure> {
        match (&self.noted, &self.run) {
            (Some(noted), _) => Ok(Some(noted.clone())),
            (None, Some(run)) => Ok(Some(images_of(&load_data(&run.record.data, common.data.as_deref())?))),
            (None, None) => Ok(None),
        }
    }

    /// Whether the labels are only the classes' numbers.
    pub(super) fn is_nameless(&self) -> bool {
        let is_known = self.noted.is_some() || self.run.is_some() || self.labels.is_some();
        !is_known && self.description.classes != IMAGENET.lines().count()
    }

    /// Names of the classes: those of a file, those it was trained on, or
    /// ImageNet's.
    pub(super) fn labels(&self, images: Option<&Images>) -> Result<Vec<String>, Failure> {
        match images {
            Some(images) if self.labels.is_none() => Ok(images.classes.clone()),
            _ => labels(self.labels.as_deref(), self.description.classes),
        }
    }

    /// The network with its weights.
    pub(super) fn network(&self) -> Result<Box<dyn Executor>, Failure> {
        // A run's own, since its scores depend on it.
        let arithmetic = self.run.as_ref().map(|run| run.record.training.arithmetic()).unwrap_or_default();
        load(&self.weights, self.naming, &self.description, arithmetic).map_err(|error| match error {
            LoadError::Weights(error) => error.into(),
            LoadError::Execution(error) => Failure::from(error),
        })
    }

    /// The network with its weights, looking at photographs, and the names of its classes.
    pub(super) fn classifier(&self, common: &Common) -> Result<(Classifier, Vec<String>), Failure> {
        let images = self.images(common)?;
        let labels = self.labels(images.as_ref())?;
        let data = self.run.as_ref().map(|run| &run.record.data);
        let sight = Sight::of(&self.description, images.as_ref(), data)?;
        let network = self.network()?;
        // Weights without a run are assumed to choose one among all classes.
        let loss = self.run.as_ref().map_or(Loss::default(), |run| run.record.training.loss);
        if self.run.is_none() && self.noted.is_some() {
            say!(
                "note: weights do not say how their photographs were cut and scaled, nor how many classes an image may \
                 have: as by default. --run does as the run did"
            );
        }
        Ok((Classifier { network, sight, loss }, labels))
    }
}

/// The run in `folder`.
fn run(folder: &Path) -> Result<Run, Failure> {
    if folder.join("trial.toml").is_file() {
        return whole(folder, "decouple run FILE");
    }
    let folder_text = folder.display();
    let runs = std::fs::read_dir(folder.join("runs")).into_iter().flatten().flatten();
    let mut runs: Vec<PathBuf> = runs.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    runs.sort();
    let message = match runs.first() {
        Some(first) => format!(
            "{folder_text} holds the {} runs of an experiment: expected the folder of one of them, such as {}",
            runs.len(),
            first.display()
        ),
        None => {
            format!("{folder_text}: no trial.toml: expected the folder of a run, as in results/NAME/runs/...")
        }
    };
    Err(Failure::new(NOTHING, message))
}

/// The run in `folder` after a look at all its files; `command` trains its experiment.
pub(super) fn whole(folder: &Path, command: &str) -> Result<Run, Failure> {
    Run::open(folder)
        .map_err(|problem| Failure::new(DATA, format!("{problem}\n   = {}", problem.advice(command))))
}

/// Refuses to score `run` on images of another checksum than it was trained on.
pub(super) fn refuse_other_images(run: &Run, checksum: &str) -> Result<(), Failure> {
    let Some(difference) = run.other_images(checksum) else { return Ok(()) };
    refuse!(
        DATA,
        "{difference}\n   = the scores would not be the run's: --data names the folder of its images"
    )
}

/// The file with the weights of `run`; `command` trains its experiment.
pub(super) fn weights_of(run: &Run, command: &str) -> Result<PathBuf, Failure> {
    let weights = run.dir.join(WEIGHTS_FILE);
    if weights.is_file() {
        return Ok(weights);
    }
    let folder = run.dir.display();
    if run.status.is_none() {
        refuse!(NOTHING, "{folder}: the run has not finished: `{command}` continues it");
    }
    if let Some(status) = run.status.as_ref().filter(|status| status.outcome != Outcome::Finished) {
        let ending = ending(&status.outcome);
        refuse!(NOTHING, "{folder}: no weights, since the run {ending}\n   = choose a run that has finished");
    }
    let id = run.id.short();
    refuse!(
        DATA,
        "{folder}: no {WEIGHTS_FILE}: a run that has finished keeps its weights beside its rows; those of published \
         results are left out\n   = `{command} --fresh --filter id={id}` trains it again"
    );
}

/// Names of `classes` classes: the lines of a file, or ImageNet's.
fn labels(file: Option<&Path>, classes: usize) -> Result<Vec<String>, Failure> {
    let (text, name) = match file {
        Some(path) => (read_labels(path)?, path.display().to_string()),
        None if classes == IMAGENET.lines().count() => (IMAGENET.to_owned(), "ImageNet".to_owned()),
        None => return Ok((0..classes).map(|class| format!("class {class}")).collect()),
    };
    let labels: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if labels.len() == classes {
        return Ok(labels);
    }
    let found = labels.len();
    Err(Failure::new(DATA, format!("{name}: {found} lines: expected one for each of {classes} classes")))
}

fn read_labels(path: &Path) -> Result<String, Failure> {
    class_names::text(path).map_err(|problem| Failure::new(DATA, format!("{}: {problem}", path.display())))
}

impl From<ClassifierError> for Failure {
    fn from(error: ClassifierError) -> Self {
        match error {
            ClassifierError::Execution(error) => error.into(),
            error @ ClassifierError::NotFinite { .. } => Self::new(DATA, error),
        }
    }
}
