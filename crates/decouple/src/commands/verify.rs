//! `decouple verify`: compares every run of a results folder with its checksums.

use std::{
    fs,
    path::{Path, PathBuf},
};

use decouple_experiment::{Contents, Identity, Ledger, Outcome, Run, Status, Trial};
use decouple_training::{
    keeper::Stop,
    run_sweep::{Conduct, LoadedData, Setup, run_sweep},
    stored_network::WEIGHTS_FILE,
    workers::Workers,
};

use super::train::watched;
use crate::{
    arguments::{Common, Verify},
    environment::cores,
    failure::{DATA, Failure, IO, NOTHING, RUN_FAILED, SUCCESS, USAGE},
    signals,
    text::{plural, print},
};

pub(crate) fn run(common: &Common, arguments: &Verify) -> Result<u8, Failure> {
    let folder = arguments.folder.as_ref().unwrap_or(&common.results);
    let mut all = Contents::default();
    for ledger in ledgers(folder)? {
        let contents = ledger.verify()?;
        all.runs.extend(contents.runs);
        all.problems.extend(contents.problems);
    }
    if all.runs.is_empty() && all.problems.is_empty() {
        refuse!(NOTHING, "there is no run in {}", folder.display());
    }
    print(&summary(&all))?;
    for problem in &all.problems {
        say!("error: {problem}\n   = {}", problem.advice("decouple run FILE"));
    }
    let sound = if all.problems.is_empty() { SUCCESS } else { DATA };
    let Some(id) = &arguments.rerun else { return Ok(sound) };
    let named = all.runs.iter().filter(|run| run.id.to_string().starts_with(id.as_str()));
    let (own, cut): (Vec<&Run>, Vec<&Run>) = named.partition(|run| is_trained_to_its_end(run));
    let [run, others @ ..] = own.as_slice() else {
        if let Some(run) = cut.first() {
            refuse!(
                USAGE,
                "{}: it was not trained to its end, as a rerun would be: expected a run that has neither been stopped by \
                 `tune.halving` nor is still to be continued",
                run.dir.display()
            );
        }
        refuse!(NOTHING, "no sound run in {} has an id that begins with `{id}`", folder.display());
    };
    if let Some(other) = others.iter().find(|other| other.id != run.id) {
        refuse!(USAGE, "`{id}` begins the ids of two runs, {} and {}: give more digits", run.id, other.id);
    }
    // If there are several copies, each is compared.
    let code = rerun(common, run, &own)?;
    Ok(if code == SUCCESS { sound } else { code })
}

/// Whether the trial of `run`, trained by itself, ends where the run has ended.
fn is_trained_to_its_end(run: &Run) -> bool {
    run.status.as_ref().is_some_and(|status| !matches!(status.outcome, Outcome::Stopped { .. }))
}

/// What is in `contents`, in a few lines.
fn summary(contents: &Contents) -> String {
    let over = contents.runs.iter().filter(|run| run.status.is_some());
    let (with, without): (Vec<&Run>, Vec<&Run>) = over.partition(|run| run.has_checksums);
    let light = with.iter().filter(|run| !run.dir.join(WEIGHTS_FILE).exists()).count();
    let under_way = contents.runs.len() - with.len() - without.len();
    let mut text = format!("{} agree with their checksums", plural(with.len(), "run"));
    if light > 0 {
        text += &format!(" ({light} without weights)");
    }
    text += &format!(
        "\n{} of an earlier version can be read, but have no checksums\n{} not finished\n{} damaged\n",
        plural(without.len(), "run"),
        under_way,
        contents.problems.len()
    );
    text
}

/// The ledgers in `folder`: its own, those of the experiments in it, and of their tries.
fn ledgers(folder: &Path) -> Result<Vec<Ledger>, Failure> {
    let io = |error| Failure::new(IO, format!("cannot list {}: {error}", folder.display()));
    let mut roots = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).map_err(io)? {
        roots.push(entry.map_err(io)?.path());
    }
    let tries: Vec<PathBuf> = roots.iter().map(|root| root.join("tune")).collect();
    roots.extend(tries);
    roots.retain(|root| root.join("runs").is_dir());
    roots.sort();
    roots.dedup();
    Ok(roots.into_iter().map(Ledger::open).collect())
}

