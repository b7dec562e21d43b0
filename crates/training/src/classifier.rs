//! A trained network that names what is in photographs.

use std::path::Path;

use decouple_datasets::{DataSpec, Dataset, Looking, Normalisation, Photograph, Skipped};
use decouple_experiment::Loss;
use decouple_spectrum::{
    backend::{ExecutionError, Executor},
    preprocessing::Preprocessing,
    weights::Images,
};

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
        /// Which images these are.
        data: Box<DataSpec>,
        /// Their values in training.
        normalisation: Normalisation,
    },
}

impl Sight {
    /// That of a run on `data`, whose weights note `images`.
    pub fn trained(data: DataSpec, images: &Images) -> Self {
        let normalisation = Normalisation::new(&images.mean, &images.std);
        Self::Trained { data: Box::new(data), normalisation }
    }

    /// The photograph in `file` as the network sees it.
    ///
    /// # Errors
    /// [`Skipped`] when it is no sound image, or larger than `looking` allows.
    pub fn see(&self, file: &Path, looking: Looking) -> Result<Seen, Skipped> {
        match self {
            Self::Published(preprocessing) => {
                let photograph = Photograph::open(file, looking)?;
                let pixels = photograph.central_crop(preprocessing.shorter_side(), preprocessing.size);
                let has_orientation = photograph.has_orientation();
                Ok(Seen { values: preprocessing.normalise(&pixels), has_orientation })
            }
            Self::Trained { data, normalisation } => {
                let own = data.reading().looking;
                let looking = Looking { orientation: looking.orientation && own.orientation, ..looking };
                let (image, has_orientation) = data.see(file, looking)?;
                let mut values = vec![0.0; image.len()];
                normalisation.apply(&image, &mut values);
                Ok(Seen { values, has_orientation })
            }
        }
    }
}

/// A photograph as a network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The network's values, as (h, w, c).
    pub values: Vec<f32>,
    /// Whether the file notes how the camera was held.
    pub has_orientation: bool,
}

/// What must be known of `data` to use a network that was trained on it.
pub fn images(data: &Dataset) -> Images {
    Images { classes: data.classes.clone(), mean: data.mean.clone(), std: data.std.clone() }
}

/// A network with weights, and what it needs to see a photograph.
#[derive(Debug)]
pub struct Classifier {
    /// The network.
    pub network: Box<dyn Executor>,
    /// How it sees photographs.
    pub sight: Sight,
    /// What it was trained by: whether its classes exclude each other.
    pub loss: Loss,
}

/// Why a network does not say what is in a photograph.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// It could not be executed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// An overflow, or a division by nothing.
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
    /// [`ClassifierError`] when they are not whole images of the network's shape, or
    /// its answer is none.
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
}

/// The classes of one photograph, the most probable first; of two that are
/// equally probable, the first.
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
