//! `decouple diagnose`: what trained coupled kernels lose if they are decoupled after training.

use decouple_datasets::stream::Part;
use decouple_experiment::{Ledger, Trial};
use decouple_training::{
    diagnosis::{Diagnosis, DiagnosisError, Effect, ProjectionTarget, diagnose},
    error::TrialError,
    run_sweep::LoadedData,
    stored_network::WEIGHTS_FILE,
};
use serde_json::json;

use super::{
    experiment::{ledger, read_with_runs, select},
    trained::{refuse_other_images, weights_of, whole},
};
use crate::{
    arguments::{Common, Diagnose, Format},
    failure::{Failure, IO, NOTHING, SUCCESS, USAGE},
    text::{TextTable, print},
};

pub(crate) fn run(common: &Common, arguments: &Diagnose) -> Result<u8, Failure> {
    let sweep = read_with_runs(common, &arguments.selection.file, &arguments.selection.set)?;
    let ledger = ledger(common, &sweep);
    let coupled: Vec<&Trial> = select(&sweep, &arguments.selection)?
        .into_iter()
        .filter(|trial| !trial.layers.is_empty() && trial.layers.iter().all(|layer| layer.segments == 1))
        .collect();
    let trials: Vec<&Trial> =
        coupled.iter().copied().filter(|trial| weights(&ledger, trial).is_file()).collect();
    if trials.is_empty() {
        // Why the first that has a run has no weights.
        if let Some(run) = coupled.iter().find_map(|trial| ledger.run(trial).ok()) {
            weights_of(&run, &sweep.command("run"))?;
        }
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
        let found = diagnose(trial, &weights(&ledger, trial), data, &targets)?;
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
        "metric": trial.record.metric().name(),
        "projections": found.effects.iter().map(effect).collect::<Vec<_>>(),
    })
}

impl From<DiagnosisError> for Failure {
    fn from(error: DiagnosisError) -> Self {
        match error {
            DiagnosisError::Weights(error) | DiagnosisError::Trial(TrialError::Weights(error)) => {
                error.into()
            }
            DiagnosisError::Trial(TrialError::Data(error)) => error.into(),
            DiagnosisError::Trial(error) => Self::new(IO, error),
            error @ (DiagnosisError::NoModules(_) | DiagnosisError::Decoupled { .. }) => {
                Self::new(USAGE, error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use decouple_spectrum::{network::Family, weights::error::WeightError};

    use super::*;
    use crate::failure::DATA;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let path = || "weights.safetensors".into();
        let found = String::new();
        let broken =
            WeightError::Metadata { path: path(), key: "network", found, expected: "one".to_owned() };
        let unread = WeightError::Io { path: path(), source: std::io::Error::other("no") };
        let errors = [
            DiagnosisError::Weights(broken),
            DiagnosisError::Weights(unread),
            DiagnosisError::NoModules(Family::Vgg16),
        ];
        assert_eq!(errors.map(|error| Failure::from(error).code()), [DATA, IO, USAGE]);
    }
}