/// Trains `run` again and compares its files with each of `copies`.
fn rerun(common: &Common, run: &Run, copies: &[&Run]) -> Result<u8, Failure> {
    let graph = run.record.graph()?;
    let trial = Trial::new(run.point.clone(), run.record.clone(), &graph, run.budget.clone());
    let trials = [&trial];
    let data = LoadedData::read(&trials, common.data.as_deref())?;
    let here = Identity::of(&trial, data.of(&trial).map(|data| &data.checksum[..]));
    if let Some(difference) = here.difference(run.dir.clone(), &run.identity()) {
        refuse!(DATA, "{difference}\n   = the bytes would differ, so it was not trained");
    }
    let place = std::env::temp_dir().join(format!("decouple-verify-{}-{}", trial.id, std::process::id()));
    let leaves_test = copies.iter().all(|copy| !is_tested(copy));
    let again = train(&trial, &data, &place, leaves_test);
    // Clean up, whatever the outcome.
    let compared = again.map(|ledger| compare(&ledger.run_dir(&trial), copies));
    let _ = fs::remove_dir_all(&place);
    let (lines, is_same) = compared?;
    print(&lines)?;
    Ok(if is_same { SUCCESS } else { RUN_FAILED })
}

/// Whether the test images were read: tries that choose a recipe leave them, those of earlier versions did not.
fn is_tested(run: &Run) -> bool {
    run.status.as_ref().is_some_and(|status| status.test.is_some())
}

fn train(trial: &Trial, data: &LoadedData, place: &Path, leaves_test: bool) -> Result<Ledger, Failure> {
    let stop: Stop = signals::watch()?;
    let ledger = Ledger::open(place.join("again"));
    let workers = Workers { jobs: 1, threads: cores(), memory: None };
    let conduct = Conduct { stop: stop.clone(), leaves_test, ..Conduct::default() };
    let done = watched(&[trial], leaves_test, true, |environment, progress| {
        let (ledger, conduct) = (&ledger, &conduct);
        run_sweep(&[trial], &Setup { ledger, data, workers, environment, progress, conduct })
    })?;
    match stop.reason() {
        Some(signal) if done.left() > 0 => {
            Err(Failure::new(signals::code(signal), "stopped before it was trained"))
        }
        _ if done.left() > 0 => Err(Failure::new(IO, "it could not be trained again")),
        _ => Ok(ledger),
    }
}

/// One line per file of each copy, and whether all are the same bytes.
fn compare(again: &Path, copies: &[&Run]) -> (String, bool) {
    let (mut lines, mut is_same) = (String::new(), true);
    for copy in copies {
        for name in ["metrics.csv", WEIGHTS_FILE] {
            let (old, new) = (fs::read(copy.dir.join(name)), fs::read(again.join(name)));
            let word = match (&old, &new) {
                (Ok(old), Ok(new)) if old == new => "the same bytes",
                (Err(_), _) if name == WEIGHTS_FILE => "not kept, so not compared",
                _ => {
                    is_same = false;
                    "other bytes"
                }
            };
            lines += &format!("{}: {word}\n", copy.dir.join(name).display());
        }
        // As text, in which two scores that are not numbers are equal.
        let scores = |status: Option<&Status>| {
            let test = |status: &Status| {
                is_tested(copy).then(|| (status.test.clone(), status.averaged_test.clone()))
            };
            status.map(|status| format!("{:?}", (&status.outcome, test(status))))
        };
        let again = Ledger::open(again.ancestors().nth(2).unwrap_or(again)).read().unwrap_or_default();
        let new = again.runs.first().and_then(|run| run.status.as_ref());
        let agrees = scores(new) == scores(copy.status.as_ref());
        is_same &= agrees;
        let word = if agrees { "the same outcome and scores" } else { "another outcome or other scores" };
        lines += &format!("{}: {word}\n", copy.dir.join("status.json").display());
    }
    (lines, is_same)
}
