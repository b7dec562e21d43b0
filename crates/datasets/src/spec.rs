//! The data of a trial, resolved. [`DataTable`] is the as-typed form.

mod as_typed;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::image_folder::{self, ImageFolder};
use crate::manifest::{self, Manifest};
use crate::planted::Planted;
use crate::stream::Shards;
use crate::{Augment, DataError, Filter, ImageShape, SetName, cifar, fashion_mnist, planted};
pub use as_typed::DataTable;

/// The `data` table of a trial, resolved: nothing is left to a default.
///
/// ```
/// use decouple_datasets::{DataSpec, Source, Subset};
///
/// let spec: DataSpec = toml::from_str("validation = 1000\naugment = ['pad-crop 2', 'flip']")?;
/// assert_eq!(spec.source, Source::FashionMnist { subset: Subset::Embedded });
/// assert_eq!(spec.augment.len(), 2);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "DataTable", into = "DataTable")]
pub struct DataSpec {
    /// Where the images come from. Default: the embedded part of Fashion-MNIST.
    pub source: Source,
    /// Training images held out for validation, spread evenly over the classes.
    /// Default: none.
    pub validation: usize,
    /// Which images are held out: with `None` the last of each class, with a number a random draw from its
    /// stream. Default: `None`.
    pub split: Option<u64>,
    /// Random augmentation of each training image, in this order. Default: nothing.
    pub augment: Vec<Augment>,
}

/// Where the images come from, with the settings of each kind of set.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Grey images of clothing, 28x28, ten classes (Xiao, Rasul and Vollgraf,
    /// arXiv:1708.07747).
    FashionMnist {
        /// How much of it.
        subset: Subset,
    },
    /// Colour photographs, 32x32, ten classes (Krizhevsky 2009), as binary files.
    Cifar10,
    /// As [`Self::Cifar10`], in a hundred classes.
    Cifar100,
    /// A folder of JPEG, PNG and WebP files, one folder per class.
    ImageFolder(ImageFolder),
    /// Tar files of samples.
    Shards(Shards),
    /// A table of paths with their labels.
    Manifest(Manifest),
    /// Generated images whose class is planted in them.
    Planted(Planted),
}

impl Default for Source {
    fn default() -> Self {
        Self::FashionMnist { subset: Subset::Embedded }
    }
}

impl Source {
    /// Which set it is.
    pub const fn set(&self) -> SetName {
        match self {
            Self::FashionMnist { .. } => SetName::FashionMnist,
            Self::Cifar10 => SetName::Cifar10,
            Self::Cifar100 => SetName::Cifar100,
            Self::ImageFolder(_) => SetName::ImageFolder,
            Self::Shards(_) => SetName::Shards,
            Self::Manifest(_) => SetName::Manifest,
            Self::Planted(_) => SetName::Planted,
        }
    }

    /// Its title: the name of the folder or table, or of the set.
    pub fn title(&self) -> String {
        let folder = match self {
            Self::ImageFolder(images) => images.folder.file_name(),
            Self::Shards(shards) => shards.folder.file_name(),
            Self::Manifest(table) => table.file.file_stem(),
            _ => None,
        };
        folder.map_or(self.set().to_string(), |name| name.to_string_lossy().into_owned())
    }
}

impl DataSpec {
    /// Shape of every image, known without reading one.
    pub const fn shape(&self) -> ImageShape {
        match &self.source {
            Source::FashionMnist { .. } => ImageShape { h: 28, w: 28, c: 1 },
            Source::Cifar10 | Source::Cifar100 => cifar::SHAPE,
            Source::ImageFolder(folder) => folder.reading.shape(),
            Source::Shards(shards) => shards.reading.shape(),
            Source::Manifest(table) => table.reading.shape(),
            Source::Planted(_) => planted::SHAPE,
        }
    }

    /// Whether its images are decoded anew in every epoch instead of kept in memory.
    pub const fn is_streamed(&self) -> bool {
        match &self.source {
            Source::ImageFolder(folder) => folder.stream,
            Source::Shards(_) | Source::Manifest(_) => true,
            Source::FashionMnist { .. } | Source::Cifar10 | Source::Cifar100 | Source::Planted(_) => false,
        }
    }

    /// Whether random parts of images in memory are scaled by another filter than the bilinear one.
    pub fn crops_by_another_filter(&self) -> bool {
        let crops = self.augment.iter().any(|step| matches!(step, Augment::RandomResizedCrop { .. }));
        match &self.source {
            Source::ImageFolder(folder) if !folder.stream => {
                crops && folder.reading.filter != Filter::default()
            }
            _ => false,
        }
    }

    /// The same photographs brought to another size; `None` for a set of fixed size.
    pub fn with_size(mut self, size: [usize; 2]) -> Option<Self> {
        let reading = match &mut self.source {
            Source::ImageFolder(folder) => &mut folder.reading,
            Source::Shards(shards) => &mut shards.reading,
            Source::Manifest(table) => &mut table.reading,
            Source::FashionMnist { .. } | Source::Cifar10 | Source::Cifar100 | Source::Planted(_) => {
                return None;
            }
        };
        reading.size = size;
        Some(self)
    }

