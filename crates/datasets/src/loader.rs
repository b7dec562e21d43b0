//! Loads the [`Dataset`] of a [`DataSpec`].

pub(crate) mod streamed;

use std::path::Path;

use crate::dataset::moments;
use crate::fingerprint::Cache;
use crate::published::{Published, Read};
use crate::{
    DataError, DataSpec, Dataset, Filter, Selection, Source, Subset, cifar, derive_seed, epoch_order,
    fashion_mnist, image_folder, planted,
};
use streamed::Listed;

/// Loads the data set of `spec`.
///
/// Sets that are not built in or generated are read from `folder` or from a sub-folder with the set's name;
/// without a folder, from the current one:
///
/// * the full Fashion-MNIST: its four IDX files under their published names,
///   plain or with `.gz`; without a folder from where Debian's package puts them;
/// * CIFAR-10 and CIFAR-100: the files of their published binary archives, in the
///   archive's own folder or not, plain or with `.gz`;
/// * an image folder: [`ImageFolder::folder`](crate::image_folder::ImageFolder), in which `train` and one of
///   `test`, `val`, `valid` and `validation` hold one folder per class, or which holds these itself. Images
///   may lie at any depth of a class folder; labels are the folders' natural order, or that of
///   [`class_list`](crate::image_folder::ImageFolder::class_list).
///
/// Validation images are the last of each class in the set's order, equally many per class (the first classes
/// give one more if the number does not divide), so that all trials share them; with [`DataSpec::split`] they
/// are drawn from that number's random stream, equally many per class. All splits keep the set's order.
///
/// Cost: the embedded subset takes tens of milliseconds and 9.4 MB. No file can make this reserve much more
/// memory than an intact one needs, whatever its header says or it unpacks to. Images of a folder are decoded
/// on rayon's current pool, and stay in memory at the size asked for.
///
/// # Errors
/// A file is missing, unreadable, damaged, of the wrong layout, or intact but not the published one; folders
/// do not match the classes; more validation images than a class has; a crop pads by the image's extent or
/// more.
pub fn load(spec: &DataSpec, folder: Option<&Path>) -> Result<Dataset, DataError> {
    Loader::new(folder).load(spec)
}

/// Loads sets and reads each source once: sets that differ only in their validation split share
/// their images.
#[derive(Debug)]
pub struct Loader<'a> {
    folder: Option<&'a Path>,
    read: Vec<(Source, Whole)>,
}

/// A source with nothing held out.
#[derive(Debug)]
enum Whole {
    /// Without mean and standard deviation, which depend on the split.
    InMemory(Dataset),
    Streamed(Listed),
}

impl<'a> Loader<'a> {
    /// Reads sets from `folder`, as [`load`] does.
    pub fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, read: Vec::new() }
    }

    /// As [`load`].
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(&mut self, spec: &DataSpec) -> Result<Dataset, DataError> {
        if let Some((augment, problem)) = spec.impossible_augment() {
            return Err(DataError::Augment { augment, problem });
        }
        let place = match self.read.iter().position(|(source, _)| *source == spec.source) {
            Some(place) => place,
            None => {
                self.read.push((spec.source.clone(), read(&spec.source, self.folder)?));
                self.read.len() - 1
            }
        };
        match &self.read[place].1 {
            Whole::InMemory(whole) => {
                let [train, validation] = parted(&whole.train, spec.validation, spec.split, &whole.classes)?;
                let (mean, std) = moments(&train);
                Ok(Dataset { train, validation, mean, std, ..whole.clone() })
            }
            Whole::Streamed(listed) => listed.part(spec, &Cache::of_user()),
        }
    }
}

fn read(source: &Source, folder: Option<&Path>) -> Result<Whole, DataError> {
    let Read { published, classes, skipped, notes } = match source {
        Source::ImageFolder(images) if images.stream => {
            return streamed::folder(images, folder).map(Whole::Streamed);
        }
        Source::Shards(shards) => return streamed::shards(shards, folder).map(Whole::Streamed),
        Source::Manifest(table) => return streamed::manifest(table, folder).map(Whole::Streamed),
        Source::ImageFolder(images) => image_folder::read(images, folder)?,
        Source::FashionMnist { subset: Subset::Embedded } => {
            Read::named(fashion_mnist::embedded()?, &fashion_mnist::CLASSES)
        }
        Source::FashionMnist { subset: Subset::Full } => {
            Read::named(fashion_mnist::full(folder)?, &fashion_mnist::CLASSES)
        }
        Source::Cifar10 => Read::named(cifar::read(&cifar::CIFAR_10, folder)?, cifar::CIFAR_10.classes),
        Source::Cifar100 => Read::named(cifar::read(&cifar::CIFAR_100, folder)?, cifar::CIFAR_100.classes),
        Source::Planted(planted) => {
            let classes: Vec<String> = (0..planted::CLASSES).map(|class| class.to_string()).collect();
            Read { classes, ..Read::named(planted::generate(planted), &[]) }
        }
    };
    let Published { train, test, checksum } = published;
    // As its photographs were scaled.
    let filter = match source {
        Source::ImageFolder(images) => images.reading.filter,
        _ => Filter::default(),
    };
    let train = Selection::from(train).scaled_by(filter);
    Ok(Whole::InMemory(Dataset {
        name: source.set().to_string(),
        classes,
        validation: train.part(&[]),
        train,
        test: test.into(),
        mean: Vec::new(),
        std: Vec::new(),
        checksum,
        skipped,
        notes,
        stream: None,
    }))
}

