//! The keys of `[trial.network]`, each declared once: its name, its place in [`NetworkSpec`],
//! and its form in records.

use decouple_keys::InvalidKey;
use serde::{Deserialize, Serialize};

use super::{Dense, Family, NetworkSpec, Numerics};
use crate::module::{Intermediate, ModuleKind, NormPlacement, Order};
use crate::segments::SegmentSchedule;

/// `early` keys are in every record of a family that reads them. `late` ones were added after the first
/// records and are written only if they differ from the default, so that the ids of old runs, which are
/// hashes of records, remain valid.
macro_rules! keys {
    ($($key:ident $field:ident $name:literal: $type:ty, $age:ident;)*) => {
        /// A key of `[trial.network]` but for `family`, which says which of the others are read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum NetworkKey {
            $(#[doc = concat!("`", $name, "`, a field of [`NetworkSpec`].")] $key,)*
        }

        impl NetworkKey {
            /// Every key, in the order of records.
            pub const ALL: &[Self] = &[$(Self::$key),*];

            /// As typed in a file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => $name),* }
            }
        }

        /// [`NetworkSpec`] as typed: every key is optional, with a default that depends on the
        /// family.
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct NetworkTable {
            family: Family,
            $(#[serde(rename = $name, skip_serializing_if = "Option::is_none")] $field: Option<$type>,)*
        }

        impl From<NetworkTable> for NetworkSpec {
            fn from(typed: NetworkTable) -> Self {
                let own = Self::of(typed.family, typed.numerics.unwrap_or_default());
                Self { family: own.family, $($field: typed.$field.unwrap_or(own.$field),)* }
            }
        }

        impl From<NetworkSpec> for NetworkTable {
            fn from(spec: NetworkSpec) -> Self {
                let (family, default) = (spec.family, NetworkSpec::default());
                Self {
                    family,
                    $($field: is_written!($age, family.reads(NetworkKey::$key), spec.$field != default.$field)
                        .then_some(spec.$field),)*
                }
            }
        }

        impl NetworkSpec {
            /// Refuses a key that was set but has no effect.
            pub(super) fn validate_unread(&self) -> Result<(), InvalidKey> {
                let own = Self::of(self.family, self.numerics);
                $(self.unread(NetworkKey::$key, &self.$field, &own.$field)?;)*
                Ok(())
            }
        }
    };
}

macro_rules! is_written {
    (early, $is_read:expr, $is_changed:expr) => {
        $is_read
    };
    (late, $is_read:expr, $is_changed:expr) => {
        $is_changed
    };
}

keys! {
    Numerics       numerics        "numerics":        Numerics,      early;
    Segments       segments        "segments":        SegmentSchedule,      early;
    Module         module          "module":          ModuleKind,    late;
    Order          order           "order":           Order,         early;
    Intermediate   intermediate    "intermediate":    Intermediate,  early;
    Norm           norm            "norm":            NormPlacement, early;
    NormEpsilon    norm_epsilon    "norm-epsilon":    f64,           early;
    NormMomentum   norm_momentum   "norm-momentum":   f64,           early;
    Residual       residual        "residual":        bool,          early;
    Dense          dense           "dense":           Dense,         late;
    Kernel         kernel          "kernel":          usize,         early;
    Stem           stem            "stem":            usize,         early;
    StemKernel     stem_kernel     "stem-kernel":     usize,         late;
    Entry          entry           "entry":           Vec<usize>,    early;
    Middle         middle          "middle":          usize,         early;
    Modules        modules         "modules":         usize,         early;
    Exit           exit            "exit":            usize,         early;
    Inner          inner           "inner":           Vec<usize>,    late;
    SmallStem      small_stem      "small-stem":      bool,          early;
    Channels       channels        "channels":        Vec<usize>,    early;
    FullyConnected fully_connected "fully-connected": Vec<usize>,    early;
    Width          width           "width":           f64,           early;
    Dropout        dropout         "dropout":         f64,           early;
}

impl NetworkKey {
    /// The key that is typed as `name`, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }
}

impl NetworkSpec {
    fn unread<T>(&self, key: NetworkKey, value: &T, own: &T) -> Result<(), InvalidKey>
    where
        T: PartialEq + Serialize,
    {
        if self.family.reads(key) || value == own {
            return Ok(());
        }
        // As typed, not as in the program.
        let found = serde_json::to_string(value).unwrap_or_default();
        let readers: Vec<_> = Family::ALL.into_iter().filter(|f| f.reads(key)).map(Family::name).collect();
        let message = format!(
            "must be left out, because {} does not read it (families that do: {}), found {found}",
            self.family,
            readers.join(", ")
        );
        Err(InvalidKey::new(key.name(), message))
    }
}
