//! Conditions on trials, as `--filter` takes them.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use super::{
    Sweep,
    diagnostic::{in_backticks, suggestion},
};
use crate::{Trial, value_on};
use decouple_keys::axis_name;

/// A conjunction of conditions on axis values, seed and id:
/// `segments>=8 & seed=0`, `intermediate != relu`, `id=3f9c`.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialFilter(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    axis: String,
    relation: Relation,
    value: String,
}

/// The orders of two values for which it holds; words that differ have none.
type Relation = &'static [Option<Ordering>];

const EQUAL: Relation = &[Some(Equal)];

/// Longer signs first, so that `>=` is not read as `>`.
const RELATIONS: [(&str, Relation); 7] = [
    ("!=", &[Some(Less), Some(Greater), None]),
    ("<=", &[Some(Less), Some(Equal)]),
    (">=", &[Some(Greater), Some(Equal)]),
    ("==", EQUAL),
    ("=", EQUAL),
    ("<", &[Some(Less)]),
    (">", &[Some(Greater)]),
];

/// Why a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A part is not a condition.
    #[error(
        "`{0}` is not a condition\n   = write axis, relation and value, joined by `&`, as in segments>=8 & seed=0"
    )]
    Condition(String),
    /// A condition on something that the sweep does not vary.
    #[error("`{name}` is not an axis of this experiment: {suggestion}\n   = a filter may name {known}")]
    Axis {
        /// As typed.
        name: String,
        /// What was probably meant.
        suggestion: String,
        /// The axes that exist.
        known: String,
    },
    /// Values of this kind have no order.
    #[error(
        "`{0}` compares words\n   = words and ids can only be equal (=) or not (!=); order is for numbers, and per-channel is greater than all of them"
    )]
    Order(String),
}

impl TrialFilter {
    /// Reads a filter for the trials of `sweep`.
    ///
    /// # Errors
    /// [`FilterError`] when a part is not a condition or names no axis.
    pub fn parse(text: &str, sweep: &Sweep) -> Result<Self, FilterError> {
        text.split('&').map(|part| Condition::parse(part.trim(), sweep)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether every condition holds for `trial`.
    pub fn matches(&self, trial: &Trial) -> bool {
        self.0.iter().all(|condition| condition.holds(trial))
    }
}

impl Condition {
    fn parse(text: &str, sweep: &Sweep) -> Result<Self, FilterError> {
        // The first sign, and of those the longest.
        let signs = RELATIONS.iter().filter_map(|&(sign, relation)| Some((text.find(sign)?, sign, relation)));
        let first = signs.min_by_key(|&(place, sign, _)| (place, std::cmp::Reverse(sign.len())));
        let (place, sign, relation) = first.ok_or_else(|| FilterError::Condition(text.to_owned()))?;
        let typed = text[..place].trim();
        let value = text[place + sign.len()..].trim().trim_matches('"');
        // As numbers are written in a file: 17_000.
        let plain = value.replace('_', "");
        let value = if number(&plain).is_some() { plain.as_str() } else { value };
        if typed.is_empty() || value.is_empty() || value.contains(['=', '<', '>', '!']) {
            return Err(FilterError::Condition(text.to_owned()));
        }
        let names = || sweep.axes.iter().map(|axis| axis.name.as_str()).chain(["id"]);
        let axis = axis_name(typed).unwrap_or(typed);
        if !names().any(|name| name == axis) {
            return Err(FilterError::Axis {
                name: typed.to_owned(),
                suggestion: suggestion(typed, names(), "nothing varies it"),
                known: in_backticks(names()),
            });
        }
        if (number(value).is_none() || axis == "id") && !["=", "==", "!="].contains(&sign) {
            return Err(FilterError::Order(text.to_owned()));
        }
        Ok(Self { axis: axis.to_owned(), relation, value: value.to_owned() })
    }

    fn holds(&self, trial: &Trial) -> bool {
        let found = match self.axis.as_str() {
            "id" => {
                return trial.id.to_string().starts_with(&self.value) == (self.relation == EQUAL);
            }
            "seed" => trial.seed().to_string(),
            axis => match value_on(&trial.point, axis) {
                Some(value) => value.to_owned(),
                None => return false,
            },
        };
        // Seeds may be too large for floating point.
        let ordering = match (found.parse::<u64>(), self.value.parse::<u64>()) {
            (Ok(found), Ok(value)) => Some(found.cmp(&value)),
            _ => match (number(&found), number(&self.value)) {
                (Some(found), Some(value)) => found.partial_cmp(&value),
                _ => (found == self.value).then_some(Equal),
            },
        };
        self.relation.contains(&ordering)
    }
}

/// A number, or the segment count or group width that is greater than all numbers.
fn number(text: &str) -> Option<f64> {
    if text == "per-channel" || text == "all" {
        Some(f64::INFINITY)
    } else {
        text.parse().ok().filter(|number: &f64| !number.is_nan())
    }
}
