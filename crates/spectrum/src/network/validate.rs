//! Validates the keys of a network.

use decouple_keys::{InvalidKey, check};

use super::{MAX_CHANNELS, NetworkSpec, scaled};
use crate::error::SpecError;
use crate::module::ModuleKind;
use crate::segments::SegmentSchedule;

/// The most entry stages and dense layers.
const MAX_LISTED: usize = 100;

impl NetworkSpec {
    /// Checks every key on its own, the length of a per-stage schedule, and that
    /// no key is set that the family does not read.
    ///
    /// # Errors
    /// [`SpecError::Key`] or [`SpecError::ScheduleLength`].
    pub fn validate(&self) -> Result<(), SpecError> {
        self.validate_unread()?;
        self.validate_numbers()?;
        self.validate_module()?;
        self.validate_sizes()?;
        self.validate_segments()
    }

    /// Every number against the declaration of its key.
    fn validate_numbers(&self) -> Result<(), InvalidKey> {
        let check = |key: &str, number: f64| check("network", key, number);
        for (key, count) in [
            ("kernel", self.kernel),
            ("stem-kernel", self.stem_kernel),
            ("stem", self.stem),
            ("middle", self.middle),
            ("modules", self.modules),
            ("exit", self.exit),
        ] {
            check(key, count as f64)?;
        }
        for (key, counts) in [
            ("entry", &self.entry),
            ("inner", &self.inner),
            ("channels", &self.channels),
            ("fully-connected", &self.fully_connected),
        ] {
            counts.iter().try_for_each(|&count| check(key, count as f64))?;
        }
        check("width", self.width)?;
        check("norm-epsilon", self.norm_epsilon)?;
        check("norm-momentum", self.norm_momentum)?;
        check("dropout", self.dropout)
    }

    /// A module of one convolution has no order, intermediate activation or second norm.
    fn validate_module(&self) -> Result<(), InvalidKey> {
        if self.module == ModuleKind::Spectrum {
            return Ok(());
        }
        let own = Self::default();
        let alone = "must be left out where `module = \"plain\"`: there is one convolution";
        InvalidKey::unless(self.inner.is_empty(), "inner", alone)?;
        InvalidKey::unless(self.intermediate == own.intermediate, "intermediate", alone)?;
        InvalidKey::unless(self.norm == own.norm, "norm", alone)?;
        InvalidKey::unless(self.order == Self::of(self.family, self.numerics).order, "order", alone)
    }

    fn validate_sizes(&self) -> Result<(), InvalidKey> {
        let count = |key, found: usize, allowed: bool, expected: String| {
            InvalidKey::unless(allowed, key, &format!("must {expected}, found {found}"))
        };
        for (key, listed) in [("entry", self.entry.len()), ("fully-connected", self.fully_connected.len())] {
            count(key, listed, listed <= MAX_LISTED, format!("list at most {MAX_LISTED} values"))?;
        }
        let (listed, counts) = (self.channels.len(), self.family.channels().len());
        count("channels", listed, listed == counts, format!("list {counts} values"))?;
        let (listed, stages) = (self.inner.len(), self.stages());
        let expected = format!("be left out or list {stages} values, one a stage");
        count("inner", listed, listed == 0 || listed == stages, expected)?;
        let widest = scaled(self.widest(), self.width);
        let width = self.width;
        let message =
            format!("must leave every layer at most {MAX_CHANNELS} channels; at {width} one has {widest}");
        InvalidKey::unless(widest <= MAX_CHANNELS, "width", &message)
    }

    fn validate_segments(&self) -> Result<(), SpecError> {
        let listed = match &self.segments {
            SegmentSchedule::Uniform(segments) => std::slice::from_ref(segments),
            SegmentSchedule::PerStage(list) if list.len() != self.stages() => {
                return Err(SpecError::ScheduleLength { listed: list.len(), stages: self.stages() });
            }
            SegmentSchedule::PerStage(list) => list,
        };
        match listed.iter().find(|segments| !segments.is_valid()) {
            Some(found) => {
                let message = format!("must be counts from 1 and levels from 0 to 1, found {found}");
                Err(InvalidKey::new("segments", message).into())
            }
            None => Ok(()),
        }
    }
}
