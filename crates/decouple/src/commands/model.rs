//! Networks on the command line: a family as it was published, a file of
//! weights, or a run.

use std::path::{Path, PathBuf};

use decouple_datasets::{DataSpec, Looking, Skipped, load as load_data};
use decouple_experiment::{Loss, Run, section};
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    backend::ExecutionError,
    network::{Family, NetworkKey, NetworkSpec},
    preprocessing::Preprocessing,
    weights::{Description, Images, error::WeightError, file::WeightFile, names::Naming, prefix},
};
use decouple_training::{
    classifier::{Classifier, ClassifierError, Seen, Sight, images as images_of},
    trial::WEIGHTS_FILE,
    weights::{LoadError, load},
};
use serde_json::json;

use crate::{
    arguments::{self, Common, Extents, Model, Names},
    failure::{DATA, Failure, IO, NOTHING, USAGE},
};

/// Most bytes of a file of labels.
const MOST_LABEL_BYTES: u64 = 1 << 24;

/// ImageNet's classes (tools/imagenet-classes.py).
const IMAGENET: &str = include_str!("../../assets/imagenet-classes.txt");

/// The network of `family` with `pairs` of keys and values: read as the
/// `[trial.network]` section of an experiment file would be.
pub(super) fn network<'a>(
    family: Option<&str>,
    pairs: impl Iterator<Item = &'a str>,
) -> Result<NetworkSpec, Failure> {
    let family = family.map(|family| format!("family={family}"));
    let pairs: Vec<String> = family.into_iter().chain(pairs.map(str::to_owned)).collect();
    Ok(section("network", &pairs)?)
}

/// Images and number of classes, as typed or as the family was published.
pub(super) fn images(family: Family, input: Option<Extents>, classes: Option<usize>) -> (MapShape, usize) {
    let (own, own_classes) = family.images();
    (input.map_or(own, |Extents(input)| input), classes.unwrap_or(own_classes))
}

pub(super) fn naming(names: Names) -> Naming {
    match names {
        Names::Decouple => Naming::Decouple,
        Names::Timm => Naming::Timm,
        Names::Keras => Naming::Keras,
    }
}

/// The network that is asked for, or else the one that `file` notes. Weights with
/// timm's names are taken for timm's numerics unless another is asked for.
pub(super) fn description(model: &Model, file: &WeightFile, naming: Naming) -> Result<Description, Failure> {
    let Some(family) = &model.family else {
        let remedy = "say which network it is for, as in --model xception";
        return Description::of(file)?
            .ok_or_else(|| Failure::new(USAGE, format!("{}: {remedy}", file.path().display())));
    };
    let is_set = model.set.iter().any(|pair| pair.trim_start_matches("network.").starts_with("numerics"));
    let spec = network(Some(family), model.set.iter().map(String::as_str))?;
    let numerics = if naming == Naming::Timm && !is_set && spec.family.reads(NetworkKey::Numerics) {
        Some("numerics=timm")
    } else {
        None
    };
    let network = network(Some(family), numerics.into_iter().chain(model.set.iter().map(String::as_str)))?;
    let (input, classes) = images(network.family, model.input, model.classes);
    Ok(Description { network, input: [input.h, input.w, input.c], classes })
}

/// Says what was taken off the front of all names in `file`, if anything was.
pub(super) fn tell_prefix(
    file: &WeightFile,
    naming: Naming,
    description: &Description,
) -> Result<(), Failure> {
    let prefix = prefix(file, naming, description)?;
    if !prefix.is_empty() {
        let file = file.path().display();
        say!("{file}: every name begins with `{prefix}`, which the network's do not: taken off");
    }
    Ok(())
}

/// A trained network on disk, of a run or of anybody.
pub(super) struct Trained {
    /// Its file of weights.
    pub(super) weights: PathBuf,
    /// Whose names that has.
    pub(super) naming: Naming,
    /// What network it is.
    pub(super) description: Description,
    /// The run, where it is one's.
    pub(super) run: Option<Run>,
    /// What the file notes of the images that it was trained on.
    noted: Option<Images>,
    /// The file of class names that was asked for.
    labels: Option<PathBuf>,
}