    /// Number of classes.
    pub const fn classes(&self) -> usize {
        match &self.source {
            Source::FashionMnist { .. } => fashion_mnist::CLASSES.len(),
            Source::Cifar10 => cifar::CIFAR_10.classes.len(),
            Source::Cifar100 => cifar::CIFAR_100.classes.len(),
            Source::ImageFolder(folder) => folder.classes,
            Source::Shards(shards) => shards.classes.count,
            Source::Manifest(table) => table.classes.count,
            Source::Planted(_) => planted::CLASSES,
        }
    }

    /// Whether an image may have any number of labels.
    pub const fn is_multi_label(&self) -> bool {
        match &self.source {
            Source::Shards(shards) => shards.classes.multi_label,
            Source::Manifest(table) => table.classes.multi_label,
            _ => false,
        }
    }

    /// Whether the loss has class weights.
    pub const fn has_class_weights(&self) -> bool {
        match &self.source {
            Source::Shards(shards) => shards.classes.class_weights.is_some(),
            Source::Manifest(table) => table.classes.class_weights.is_some(),
            _ => false,
        }
    }

    /// Images to train on, without those held out. Those of an image folder or a table are
    /// counted on disk, in `folder` as [`load`](crate::load) would find them; `None` for shards without the
    /// key `images`.
    ///
    /// # Errors
    /// The folder or the table cannot be read, or does not have the classes that are stated; none is left to
    /// train on.
    pub fn train_images(&self, folder: Option<&Path>) -> Result<Option<usize>, DataError> {
        let available = match &self.source {
            Source::ImageFolder(spec) => image_folder::count_train(spec, folder)?,
            Source::Manifest(table) => manifest::list(table, folder)?.train.len(),
            _ => return Ok(self.stated_train_images()),
        };
        match available.saturating_sub(self.validation) {
            0 => Err(DataError::NoneLeft { requested: self.validation, available }),
            left => Ok(Some(left)),
        }
    }

    /// The same where it can be told without a look at the disk.
    pub fn stated_train_images(&self) -> Option<usize> {
        let all = match &self.source {
            Source::FashionMnist { subset: Subset::Embedded } => 10_000,
            Source::FashionMnist { subset: Subset::Full } => 60_000,
            Source::Cifar10 | Source::Cifar100 => 50_000,
            // The key excludes validation images.
            Source::Shards(shards) => return shards.images,
            Source::Planted(planted) => planted.images,
            Source::ImageFolder(_) | Source::Manifest(_) => return None,
        };
        Some(all.saturating_sub(self.validation))
    }

    /// The first augmentation that stands where it cannot, or does not suit the shape of the images, and why.
    pub fn impossible_augment(&self) -> Option<(Augment, String)> {
        let (augment, shape) = (&self.augment, self.shape());
        let mut before_mixing = augment.iter().skip_while(|step| !step.is_mixing());
        if let Some(&augment) = before_mixing.find(|step| !step.is_mixing()) {
            return Some((augment, "stands after one that mixes images; those come last".to_owned()));
        }
        augment.iter().enumerate().find_map(|(place, &augment)| {
            let problem = match augment {
                Augment::PadCrop { pixels } if usize::from(pixels.get()) >= shape.h.min(shape.w) => {
                    format!("needs images of more rows and columns than it pads, found {shape}")
                }
                Augment::RandomResizedCrop { .. } if place > 0 => "must come first".to_owned(),
                Augment::RandomResizedCrop { .. } | Augment::Jitter { .. } | Augment::RandAugment { .. }
                    if ![1, 3].contains(&shape.c) =>
                {
                    "needs grey images or images in colour".to_owned()
                }
                _ => return None,
            };
            Some((augment, problem))
        })
    }
}

