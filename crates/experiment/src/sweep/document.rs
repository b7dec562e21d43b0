//! A TOML document with the position of every key and value, in file order.
//!
//! Values from several texts (the file, each `--set`) meet in one document:
//! each text has its own range of positions, so a position alone says where
//! a value was typed. See [`Sources`](super::diagnostic::Sources).

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
pub(super) use super::diagnostic::Span;

/// A value and where it was typed.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) span: Span,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
    /// TOML has them, but no key here takes them.
    Datetime,
    Array(Vec<Value>),
    Table(Table),
}

/// Keys and values in the order in which they were typed.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Value,
}

/// A value under a dotted name.
#[derive(Clone, Debug)]
pub(super) struct Leaf<'a> {
    pub(super) name: String,
    pub(super) key_span: Span,
    pub(super) value: &'a Value,
}

/// Reads `text`, whose positions begin at `offset`.
pub(super) fn parse(text: &str, offset: usize) -> Result<Table, Diagnostic> {
    let root = DeTable::parse(text).map_err(|error| {
        let end = text.len();
        let span = error.span().map_or(end..end, |span| span.start.min(end)..span.end.min(end));
        Diagnostic::new("this is not TOML").at(moved(span, offset), error.message())
    })?;
    table(root.get_ref(), offset)
}

fn table(table: &DeTable<'_>, offset: usize) -> Result<Table, Diagnostic> {
    let entry = |(key, typed): (&Spanned<_>, _)| {
        let key_span = moved(key.span(), offset);
        Ok(Entry {
            key: AsRef::<str>::as_ref(key.get_ref()).to_owned(),
            key_span,
            value: value(typed, offset)?,
        })
    };
    let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, Diagnostic>>()?;
    entries.sort_by_key(|entry| entry.key_span.start);
    Ok(Table { entries })
}

