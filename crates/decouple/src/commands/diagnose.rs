//! `decouple diagnose`: what trained coupled kernels lose if they are decoupled after training.

use decouple_datasets::stream::Part;
use decouple_experiment::{Ledger, Trial};
use decouple_training::{
    diagnosis::{Diagnosis, Effect, ProjectionTarget, diagnose},
    run_sweep::LoadedData,
    stored_network::WEIGHTS_FILE,
};
use serde_json::json;

use super::{
    experiment::{ledger, read_with_runs, select},
    trained::{refuse_other_images, whole},
};
use crate::{
    arguments::{Common, Diagnose, Format},
    failure::{Failure, NOTHING, SUCCESS, USAGE},
    text::{TextTable, print},
};

pub(crate) fn run(common: &Common, arguments: &Diagnose) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.selection.file, &arguments.selection.set)?;
    let ledger = ledger(common, &sweep);
    let trials: Vec<&Trial> = select(&sweep, &arguments.selection)?
        .into_iter()
        .filter(|trial| !trial.layers.is_empty() && trial.layers.iter().all(|layer| layer.segments == 1))
        .filter(|trial| weights(&ledger, trial).is_file())
        .collect();
    if trials.is_empty() {
        refuse!(
            NOTHING,
            "{} has no finished run of one segment with its weights in {}\n   = train one first: {} \
             --filter segments=1",
            sweep.path.display(),
            ledger.root().display(),
            sweep.command("run")
        );
    }
    let data = LoadedData::read(&trials, common.data.as_deref())?;
    let mut documents = Vec::new();
    for trial in trials {
        let Some(data) = data.of(trial) else { continue };
        let run = whole(&ledger.run_dir(trial), &sweep.command("run"))?;
        refuse_other_images(&run, &data.checksum)?;
        let targets = targets(trial);
        let found = diagnose(trial, &weights(&ledger, trial), data, &targets);
        let found = found.map_err(|error| Failure::new(USAGE, error))?;
        match arguments.format {
            Format::Human => print(&human(trial, &found, data.images(Part::Validation) == 0))?,
            Format::Json => documents.push(document(trial, &found)),
        }
    }
    if arguments.format == Format::Json {
        print(&format!("{}\n", json!(documents)))?;
    }
    Ok(SUCCESS)
}

fn weights(ledger: &Ledger, trial: &Trial) -> std::path::PathBuf {
    ledger.run_dir(trial).join(WEIGHTS_FILE)
}

/// Separable form, and powers of two up to one segment per channel everywhere.
fn targets(trial: &Trial) -> Vec<ProjectionTarget> {
    let channels = trial.layers.iter().map(|layer| layer.channels).max().unwrap_or(1);
    let powers = std::iter::successors(Some(2), |segments| Some(segments * 2));
    let segments = powers.take_while(|&segments| segments < channels).chain([channels]);
    std::iter::once(ProjectionTarget::Separable).chain(segments.map(ProjectionTarget::Segments)).collect()
}

fn name(target: ProjectionTarget, trial: &Trial) -> String {
    match target {
        ProjectionTarget::Separable => "separable".to_owned(),
        ProjectionTarget::Segments(segments)
            if trial.layers.iter().all(|layer| layer.channels <= segments) =>
        {
            "per-channel".to_owned()
        }
        ProjectionTarget::Segments(segments) => format!("{segments} segments"),
    }
}

/// One row per layer: the share of its energy that each projection keeps, and in brackets what
/// it keeps of the same weights shuffled.
fn human(trial: &Trial, found: &Diagnosis, on_test: bool) -> String {
    let names: Vec<String> = found.effects.iter().map(|effect| name(effect.target, trial)).collect();
    let header: Vec<&str> =
        std::iter::once("energy kept (of shuffled)").chain(names.iter().map(String::as_str)).collect();
    let mut table = TextTable::new(1, &header);
    let layers = found.effects.first().map_or(0, |effect| effect.layers.len());
    let cell = |effect: &Effect, layer: usize| {
        let (_, kept, by_chance) = &effect.layers[layer];
        format!("{:.1} % ({:.1} %)", 100.0 * kept, 100.0 * by_chance)
    };
    for layer in 0..layers {
        let mut row = vec![found.effects[0].layers[layer].0.clone()];
        row.extend(found.effects.iter().map(|effect| cell(effect, layer)));
        table.push(row);
    }
    let metric = trial.record.metric();
    let mut row = vec![metric.to_string()];
    row.extend(found.effects.iter().map(|effect| format!("{:.2} %", 100.0 * effect.score)));
    table.push(row);
    let images = if on_test { "test" } else { "validation" };
    format!(
        "{}: {images} {metric} {:.2} % as trained; below, with all kernels projected\n{table}\n",
        trial.label(),
        100.0 * found.score
    )
}

fn document(trial: &Trial, found: &Diagnosis) -> serde_json::Value {
    let layer = |(name, kept, by_chance): &(String, f64, f64)| json!({ "layer": name, "kept": kept, "kept_of_shuffled": by_chance });
    let effect = |effect: &Effect| {
        json!({
            "target": name(effect.target, trial),
            "accuracy": effect.score,
            "layers": effect.layers.iter().map(layer).collect::<Vec<_>>(),
        })
    };
    json!({
        "id": trial.id.to_string(),
        "point": trial.point_label(),
        "seed": trial.seed(),
        "accuracy": found.score,
        "projections": found.effects.iter().map(effect).collect::<Vec<_>>(),
    })
}
