//! What a trial says about its data, as it stands in an experiment file and in
//! a run's record.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Augment, ImageShape};

/// The `data` table of a trial. A key that is left out takes its default.
///
/// ```
/// use decouple_datasets::{DataSpec, Subset};
///
/// let spec: DataSpec = toml::from_str("validation = 1000\naugment = ['pad-crop 2', 'flip']")?;
/// assert_eq!(spec.subset, Subset::Embedded);
/// assert_eq!(spec.augment.len(), 2);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataSpec {
    /// Which data set. Default: Fashion-MNIST.
    pub set: SetName,
    /// How much of it. Default: what the program carries.
    pub subset: Subset,
    /// Training images held out for validation, spread evenly over the classes.
    /// Default: none.
    pub validation: usize,
    /// What is done at random to each training image, in this order. Default:
    /// nothing.
    pub augment: Vec<Augment>,
}

impl DataSpec {
    /// Shape of every image, known without reading one.
    pub const fn shape(&self) -> ImageShape {
        match self.set {
            SetName::FashionMnist => ImageShape { h: 28, w: 28, c: 1 },
        }
    }

    /// Number of classes.
    pub const fn classes(&self) -> usize {
        match self.set {
            SetName::FashionMnist => 10,
        }
    }

    /// Images to train on, without those held out.
    pub const fn train_images(&self) -> usize {
        let all: usize = match (self.set, self.subset) {
            (SetName::FashionMnist, Subset::Embedded) => 10_000,
            (SetName::FashionMnist, Subset::Full) => 60_000,
        };
        all.saturating_sub(self.validation)
    }
}

/// A data set that the program can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetName {
    /// Grey images of clothing, 28x28, ten classes (Xiao, Rasul and Vollgraf,
    /// arXiv:1708.07747).
    #[default]
    FashionMnist,
}

impl SetName {
    /// The licence of the images, which travels with every copy of them.
    pub const fn licence(self) -> &'static str {
        match self {
            Self::FashionMnist => crate::fashion_mnist::LICENCE,
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FashionMnist => "fashion-mnist",
        })
    }
}

/// How much of a data set is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// What the program carries: of Fashion-MNIST the first 1,000 training and the
    /// first 200 test images of each class.
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
    fn a_spec_survives_toml() {
        let text =
            "set = 'fashion-mnist'\nsubset = 'full'\nvalidation = 5000\naugment = ['pad-crop 2', 'flip']";
        let spec: DataSpec = toml::from_str(text).unwrap();
        assert_eq!(spec.subset, Subset::Full);
        assert_eq!(spec.validation, 5000);
        assert_eq!(spec.augment, ["pad-crop 2".parse().unwrap(), Augment::Flip]);
        assert_eq!(toml::from_str::<DataSpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
    }

    #[test]
    fn names_are_written_as_they_are_read() {
        for subset in [Subset::Embedded, Subset::Full] {
            let spec = DataSpec { subset, ..DataSpec::default() };
            let text = toml::to_string(&spec).unwrap();
            assert!(text.contains(&format!("subset = \"{subset}\"")), "{text}");
            assert!(text.contains(&format!("set = \"{}\"", spec.set)), "{text}");
        }
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(toml::from_str::<DataSpec>("").unwrap(), DataSpec::default());
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
        assert!(message.contains("expected one of `set`, `subset`, `validation`, `augment`"), "{message}");

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
}
