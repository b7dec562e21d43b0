//! `decouple predict`: what is in photographs.

use decouple_training::classifier::ranked;
use serde_json::json;

use super::{photographs::Remarks, trained::Trained};
use crate::{
    arguments::{Common, Format, Predict},
    failure::{Failure, NOTHING, SUCCESS},
    text::print,
};

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<u8, Failure> {
    let (mut classifier, labels) = Trained::open(&arguments.trained)?.classifier(common)?;
    let (photographs, mut remarks) = (&arguments.photographs, Remarks::default());
    for file in &arguments.images {
        let seen = classifier.sight.see(file, photographs.looking());
        let Some(image) = remarks.sort(photographs, seen)? else { continue };
        let probabilities = classifier.probabilities(&image)?.remove(0);
        let best: Vec<(usize, f64)> = ranked(&probabilities)
            .into_iter()
            .take(arguments.top.get())
            .map(|class| (class, probabilities[class]))
            .collect();
        match arguments.format {
            Format::Human => {
                let mut text = format!("{}\n", file.display());
                for (class, probability) in best {
                    text += &format!("  {:6.2} %  {}\n", 100.0 * probability, plain_name(&labels[class]));
                }
                print(&text)?;
            }
            Format::Json => {
                let classes: Vec<_> = best
                    .into_iter()
                    .map(|(class, probability)| {
                        json!({ "class": class, "label": labels[class], "probability": probability })
                    })
                    .collect();
                let file = file.display().to_string();
                print(&format!("{}\n", json!({ "file": file, "classes": classes })))?;
            }
        }
    }
    let is_any_seen = remarks.skipped.len() < arguments.images.len();
    let remarks = remarks.text(photographs);
    if !remarks.is_empty() {
        say!("{}", remarks.trim_end());
    }
    Ok(if is_any_seen { SUCCESS } else { NOTHING })
}

/// The name of a class without the WordNet id before it.
fn plain_name(label: &str) -> &str {
    let is_id = |word: &str| {
        word.len() == 9 && word.starts_with('n') && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    label.split_once(' ').filter(|(first, _)| is_id(first)).map_or(label, |(_, name)| name)
}