impl Trained {
    /// Finds what `arguments` ask for and reads what it says about itself.
    pub(super) fn open(arguments: &arguments::Trained) -> Result<Self, Failure> {
        let run = arguments.run.as_deref().map(run).transpose()?;
        let weights = match (&run, &arguments.weights) {
            (Some(run), _) => weights_of(run)?,
            (None, Some(weights)) => weights.clone(),
            (None, None) => return Err(Failure::new(USAGE, "say which network: --run or --weights")),
        };
        let file = WeightFile::open(&weights)?;
        let naming = arguments.from.map_or_else(|| Naming::of(file.header()), naming);
        let description = description(&arguments.model, &file, naming)?;
        tell_prefix(&file, naming, &description)?;
        let noted = Images::of(&file)?;
        Ok(Self { weights, naming, description, run, noted, labels: arguments.labels.clone() })
    }

    /// What it was trained on: as noted beside its weights, or in a run older than
    /// this note as the run's data say. `None` for weights from elsewhere.
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

    /// The network with its weights, and the names of its classes.
    pub(super) fn classifier(&self, common: &Common) -> Result<(Classifier, Vec<String>), Failure> {
        let images = self.images(common)?;
        let labels = self.labels(images.as_ref())?;
        let sight = self.sight(images.as_ref())?;
        let network = load(&self.weights, self.naming, &self.description).map_err(|error| match error {
            LoadError::Weights(error) => error.into(),
            LoadError::Execution(error) => Failure::from(error),
        })?;
        // Weights without a run are taken for those of a choice among all classes.
        let loss = self.run.as_ref().map_or(Loss::default(), |run| run.record.training.loss);
        Ok((Classifier { network, sight, loss }, labels))
    }

    fn sight(&self, images: Option<&Images>) -> Result<Sight, Failure> {
        let [h, w, c] = self.description.input;
        if let Some(images) = images {
            if c != 1 && c != 3 {
                let message = format!("the network's images have {c} channels: photographs have 1 or 3");
                return Err(Failure::new(USAGE, message));
            }
            let data = match &self.run {
                Some(run) => run.record.data.clone(),
                None => DataSpec::of_images(self.description.input, self.description.classes),
            };
            return Ok(Sight::trained(data, images));
        }
        let network = &self.description.network;
        let preprocessing = Preprocessing::of(network, [h, w]).filter(|_| c == 3);
        let preprocessing = preprocessing.ok_or_else(|| {
            let family = network.family;
            Failure::new(USAGE, format!("{family} on images of {h}x{w}x{c} has no published way to see photographs: expected a published family and three channels"))
        })?;
        Ok(Sight::Published(preprocessing))
    }
}

