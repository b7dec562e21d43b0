//! Which values the keys of a network may have.

use std::fmt::Display;

use super::{MAX_CHANNELS, NetworkSpec, scaled};
use crate::error::SpecError;
use crate::module::ModuleKind;
use crate::segments::SegmentSchedule;

/// The most stages, blocks or modules that one key may ask for.
const MAX_DEPTH: usize = 100;

impl NetworkSpec {
    /// Checks every key on its own, the length of a per-stage schedule, and that
    /// no key is set that the family does not read.
    ///
    /// # Errors
    /// [`SpecError::Key`] or [`SpecError::ScheduleLength`].
    pub fn validate(&self) -> Result<(), SpecError> {
        self.validate_unread()?;
        check("kernel", self.kernel, [3, 5, 7].contains(&self.kernel), "3, 5 or 7")?;
        check("stem-kernel", self.stem_kernel, [1, 3].contains(&self.stem_kernel), "1 or 3")?;
        self.validate_module()?;
        self.validate_sizes()?;
        self.validate_segments()?;
        let (epsilon, momentum, dropout) = (self.norm_epsilon, self.norm_momentum, self.dropout);
        check("norm-epsilon", epsilon, (1e-12..=1.0).contains(&epsilon), "a number from 1e-12 to 1")?;
        check("norm-momentum", momentum, (1e-6..=1.0).contains(&momentum), "a number from 1e-6 to 1")?;
        check("dropout", dropout, (0.0..=0.99).contains(&dropout), "a number from 0 to 0.99")
    }

    /// A module of one convolution has nothing before, between or after two.
    fn validate_module(&self) -> Result<(), SpecError> {
        if self.module == ModuleKind::Spectrum {
            return Ok(());
        }
        let own = Self::default();
        check("inner", "inner channels", self.inner.is_empty(), "left out where `module = \"plain\"`")?;
        let alone = "left out where `module = \"plain\"`: there is one convolution";
        check("intermediate", "an activation", self.intermediate == own.intermediate, alone)?;
        check("norm", "two norms", self.norm == own.norm, alone)?;
        check("order", "an order of two", self.order == Self::of(self.family, self.numerics).order, alone)
    }

    fn validate_sizes(&self) -> Result<(), SpecError> {
        let depth = format!("a count up to {MAX_DEPTH}");
        check("entry", format!("{} stages", self.entry.len()), self.entry.len() <= MAX_DEPTH, &depth)?;
        check("middle", self.middle, self.middle <= MAX_DEPTH, &depth)?;
        let modules = format!("a count from 1 to {MAX_DEPTH}");
        check("modules", self.modules, (1..=MAX_DEPTH).contains(&self.modules), &modules)?;

        let (listed, counts) = (self.channels.len(), self.family.channels().len());
        check("channels", format!("{listed} counts"), listed == counts, &format!("{counts} counts"))?;
        let layers = self.fully_connected.len();
        check("fully-connected", format!("{layers} layers"), layers <= MAX_DEPTH, &depth)?;
        check("width", self.width, self.width.is_finite() && self.width > 0.0, "a number above 0")?;
        let expected = format!("channel counts from 1 to {MAX_CHANNELS}, also after scaling by the width");
        let one = |key, channels: usize| {
            let allowed =
                (1..=MAX_CHANNELS).contains(&channels) && scaled(channels, self.width) <= MAX_CHANNELS;
            check(key, channels, allowed, &expected)
        };
        one("stem", self.stem)?;
        one("exit", self.exit)?;
        let (listed, blocks) = (self.inner.len(), self.stages());
        let expected_inner = format!("left out, or {blocks} counts: one a block");
        check("inner", format!("{listed} counts"), listed == 0 || listed == blocks, &expected_inner)?;
        self.inner.iter().try_for_each(|&channels| one("inner", channels))?;
        self.entry.iter().try_for_each(|&channels| one("entry", channels))?;
        self.channels.iter().try_for_each(|&channels| one("channels", channels))?;
        self.fully_connected.iter().try_for_each(|&channels| one("fully-connected", channels))?;
        let widest = scaled(self.widest(), self.width);
        check("width", self.width, widest <= MAX_CHANNELS, &expected)
    }

    fn validate_segments(&self) -> Result<(), SpecError> {
        let expected = "counts from 1 and levels from 0 to 1";
        match &self.segments {
            SegmentSchedule::Uniform(segments) => check("segments", segments, segments.is_valid(), expected),
            SegmentSchedule::PerStage(list) if list.len() != self.stages() => {
                Err(SpecError::ScheduleLength { listed: list.len(), stages: self.stages() })
            }
            SegmentSchedule::PerStage(list) => list
                .iter()
                .try_for_each(|segments| check("segments", segments, segments.is_valid(), expected)),
        }
    }
}

pub(super) fn check(
    key: &'static str,
    found: impl Display,
    allowed: bool,
    expected: &str,
) -> Result<(), SpecError> {
    if allowed {
        return Ok(());
    }
    Err(SpecError::Key { key, found: found.to_string(), expected: expected.to_owned() })
}
