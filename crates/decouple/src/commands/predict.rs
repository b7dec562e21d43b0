//! `decouple predict`: what is in photographs.

use decouple_training::classifier::ranked;
use serde_json::json;

use super::model::{Trained, plain_name};
use crate::{
    arguments::{Common, Format, Predict},
    failure::{Failure, SUCCESS},
    text::print,
};

pub(crate) fn run(common: &Common, arguments: &Predict) -> Result<u8, Failure> {
    let (mut classifier, labels) = Trained::open(&arguments.trained)?.classifier(common)?;
    for file in &arguments.images {
        let probabilities = classifier.classify(&[file])?.remove(0);
        let best: Vec<(usize, f64)> = ranked(&probabilities)
            .into_iter()
            .take(arguments.top)
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
                print(&format!("{}\n", json!({ "file": file, "classes": classes })))?;
            }
        }
    }
    Ok(SUCCESS)
}