/// The run in `folder`.
fn run(folder: &Path) -> Result<Run, Failure> {
    if folder.join("trial.toml").is_file() {
        return Ok(Run::open(folder)?);
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

/// The file with the weights of `run`.
fn weights_of(run: &Run) -> Result<PathBuf, Failure> {
    let weights = run.dir.join(WEIGHTS_FILE);
    if weights.is_file() {
        return Ok(weights);
    }
    let folder = run.dir.display();
    let message = if run.status.is_some() {
        format!(
            "{folder}: no {WEIGHTS_FILE}: a run that has finished keeps its weights beside its rows; those of \
             published results are left out, and `decouple run ... --fresh` trains them again"
        )
    } else {
        format!("{folder}: the run has not finished: `decouple run` goes on with it")
    };
    Err(Failure::new(NOTHING, message))
}

/// Names of `classes` classes: the lines of a file, or ImageNet's.
fn labels(file: Option<&Path>, classes: usize) -> Result<Vec<String>, Failure> {
    let (text, name) = match file {
        Some(path) => (read_labels(path)?, path.display().to_string()),
        None if classes == IMAGENET.lines().count() => (IMAGENET.to_owned(), "ImageNet".to_owned()),
        None => return Ok((0..classes).map(|class| format!("class {class}")).collect()),
    };
    let labels: Vec<String> = text.lines().map(str::to_owned).collect();
    if labels.len() == classes {
        return Ok(labels);
    }
    let found = labels.len();
    Err(Failure::new(DATA, format!("{name}: {found} lines: expected one for each of {classes} classes")))
}

fn read_labels(path: &Path) -> Result<String, Failure> {
    let io = |source| Failure::from(WeightError::Io { path: PathBuf::from(path), source });
    let bytes = std::fs::metadata(path).map_err(io)?.len();
    if bytes > MOST_LABEL_BYTES {
        let expected = format!("expected at most {MOST_LABEL_BYTES}, a line a class");
        return Err(Failure::new(DATA, format!("{}: {bytes} bytes: {expected}", path.display())));
    }
    std::fs::read_to_string(path).map_err(io)
}

/// The name of a class without the WordNet id before it.
pub(super) fn plain_name(label: &str) -> &str {
    let is_id = |word: &str| {
        word.len() == 9 && word.starts_with('n') && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    label.split_once(' ').filter(|(first, _)| is_id(first)).map_or(label, |(_, name)| name)
}

/// Files left out that are listed by name.
const LISTED: usize = 20;

/// What came up while photographs were read.
#[derive(Default)]
pub(super) struct Remarks {
    /// Files that were left out.
    pub(super) skipped: Vec<Skipped>,
    /// Photographs that note how the camera was held.
    pub(super) with_orientation: usize,
}

impl Remarks {
    /// The values of what was read; a file that is no sound image is left out if
    /// `photographs` say so, and else refused.
    pub(super) fn sort(
        &mut self,
        photographs: &arguments::Photographs,
        seen: Result<Seen, Skipped>,
    ) -> Result<Option<Vec<f32>>, Failure> {
        match seen {
            Ok(seen) => {
                self.with_orientation += usize::from(seen.has_orientation);
                Ok(Some(seen.values))
            }
            Err(skipped) if photographs.corrupt == arguments::Corrupt::Skip => {
                self.skipped.push(skipped);
                Ok(None)
            }
            Err(Skipped { file, reason }) => {
                let file = file.display();
                let problem = format!("{file}: expected a sound JPEG, PNG or WebP file ({reason})");
                Err(Failure::new(
                    DATA,
                    format!("{problem}; --corrupt skip leaves such files out and lists them"),
                ))
            }
        }
    }

    /// Lines for people: what was turned, and what was left out.
    pub(super) fn text(&self, photographs: &arguments::Photographs) -> String {
        let mut text = String::new();
        if self.with_orientation > 0 {
            let count = self.with_orientation;
            let images = if count == 1 { "image notes" } else { "images note" };
            let what = if photographs.as_stored { "left as stored" } else { "turned upright" };
            text += &format!("{count} {images} how the camera was held: {what}\n");
        }
        text + &left_out(&self.skipped)
    }
}

/// Lines that list files that were left out.
pub(super) fn left_out(skipped: &[Skipped]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let files = if skipped.len() == 1 { "file" } else { "files" };
    let mut text = format!("{} {files} left out\n", skipped.len());
    for skipped in skipped.iter().take(LISTED) {
        text += &format!("  {}: {}\n", skipped.file.display(), skipped.reason);
    }
    if skipped.len() > LISTED {
        text += &format!("  and {} more: --format json lists all\n", skipped.len() - LISTED);
    }
    text
}

/// The same for programs.
pub(super) fn left_out_list(skipped: &[Skipped]) -> Vec<serde_json::Value> {
    let file =
        |skipped: &Skipped| json!({ "file": skipped.file.display().to_string(), "reason": skipped.reason });
    skipped.iter().map(file).collect()
}

impl arguments::Photographs {
    /// How files are looked at.
    pub(super) fn looking(&self) -> Looking {
        Looking { orientation: !self.as_stored, most_pixels: self.most_pixels }
    }
}

impl From<ClassifierError> for Failure {
    fn from(error: ClassifierError) -> Self {
        match error {
            ClassifierError::Execution(error) => error.into(),
            error @ ClassifierError::NotFinite { .. } => Self::new(DATA, error),
        }
    }
}

impl From<ExecutionError> for Failure {
    fn from(error: ExecutionError) -> Self {
        Self::new(IO, error)
    }
}