fn value(typed: &Spanned<DeValue<'_>>, offset: usize) -> Result<Value, Diagnostic> {
    let span = moved(typed.span(), offset);
    let data = match typed.get_ref() {
        DeValue::Boolean(boolean) => Data::Boolean(*boolean),
        DeValue::String(text) => Data::String(text.to_string()),
        DeValue::Datetime(_) => Data::Datetime,
        DeValue::Array(array) => {
            Data::Array(array.iter().map(|v| value(v, offset)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(inner) => Data::Table(table(inner, offset)?),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(integer) => Data::Integer(integer),
            Err(_) => return Err(out_of_range(span, "whole number")),
        },
        DeValue::Float(digits) => match digits.as_str().parse() {
            Ok(float) => Data::Float(float),
            Err(_) => return Err(out_of_range(span, "number")),
        },
    };
    Ok(Value { span, data })
}

fn out_of_range(span: Span, kind: &str) -> Diagnostic {
    Diagnostic::new(format!("a {kind} is out of range")).at(span, "does not fit into 64 bits")
}

/// The shortest text of a number, `1e-5` for `0.00001`.
fn short(float: f64) -> String {
    let is_plain = float == 0.0 || (1e-3..1e7).contains(&float.abs()) || !float.is_finite();
    if is_plain { float.to_string() } else { format!("{float:e}") }
}

fn moved(span: Span, offset: usize) -> Span {
    span.start + offset..span.end + offset
}

impl Value {
    /// Its description, for "expected ..., found ...".
    pub(super) fn describe(&self) -> String {
        match &self.data {
            Data::Boolean(boolean) => format!("`{boolean}`"),
            Data::Integer(integer) => format!("`{integer}`"),
            Data::Float(float) => format!("`{float:?}`"),
            Data::String(text) => format!("the string {text:?}"),
            Data::Datetime => "a date or time".to_owned(),
            Data::Array(_) => "a list".to_owned(),
            Data::Table(_) => "a table".to_owned(),
        }
    }

    /// The value as it names a point: without quotes, numbers in shortest form,
    /// whole numbers of a list joined by `-`, anything else by `+`.
    pub(super) fn text(&self) -> String {
        match &self.data {
            Data::Boolean(boolean) => boolean.to_string(),
            Data::Integer(integer) => integer.to_string(),
            Data::Float(float) => short(*float),
            Data::String(text) => text.clone(),
            Data::Datetime => "datetime".to_owned(),
            Data::Array(values) if values.is_empty() => "none".to_owned(),
            Data::Array(values) => {
                let are_whole = values.iter().all(|value| matches!(value.data, Data::Integer(_)));
                let texts: Vec<_> = values.iter().map(Self::text).collect();
                texts.join(if are_whole { "-" } else { "+" })
            }
            Data::Table(table) => {
                let pair = |entry: &Entry| format!("{} {}", entry.key, entry.value.text());
                table.entries.iter().map(pair).collect::<Vec<_>>().join(" ")
            }
        }
    }

    pub(super) fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&[Self]> {
        match &self.data {
            Data::Array(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Every value under its dotted name. Tables made by dotted keys are opened;
    /// those typed as `{ ... }` or under a header only where `opens_all`.
    pub(super) fn leaves(&self, opens_all: bool) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        for entry in &self.entries {
            // A table made by a dotted key has no text of its own.
            let is_dotted = entry.value.span == entry.key_span;
            match entry.value.as_table() {
                Some(inner) if opens_all || is_dotted => {
                    leaves.extend(inner.leaves(opens_all).into_iter().map(|leaf| Leaf {
                        name: format!("{}.{}", entry.key, leaf.name),
                        key_span: if is_dotted && entry.key_span.end + 1 == leaf.key_span.start {
                            entry.key_span.start..leaf.key_span.end
                        } else {
                            leaf.key_span
                        },
                        value: leaf.value,
                    }));
                }
                _ => leaves.push(Leaf {
                    name: entry.key.clone(),
                    key_span: entry.key_span.clone(),
                    value: &entry.value,
                }),
            }
        }
        leaves.sort_by_key(|leaf| leaf.key_span.start);
        leaves
    }

    /// Puts `value` at a dotted name, creating tables as needed. A string on the way is short
    /// for a table with only a `kind`, and becomes one.
    pub(super) fn set(&mut self, name: &str, key_span: &Span, value: Value) {
        let (key, rest) = name.split_once('.').map_or((name, None), |(key, rest)| (key, Some(rest)));
        let index = self.entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let empty = Value { span: key_span.clone(), data: Data::Table(Self::default()) };
            self.entries.push(Entry { key: key.to_owned(), key_span: key_span.clone(), value: empty });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        let Some(rest) = rest else {
            entry.key_span = key_span.clone();
            entry.value = value;
            return;
        };
        if !matches!(entry.value.data, Data::Table(_)) {
            let kind = std::mem::replace(
                &mut entry.value,
                Value { span: key_span.clone(), data: Data::Table(Self::default()) },
            );
            if let (Data::Table(table), Data::String(_)) = (&mut entry.value.data, &kind.data) {
                let key_span = kind.span.clone();
                table.entries.push(Entry { key: "kind".to_owned(), key_span, value: kind });
            }
        }
        if let Data::Table(inner) = &mut entry.value.data {
            inner.set(rest, key_span, value);
        }
    }

    /// The table under `key`.
    pub(super) fn table_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.entries.iter_mut().find(|entry| entry.key == key)?.value.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Drops the entries whose key is not `kept`.
    pub(super) fn retain(&mut self, kept: impl Fn(&str) -> bool) {
        self.entries.retain(|entry| kept(&entry.key));
    }

    /// The entry at a dotted name, or the nearest one above it.
    pub(super) fn nearest_entry(&self, name: &str) -> Option<&Entry> {
        let (key, rest) = name.split_once('.').map_or((name, None), |(key, rest)| (key, Some(rest)));
        let entry = self.get(key)?;
        let inner = rest.and_then(|rest| entry.value.as_table()?.nearest_entry(rest));
        inner.or(Some(entry))
    }
}
