//! `decouple export`: trained networks for other programs.

use decouple_experiment::Precision;
use decouple_export::{Notes, onnx, pytorch};
use decouple_spectrum::weights::{Images, convert, names::Naming};
use decouple_training::stored_network::values;

use super::{
    model::title,
    targets::{check, write},
    trained::Trained,
};
use crate::{
    arguments::{Common, Export, Exported},
    failure::{Failure, SUCCESS, USAGE},
    text::grouped,
};

pub(crate) fn run(common: &Common, arguments: &Export) -> Result<u8, Failure> {
    let format = format(arguments)?;
    let trained = Trained::open(&arguments.trained)?;
    let graph = trained.description.graph()?;
    let notes = notes(common, &trained)?;
    let target = &arguments.target;
    check(target, &trained.weights)?;
    match format {
        Exported::Onnx => write(
            target,
            &onnx(&graph, &values(&trained.weights, trained.naming, &trained.description)?, &notes)?,
        )?,
        Exported::Pytorch => {
            let weights = target.with_extension("safetensors");
            check(&weights, &trained.weights)?;
            if weights.exists() && !target.exists() {
                refuse!(
                    USAGE,
                    "{}: the weights would go here, beside {}, but there is such a file already, and no earlier \
                     export to which it belongs: give the module another name, or move the file away",
                    weights.display(),
                    target.display()
                );
            }
            let name = weights.file_name().unwrap_or_default().to_string_lossy();
            let module = pytorch(&graph, &notes, &name)?;
            convert(
                &trained.weights,
                trained.naming,
                Some(&trained.description),
                &weights,
                Naming::Decouple,
            )?;
            write(target, module.as_bytes())?;
            say!("{}: its weights", weights.display());
        }
    }
    let training = trained.run.as_ref().map(|run| &run.record.training);
    if training.is_some_and(|training| training.precision == Precision::Bf16) {
        say!(
            "note: the run rounds the factors of matrix products to bf16 (training.precision); what is written computes \
             in f32, so its logits differ a little from the run's"
        );
    }
    let (input, classes) = (graph.input(), graph.output().len());
    let count: usize = graph.parameters.iter().map(|parameter| parameter.len()).sum();
    say!(
        "{}: {} values; images as (n, {}, {}, {}), normalised, to logits as (n, {classes})",
        target.display(),
        grouped(count as u64),
        input.c,
        input.h,
        input.w,
    );
    Ok(SUCCESS)
}

/// The format that is asked for, or else the one of the file's extension.
fn format(arguments: &Export) -> Result<Exported, Failure> {
    let ending = arguments.target.extension().and_then(|ending| ending.to_str());
    match (arguments.format, ending) {
        (Some(Exported::Pytorch), Some("py")) | (None, Some("py")) => Ok(Exported::Pytorch),
        (Some(Exported::Pytorch), _) => {
            let message = "--format pytorch writes a Python module: expected a file that ends in .py";
            Err(Failure::new(USAGE, format!("{}: {message}", arguments.target.display())))
        }
        (Some(Exported::Onnx), _) | (None, Some("onnx")) => Ok(Exported::Onnx),
        (None, _) => {
            let message = "cannot tell what to write: expected a file that ends in .onnx or .py, or --format";
            Err(Failure::new(USAGE, format!("{}: {message}", arguments.target.display())))
        }
    }
}

/// What the files say besides the network.
fn notes(common: &Common, trained: &Trained) -> Result<Notes, Failure> {
    let network = title(&trained.description.network, trained.description.network.width);
    let run = trained.run.as_ref().map(|run| format!(", trained as {}", run.dir.display()));
    let title = network + &run.unwrap_or_default();
    let images = match trained.images(common) {
        Ok(images) => images,
        // The network itself does not need them.
        Err(failure) => {
            say!("warning: mean, standard deviation and classes are left out: {}", failure.message());
            None
        }
    };
    let classes = trained.labels(images.as_ref())?;
    let Images { mean, std, .. } = images.unwrap_or_default();
    let in_pixels = |values: Vec<f32>| values.into_iter().map(|value| value * 255.0).collect();
    let std = std.into_iter().map(|std| if std == 0.0 { 1.0 } else { std }).collect();
    Ok(Notes { title, classes, mean: in_pixels(mean), deviation: in_pixels(std) })
}
