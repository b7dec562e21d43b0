//! `channels-per-segment`: segments as the field counts them, by the width of a group.
//!
//! Segments above a layer's channels are clamped, so one number of segments means different things in
//! different layers; so many channels per segment mean the same in all. Records hold `segments`, as they
//! always did: one channel per segment is `"per-channel"` and all channels are one segment there, so that
//! runs are found under both names.

use super::diagnostic::Diagnostic;
use super::document::{Data, Entry, Table, Value};

/// The key and the axis.
pub(super) const KEY: &str = "channels-per-segment";

/// The value for all channels in one segment.
const ALL: &str = "all";

/// Turns `network.channels-per-segment`, where it is typed, into `network.segments`.
pub(super) fn resolve(trial: &mut Table) -> Result<(), Diagnostic> {
    let Some(network) = trial.table_mut("network") else { return Ok(()) };
    let Some(Entry { key_span, value, .. }) = network.get(KEY).cloned() else { return Ok(()) };
    if let Some(segments) = network.get("segments") {
        return Err(Diagnostic::new(format!("`segments` and `{KEY}` say the same thing twice"))
            .at(segments.key_span.clone(), "here as segments")
            .at(key_span, "here as channels per segment"));
    }
    let segments = segments(&value)?;
    network.retain(|key| key != KEY);
    network.set("segments", &key_span, segments);
    Ok(())
}

fn segments(value: &Value) -> Result<Value, Diagnostic> {
    let data = match &value.data {
        Data::Integer(1) => Data::String("per-channel".to_owned()),
        Data::Integer(width) if *width > 1 => {
            let entry = Entry { key: KEY.to_owned(), key_span: value.span.clone(), value: value.clone() };
            Data::Table(Table { entries: vec![entry] })
        }
        Data::String(word) if word == ALL => Data::Integer(1),
        Data::Array(stages) => Data::Array(stages.iter().map(segments).collect::<Result<_, _>>()?),
        _ => {
            let expected =
                format!("expected a whole number from 1, \"{ALL}\", or a list of these, one per stage");
            return Err(Diagnostic::new(format!("impossible value of `network.{KEY}`"))
                .at(value.span.clone(), format!("{expected}, found {}", value.describe())));
        }
    };
    Ok(Value { span: value.span.clone(), data })
}
