//! Networks on the command line, and what is needed to run one on photographs.

use std::path::{Path, PathBuf};

use decouple_datasets::{Looking, Photograph, Skipped};
use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    backend::{Executor, Pass},
    network::{Family, NetworkSpec},
    preprocessing::Preprocessing,
    weights::{Description, error::WeightError, file::WeightFile, names::Naming},
};
use decouple_training::{
    loss,
    weights::{LoadError, load},
};
use serde_json::json;

use super::section_text;
use crate::{
    arguments::{self, Extents, Model, Names},
    failure::{DATA, Failure, IO, USAGE},
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
    let pairs: Vec<&str> = pairs.collect();
    let section = section_text("network", family.as_deref().into_iter().chain(pairs))?;
    toml::from_str(&section).map_err(|error| Failure::new(USAGE, error))
}

/// Images and number of classes, as typed or as the family was published.
pub(super) fn images(family: Family, input: Option<Extents>, classes: Option<usize>) -> (MapShape, usize) {
    let side = family.image_side();
    let (channels, own_classes) = if family == Family::MiniXception { (1, 10) } else { (3, 1000) };
    let input = input.map_or(MapShape::new(side, side, channels), |Extents(input)| input);
    (input, classes.unwrap_or(own_classes))
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
    let numerics = if naming == Naming::Timm && !is_set && spec.family.reads("numerics") {
        Some("numerics=timm")
    } else {
        None
    };
    let network = network(Some(family), numerics.into_iter().chain(model.set.iter().map(String::as_str)))?;
    let (input, classes) = images(network.family, model.input, model.classes);
    Ok(Description { network, input: [input.h, input.w, input.c], classes })
}

/// A network with weights, and what it needs to see a photograph.
pub(super) struct Classifier {
    network: Box<dyn Executor>,
    preprocessing: Preprocessing,
    /// A name for each class.
    pub(super) labels: Vec<String>,
    /// Whether the labels are only the classes' numbers.
    pub(super) is_nameless: bool,
}

impl Classifier {
    /// Loads what `arguments` ask for.
    pub(super) fn load(arguments: &arguments::Classifier) -> Result<Self, Failure> {
        let file = WeightFile::open(&arguments.weights)?;
        let naming = arguments.from.map_or_else(|| Naming::of(file.header()), naming);
        let description = description(&arguments.model, &file, naming)?;
        let [h, w, c] = description.input;
        let preprocessing = Preprocessing::of(&description.network, [h, w]).filter(|_| c == 3);
        let preprocessing = preprocessing.ok_or_else(|| {
            let family = description.network.family;
            Failure::new(USAGE, format!("{family} on images of {h}x{w}x{c} has no published way to see photographs: expected a published family and three channels"))
        })?;
        let labels = labels(arguments.labels.as_deref(), description.classes)?;
        let is_nameless = arguments.labels.is_none() && description.classes != IMAGENET.lines().count();
        let network = load(&arguments.weights, naming, &description).map_err(|error| match error {
            LoadError::Weights(error) => error.into(),
            LoadError::Execution(error) => Failure::new(IO, error),
        })?;
        Ok(Self { network, preprocessing, labels, is_nameless })
    }

    /// How photographs are seen, to be used from several threads.
    pub(super) fn preprocessing(&self) -> Preprocessing {
        self.preprocessing
    }

    /// The probability of each class for each of the `images`, one after the other.
    pub(super) fn probabilities(&mut self, images: &[f32]) -> Result<Vec<Vec<f64>>, Failure> {
        let count = images.len() / self.network.plan().graph.input().len();
        let batch = self.network.batch_layout(count).of(images);
        let logits = self.network.forward(&batch, count, Pass::Inference);
        let logits = logits.map_err(|error| Failure::new(IO, error))?;
        Ok(logits.chunks_exact(self.labels.len()).map(loss::probabilities).collect())
    }
}

/// A photograph as a network sees it.
pub(super) struct Seen {
    /// The network's values.
    pub(super) values: Vec<f32>,
    /// Whether the file notes how the camera was held.
    pub(super) has_orientation: bool,
}

/// The network's values of the photograph in `file`.
pub(super) fn see(preprocessing: &Preprocessing, looking: Looking, file: &Path) -> Result<Seen, Skipped> {
    let photograph = Photograph::open(file, looking)?;
    let pixels = photograph.central_crop(preprocessing.shorter_side(), preprocessing.size);
    Ok(Seen { values: preprocessing.normalise(&pixels), has_orientation: photograph.has_orientation() })
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

/// The classes of one image, the most probable first; of two that are equally
/// probable, the first.
pub(super) fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes
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