/// Splits off `requested` validation images: the last of each class, or some drawn by `seed`. Both parts are
/// in the set's order.
pub(crate) fn held_out(
    labels: &[u16],
    requested: usize,
    seed: Option<u64>,
    classes: &[String],
) -> Result<[Vec<u32>; 2], DataError> {
    let mut available = vec![0_usize; classes.len()];
    for &label in labels {
        available[usize::from(label)] += 1;
    }
    let mut to_keep = Vec::with_capacity(classes.len());
    for (class, &available) in available.iter().enumerate() {
        let from_class = requested / classes.len() + usize::from(class < requested % classes.len());
        if from_class > 0 && from_class >= available {
            let class = classes[class].clone();
            return Err(DataError::Validation { requested, class, from_class, available });
        }
        to_keep.push(available - from_class);
    }
    // The images of a class in the order in which they are kept for training: the set's, or a
    // random one.
    let order = match seed {
        Some(seed) => epoch_order(labels.len(), derive_seed(seed, "split", 0, 0)),
        None => (0..labels.len() as u32).collect(),
    };
    let mut is_held = vec![false; labels.len()];
    for image in order {
        let left = &mut to_keep[usize::from(labels[image as usize])];
        is_held[image as usize] = *left == 0;
        *left = left.saturating_sub(1);
    }
    let (held, kept) = (0..labels.len() as u32).partition(|&image| is_held[image as usize]);
    Ok([kept, held])
}

/// The images for training and those held out, as [`held_out`] says.
fn parted(
    train: &Selection,
    requested: usize,
    seed: Option<u64>,
    classes: &[String],
) -> Result<[Selection; 2], DataError> {
    if requested == 0 {
        return Ok([train.clone(), train.part(&[])]);
    }
    let labels: Vec<u16> = train.labels().collect();
    Ok(held_out(&labels, requested, seed, classes)?.map(|images| train.part(&images)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_last_of_each_class_are_held_out_in_order() {
        let labels = [0, 1, 1, 0, 2, 1, 0, 2, 2, 0];
        let parts = held_out(&labels, 5, None, &names(&["a", "b", "c"])).unwrap();
        // Two of a, two of b, one of c.
        assert_eq!(parts, [[0, 1, 3, 4, 7], [2, 5, 6, 8, 9]]);
    }

    #[test]
    fn a_split_is_drawn_by_its_number() {
        let labels: Vec<u16> = (0..60).map(|image| image % 3).collect();
        let split = |seed| held_out(&labels, 9, seed, &names(&["a", "b", "c"])).unwrap();
        let [kept, held] = split(Some(0));
        assert_eq!((kept.len(), held.len()), (51, 9));
        assert!((0..3).all(|class| held.iter().filter(|&image| image % 3 == class).count() == 3));
        assert!(held.is_sorted() && kept.is_sorted(), "both keep the set's order");
        assert_eq!([&kept, &held], split(Some(0)).each_ref());
        assert!([split(Some(1)), split(None)].iter().all(|[_, other]| *other != held));
    }

    #[test]
    fn a_class_keeps_an_image_to_train_on() {
        let error = held_out(&[0, 0, 0, 1, 1], 4, None, &names(&["a", "b"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "validation = 4: this holds out 2 of the 2 training images of class `b`; at least one must stay"
        );
        assert!(held_out(&[0, 0, 0, 1, 1], usize::MAX, None, &names(&["a", "b"])).is_err());
        assert!(held_out(&[0, 0], 2, None, &names(&["a", "absent"])).is_err());
    }

    #[test]
    fn sets_that_hold_out_others_of_one_source_share_its_images() {
        let mut loader = Loader::new(None);
        let specs = [(0, None), (20, None), (20, Some(1)), (20, Some(2))].map(|(validation, split)| {
            let source = Source::Planted(planted::Planted { images: 200, ..Default::default() });
            DataSpec { source, validation, split, ..DataSpec::default() }
        });
        let sets = specs.each_ref().map(|spec| loader.load(spec).unwrap());
        assert_eq!(loader.read.len(), 1);
        assert_eq!(crate::bytes_in_memory(&sets), 250 * planted::SHAPE.len() as u64);
        for (spec, shared) in specs.iter().zip(&sets) {
            let own = load(spec, None).unwrap();
            assert!(
                own.train == shared.train && own.validation == shared.validation && own.test == shared.test
            );
            assert_eq!((&own.mean, &own.std, &own.checksum), (&shared.mean, &shared.std, &shared.checksum));
        }
        assert!(sets[2].validation != sets[3].validation);
    }
}
