//! From a sweep and the runs on disk to an [`Analysis`].

use std::collections::HashMap;

use decouple_experiment::{
    Axis, Contents, Metric, Problem, Remedy, Run, RunId, Scores, Sweep, Trial, Try, file_hash, shell_word,
    stray_lines,
};

use crate::analysis::{
    Analysis, Coordinates, Fact, RunOutcome, RunRow, SPECTRUM, Study, distinct, grouped, summarise,
};
use crate::odd_runs::{numerics_fact, odd_ones};

/// Analyses the runs of a sweep.
///
/// Every trial of the sweep is shown, run or not. Runs on disk that belong to no trial of the sweep are
/// left out and listed among the problems, one line per reason, as is every folder that could not be
/// read. Cost: some tens of milliseconds for a hundred runs; the draws behind P(best) dominate.
pub fn analyse(sweep: &Sweep, contents: &Contents) -> Analysis {
    let runs: HashMap<RunId, &Run> = contents.runs.iter().map(|run| (run.id, run)).collect();
    // Points may share a run, if the recipe as written is the best one tried.
    let numerics: HashMap<RunId, u32> = sweep.trials.iter().map(|trial| (trial.id, trial.numerics)).collect();
    let own: Vec<&Run> = contents.runs.iter().filter(|run| numerics.contains_key(&run.id)).collect();
    let odd = odd_ones(&own, &numerics);
    let damaged = |trial: &Trial| contents.problems.iter().find(|problem| is_of(problem, trial));
    let mut problems = sweep.warnings.clone();
    problems
        .extend(contents.problems.iter().map(|problem| format!("{problem}\n= {}", advice(problem, sweep))));
    // If there are many, they are listed only in the table of runs.
    problems.extend(odd_words(&odd, sweep));
    let strays = stray_lines(&sweep.strays(contents));
    problems.extend(strays.into_iter().map(|line| format!("left out, as no trial of this file: {line}")));
    let mut rows = Vec::new();
    for trial in &sweep.trials {
        rows.push(match (odd.get(&trial.id), runs.get(&trial.id), damaged(trial)) {
            (None, Some(run), _) => row(sweep, trial, Some(run), &mut problems),
            (Some(why), _, _) => unusable(sweep, trial, why.clone()),
            (None, None, Some(problem)) => unusable(sweep, trial, problem.to_string()),
            (None, None, None) => row(sweep, trial, None, &mut problems),
        });
    }
    let own: Vec<&Run> = own.into_iter().filter(|run| !odd.contains_key(&run.id)).collect();
    let mut study = study(sweep, &own, &numerics);
    if let Some(lock) = &contents.lock {
        // What was laid down counts, not what the file has said since.
        study.margin = lock.declared.margin;
        if lock.declared.margin != sweep.declared.margin {
            problems.push(format!(
                "{}: `margin` has been changed since the plan was locked; the locked one counts: {}",
                sweep.path.display(),
                lock.declared.margin.map_or("none".to_owned(), margin_words)
            ));
        }
    }
    study.environment.extend(plan(sweep, contents, &own));
    Analysis { is_plan_damaged: contents.lock_damage().is_some(), ..summarise(study, rows, problems) }
}

/// A margin as it is typed in the file.
fn margin_words(margin: f64) -> String {
    format!("{} points", (1e8 * margin).round() / 1e6)
}

/// What to do about a problem. A run that no trial asks for cannot be trained again.
fn advice(problem: &Problem, sweep: &Sweep) -> String {
    let is_stray = match &problem.remedy {
        Remedy::TrainAgain { .. } | Remedy::RemoveOne { .. } => {
            !sweep.trials.iter().any(|trial| is_of(problem, trial))
        }
        Remedy::Remove
        | Remedy::Rename { .. }
        | Remedy::Restore
        | Remedy::MakeReadable { .. }
        | Remedy::Upgrade { .. } => false,
    };
    if is_stray {
        return format!("no trial of this file: move {} away, or remove it", problem.path.display());
    }
    problem.advice(&sweep.command("run"))
}

/// Whether a problem is with the run of a trial.
fn is_of(problem: &Problem, trial: &Trial) -> bool {
    match &problem.remedy {
        Remedy::TrainAgain { id }
        | Remedy::RemoveOne { id }
        | Remedy::Rename { id }
        | Remedy::MakeReadable { id }
        | Remedy::Upgrade { id } => *id == trial.id.short(),
        Remedy::Remove | Remedy::Restore => false,
    }
}

