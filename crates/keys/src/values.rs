//! The values of a key. The text of the documentation, the JSON schema and the checks of
//! numbers follow from one declaration.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use serde_json::{Value, json};

/// The values of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Words(&'static [&'static str]),
    /// One of some words, some of them with an explanation.
    Noted(&'static [(&'static str, &'static str)]),
    /// A whole number from the first, up to the second where there is one.
    Whole(u64, Option<u64>),
    /// One of some whole numbers.
    OneOf(&'static [u64]),
    /// A number between two bounds.
    Real(Bound<f64>, Bound<f64>),
    /// A string, as described.
    Text(&'static str),
    /// A table, as described.
    Table(&'static str),
    /// A list of such values, and a remark about it.
    List(&'static Values, &'static str),
    /// A value of one of several forms.
    AnyOf(&'static [Values]),
    /// A value of one of several forms, or a list of these.
    OrList(&'static [Values]),
    /// One of the words of another key.
    As(&'static str),
}

/// A whole number from 1.
pub(super) const COUNT: Values = Values::Whole(1, None);
/// A whole number from 0.
pub(super) const WHOLE: Values = Values::Whole(0, None);
/// Channels of a layer.
pub(super) const CHANNELS: Values = Values::Whole(1, Some(8192));
/// Stages, blocks, modules or layers.
pub(super) const DEPTH: Values = Values::Whole(1, Some(100));
/// A number above 0.
pub(super) const POSITIVE: Values = Values::Real(Excluded(0.0), Unbounded);
/// A number from 0.
pub(super) const NOT_NEGATIVE: Values = Values::Real(Included(0.0), Unbounded);
/// A number from 0 up to, not including, 1.
pub(super) const SHARE: Values = Values::Real(Included(0.0), Excluded(1.0));

impl Values {
    /// In words, as in `docs/experiments.md`.
    pub fn text(&self) -> String {
        let joined = |texts: Vec<String>| texts.join(", ");
        match self {
            Self::Flag => "`true`, `false`".to_owned(),
            Self::Words(words) => joined(words.iter().map(|word| format!("`\"{word}\"`")).collect()),
            Self::Noted(words) => joined(words.iter().map(noted).collect()),
            Self::Whole(least, None) => format!("a whole number from {least}"),
            Self::Whole(least, Some(most)) => format!("a whole number from {least} to {most}"),
            Self::OneOf([numbers @ .., last]) => {
                format!("{} or {last}", joined(numbers.iter().map(u64::to_string).collect()))
            }
            Self::OneOf([]) => String::new(),
            Self::Real(least, most) => format!("a number {}", between(*least, *most)),
            Self::Text(text) | Self::Table(text) => (*text).to_owned(),
            Self::List(items, remark) => format!("a list of {}{remark}", several(&items.text())),
            Self::AnyOf([forms @ .., last]) => {
                format!("{}, or {}", joined(forms.iter().map(Self::text).collect()), last.text())
            }
            Self::AnyOf([]) => String::new(),
            Self::OrList(forms) => {
                format!("{}, or a list of these", joined(forms.iter().map(Self::text).collect()))
            }
            Self::As(other) => format!("as `{other}`"),
        }
    }

    /// The words that it may be.
    pub fn words(&self) -> Vec<&'static str> {
        self.notes().into_iter().map(|(word, _)| word).collect()
    }

    /// The words that it may be, each with what is said about it.
    pub fn notes(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Words(words) => words.iter().map(|word| (*word, "")).collect(),
            Self::Noted(words) => words.to_vec(),
            Self::AnyOf(forms) | Self::OrList(forms) => forms.iter().flat_map(Self::notes).collect(),
            Self::As(other) => super::find(other).map_or_else(Vec::new, |key| key.values.notes()),
            _ => Vec::new(),
        }
    }

    /// Whether it may be this number.
    pub fn allows(&self, number: f64) -> bool {
        let is_whole = number.fract() == 0.0;
        match *self {
            Self::Whole(least, most) => {
                is_whole && number >= least as f64 && most.is_none_or(|most| number <= most as f64)
            }
            Self::OneOf(numbers) => numbers.iter().any(|&one| one as f64 == number),
            Self::Real(least, most) => {
                number.is_finite() && std::ops::RangeBounds::contains(&(least, most), &number)
            }
            Self::AnyOf(forms) | Self::OrList(forms) => forms.iter().any(|form| form.allows(number)),
            _ => false,
        }
    }

    /// As a JSON schema. A table is `table`, where its keys are known.
    pub fn schema(&self, table: Option<&Value>) -> Value {
        let any_of = |forms: &[Self]| -> Vec<Value> { forms.iter().map(|form| form.schema(table)).collect() };
        match self {
            Self::Flag => json!({ "type": "boolean" }),
            Self::Words(_) | Self::Noted(_) | Self::As(_) => json!({ "enum": self.words() }),
            Self::Whole(least, None) => json!({ "type": "integer", "minimum": least }),
            Self::Whole(least, Some(most)) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::OneOf(numbers) => json!({ "enum": numbers }),
            Self::Real(least, most) => {
                let mut schema = json!({ "type": "number" });
                limit(&mut schema, *least, "minimum", "exclusiveMinimum");
                limit(&mut schema, *most, "maximum", "exclusiveMaximum");
                schema
            }
            Self::Text(_) => json!({ "type": "string" }),
            Self::Table(_) => table.cloned().unwrap_or_else(|| json!({ "type": "object" })),
            Self::List(items, _) => json!({ "type": "array", "items": items.schema(table) }),
            Self::AnyOf(forms) => json!({ "anyOf": any_of(forms) }),
            Self::OrList(forms) => {
                let mut forms = any_of(forms);
                forms.push(json!({ "type": "array", "items": { "anyOf": forms } }));
                json!({ "anyOf": forms })
            }
        }
    }
}

fn noted((word, remark): &(&str, &str)) -> String {
    if remark.is_empty() { format!("`\"{word}\"`") } else { format!("`\"{word}\"` ({remark})") }
}

fn between(least: Bound<f64>, most: Bound<f64>) -> String {
    // As a person writes it: `1`, `0.01`, `1e-12`.
    let [least, most] = [least, most]
        .map(|bound| bound.map(|number| format!("{number:?}").trim_end_matches(".0").to_owned()));
    match (least, most) {
        (Included(least), Unbounded) => format!("from {least}"),
        (Excluded(least), Unbounded) => format!("above {least}"),
        (Included(least), Included(most)) => format!("from {least} to {most}"),
        (Included(least), Excluded(most)) => format!("from {least} up to, not including, {most}"),
        (Excluded(least), Included(most)) => format!("above {least}, at most {most}"),
        (Excluded(least), Excluded(most)) => format!("between {least} and {most}"),
        (Unbounded, Included(most)) => format!("up to {most}"),
        (Unbounded, Excluded(most)) => format!("below {most}"),
        (Unbounded, Unbounded) => String::new(),
    }
}

/// `a whole number from 1` of several: `whole numbers from 1`.
fn several(text: &str) -> String {
    let Some(one) = text.strip_prefix("a ") else { return text.to_owned() };
    let nouns = ["number", "string", "sentence", "table"];
    nouns.iter().fold(one.to_owned(), |text, noun| text.replacen(noun, &format!("{noun}s"), 1))
}

fn limit(schema: &mut Value, bound: Bound<f64>, included: &str, excluded: &str) {
    let (name, number) = match bound {
        Included(number) => (included, number),
        Excluded(number) => (excluded, number),
        Unbounded => return,
    };
    schema[name] = if number.fract() == 0.0 { json!(number as i64) } else { json!(number) };
}
