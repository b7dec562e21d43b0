//! A JSON schema of experiment files for editors, from the table of keys.
//!
//! What a key may hold stands in [`Key::values`] in words, and the words follow a
//! few patterns ("a whole number from 1", "a list of ...", quoted names). Those are
//! read here. A wording that follows none of them allows any value: the program
//! itself has the last word.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::keys::{KEYS, Key, SHORT_NAMES};

/// The schema (draft 7, which editors of TOML read) as a document.
pub fn schema() -> Value {
    let tree = Tree::of(KEYS);
    let section = |name: &str| tree.children[name].schema(&|key| values(key));
    let trial = ["network", "data", "training"].map(|name| (name.to_owned(), section(name)));
    let mut experiment = tree.children["experiment"].schema(&|key| values(key));
    experiment["description"] = json!("What the experiment is called, asks, and holds equal.");
    let axes = axes(&tree);
    let mut with_seed = axes.clone();
    with_seed["properties"]["seed"] = described(tree.children["axes"].children["seed"].key);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "An experiment of decouple",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "experiment": experiment,
            "axes": with_seed,
            "zip": { "type": "array", "items": axes },
            "tune": section("tune"),
            "launcher": section("launcher"),
            "trial": object(trial.into_iter().collect()),
        }
    })
}

/// Keys by the parts of their names.
#[derive(Default)]
struct Tree {
    key: Option<&'static Key>,
    children: BTreeMap<&'static str, Tree>,
}

impl Tree {
    fn of(keys: &'static [Key]) -> Self {
        let mut root = Self::default();
        for key in keys {
            let node =
                key.path.split('.').fold(&mut root, |node, part| node.children.entry(part).or_default());
            node.key = Some(key);
        }
        root
    }

    /// The schema of a table, or of a value where there are no keys below. `leaf` is that of a key's value.
    fn schema(&self, leaf: &dyn Fn(&Key) -> Value) -> Value {
        let Some(key) = self.key else { return self.table(leaf) };
        if self.children.is_empty() {
            return with_meaning(leaf(key), key);
        }
        // A table that may also be written as one word, such as average = "polyak".
        let short = leaf(key);
        let table = self.table(leaf);
        with_meaning(
            if short == json!({ "type": "object" }) { table } else { json!({ "anyOf": [short, table] }) },
            key,
        )
    }

    fn table(&self, leaf: &dyn Fn(&Key) -> Value) -> Value {
        object(self.children.iter().map(|(name, child)| ((*name).to_owned(), child.schema(leaf))).collect())
    }
}

fn object(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Every key of a trial with a list of its values: in tables, under its name in quotes
/// ("network.family"), or under its short name.
fn axes(tree: &Tree) -> Value {
    let list = |key: &Key| json!({ "type": "array", "minItems": 1, "items": values(key) });
    let sections = ["network", "data", "training"];
    let mut properties: Map<String, Value> =
        sections.iter().map(|name| ((*name).to_owned(), tree.children[name].schema(&list))).collect();
    for key in KEYS.iter().filter(|key| sections.iter().any(|name| key.path.starts_with(name))) {
        properties.insert(key.path.to_owned(), with_meaning(list(key), key));
    }
    for name in SHORT_NAMES {
        if let Some(child) = tree.children["network"].children.get(name) {
            properties.insert(name.to_owned(), child.schema(&list));
        }
    }
    object(properties)
}

fn described(key: Option<&Key>) -> Value {
    key.map_or_else(|| json!({}), |key| with_meaning(values(key), key))
}

fn with_meaning(mut schema: Value, key: &Key) -> Value {
    schema["description"] = json!(key.meaning);
    let is_list_of_values = schema.get("minItems").is_some();
    if is_list_of_values {
        return schema;
    }
    if let Ok(table) = toml::from_str::<toml::Table>(&format!("value = {}", key.default)) {
        schema["default"] = json!(table["value"]);
    }
    schema
}

/// What a key may hold.
fn values(key: &Key) -> Value {
    let text = key.values;
    let names = quoted_names(text);
    if let Some(items) = text.strip_prefix("a list of ") {
        let (items, is_also_table) =
            items.split_once(", or `{").map_or((items, false), |(items, _)| (items, true));
        let items = items.trim_start_matches("two ").trim_start_matches("different ");
        let items = one(&items.replace("numbers", "number").replace("whole number", "a whole number"));
        let list = json!({ "type": "array", "items": items });
        return if is_also_table { json!({ "anyOf": [list, { "type": "object" }] }) } else { list };
    }
    let is_mixed = text.contains('{') || text.contains("a whole number");
    match text {
        "`true`, `false`" => json!({ "type": "boolean" }),
        _ if text.starts_with("as ") => {
            let other = text.trim_start_matches("as ").trim_matches('`');
            let other = KEYS.iter().find(|key| key.path == other);
            // Of a table that is also a word, the words.
            other.map_or_else(|| json!({}), |other| json!({ "enum": quoted_names(other.values) }))
        }
        _ if is_mixed && !names.is_empty() && !text.starts_with("a table") => mixed(text, &names),
        _ if !names.is_empty() && text.starts_with("`\"") => json!({ "enum": names }),
        _ => one(text),
    }
}

/// A value that has several forms: names, a number, a table, a list of these.
fn mixed(text: &str, names: &[&str]) -> Value {
    let mut forms = vec![json!({ "enum": names })];
    if let Some(place) = text.find("a whole number") {
        forms.push(one(text[place..].split(',').next().unwrap_or_default()));
        if text.contains('{') {
            forms.push(json!({ "type": "object" }));
        }
    }
    if text.contains("a list of these") {
        let items = json!({ "anyOf": forms.clone() });
        forms.push(json!({ "type": "array", "items": items }));
    }
    if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) }
}

