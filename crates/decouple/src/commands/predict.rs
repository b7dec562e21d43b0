//! `decouple predict`: what is in photographs.

use std::path::Path;

use decouple_training::classifier::ranked;
use serde_json::json;

use super::{photographs::Remarks, trained::Trained};
use crate::{
    arguments::{Common, Format, Predict},
    failure::{Failure, NOTHING, SUCCESS},
    text::print_part,
};

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<u8, Failure> {
    let (mut classifier, labels) = Trained::open(&arguments.trained)?.classifier(common)?;
    let (photographs, mut remarks) = (&arguments.photographs, Remarks::default());
    for file in &arguments.images {
        let seen = classifier.sight.see(file, photographs.looking());
        let text = match remarks.sort(photographs, seen)? {
            Some(image) => {
                let probabilities = classifier.probabilities(&image)?.remove(0);
                let best = ranked(&probabilities).into_iter().take(arguments.top.get());
                let best = best.map(|class| (&labels[class][..], class, probabilities[class])).collect();
                answer(file, best, arguments.format)
            }
            None if arguments.format == Format::Json => left_out(file, &remarks),
            // They are listed at the end.
            None => continue,
        };
        if print_part(&text)?.is_break() {
            return Ok(SUCCESS);
        }
    }
    let is_any_seen = remarks.skipped.len() < arguments.images.len();
    let remarks = remarks.text(photographs);
    if !remarks.is_empty() {
        say!("{}", remarks.trim_end());
    }
    Ok(if is_any_seen { SUCCESS } else { NOTHING })
}

/// What is seen in `file`: label, number and probability of the `best` classes.
fn answer(file: &Path, best: Vec<(&str, usize, f64)>, format: Format) -> String {
    let file = file.display();
    match format {
        Format::Human => {
            let line = |(label, _, probability): (&str, usize, f64)| {
                format!("  {:6.2} %  {}\n", 100.0 * probability, plain_name(label))
            };
            format!("{file}\n{}", best.into_iter().map(line).collect::<String>())
        }
        Format::Json => {
            let classes: Vec<_> = best
                .into_iter()
                .map(|(label, class, probability)| {
                    json!({ "class": class, "label": label, "probability": probability })
                })
                .collect();
            format!("{}\n", json!({ "file": file.to_string(), "classes": classes }))
        }
    }
}

/// The JSON document of `file`, the last of those left out.
fn left_out(file: &Path, remarks: &Remarks) -> String {
    let reason = remarks.skipped.last().map(|skipped| &skipped.reason);
    format!("{}\n", json!({ "file": file.display().to_string(), "skipped": reason }))
}

/// The name of a class without the WordNet id before it.
fn plain_name(label: &str) -> &str {
    let is_id = |word: &str| {
        word.len() == 9 && word.starts_with('n') && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    label.split_once(' ').filter(|(first, _)| is_id(first)).map_or(label, |(_, name)| name)
}