/// The messages about runs that cannot be averaged with the others.
fn odd_words(odd: &HashMap<RunId, String>, sweep: &Sweep) -> Option<String> {
    let first = sweep.trials.iter().find_map(|trial| odd.get(&trial.id))?;
    let again = format!("{} --fresh", sweep.command("run"));
    Some(match odd.keys().next() {
        Some(id) if odd.len() == 1 => {
            let id = id.short();
            format!("1 run is left out of every mean: {first}\n= to replace it: {again} --filter id={id}")
        }
        _ => format!(
            "{} runs are left out of every mean: {first}\n= to replace all runs: {again}; one of them: {again} --filter \
             id=ID, with the last eight digits of its folder's name",
            odd.len()
        ),
    })
}

/// The row of a trial whose run cannot be used.
fn unusable(sweep: &Sweep, trial: &Trial, message: String) -> RunRow {
    RunRow { outcome: RunOutcome::Unusable { message }, ..row(sweep, trial, None, &mut Vec::new()) }
}

fn study(sweep: &Sweep, runs: &[&Run], numerics: &HashMap<RunId, u32>) -> Study {
    let epochs: Vec<usize> = sweep.trials.iter().map(|trial| trial.record.training.epochs).collect();
    let scores = runs.iter().filter_map(|run| run.status.as_ref()?.test.as_ref());
    let images = distinct(scores.map(|scores| scores.images));
    let axes = sweep.axes.iter().filter(|axis| axis.name != "seed");
    let (fixed, axes): (Vec<&Axis>, Vec<&Axis>) = axes.partition(|axis| is_condition(axis));
    let metric = sweep.trials.first().map_or(Metric::default(), |trial| trial.record.metric());
    Study {
        metric,
        name: sweep.name.clone(),
        question: sweep.question.split_whitespace().collect::<Vec<_>>().join(" "),
        axes: axes.into_iter().cloned().collect(),
        fixed: fixed.into_iter().map(|axis| (axis.name.clone(), axis.values[0].clone())).collect(),
        reference: varied(sweep, &sweep.reference),
        held: sweep.budget.map(|quantity| quantity.to_string()),
        data: sweep.trials.first().map_or(String::new(), |trial| trial.record.data.source.title()),
        test_images: if let [images] = images.as_slice() { Some(*images) } else { None },
        epochs: epochs.first().copied().filter(|first| epochs.iter().all(|epoch| epoch == first)),
        margin: sweep.declared.margin,
        tries: (sweep.tries_made.iter())
            .map(|tried| Try { point: varied(sweep, &tried.point), ..tried.clone() })
            .collect(),
        file: sweep.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        text: sweep.text.clone(),
        environment: environment(runs, numerics),
    }
}

/// Whether an axis is told once, as a condition. A single point of the spectrum keeps its name.
fn is_condition(axis: &Axis) -> bool {
    axis.is_fixed() && !SPECTRUM.contains(&axis.name.as_str())
}

/// The coordinates on the axes that `sweep` varies.
fn varied(sweep: &Sweep, point: &[(String, String)]) -> Coordinates {
    let is_told = |name: &str| sweep.axes.iter().any(|axis| axis.name == name && is_condition(axis));
    point.iter().filter(|(name, _)| !is_told(name)).cloned().collect()
}

/// What was declared before the runs, and whether it really was before them.
fn plan(sweep: &Sweep, contents: &Contents, runs: &[&Run]) -> Vec<Fact> {
    let (declared, lock) = (&sweep.declared, contents.lock.as_ref());
    let fact = |name: &str, values: Vec<String>| Fact { name: name.to_owned(), values };
    let ends = || runs.iter().filter_map(|run| Some(run.status.as_ref()?.finished_at.as_str()));
    let standing = match lock {
        None if contents.lock_damage().is_some() => "locked, but its file cannot be read".to_owned(),
        None if declared.hypotheses.is_empty() => return Vec::new(),
        None => "not locked: nothing shows that it was laid down before the runs".to_owned(),
        Some(lock) => {
            // All times are UTC in one format, so they sort as text.
            let early = ends().filter(|end| *end < lock.locked_at.as_str()).count();
            let before = match (early, ends().min()) {
                (0, None) => "before any run".to_owned(),
                (0, Some(first)) => format!("before the first run ended ({first})"),
                (early, _) => format!("after {early} of the runs had ended"),
            };
            let is_same = lock.file_hash == file_hash(&sweep.text);
            let since = if is_same { "the file is as it was then" } else { "the file has changed since" };
            let set: String = sweep.set.iter().map(|pair| format!(" --set {}", shell_word(pair))).collect();
            // The lock knows the file alone.
            let read = if set.is_empty() { set } else { format!("; it was read with{set}") };
            format!("locked {}, {before}; {since}{read}", lock.locked_at)
        }
    };
    let declared = lock.map_or(declared, |lock| &lock.declared);
    let margin = declared.margin.map(margin_words);
    let facts = [
        fact("plan", vec![standing]),
        fact("hypotheses", declared.hypotheses.clone()),
        fact("margin of equality", margin.into_iter().collect()),
        fact(
            "analysis",
            Some(declared.analysis.clone()).filter(|text| !text.is_empty()).into_iter().collect(),
        ),
    ];
    facts.into_iter().filter(|fact| !fact.values.is_empty()).collect()
}