/// A value of one form.
fn one(text: &str) -> Value {
    let whole: Option<Vec<i64>> = text.split(", ").map(|word| word.parse().ok()).collect();
    if let Some(whole) = whole {
        return json!({ "enum": whole });
    }
    let kind = if text.starts_with("a whole number") {
        "integer"
    } else if text.starts_with("a number") || text.starts_with("number") {
        "number"
    } else if ["a string", "a path", "letters", "sentences"].iter().any(|start| text.starts_with(start)) {
        return json!({ "type": "string" });
    } else if text.starts_with("a table") {
        return json!({ "type": "object" });
    } else {
        return json!({});
    };
    let mut schema = json!({ "type": kind });
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let limit = match pair[0] {
            "from" => "minimum",
            "above" => "exclusiveMinimum",
            // "from 0 up to 1" leaves the 1 out, "at most 1" does not.
            "to" if text.contains("up to") => "exclusiveMaximum",
            "to" | "most" => "maximum",
            _ => continue,
        };
        if let Ok(number) = pair[1].trim_end_matches([',', ';']).parse::<f64>() {
            schema[limit] = if number.fract() == 0.0 { json!(number as i64) } else { json!(number) };
        }
    }
    schema
}

/// The words in quotes: `"module"`, `"both"`.
fn quoted_names(text: &str) -> Vec<&str> {
    let words = text.split('`').skip(1).step_by(2);
    let names = words.filter_map(|word| word.strip_prefix('"')?.strip_suffix('"'));
    names.filter(|name| !name.contains(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
        path.split('.').fold(schema, |schema, part| {
            let tables = [Some(schema), schema["anyOf"].get(1)];
            let found = tables.into_iter().flatten().map(|table| &table["properties"][part]);
            found.into_iter().find(|found| !found.is_null()).unwrap_or_else(|| panic!("no {path}: {schema}"))
        })
    }

    #[test]
    fn every_key_has_a_place_and_its_meaning() {
        let schema = schema()["properties"].take();
        let root = json!({ "properties": schema });
        for key in KEYS {
            if key.path.starts_with("axes") || key.path == "zip" {
                continue;
            }
            let in_trial = !["experiment", "tune", "launcher"].contains(&key.path.split('.').next().unwrap());
            let path = if in_trial { format!("trial.{}", key.path) } else { key.path.to_owned() };
            assert_eq!(at(&root, &path)["description"], key.meaning, "{path}");
        }
    }

    #[test]
    fn nearly_every_wording_is_understood() {
        let unknown: Vec<&str> =
            KEYS.iter().filter(|key| values(key) == json!({})).map(|key| key.path).collect();
        // "tables of lists": the schema says what [[zip]] holds by itself.
        assert!(unknown.len() <= 3, "{unknown:?}");
    }

    #[test]
    fn words_become_types_and_limits() {
        let of = |path: &str| values(KEYS.iter().find(|key| key.path == path).unwrap());
        assert_eq!(of("network.residual"), json!({ "type": "boolean" }));
        assert_eq!(of("network.kernel"), json!({ "enum": [3, 5, 7] }));
        assert_eq!(of("network.norm"), json!({ "enum": ["module", "both"] }));
        assert_eq!(of("network.dropout"), json!({ "type": "number", "minimum": 0, "maximum": 0.99 }));
        assert_eq!(of("training.epochs"), json!({ "type": "integer", "minimum": 1 }));
        let share = json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 });
        assert_eq!(of("training.label-smoothing"), share);
        let counts = json!({ "type": "array", "items": { "type": "integer", "minimum": 1 } });
        assert_eq!(of("network.entry"), counts);
        assert_eq!(of("training.average"), json!({ "enum": ["none", "polyak"] }));
        let segments = of("network.segments");
        assert_eq!(segments["anyOf"][0], json!({ "enum": ["per-channel"] }));
        assert_eq!(segments["anyOf"].as_array().map(Vec::len), Some(4));
        assert_eq!(segments["anyOf"][1], json!({ "type": "integer", "minimum": 1 }));
        let widths = json!([{ "enum": ["all"] }, { "type": "integer", "minimum": 1 }]);
        let either = of("network.channels-per-segment");
        assert_eq!(either["anyOf"].as_array().map(|forms| json!(forms[..2])), Some(widths.clone()));
        assert_eq!(either["anyOf"][2], json!({ "type": "array", "items": { "anyOf": widths } }));
        let seed = json!({ "type": "integer", "minimum": 0 });
        assert_eq!(of("network.allocation"), json!({ "anyOf": [{ "enum": ["own"] }, seed] }));
        assert_eq!(of("data.split"), json!({ "anyOf": [{ "enum": ["fixed", "seed"] }, seed] }));
        let rates = json!({ "type": "array", "items": { "type": "number", "exclusiveMinimum": 0 } });
        assert_eq!(of("tune.learning-rate"), json!({ "anyOf": [rates, { "type": "object" }] }));
        let sentences = json!({ "type": "array", "items": { "type": "string" } });
        assert_eq!(of("experiment.hypotheses"), sentences);
    }
}
