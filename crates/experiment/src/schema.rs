//! A JSON schema of experiment files for editors, from the table of keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use decouple_keys::{Key, SHORT_NAMES, keys};

/// The schema (draft 7, which editors of TOML read) as a document.
pub fn schema() -> Value {
    let tree = Tree::of_keys();
    let section = |name: &str| tree.children[name].schema(&Place::Value);
    let trial = ["network", "data", "training"].map(|name| (name.to_owned(), section(name)));
    let mut experiment = section("experiment");
    experiment["description"] = json!("Name, question and budget of the experiment.");
    let axes = axes(&tree);
    let mut with_seed = axes.clone();
    with_seed["properties"]["seed"] = tree.children["axes"].children["seed"].schema(&Place::Value);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A decouple experiment",
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

/// Where a key is used: with a value, or as an axis with a list of values.
enum Place {
    Value,
    Axis,
}

/// Keys by the parts of their names.
#[derive(Default)]
struct Tree {
    key: Option<&'static Key>,
    children: BTreeMap<&'static str, Tree>,
}

impl Tree {
    fn of_keys() -> Self {
        let mut root = Self::default();
        for key in keys() {
            let node =
                key.path.split('.').fold(&mut root, |node, part| node.children.entry(part).or_default());
            node.key = Some(key);
        }
        root
    }

    /// The schema of a table, or of a value where there are no keys below.
    fn schema(&self, place: &Place) -> Value {
        let table = (!self.children.is_empty()).then(|| {
            let properties = self.children.iter();
            object(properties.map(|(name, child)| ((*name).to_owned(), child.schema(place))).collect())
        });
        match (self.key, place) {
            (None, _) => table.unwrap_or_default(),
            (Some(key), Place::Value) => of_key(key, table.as_ref()),
            // An axis over a whole table, or over keys of it.
            (Some(key), Place::Axis) => match table {
                Some(table) => described(json!({ "anyOf": [list_of(key), table] }), key),
                None => described(list_of(key), key),
            },
        }
    }
}

fn object(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Every key of a trial with a list of its values: in tables, under its name in quotes
/// ("network.family"), or under its short name.
fn axes(tree: &Tree) -> Value {
    let sections = ["network", "data", "training"];
    let mut properties: Map<String, Value> =
        sections.iter().map(|name| ((*name).to_owned(), tree.children[name].schema(&Place::Axis))).collect();
    for key in keys().filter(|key| sections.iter().any(|name| key.path.starts_with(name))) {
        properties.insert(key.path.to_owned(), described(list_of(key), key));
    }
    for name in SHORT_NAMES {
        if let Some(child) = tree.children["network"].children.get(name) {
            properties.insert(name.to_owned(), child.schema(&Place::Axis));
        }
    }
    object(properties)
}

/// A list of values of a key.
fn list_of(key: &Key) -> Value {
    json!({ "type": "array", "minItems": 1, "items": key.values.schema(None) })
}

/// A value of a key, which may be `table`.
fn of_key(key: &Key, table: Option<&Value>) -> Value {
    let mut schema = described(key.values.schema(table), key);
    if let Ok(document) = toml::from_str::<toml::Table>(&format!("value = {}", key.default)) {
        schema["default"] = json!(document["value"]);
    }
    schema
}

fn described(mut schema: Value, key: &Key) -> Value {
    schema["description"] = json!(key.meaning);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use decouple_keys::find;

    fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
        path.split('.').fold(schema, |schema, part| {
            let forms = schema["anyOf"].as_array().into_iter().flatten();
            let mut found = [schema].into_iter().chain(forms).map(|table| &table["properties"][part]);
            found.find(|found| !found.is_null()).unwrap_or_else(|| panic!("no {path}: {schema}"))
        })
    }

    #[test]
    fn every_key_has_a_place_and_its_meaning() {
        let schema = schema()["properties"].take();
        let root = json!({ "properties": schema });
        for key in keys() {
            if key.path.starts_with("axes") || key.path == "zip" {
                continue;
            }
            let in_trial = !["experiment", "tune", "launcher"].contains(&key.path.split('.').next().unwrap());
            let path = if in_trial { format!("trial.{}", key.path) } else { key.path.to_owned() };
            assert_eq!(at(&root, &path)["description"], key.meaning, "{path}");
        }
    }

    #[test]
    fn values_become_types_and_limits() {
        let of = |path: &str| find(path).unwrap().values.schema(None);
        assert_eq!(of("network.residual"), json!({ "type": "boolean" }));
        assert_eq!(of("network.kernel"), json!({ "enum": [3, 5, 7] }));
        assert_eq!(of("network.norm"), json!({ "enum": ["module", "both"] }));
        assert_eq!(of("network.dropout"), json!({ "type": "number", "minimum": 0, "maximum": 0.99 }));
        let share = json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 });
        assert_eq!(of("training.label-smoothing"), share);
        let counts =
            json!({ "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 8192 } });
        assert_eq!(of("network.entry"), counts);
        let segments = of("network.segments");
        let forms = segments["anyOf"].as_array().unwrap();
        assert_eq!(
            forms[..2],
            [json!({ "type": "integer", "minimum": 1 }), json!({ "enum": ["per-channel"] })]
        );
        assert_eq!(forms[3], json!({ "type": "array", "items": { "anyOf": forms[..3] } }));
        assert_eq!(of("experiment.budget.hold")["enum"][3], "step-time");
        let average =
            schema()["properties"]["trial"]["properties"]["training"]["properties"]["average"].take();
        assert_eq!(average["anyOf"][0], json!({ "enum": ["none", "polyak"] }));
        assert_eq!(average["anyOf"][1]["properties"]["decay"]["type"], "number");
    }
}