/// The command without the path of the program, which means nothing to others.
fn command(typed: &str) -> String {
    let (program, arguments) = typed.split_once(' ').unwrap_or((typed, ""));
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    format!("{name} {arguments}").trim_end().to_owned()
}

/// What the runs recorded about their environment, each value once.
fn environment(runs: &[&Run], numerics: &HashMap<RunId, u32>) -> Vec<Fact> {
    let places = runs.iter().filter_map(|run| Some((run, run.environment.as_ref()?)));
    let facts = places.flat_map(|(run, place)| {
        let revision = place.git_revision.as_ref().map(|revision| match place.git_dirty {
            Some(true) => format!("{revision}, with changes of its own"),
            _ => revision.clone(),
        });
        let notes = place.data_notes.iter().map(|note| ("data", Some(note.clone())));
        let values = [
            ("command", Some(command(&place.command))),
            ("decouple", Some(place.decouple.clone())),
            ("git revision", revision),
            ("Cargo.lock", place.lock_hash.clone()),
            ("compiler", place.rustc.clone()),
            ("processor", Some(place.cpu.clone())),
            ("kernels", Some(place.kernels.clone())),
            ("numerics", Some(numerics_fact(run, numerics[&run.id]))),
            ("threads per run", Some(place.threads.to_string())),
            ("data checksum", Some(place.data_checksum.clone())),
        ];
        values.into_iter().chain(notes).filter_map(|(name, value)| Some((name, value?)))
    });
    let fact = |(name, facts): (&str, Vec<(&str, String)>)| Fact {
        name: name.to_owned(),
        values: distinct(facts.into_iter().map(|(_, value)| value)),
    };
    grouped(facts, |(name, _)| *name).into_iter().map(fact).collect()
}

fn row(sweep: &Sweep, trial: &Trial, run: Option<&Run>, problems: &mut Vec<String>) -> RunRow {
    let status = run.and_then(|run| run.status.as_ref());
    let score = |scores: &Option<Scores>| scores.as_ref().map(Scores::score);
    RunRow {
        id: trial.id.to_string(),
        folder: trial.dir_name(),
        point: varied(sweep, &trial.point),
        seed: trial.seed(),
        outcome: match (run, status) {
            (None, _) => RunOutcome::Missing,
            (Some(run), None) => {
                RunOutcome::Unfinished { epochs: run.metrics.last().map_or(0, |row| row.epoch) }
            }
            (_, Some(status)) => RunOutcome::Over(status.outcome.clone()),
        },
        level: trial.level,
        group_width: group_width(trial),
        width: trial.budget.as_ref().map(|budget| budget.width),
        costs: trial.cost,
        raw_score: status.and_then(|status| score(&status.test)),
        averaged_score: status.and_then(|status| score(&status.averaged_test)),
        steps: status.map(|status| status.steps),
        train_secs: status.map(|status| status.train_secs),
        images_per_sec: status.map(|status| status.images_per_sec),
        peak_bytes: status.and_then(|status| status.peak_bytes),
        epochs: run.map_or(Vec::new(), |run| run.metrics.clone()),
        test_images: status.and_then(|status| Some(status.test.as_ref()?.images)),
        correct: run.and_then(|run| correct(run, problems)),
    }
}

/// Channels per segment, the geometric mean over the layers.
fn group_width(trial: &Trial) -> Option<f64> {
    let logs = trial.layers.iter().map(|layer| (layer.channels as f64 / layer.segments as f64).ln());
    (!trial.layers.is_empty()).then(|| (logs.sum::<f64>() / trial.layers.len() as f64).exp())
}

/// Which test images a run gets right; a file that cannot be read becomes a problem in the
/// report.
fn correct(run: &Run, problems: &mut Vec<String>) -> Option<Vec<bool>> {
    let results = run.per_image().unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    })?;
    Some((0..results.len()).map(|image| results.is_correct(image)).collect())
}
