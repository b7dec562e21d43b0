//! A trained network that names what is in photographs.

use std::path::Path;

use decouple_datasets::{DataSpec, Dataset, Normalisation, Photograph, Skipped};
use decouple_spectrum::{
    backend::{ExecutionError, Executor},
    preprocessing::Preprocessing,
    weights::Images,
};
use rayon::prelude::*;

use crate::{inference::logits, loss::probabilities};

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

    /// The network's values of the photograph in `file`, as (h, w, c).
    ///
    /// # Errors
    /// [`Skipped`] when it is no sound image.
    pub fn see(&self, file: &Path) -> Result<Vec<f32>, Skipped> {
        match self {
            Self::Published(preprocessing) => {
                let photograph = Photograph::open(file)?;
                let pixels = photograph.central_crop(preprocessing.shorter_side(), preprocessing.size);
                Ok(preprocessing.normalise(&pixels))
            }
            Self::Trained { data, normalisation } => {
                let image = data.see(file)?;
                let mut values = vec![0.0; image.len()];
                normalisation.apply(&image, &mut values);
                Ok(values)
            }
        }
    }
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
}

/// Why photographs cannot be classified.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// A file is no sound image.
    #[error("{}: expected a sound JPEG or PNG file ({})", .0.file.display(), .0.reason)]
    Image(Skipped),
    /// The network could not be executed.
    #[error(transparent)]
    Network(#[from] ExecutionError),
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

impl Classifier {
    /// The probability of each class for each of the photographs in `files`, which
    /// are computed together.
    ///
    /// # Errors
    /// [`ClassifierError`].
    pub fn classify<F: AsRef<Path> + Sync>(&mut self, files: &[F]) -> Result<Vec<Vec<f64>>, ClassifierError> {
        let see = |file: &F| self.sight.see(file.as_ref()).map_err(ClassifierError::Image);
        let images: Vec<Vec<f32>> = files.par_iter().map(see).collect::<Result<_, _>>()?;
        let logits = logits(&mut *self.network, &images.concat())?;
        Ok(logits.chunks_exact(self.network.plan().graph.output().len()).map(probabilities).collect())
    }

    /// Compares the classes of `files` with what the network says, `batch` files at
    /// a time; tells `done` how many it has seen after each.
    ///
    /// # Errors
    /// [`ClassifierError`].
    pub fn score<F: AsRef<Path> + Sync>(
        &mut self,
        files: &[(F, usize)],
        batch: usize,
        mut done: impl FnMut(usize),
    ) -> Result<Hits, ClassifierError> {
        let mut hits = Hits::default();
        for batch in files.chunks(batch.max(1)) {
            let paths: Vec<&F> = batch.iter().map(|(file, _)| file).collect();
            let paths: Vec<&Path> = paths.into_iter().map(AsRef::as_ref).collect();
            for ((_, class), probabilities) in batch.iter().zip(self.classify(&paths)?) {
                let place = ranked(&probabilities).iter().position(|found| found == class);
                hits.top_1 += usize::from(place == Some(0));
                hits.top_5 += usize::from(place.is_some_and(|place| place < 5));
            }
            hits.images += batch.len();
            done(hits.images);
        }
        Ok(hits)
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
    }
}
