//! The files under `experiments/`, which people run and copy.

use std::{
    fs,
    path::{Path, PathBuf},
};

use decouple_experiment::{Ledger, Overrides, Sweep, load};

fn files() -> Vec<PathBuf> {
    let folders = ["/../../experiments", "/../../experiments/study"];
    let entries = folders.into_iter().flat_map(|folder| {
        fs::read_dir(format!("{}{folder}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    });
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    assert!(files.iter().any(|file| file.ends_with("quickstart.toml")));
    files
}

fn read(file: &Path) -> Sweep {
    load(file, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_resolves_without_a_warning_and_is_named_as_its_file() {
    for file in files() {
        let sweep = read(&file);
        assert_eq!(sweep.warnings, [""; 0], "{}", file.display());
        assert_eq!(Some(sweep.name.as_str()), file.file_stem().and_then(|stem| stem.to_str()));
        for trial in &sweep.trials {
            if let Some(budget) = &trial.budget {
                let error = budget.reached as f64 / budget.target as f64 - 1.0;
                assert!(error.abs() <= 0.005, "{}: {} is off by {error}", sweep.name, trial.point_label());
            }
        }
        let folder = tempfile::tempdir().unwrap();
        sweep.write_plan(&Ledger::open(folder.path())).unwrap();
        let plan = fs::read_to_string(folder.path().join("plan.csv")).unwrap();
        assert_eq!(plan.lines().count(), 1 + sweep.trials.len());
    }
}

/// A stage of the study lays down what it expects and how it is analysed before it is run.
#[test]
fn every_stage_of_the_study_can_be_locked() {
    let stages: Vec<PathBuf> =
        files().into_iter().filter(|file| file.parent().unwrap().ends_with("study")).collect();
    assert!(stages.len() >= 8);
    for stage in stages {
        let sweep = read(&stage);
        let folder = tempfile::tempdir().unwrap();
        sweep
            .lock(&Ledger::open(folder.path()))
            .unwrap_or_else(|error| panic!("{}: {error}", stage.display()));
    }
}

#[test]
fn every_file_begins_with_its_question_its_cost_and_what_to_expect() {
    for file in files() {
        let sweep = read(&file);
        assert!(sweep.question.ends_with('?'), "{}: {:?}", file.display(), sweep.question);
        let header: Vec<&str> = sweep.text.lines().take_while(|line| line.starts_with('#')).collect();
        for word in ["# Cost: ", "# Expect: "] {
            assert!(header.iter().any(|line| line.starts_with(word)), "{}: no {word:?}", file.display());
        }
        assert!(sweep.trials.iter().any(|trial| trial.seed() == 1), "one seed tells nothing of the spread");
    }
}
