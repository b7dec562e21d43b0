//! `decouple status`: the progress of an experiment, from any terminal.

use std::{io::stdout, ops::ControlFlow, time::Duration};

use decouple_experiment::{Ledger, Metric, Onlooker, Problem, Standing, Sweep, Trial};
use serde_json::json;

use super::{
    experiment::{each_once, ledger, read_as_run, select, settled_or_as_written},
    recipes::FilterOfTries,
};
use crate::{
    arguments::{Common, Format, StatusArguments},
    failure::{DATA, Failure, NOTHING, SUCCESS, USAGE},
    text::{TextTable, can_redraw, duration, grouped, is_read, print_part, redraw},
};

/// Running trials that are named; if there are more, the rest are counted.
const MOST_NAMED: usize = 20;

pub(crate) fn run(common: &Common, arguments: &StatusArguments) -> Result<u8, Failure> {
    let sweep = read_as_run(common, &arguments.selection.file, &arguments.selection.set)?;
    let mut screen = Screen::new(arguments);
    if arguments.interval.is_nan() || arguments.interval <= 0.0 {
        refuse!(USAGE, "--interval must be above 0 seconds, found {}", arguments.interval);
    }
    let ledger = ledger(common, &sweep);
    let of_tries = sweep.tune_ledger(&ledger);
    let mut code = SUCCESS;
    // While recipes are tried, the tries are what there is to see.
    if sweep.tune.is_some() && sweep.tuned(&of_tries).is_err() {
        code = screen.follow_tries(&sweep, &of_tries)?;
        if !arguments.watch {
            return Ok(code);
        }
    }
    let sweep = settled_or_as_written(common, sweep);
    let trials = each_once(select(&sweep, &arguments.selection)?);
    // The worse of the two.
    Ok(code.max(screen.follow(&sweep.name, &sweep.command("run"), &trials, &ledger, Onlooker::default())?))
}

/// Where progress is shown, once or until all trials have ended.
struct Screen<'a> {
    arguments: &'a StatusArguments,
    /// Lines on the terminal that the next update replaces; `None` when not on a terminal.
    replaces: Option<usize>,
    last: String,
}

impl<'a> Screen<'a> {
    fn new(arguments: &'a StatusArguments) -> Self {
        let able = arguments.watch && arguments.format == Format::Human && can_redraw(&stdout());
        Self { arguments, replaces: able.then_some(0), last: String::new() }
    }

    /// As [`Self::follow`], of the tries and then of the finals that the filter leaves.
    fn follow_tries(&mut self, sweep: &Sweep, ledger: &Ledger) -> Result<u8, Failure> {
        let filter = FilterOfTries::of(sweep, &self.arguments.selection)?;
        let halving = sweep.tune.as_ref().is_some_and(|tune| tune.halving);
        let mut follow = |what: &str, trials: &[Trial], onlooker: Onlooker| {
            let selected: Vec<&Trial> = trials.iter().filter(|trial| filter.selects(trial)).collect();
            if selected.is_empty() {
                return Ok(None);
            }
            let title = format!("{}, {what} of [tune]", sweep.name);
            self.follow(&title, &sweep.command("run"), &selected, ledger, onlooker).map(Some)
        };
        let Some(of_tries) = follow("tries", &sweep.tries(), Onlooker::of_tries(halving))? else {
            refuse!(
                NOTHING,
                "the filter leaves no try of [tune] in {}, and all else waits for them",
                sweep.path.display()
            );
        };
        // Known once all tries have ended.
        let finals = sweep.finals(ledger).unwrap_or_default();
        let of_finals = follow("finals", &finals, Onlooker::of_finals(halving))?;
        Ok(of_tries.max(of_finals.unwrap_or(SUCCESS)))
    }

    /// Shows the progress of `trials`; with `--watch` again whenever it has changed, until all
    /// have ended. `run` is the command that trains them. The exit code.
    fn follow(
        &mut self,
        title: &str,
        run: &str,
        trials: &[&Trial],
        ledger: &Ledger,
        mut onlooker: Onlooker,
    ) -> Result<u8, Failure> {
        let metrics = trials.first().map(|trial| Metrics::of(trial)).unwrap_or_default();
        loop {
            let standing = onlooker.look(trials, ledger)?;
            let text = match self.arguments.format {
                Format::Human => human(title, run, metrics, &standing),
                Format::Json => format!("{}\n", document(title, run, metrics, &standing)),
            };
            let waits = self.arguments.watch && (!standing.running.is_empty() || standing.left() > 0);
            let is_unread = self.show(text, !waits)?.is_break();
            if is_unread || !waits {
                return Ok(if standing.unreadable.is_empty() { SUCCESS } else { DATA });
            }
            std::thread::sleep(Duration::from_secs_f64(self.arguments.interval.clamp(0.1, 3600.0)));
        }
    }

