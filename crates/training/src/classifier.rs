//! A trained network that classifies photographs.

use std::path::{Path, PathBuf};

use decouple_datasets::{DataSpec, Dataset, Looking, Normalisation, Photograph, Skipped};
use decouple_experiment::Loss;
use decouple_spectrum::{
    backend::{ExecutionError, Executor},
    network::Family,
    network::Preprocessing,
    weights::{Description, Images},
};
use rayon::prelude::*;

use crate::{
    inference::logits,
    loss::{probabilities, sigmoids},
};

/// How a photograph becomes the input of a network.
#[derive(Clone, Debug)]
pub enum Sight {
    /// As the family of networks was published.
    Published(Preprocessing),
    /// As the images that a run was trained on.
    Trained {
        /// The images it was trained on.
        data: Box<DataSpec>,
        /// Their values in training.
        normalisation: Normalisation,
    },
}

impl Sight {
    /// The preprocessing of the network `description`: as in its training, if its weights record `images` or
    /// its run has `data`, otherwise as its family was published.
    ///
    /// # Errors
    /// [`SightError`] if its preprocessing is unknown.
    pub fn of(
        description: &Description,
        images: Option<&Images>,
        data: Option<&DataSpec>,
    ) -> Result<Self, SightError> {
        let [h, w, c] = description.input;
        let Some(images) = images else {
            let published = Preprocessing::of(&description.network, [h, w]).filter(|_| c == 3);
            let family = description.network.family;
            return published.map(Self::Published).ok_or(SightError::Unpublished { family, h, w, c });
        };
        if c != 1 && c != 3 {
            return Err(SightError::Channels { channels: c });
        }
        let own = || DataSpec::of_images(description.input, description.classes);
        let normalisation = Normalisation::new(&images.mean, &images.std);
        Ok(Self::Trained { data: Box::new(data.cloned().unwrap_or_else(own)), normalisation })
    }

    /// The photograph in `file` as the network sees it.
    ///
    /// # Errors
    /// [`Skipped`] when it is not a sound image, or larger than `looking` allows.
    pub fn see(&self, file: &Path, looking: Looking) -> Result<SeenPhotograph, Skipped> {
        match self {
            Self::Published(preprocessing) => {
                let photograph = Photograph::open(file, looking)?;
                let pixels = photograph.central_crop(preprocessing.shorter_side(), preprocessing.size);
                let has_orientation = photograph.has_orientation();
                Ok(SeenPhotograph { values: preprocessing.normalise(&pixels), has_orientation })
            }
            Self::Trained { data, normalisation } => {
                let own = data.reading().looking;
                let looking = Looking { orientation: looking.orientation && own.orientation, ..looking };
                let (image, has_orientation) = data.see(file, looking)?;
                let mut values = vec![0.0; image.len()];
                normalisation.apply(&image, &mut values);
                Ok(SeenPhotograph { values, has_orientation })
            }
        }
    }
}

/// Why a network cannot take photographs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SightError {
    /// Photographs cannot be converted to its images.
    #[error("the network's images have {channels} channels: photographs have 1 or 3")]
    Channels {
        /// Their channels.
        channels: usize,
    },
    /// Nothing is known of the images that it was trained on.
    #[error(
        "{family} on images of {h}x{w}x{c} has no published way to see photographs: expected a published family and \
         three channels"
    )]
    Unpublished {
        /// Its family.
        family: Family,
        /// Rows of its images.
        h: usize,
        /// Their columns.
        w: usize,
        /// Their channels.
        c: usize,
    },
}

/// A photograph as a network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPhotograph {
    /// The network's values, as (h, w, c).
    pub values: Vec<f32>,
    /// Whether the file has an EXIF orientation.
    pub has_orientation: bool,
}

/// What a network trained on `data` must record to be used later.
pub fn images(data: &Dataset) -> Images {
    Images { classes: data.classes.clone(), mean: data.mean.clone(), std: data.std.clone() }
}

/// A network with weights and preprocessing.
#[derive(Debug)]
pub struct Classifier {
    /// The network.
    pub network: Box<dyn Executor>,
    /// Its preprocessing of photographs.
    pub sight: Sight,
    /// Its training loss, which says whether its classes exclude each other.
    pub loss: Loss,
}

/// Why a network cannot classify a photograph.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// It could not be executed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// An overflow, or a division by zero.
    #[error(
        "the network's answer is not finite (a logit of {found}) although its weights are: expected the weights of \
         a network that works, in the order and layout of its framework"
    )]
    NotFinite {
        /// The first such logit.
        found: f32,
    },
}

/// How many photographs a network got right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Photographs that were shown.
    pub images: usize,
    /// Those whose class is the most probable one.
    pub top_1: usize,
    /// Those whose class is among the five most probable ones.
    pub top_5: usize,
}

impl Hits {
    /// Counts a photograph of `class` with these probabilities.
    pub fn add(&mut self, class: usize, probabilities: &[f64]) {
        let place = ranked(probabilities).iter().position(|&found| found == class);
        self.images += 1;
        self.top_1 += usize::from(place == Some(0));
        self.top_5 += usize::from(place.is_some_and(|place| place < 5));
    }
}

impl Classifier {
    /// The probability of each class for each of the `images`, one after the other.
    ///
    /// # Errors
    /// [`ClassifierError`] if they are not whole images of the network's shape, or its output
    /// is not finite.
    pub fn probabilities(&mut self, images: &[f32]) -> Result<Vec<Vec<f64>>, ClassifierError> {
        let logits = logits(&mut *self.network, images)?;
        if let Some(&found) = logits.iter().find(|logit| !logit.is_finite()) {
            return Err(ClassifierError::NotFinite { found });
        }
        let probabilities = match self.loss {
            Loss::Softmax => probabilities,
            Loss::Sigmoid => sigmoids,
        };
        Ok(logits.chunks_exact(self.network.plan().graph.output().len()).map(probabilities).collect())
    }

    /// Classifies the photographs in `files`, each with its class, and counts correct answers in `hits`.
    /// `take` returns the values of a photograph, or skips the file.
    ///
    /// # Errors
    /// The first error of `take`, or [`ClassifierError`].
    pub fn count<E: From<ClassifierError>>(
        &mut self,
        files: &[(PathBuf, usize)],
        looking: Looking,
        mut take: impl FnMut(Result<SeenPhotograph, Skipped>) -> Result<Option<Vec<f32>>, E>,
        hits: &mut Hits,
    ) -> Result<(), E> {
        let seen: Vec<_> = files.par_iter().map(|(file, _)| self.sight.see(file, looking)).collect();
        let (mut images, mut classes) = (Vec::new(), Vec::new());
        for ((_, class), seen) in files.iter().zip(seen) {
            if let Some(values) = take(seen)? {
                images.extend(values);
                classes.push(*class);
            }
        }
        if !classes.is_empty() {
            for (&class, probabilities) in classes.iter().zip(self.probabilities(&images)?) {
                hits.add(class, &probabilities);
            }
        }
        Ok(())
    }
}

/// The classes of one photograph, the most probable first; ties in the order of the classes.
pub fn ranked(probabilities: &[f64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equally_probable_classes_comes_first() {
        assert_eq!(ranked(&[0.2, 0.4, 0.4]), [1, 2, 0]);
        let mut hits = Hits::default();
        hits.add(1, &[0.2, 0.4, 0.4]);
        hits.add(2, &[0.2, 0.4, 0.4]);
        assert_eq!(hits, Hits { images: 2, top_1: 1, top_5: 2 });
    }
}
