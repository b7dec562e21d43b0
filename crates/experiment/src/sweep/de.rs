//! serde over a [`Value`]: errors keep their position, their key and their kind,
//! so that a misspelt name can be answered with the nearest right one.

use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::diagnostic::{Diagnostic, in_backticks, suggestion};
use super::document::{Data, Entry, Span, Value};
use decouple_keys::{Key, find, full_name, other_name, table_example};

/// Reads a section; `name` is what its keys are called after.
pub(super) fn read<T: de::DeserializeOwned>(name: &str, value: &Value) -> Result<T, Diagnostic> {
    T::deserialize(value).map_err(|error| error.inside(name).into_diagnostic())
}

/// Why a value is refused. Boxed, because `Result`s of it are everywhere.
#[derive(Debug)]
pub(super) struct Error(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    kind: Kind,
    span: Option<Span>,
    /// Keys that lead to the value, innermost first.
    path: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownName { name: String, known: &'static [&'static str] },
    Unexpected { expected: String, found: String },
    Custom(String),
}

impl Error {
    fn new(kind: Kind) -> Self {
        Self(Box::new(Refusal { kind, span: None, path: Vec::new() }))
    }

    fn expected(expected: &str, found: &Value) -> Self {
        Self::new(Kind::Unexpected { expected: expected.to_owned(), found: found.describe() })
    }

    /// The innermost position wins.
    fn at(mut self, span: &Span) -> Self {
        self.0.span.get_or_insert_with(|| span.clone());
        self
    }

    fn inside(mut self, key: &str) -> Self {
        self.0.path.push(key.to_owned());
        self
    }

    fn into_diagnostic(self) -> Diagnostic {
        let Refusal { kind, span, path } = *self.0;
        let path: Vec<_> = path.iter().rev().map(String::as_str).collect();
        let name = path.join(".");
        let (diagnostic, label) = match kind {
            Kind::UnknownKey { key, known } => {
                let table = match path[..] {
                    ["tune"] => "[tune]".to_owned(),
                    ["launcher"] => "[launcher]".to_owned(),
                    [section] => format!("[trial.{section}]"),
                    _ => format!("`{name}`"),
                };
                // As the section calls it: `schedule.peak` in [trial.training].
                let other = other_name(&key)
                    .map(full_name)
                    .and_then(|other| Some(other.strip_prefix(&format!("{name}."))?.to_owned()));
                let elsewhere = ["network", "data", "training"]
                    .into_iter()
                    .find(|section| matches!(path[..], [_]) && find(&format!("{section}.{key}")).is_some());
                let label = match (other, elsewhere) {
                    (Some(other), _) => format!("did you mean `{other}`?"),
                    // Experiment files take out what a network alone does not have.
                    (None, Some(section)) if path == [section] => {
                        format!("only an experiment file has `{section}.{key}`")
                    }
                    (None, Some(section)) => format!("it is a key of [trial.{section}]"),
                    (None, None) => suggestion(&key, known.iter().copied(), "there is no such key"),
                };
                let note = format!("keys of {table}: {}", in_backticks(known.iter().copied()));
                (Diagnostic::new(format!("unknown key `{key}` in {table}")).note(note), label)
            }
            Kind::UnknownName { name: typed, known } => {
                let label = suggestion(&typed, known.iter().copied(), "there is no such value");
                let note = format!("`{name}` may be: {}", in_backticks(known.iter().copied()));
                (Diagnostic::new(format!("unknown value `{typed}` of `{name}`")).note(note), label)
            }
            Kind::Unexpected { expected, found } => {
                let diagnostic = Diagnostic::new(format!("wrong type of `{name}`"));
                let example = table_example(&name).filter(|_| expected == "a table");
                let diagnostic = match example {
                    Some(example) => diagnostic.note(example),
                    None => diagnostic,
                };
                // Of a list, or of words beside numbers, its declaration says more than the type that it is read as.
                let says_more =
                    |key: &&Key| expected.starts_with("an array") || key.values.text().contains('"');
                let declared = find(&name).filter(says_more);
                let expected = declared.map_or(expected, |key| key.values.text());
                (diagnostic, format!("expected {expected}, found {found}"))
            }
            Kind::Custom(message) => (Diagnostic::new(format!("impossible value of `{name}`")), message),
        };
        diagnostic.at_or_note(span, label)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Custom(message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownName { name: variant.to_owned(), known: expected })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Kind::Unexpected { expected: expected.to_string(), found: format!("a list of {length}") })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Unexpected { expected: expected.to_string(), found: found.to_string() })
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Value {
    /// The value if it is of one kind, else an error that says what was expected.
    fn only<'de, T>(
        &'de self,
        expected: &str,
        read: impl FnOnce(&'de Data) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let read = read(&self.data).unwrap_or_else(|| Err(Error::expected(expected, self)));
        read.map_err(|error| error.at(&self.span))
    }
}

/// Gives a list to a visitor, which must take all of it.
fn list<'de, V: Visitor<'de>>(values: &'de [Value], visitor: V) -> Result<V::Value, Error> {
    let mut rest = values.iter();
    let read = visitor.visit_seq(SeqDeserializer::new(rest.by_ref()))?;
    match rest.len() {
        0 => Ok(read),
        surplus => {
            let expected = format!("an array of length {}", values.len() - surplus);
            Err(de::Error::invalid_length(values.len(), &expected.as_str()))
        }
    }
}

/// Methods that read the same kind of value as another.
macro_rules! same_as {
    ($other:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$other(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &'de Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.data {
            Data::Boolean(boolean) => visitor.visit_bool(*boolean),
            Data::Integer(integer) => visitor.visit_i64(*integer),
            Data::Float(float) => visitor.visit_f64(*float),
            Data::String(text) => visitor.visit_borrowed_str(text),
            Data::Datetime => Err(Error::expected("a value of this program", self)),
            Data::Array(values) => list(values, visitor),
            Data::Table(table) => visitor.visit_map(TableAccess { rest: table.entries.iter(), value: None }),
        }
        .map_err(|error| error.at(&self.span))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only("`true` or `false`", |data| match data {
            Data::Boolean(boolean) => Some(visitor.visit_bool(*boolean)),
            _ => None,
        })
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only("a whole number, 0 or above", |data| match data {
            Data::Integer(integer @ 0..) => Some(visitor.visit_u64(integer.unsigned_abs())),
            _ => None,
        })
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only("a number", |data| match data {
            Data::Float(float) => Some(visitor.visit_f64(*float)),
            Data::Integer(integer) => Some(visitor.visit_f64(*integer as f64)),
            _ => None,
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only("a string", |data| match data {
            Data::String(text) => Some(visitor.visit_borrowed_str(text)),
            _ => None,
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.only("a list", |data| match data {
            Data::Array(values) => Some(list(values, visitor)),
            _ => None,
        })
    }

    same_as!(deserialize_u64: deserialize_u8 deserialize_u16 deserialize_u32);
    same_as!(deserialize_f64: deserialize_f32);
    same_as!(deserialize_str: deserialize_string);

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.data {
            Data::Table(_) => self.deserialize_any(visitor),
            _ => Err(Error::expected("a table", self).at(&self.span)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.data {
            Data::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(Error::expected("a string", self)),
        }
        .map_err(|error: Error| error.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

struct TableAccess<'de> {
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for TableAccess<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key = seed.deserialize(StrDeserializer::new(&entry.key));
        key.map(Some).map_err(|error: Error| error.at(&entry.key_span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry =
            self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.value).map_err(|error| error.inside(&entry.key))
    }
}