    /// Shows `text` if it is new; a break if nobody reads it. The next text replaces it unless it `stays`.
    fn show(&mut self, text: String, stays: bool) -> Result<ControlFlow<()>, Failure> {
        if text == self.last {
            return Ok(if is_read() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        }
        let reader = match &mut self.replaces {
            Some(before) => {
                let lines = if stays { 0 } else { text.lines().count() };
                redraw(std::mem::replace(before, lines), &text, stays)?
            }
            None => print_part(&text)?,
        };
        self.last = text;
        Ok(reader)
    }
}

/// What the scores are.
#[derive(Clone, Copy, Debug, Default)]
struct Metrics {
    /// On the test images.
    test: Metric,
    /// After an epoch.
    of_epochs: Metric,
}

impl Metrics {
    fn of(trial: &Trial) -> Self {
        Self { test: trial.record.metric(), of_epochs: trial.record.metric_of_epochs() }
    }
}

/// Progress as text.
fn human(title: &str, run: &str, metrics: Metrics, standing: &Standing) -> String {
    let count = |n: usize| grouped(n as u64);
    let time = match standing.secs_left {
        _ if standing.left() == 0 && standing.running.is_empty() => String::new(),
        Some(secs) => format!("; about {} left", duration(secs)),
        None => "; time left unknown until the first trial ends".to_owned(),
    };
    let mut text = format!(
        "{title}: {} of {} trials done, {} running, {} left{time}\n",
        count(standing.over()),
        count(standing.trials),
        count(standing.running.len()),
        count(standing.left()),
    );
    let kinds = [
        ("finished", standing.finished),
        ("diverged", standing.diverged),
        ("stopped", standing.stopped),
        ("failed", standing.failed),
        ("interrupted", standing.cut_off),
        ("unreadable", standing.unreadable.len()),
    ];
    let kinds = kinds.iter().filter(|(name, n)| *n > 0 || *name == "finished" || *name == "failed");
    let kinds: Vec<String> = kinds.map(|(name, n)| format!("{} {name}", count(*n))).collect();
    text += &format!("  {}\n", kinds.join(", "));
    let mut table = TextTable::new(1, &["running", "epoch", metrics.of_epochs.name(), "time left"]);
    for running in standing.running.iter().take(MOST_NAMED) {
        table.push(vec![
            running.label.clone(),
            format!("{} of {}", running.epochs_done, running.epochs),
            running.score.map_or("-".to_owned(), |score| format!("{:.2} %", 100.0 * score)),
            running.secs_left.map_or("-".to_owned(), duration),
        ]);
    }
    if !standing.running.is_empty() {
        text += &table.to_string().lines().map(|line| format!("  {line}\n")).collect::<String>();
    }
    if standing.running.len() > MOST_NAMED {
        text += &format!("  and {} more\n", standing.running.len() - MOST_NAMED);
    }
    if let Some(best) = &standing.best {
        text += &format!("  best so far: {:.2} % on the test images, {}\n", 100.0 * best.score, best.label);
    }
    for problem in &standing.unreadable {
        text += &format!("  warning: {problem}\n     = {}\n", problem.advice(run));
    }
    text
}

/// Progress as JSON.
fn document(title: &str, run: &str, metrics: Metrics, standing: &Standing) -> serde_json::Value {
    let running = |running: &decouple_experiment::Running| {
        json!({
            "id": running.id.to_string(),
            "trial": running.label,
            "epochs_done": running.epochs_done,
            "epochs": running.epochs,
            "accuracy": running.score,
            "metric": metrics.of_epochs.name(),
            "secs_left": running.secs_left,
        })
    };
    let unreadable = |problem: &Problem| format!("{problem}; {}", problem.advice(run));
    json!({
        "experiment": title,
        "trials": standing.trials,
        "over": standing.over(),
        "finished": standing.finished,
        "diverged": standing.diverged,
        "stopped": standing.stopped,
        "failed": standing.failed,
        "running": standing.running.iter().map(running).collect::<Vec<_>>(),
        "left": standing.left(),
        "cut_off": standing.cut_off,
        "new": standing.new,
        "unreadable": standing.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
        "secs_left": standing.secs_left,
        "best": standing.best.as_ref().map(|best| json!({
            "id": best.id.to_string(),
            "trial": best.label,
            "accuracy": best.score,
            "metric": metrics.test.name(),
        })),
    })
}

#[cfg(test)]
mod tests {
    use decouple_experiment::{Best, Running};

    use super::*;

    #[test]
    fn people_read_counts_and_time_before_all_else() {
        let standing = Standing {
            trials: 10_000,
            finished: 1_200,
            failed: 1,
            new: 8_799,
            secs_left: Some(7_200.0),
            ..Standing::default()
        };
        assert_eq!(
            human("mine", "decouple run mine.toml", Metrics::default(), &standing),
            "mine: 1,201 of 10,000 trials done, 0 running, 8,799 left; about 2.0 h left\n  \
             1,200 finished, 1 failed\n"
        );
        let over = Standing { trials: 2, finished: 2, secs_left: Some(0.0), ..Standing::default() };
        assert_eq!(
            human("mine", "decouple run mine.toml", Metrics::default(), &over),
            "mine: 2 of 2 trials done, 0 running, 0 left\n  2 finished, 0 failed\n"
        );
    }

    #[test]
    fn scores_are_called_what_they_are() {
        let metrics = Metrics { test: Metric::MeanPrecision, of_epochs: Metric::Accuracy };
        let running = Running {
            id: "3f9c21aa3f9c21aa".parse().expect("an id"),
            label: "seed = 0".to_owned(),
            epochs_done: 1,
            epochs: 2,
            score: Some(0.5),
            secs_left: None,
        };
        let best = Best { id: running.id, label: running.label.clone(), score: 0.25 };
        let standing = Standing { running: vec![running], best: Some(best), ..Standing::default() };
        let text = human("mine", "decouple run mine.toml", metrics, &standing);
        assert!(text.contains("accuracy") && !text.contains("MAP@100"), "{text}");
        let document = document("mine", "decouple run mine.toml", metrics, &standing);
        let found = [&document["running"][0]["metric"], &document["best"]["metric"]];
        assert_eq!(found, ["accuracy", "MAP@100"]);
    }
}