/// How much of a data set is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// The embedded part: of Fashion-MNIST the first 1,000 training and the first 200 test
    /// images of each class.
    #[default]
    Embedded,
    /// All of it, read from a folder.
    Full,
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Embedded => "embedded",
            Self::Full => "full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(toml::from_str::<DataSpec>("").unwrap(), DataSpec::default());
    }

    #[test]
    fn a_spec_of_each_set_survives_toml() {
        for text in [
            "set = 'fashion-mnist'\nsubset = 'full'\nvalidation = 5000\naugment = ['pad-crop 2', 'flip']",
            "set = 'cifar-10'",
            "set = 'cifar-100'",
            "set = 'image-folder'\nfolder = 'birds'\nclasses = 3\nsize = [32, 24]\ncorrupt = 'skip'",
            "set = 'image-folder'\nclasses = 3\nsize = [32, 24]\nstream = true\nfit = 'stretch'\nfilter = 'bicubic'",
            "set = 'shards'\nfolder = 'x'\nclasses = 3\nsize = [32, 24]\nmulti-label = true\nimages = 7",
            "set = 'manifest'\nmanifest = 'x.csv'\nclasses = 3\nsize = [32, 24]\nsplit-column = 'use'\nscore-weights = 'w.txt'\nmulti-label = true",
            "set = 'planted'\ncoupling = 1",
        ] {
            let spec: DataSpec = toml::from_str(text).unwrap();
            let written = toml::to_string(&spec).unwrap();
            assert!(written.contains(&format!("set = \"{}\"", spec.source.set())), "{written}");
            assert_eq!(toml::from_str::<DataSpec>(&written).unwrap(), spec);
        }
    }

    #[test]
    fn a_record_spells_out_what_was_left_out() {
        let spec: DataSpec = toml::from_str("set = 'image-folder'\nclasses = 3\nsize = [32, 24]").unwrap();
        let written = toml::to_string(&spec).unwrap();
        assert_eq!(
            written,
            "set = \"image-folder\"\nvalidation = 0\naugment = []\nfolder = \"\"\nclasses = 3\nsize = [32, 24]\n\
             channels = 3\ntest-share = 0.2\ncorrupt = \"refuse\"\n"
        );
    }

    #[test]
    fn shapes_and_classes_are_known_before_an_image_is() {
        let of = |text: &str| toml::from_str::<DataSpec>(text).unwrap();
        let folder = of("set = 'image-folder'\nclasses = 3\nsize = [32, 24]\nchannels = 1");
        assert_eq!((folder.shape(), folder.classes()), (ImageShape { h: 32, w: 24, c: 1 }, 3));
        assert_eq!(
            folder
                .train_images(Some(Path::new("/nowhere")))
                .map_err(|error| error.to_string().contains("/nowhere")),
            Err(true)
        );
        assert_eq!(folder.stated_train_images(), None);
        assert_eq!(folder.with_size([16, 8]).unwrap().shape(), ImageShape { h: 16, w: 8, c: 1 });
        let cifar = of("set = 'cifar-100'\nvalidation = 5000");
        assert_eq!((cifar.shape(), cifar.classes()), (ImageShape { h: 32, w: 32, c: 3 }, 100));
        assert_eq!(cifar.train_images(None).unwrap(), Some(45_000));
        assert_eq!(cifar.stated_train_images(), Some(45_000));
        assert_eq!(cifar.with_size([16, 8]), None);
        let planted = of("set = 'planted'\nimages = 100\nvalidation = 20");
        assert_eq!((planted.shape(), planted.stated_train_images()), (planted::SHAPE, Some(80)));
    }

    /// The text that an error's span covers, and its message.
    fn refused(text: &str) -> (&str, String) {
        let error = toml::from_str::<DataSpec>(text).unwrap_err();
        (&text[error.span().expect("the error has a position")], error.message().to_owned())
    }

    #[test]
    fn mistakes_keep_their_position() {
        let (at, message) = refused("validation = 10\nvalidaton = 5");
        assert_eq!(at, "validaton");
        assert!(
            message.contains("expected one of `set`, `subset`, `validation`, `split`, `augment`"),
            "{message}"
        );

        let (at, message) = refused("set = 'fashion'");
        assert_eq!(at, "'fashion'");
        assert!(message.contains("`fashion-mnist`"), "{message}");

        let (at, message) = refused("augment = ['flip', 'flop']");
        assert_eq!(at, "'flop'");
        assert!(message.contains("`pad-crop PIXELS`"), "{message}");
        assert!(message.contains("`flip`"), "{message}");

        let (at, message) = refused("augment = ['flip', 2]");
        assert_eq!(at, "2");
        assert!(message.contains("pad-crop 2"), "{message}");

        assert_eq!(refused("validation = -1").0, "-1");
    }

    #[test]
    fn keys_of_other_sets_and_impossible_values_are_named() {
        for (text, expected) in [
            ("coupling = 0.5", "`coupling` is not a key of the set `fashion-mnist`"),
            ("set = 'cifar-10'\nsubset = 'full'", "`subset` is not a key of the set `cifar-10`"),
            ("set = 'planted'\nfolder = 'x'", "`folder` is not a key of the set `planted`"),
            ("set = 'planted'\ncoupling = 1.5", "`coupling` must be a number from 0 to 1, found 1.5"),
            ("set = 'planted'\nnoise = nan", "`noise` must be a number from 0 to 1, found NaN"),
            ("set = 'planted'\nclasses = 4", "`classes` is not a key of the set `planted`"),
            ("set = 'image-folder'\nclasses = 3", "`size` is needed for images in files: [rows, columns]"),
            ("set = 'image-folder'\nsize = [8, 8]", "`classes` is needed for images in files: their number"),
            (
                "set = 'image-folder'\nclasses = 3\nsize = [8, 0]",
                "`size` must be a list of whole numbers from 1 to 1024",
            ),
            (
                "set = 'image-folder'\nclasses = 3\nsize = [8, 8]\nchannels = 4",
                "`channels` must be 1 or 3, found 4",
            ),
            ("set = 'image-folder'\nclasses = 3\nsize = [8, 8]\ntest-share = 1.0", "`test-share` must be"),
        ] {
            let message = toml::from_str::<DataSpec>(text).unwrap_err().message().to_owned();
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }
}
