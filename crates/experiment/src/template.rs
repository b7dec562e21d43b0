//! The file that `decouple init` writes: an experiment that runs as it is, with the other keys of
//! its trials as comments.

use decouple_keys::keys;

/// Keys of trials that are already set.
const SET: [&str; 4] = ["data.set", "network.segments", "training.epochs", "data.validation"];

/// An experiment file called `name`, with comments.
///
/// ```
/// use decouple_experiment::{Overrides, parse, template};
/// let sweep = parse(&template("mine"), "mine.toml", &Overrides::default())?;
/// assert_eq!((sweep.name.as_str(), sweep.trials.len()), ("mine", 9));
/// # Ok::<(), decouple_experiment::ExperimentError>(())
/// ```
pub fn template(name: &str) -> String {
    let mut text = format!(
        r#"#:schema decouple.schema.json
# What is the question? The first paragraph of this comment is the title of the figures.
#
# decouple plan {name}      lists every trial with its cost and time
# decouple run {name}       trains them; finished trials are kept
# decouple report {name}    rebuilds tables and figures
# Every key and its values: docs/experiments.md. For editors, in the folder of this file:
# decouple schema > decouple.schema.json

[experiment]
# The quantity held equal at every point, by fitting its width to the reference:
# "parameters", "macs", "activations", "step-time" or "none".
budget = "parameters"
reference = {{ segments = "per-channel" }}

# Every combination of these is trained. Any key of [trial.*] may be an axis, such
# as training.weight-decay = [1e-4, 1e-3].
[axes]
segments = [1, 4, "per-channel"]
seed = [0, 1, 2]

[trial.data]
set = "fashion-mnist"
# Training images held out to monitor training and to tune with.
validation = 1000

[trial.training]
epochs = 3

# Below, the other keys of trials with their defaults. Uncomment a key in its section to set it.
"#
    );
    let mut section = "";
    for key in keys().filter(|key| !SET.contains(&key.path)) {
        let Some((in_section, name)) = key.path.split_once('.') else { continue };
        // Keys of a table that has a line of its own.
        if name.contains('.') || !["network", "data", "training"].contains(&in_section) {
            continue;
        }
        if in_section != section {
            section = in_section;
            text += &format!("\n# [trial.{section}]\n");
        }
        let default = if key.default.is_empty() { "..." } else { key.default };
        text += &format!("# {name} = {default}  # {}\n", key.meaning);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, parse};

    #[test]
    fn the_commented_defaults_are_what_leaving_them_out_means() {
        let text = template("mine");
        let own = parse(&text, "mine.toml", &Overrides::default()).unwrap();
        assert_eq!(own.warnings, [] as [String; 0]);
        // A copy under another name is another experiment, with a folder of its own.
        assert_eq!(parse(&text, "copy.toml", &Overrides::default()).unwrap().name, "copy");
        let set = |section: &str, line: &str| format!("{section}.{}", line.trim_start_matches("# "));
        let mut section = "";
        let mut tried = 0;
        for line in text.lines().filter(|line| line.starts_with("# ")) {
            if let Some(header) = line.strip_prefix("# [trial.") {
                section = header.trim_end_matches(']');
            } else if !section.is_empty() && !line.contains("= ...") {
                let argument = set(section, line.split("  # ").next().unwrap());
                // Keys of other families and sets are refused here, as they should be.
                let overrides = Overrides { set: vec![argument.clone()] };
                if let Ok(sweep) = parse(&text, "mine.toml", &overrides) {
                    let ids = |sweep: &crate::Sweep| sweep.trials.iter().map(|t| t.id).collect::<Vec<_>>();
                    assert_eq!(ids(&sweep), ids(&own), "{argument}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 25, "{tried}");
    }
}
