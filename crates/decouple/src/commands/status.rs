//! `decouple status`: the progress of an experiment, from any terminal.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use decouple_experiment::{Ledger, Metric, Onlooker, Problem, Standing, Trial};
use serde_json::json;

use super::experiment::{ledger, read_as_run, select, settled_or_as_written};
use crate::{
    arguments::{Common, Format, StatusArguments},
    failure::{DATA, Failure, SUCCESS, USAGE},
    text::{TextTable, duration, grouped, print},
};

/// Running trials that are named; if there are more, the rest are counted.
const MOST_NAMED: usize = 20;

pub(crate) fn run(common: &Common, arguments: &StatusArguments) -> Result<u8, Failure> {
    let sweep = read_as_run(common, &arguments.selection.file, &arguments.selection.set)?;
    let mut screen = Screen::new(arguments);
    // While recipes are tried, the tries are what there is to see.
    if arguments.interval.is_nan() || arguments.interval <= 0.0 {
        refuse!(USAGE, "--interval must be above 0 seconds, found {}", arguments.interval);
    }
    let ledger = ledger(common, &sweep);
    let of_tries = sweep.tune_ledger(&ledger);
    if sweep.tune.is_some() && sweep.tuned(&of_tries).is_err() {
        let mut follow = |what: &str, trials: &[Trial]| {
            let title = format!("{}, {what} of [tune]", sweep.name);
            screen.follow(&title, &sweep.command("run"), &trials.iter().collect::<Vec<_>>(), &of_tries)
        };
        let mut code = follow("tries", &sweep.tries())?;
        // Known once all tries have ended.
        let finals = sweep.finals(&of_tries).unwrap_or_default();
        if !finals.is_empty() {
            code = follow("finals", &finals)?;
        }
        if !arguments.watch {
            return Ok(code);
        }
    }
    let sweep = settled_or_as_written(common, sweep);
    let trials = select(&sweep, &arguments.selection)?;
    screen.follow(&sweep.name, &sweep.command("run"), &trials, &ledger)
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
        let able = stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let replaces = (arguments.watch && able && arguments.format == Format::Human).then_some(0);
        Self { arguments, replaces, last: String::new() }
    }

    /// Shows the progress of `trials`; with `--watch` again whenever it has changed, until all
    /// have ended. `run` is the command that trains them. The exit code.
    fn follow(&mut self, title: &str, run: &str, trials: &[&Trial], ledger: &Ledger) -> Result<u8, Failure> {
        let mut onlooker = Onlooker::default();
        let metric = trials.first().map_or(Metric::default(), |trial| trial.record.metric());
        loop {
            let standing = onlooker.look(trials, ledger)?;
            let text = match self.arguments.format {
                Format::Human => human(title, run, metric, &standing),
                Format::Json => format!("{}\n", document(title, run, &standing)),
            };
            self.show(text)?;
            let waits = !standing.running.is_empty() || standing.left() > 0;
            if !self.arguments.watch || !waits {
                return Ok(if standing.unreadable.is_empty() { SUCCESS } else { DATA });
            }
            std::thread::sleep(Duration::from_secs_f64(self.arguments.interval.clamp(0.1, 3600.0)));
        }
    }

    fn show(&mut self, text: String) -> Result<(), Failure> {
        if text == self.last {
            return Ok(());
        }
        let lines = text.lines().count();
        match &mut self.replaces {
            Some(before) => {
                let up = if *before > 0 { format!("\x1b[{before}A\x1b[J") } else { String::new() };
                *before = lines;
                print(&format!("{up}{text}"))?;
            }
            None => print(&text)?,
        }
        self.last = text;
        Ok(())
    }
}

/// Progress as text.
fn human(title: &str, run: &str, metric: Metric, standing: &Standing) -> String {
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
    let mut table = TextTable::new(1, &["running", "epoch", metric.name(), "time left"]);
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
fn document(title: &str, run: &str, standing: &Standing) -> serde_json::Value {
    let running = |running: &decouple_experiment::Running| {
        json!({
            "id": running.id.to_string(),
            "trial": running.label,
            "epochs_done": running.epochs_done,
            "epochs": running.epochs,
            "accuracy": running.score,
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
        })),
    })
}

#[cfg(test)]
mod tests {
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
            human("mine", "decouple run mine.toml", Metric::Accuracy, &standing),
            "mine: 1,201 of 10,000 trials done, 0 running, 8,799 left; about 2.0 h left\n  \
             1,200 finished, 1 failed\n"
        );
        let over = Standing { trials: 2, finished: 2, secs_left: Some(0.0), ..Standing::default() };
        assert_eq!(
            human("mine", "decouple run mine.toml", Metric::Accuracy, &over),
            "mine: 2 of 2 trials done, 0 running, 0 left\n  2 finished, 0 failed\n"
        );
    }
}
