//! Progress while a sweep runs: bars on a terminal, one line per finished trial elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use decouple_experiment::{Metric, Outcome, Status, Trial};
use decouple_training::progress::{Event, Left, News};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::{can_redraw, duration, plural, shown};

/// Shows events until there are no more.
pub(crate) struct Screen<'a> {
    trials: &'a [&'a Trial],
    /// Whether they choose a recipe: each is then shown with its own, and without its score on the test images, which
    /// have no part in the choice.
    are_tries: bool,
    bars: Option<Bars>,
    began: Instant,
    /// Trials that have ended, and those among them that had ended before.
    over: usize,
    earlier: usize,
    /// Trials that another runner was training when last checked.
    taken: BTreeSet<usize>,
    /// Trials that were tried here and are still to be done.
    left: usize,
}

/// The bars of a terminal: the sweep's, and one for each trial in progress.
struct Bars {
    all: MultiProgress,
    sweep: ProgressBar,
    trials: BTreeMap<usize, TrialBar>,
}

struct TrialBar {
    bar: ProgressBar,
    began: Instant,
    /// Steps of a resumed run that were done before this process began.
    before: Option<u64>,
    /// Of the last epoch.
    score: Option<f64>,
    /// The kind of score.
    metric: Metric,
}

impl<'a> Screen<'a> {
    /// A screen for `trials`; bars only if `wanted` and standard error is a
    /// terminal that can show them.
    pub(crate) fn new(trials: &'a [&'a Trial], are_tries: bool, wanted: bool) -> Self {
        let bars = (wanted && can_redraw(&std::io::stderr())).then(|| Bars::new(trials.len()));
        Self {
            trials,
            are_tries,
            bars,
            began: Instant::now(),
            over: 0,
            earlier: 0,
            taken: BTreeSet::new(),
            left: 0,
        }
    }

    /// Shows `events` until every sender is gone.
    pub(crate) fn follow(mut self, events: Receiver<Event>) {
        for event in events {
            self.show(event);
        }
        if let Some(bars) = &self.bars {
            bars.sweep.finish_and_clear();
        }
        if self.earlier > 0 {
            let all = plural(self.trials.len(), "trial");
            say!("{} of {all} already done, not trained again", self.earlier);
        }
    }

    fn show(&mut self, Event { trial, news }: Event) {
        match news {
            News::Started { steps } => {
                let label = short_label(self.trials[trial]);
                let metric = self.trials[trial].record.metric_of_epochs();
                if let Some(bars) = &mut self.bars {
                    bars.start(trial, steps, label, metric);
                }
            }
            News::Step { step, epoch, loss, .. } => {
                if let Some(bars) = &mut self.bars {
                    bars.step(trial, step, epoch, loss);
                }
                self.show_time_left();
            }
            News::Epoch { score, .. } => {
                if let Some(bar) = self.bars.as_mut().and_then(|bars| bars.trials.get_mut(&trial)) {
                    bar.score = Some(score);
                }
            }
            News::Ended { status, earlier } => {
                self.over += 1;
                self.earlier += usize::from(earlier);
                if !earlier {
                    self.tell(trial, &status);
                }
                self.advance(trial);
            }
            News::Taken => {
                if self.taken.insert(trial) {
                    self.line(&format!("{} is being trained by another process", self.trials[trial].label()));
                }
            }
            News::Resumed { step } => {
                self.line(&format!(
                    "{} continues from its checkpoint at step {step}",
                    self.trials[trial].label()
                ));
            }
            News::Warned(message) => {
                self.line(&format!("warning: {}: {message}", self.trials[trial].label()));
            }
            News::Left(why) => {
                self.left += 1;
                self.tell_left(trial, &why);
                self.advance(trial);
            }
        }
    }

    /// Prints one line for a trial that has ended.
    fn tell(&self, trial: usize, status: &Status) {
        let own = self.trials[trial];
        let label = if self.are_tries { own.label_of_try() } else { own.label() };
        let test = || {
            let score = 100.0 * status.score().unwrap_or(f64::NAN);
            format!("  test {} {score:.2} %", own.record.metric())
        };
        let line = match &status.outcome {
            Outcome::Finished => format!(
                "[{}/{}] {label}{}  {}  {:.0} images/s",
                self.over,
                self.trials.len(),
                if self.are_tries { String::new() } else { test() },
                duration(status.train_secs),
                status.images_per_sec,
            ),
            Outcome::Diverged { step } => format!(
                "warning: trial {} ({label}) diverged at step {step}: loss is not finite\n   \
                 = recorded as diverged; the sweep continues; the report shows it but excludes it from every mean",
                self.trials[trial].id.short(),
            ),
            Outcome::Stopped { epoch } => format!(
                "[{}/{}] {label}  stopped after epoch {epoch}: others of its point were ahead",
                self.over,
                self.trials.len(),
            ),
            Outcome::Failed { message } => format!(
                "warning: trial {} ({label}) failed: {message}\n   = recorded as failed; the sweep continues",
                self.trials[trial].id.short(),
            ),
        };
        self.line(&line);
    }

    /// Prints why a trial is still to be done. Damaged runs are named once, by the report.
    fn tell_left(&self, trial: usize, why: &Left) {
        let name = format!("trial {} ({})", self.trials[trial].id.short(), self.trials[trial].label());
        match why {
            Left::Interrupted | Left::Damaged(_) => {}
            Left::Fault { message, .. } => self.line(&format!(
                "error: {name}: {message}\n   = nothing is recorded: it is still to be done; make room or mend \
                 the disk, and run again"
            )),
            Left::Data(message) => self.line(&format!(
                "error: {name}: {message}\n   = nothing is recorded: it is still to be done; mend the data and run again"
            )),
            Left::Bug(message) => self.line(&format!(
                "error: {name}: a bug in decouple: {message}\n   = nothing was recorded; the trial is still to be done"
            )),
            Left::Differs(difference) => self.line(&format!("error: {name}: {difference}")),
        }
    }

    /// Prints lines, above the bars if there are any.
    fn line(&self, line: &str) {
        match &self.bars {
            // A terminal that is gone is no reason to stop.
            Some(bars) => drop(bars.all.println(shown(line))),
            None => say!("{line}"),
        }
    }

    fn advance(&mut self, trial: usize) {
        let Some(bars) = &mut self.bars else { return };
        if let Some(done) = bars.trials.remove(&trial) {
            done.bar.finish_and_clear();
        }
        bars.sweep.set_position((self.over + self.left) as u64);
        self.show_time_left();
    }

    /// Shows how long the rest will take at the pace so far, counting trials in progress by
    /// their steps.
    fn show_time_left(&self) {
        let Some(bars) = &self.bars else { return };
        let in_progress: f64 = bars.trials.values().map(TrialBar::share).sum();
        let trained = (self.over - self.earlier) as f64 + in_progress;
        let left = (self.trials.len() - self.over - self.left) as f64 - in_progress;
        if trained > 0.0 {
            let each = self.began.elapsed().as_secs_f64() / trained;
            bars.sweep.set_message(format!("about {} left", duration(each * left)));
        }
    }
}

