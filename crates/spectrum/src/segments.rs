//! How many independent segments a spatial convolution has: as typed in a file, and resolved
//! for a layer with a given number of channels.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

/// Segments of a spatial convolution as typed: `3`, `"per-channel"`,
/// `{ channels-per-segment = 8 }` or `{ level = 0.5 }`.
///
/// ```
/// use decouple_spectrum::segments::Segments;
/// assert_eq!(Segments::Count(3).resolve(728), 3);
/// assert_eq!(Segments::Count(32).resolve(16), 16); // per-channel there
/// assert_eq!(Segments::Level(0.5).resolve(64), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Segments {
    /// This many, or one per channel where the layer has fewer channels.
    Count(usize),
    /// One per channel: a depthwise convolution.
    PerChannel,
    /// As many segments as needed for at most this many channels each.
    ChannelsPerSegment(usize),
    /// The decoupling level, see [`level`]: 0 is one segment, 1 is per-channel.
    Level(f64),
}

impl Segments {
    /// Segments in a layer of `channels` channels: always from 1 to `channels`.
    ///
    /// `ChannelsPerSegment(n)` gives `channels / n` rounded up, `Level(l)`
    /// gives `channels` to the power `l`, rounded to nearest.
    pub fn resolve(self, channels: usize) -> usize {
        let segments = match self {
            Self::Count(count) => count,
            Self::PerChannel => channels,
            Self::ChannelsPerSegment(size) => channels.div_ceil(size.max(1)),
            Self::Level(level) => (channels as f64).powf(level).round() as usize,
        };
        segments.clamp(1, channels.max(1))
    }

    /// Whether the number in it lies within its range.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Count(number) | Self::ChannelsPerSegment(number) => number >= 1,
            Self::PerChannel => true,
            Self::Level(level) => (0.0..=1.0).contains(&level),
        }
    }
}

/// Decoupling level of `segments` segments over `channels` channels:
/// `ln segments / ln channels`, 0 for a regular convolution, 1 for per-channel.
///
/// A single channel is both. It counts as 1, because nothing is left to decouple.
pub fn level(segments: usize, channels: usize) -> f64 {
    if channels <= 1 { 1.0 } else { (segments as f64).ln() / (channels as f64).ln() }
}

/// Segments along the network as typed: one value for every stage, or a list
/// with one value a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentSchedule {
    /// The same in every stage.
    Uniform(Segments),
    /// One value a stage, from the input to the output.
    PerStage(Vec<Segments>),
}

impl SegmentSchedule {
    /// Segments of stage `index`, or `None` past the end of a list.
    pub fn stage(&self, index: usize) -> Option<Segments> {
        match self {
            Self::Uniform(segments) => Some(*segments),
            Self::PerStage(list) => list.get(index).copied(),
        }
    }
}

impl Default for SegmentSchedule {
    fn default() -> Self {
        Self::Uniform(Segments::PerChannel)
    }
}

impl From<Segments> for SegmentSchedule {
    fn from(segments: Segments) -> Self {
        Self::Uniform(segments)
    }
}

/// `3`, `per-channel`, `8 per segment`, `level 0.5`.
impl fmt::Display for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::PerChannel => f.write_str("per-channel"),
            Self::ChannelsPerSegment(size) => write!(f, "{size} per segment"),
            Self::Level(level) => write!(f, "level {level}"),
        }
    }
}

/// The value of a uniform schedule, or `1-3-8` for a list.
impl fmt::Display for SegmentSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(segments) => segments.fmt(f),
            Self::PerStage(list) => list.iter().enumerate().try_for_each(|(stage, segments)| {
                write!(f, "{}{segments}", if stage == 0 { "" } else { "-" })
            }),
        }
    }
}

const PER_CHANNEL: &str = "per-channel";
const CHANNELS_PER_SEGMENT: &str = "channels-per-segment";
const LEVEL: &str = "level";
const FORMS: &str = r#"a count from 1, "per-channel", { channels-per-segment = N } or { level = 0..1 }"#;

impl Serialize for Segments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Count(count) => serializer.serialize_u64(count as u64),
            Self::PerChannel => serializer.serialize_str(PER_CHANNEL),
            Self::ChannelsPerSegment(size) => serialize_entry(serializer, CHANNELS_PER_SEGMENT, &size),
            Self::Level(level) => serialize_entry(serializer, LEVEL, &level),
        }
    }
}

impl Serialize for SegmentSchedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Uniform(segments) => segments.serialize(serializer),
            Self::PerStage(list) => list.serialize(serializer),
        }
    }
}

fn serialize_entry<S: Serializer, V: Serialize>(
    serializer: S,
    key: &str,
    value: &V,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

// The visitor is written by hand because a derived untagged enum answers
// every mistake with "data did not match any variant" and loses its position.

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms::<Self> { listed: None })
    }
}

impl<'de> Deserialize<'de> for SegmentSchedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms::<Self> { listed: Some(Self::PerStage) })
    }
}

/// Reads segments, or a list of them where `listed` makes something of it.
struct Forms<T> {
    listed: Option<fn(Vec<Segments>) -> T>,
}

impl<'de, T: From<Segments>> Visitor<'de> for Forms<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = if self.listed.is_some() { ", or a list of these with one per stage" } else { "" };
        write!(f, "{FORMS}{listed}")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<T, E> {
        valid(Segments::Count(usize::try_from(count).unwrap_or(usize::MAX)), &count).map(T::from)
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<T, E> {
        u64::try_from(count).map_err(|_| invalid(&count)).and_then(|count| self.visit_u64(count))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Err(invalid(&number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        if text == PER_CHANNEL {
            Ok(Segments::PerChannel.into())
        } else {
            Err(invalid(&format_args!("{text:?}")))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let key: String = map.next_key()?.ok_or_else(|| invalid(&"{}"))?;
        let segments = match key.as_str() {
            CHANNELS_PER_SEGMENT => {
                let size: i64 = map.next_value()?;
                let segments = Segments::ChannelsPerSegment(usize::try_from(size).unwrap_or(0));
                valid(segments, &format_args!("{{ {key} = {size} }}"))?
            }
            LEVEL => {
                let level: f64 = map.next_value()?;
                valid(Segments::Level(level), &format_args!("{{ {key} = {level} }}"))?
            }
            _ => return Err(invalid(&format_args!("{{ {key} = ... }}"))),
        };
        match map.next_key::<String>()? {
            None => Ok(segments.into()),
            Some(second) => Err(invalid(&format_args!("{{ {key} = ..., {second} = ... }}"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let Some(listed) = self.listed else {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        };
        let mut list = Vec::new();
        while let Some(segments) = seq.next_element()? {
            list.push(segments);
        }
        Ok(listed(list))
    }
}

fn valid<E: de::Error>(segments: Segments, typed: &dyn fmt::Display) -> Result<Segments, E> {
    if segments.is_valid() { Ok(segments) } else { Err(invalid(typed)) }
}

fn invalid<E: de::Error>(typed: &dyn fmt::Display) -> E {
    E::custom(format_args!("invalid segments `{typed}`: expected {FORMS}"))
}