impl TrialBar {
    /// How much of the trial this process has done, from 0 to 1.
    fn share(&self) -> f64 {
        let done = self.bar.position().saturating_sub(self.before.unwrap_or(0));
        done as f64 / self.bar.length().unwrap_or(1).max(1) as f64
    }

    /// Seconds that the rest takes at the speed so far.
    fn secs_left(&self, step: u64) -> f64 {
        let done = step.saturating_sub(self.before.unwrap_or(0)).max(1);
        let left = self.bar.length().unwrap_or(step).saturating_sub(step);
        self.began.elapsed().as_secs_f64() / done as f64 * left as f64
    }
}

impl Bars {
    fn new(trials: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let sweep = all.add(ProgressBar::new(trials as u64));
        sweep.set_style(style("{bar:6} {pos}/{len} trials  {elapsed} elapsed  {wide_msg}"));
        sweep.enable_steady_tick(Duration::from_secs(1));
        Self { all, sweep, trials: BTreeMap::new() }
    }

    fn start(&mut self, trial: usize, steps: u64, label: String, metric: Metric) {
        let bar = self.all.insert_before(&self.sweep, ProgressBar::new(steps));
        bar.set_style(style("{bar:6} {prefix} {wide_msg}"));
        bar.set_prefix(shown(&label).into_owned());
        self.trials.insert(trial, TrialBar { bar, began: Instant::now(), before: None, score: None, metric });
    }

    fn step(&mut self, trial: usize, step: u64, epoch: u64, loss: f64) {
        let Some(shown) = self.trials.get_mut(&trial) else { return };
        if shown.before.is_none() {
            // A try may have waited for others since it was started.
            (shown.before, shown.began) = (Some(step.saturating_sub(1)), Instant::now());
        }
        shown.bar.set_message(message(epoch, loss, shown.score, shown.metric, shown.secs_left(step)));
        shown.bar.set_position(step);
    }
}

/// The text beside a trial's bar; bar and label included, at most 80 columns.
fn message(epoch: u64, loss: f64, score: Option<f64>, metric: Metric, secs_left: f64) -> String {
    let score = score.map_or(String::new(), |score| format!("  {metric} {:.1} %", 100.0 * score));
    format!("epoch {epoch}  loss {loss:.2}{score}  {} left", duration(secs_left))
}

/// Columns for the label of a trial beside its bar.
const LABEL: usize = 22;

/// A label short enough for the bar to fit on a line: values only, shortened if there are many.
fn short_label(trial: &Trial) -> String {
    let values: Vec<&str> = trial.point.iter().map(|(_, value)| value.as_str()).collect();
    let seed = format!("seed {}", trial.seed());
    let room = LABEL.saturating_sub(seed.len() + 2);
    let mut values: String = values.join(", ");
    if values.chars().count() > room {
        values = values.chars().take(room.saturating_sub(1)).collect::<String>() + "…";
    }
    let text = if values.is_empty() { seed } else { format!("{values}, {seed}") };
    format!("{text:LABEL$}")
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸ ")
}

#[cfg(test)]
mod tests {
    use decouple_experiment::{Overrides, parse};

    use super::*;

    #[test]
    fn a_bar_with_its_words_fits_80_columns() {
        let file = "experiment.budget = 'none'\naxes.segments = [1, 'per-channel']\n\
                    axes.training.optimizer.kind = ['sgd', 'rmsprop']\naxes.seed = [0, 123456]";
        let sweep = parse(file, "x.toml", &Overrides::default()).expect("a sweep");
        let widest = message(999, 12.34, Some(1.0), Metric::Accuracy, 99.0).chars().count();
        for trial in &sweep.trials {
            let label = short_label(trial);
            assert_eq!(label.chars().count(), LABEL, "{label}");
            assert!(6 + 1 + LABEL + 1 + widest <= 80, "{label}: {widest}");
        }
        assert_eq!(short_label(&sweep.trials[0]), "1, sgd, seed 0        ");
        assert_eq!(short_label(sweep.trials.last().expect("trials")), "per-chan…, seed 123456");
        assert_eq!(
            message(3, 0.512, Some(0.881), Metric::Accuracy, 40.0),
            "epoch 3  loss 0.51  accuracy 88.1 %  40 s left"
        );
    }
}
