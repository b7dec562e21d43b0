//! The worker's side of `tools/bench/run`, for programs in Rust; its twin for
//! Python is `tools/bench/worker.py`.
//!
//! A worker identifies itself, then reads requests from standard input, one JSON object per
//! line, and answers each with one line: the milliseconds of every run of each part of the
//! work, with facts about it, or the reason why it cannot do that work.

use std::{
    any::Any,
    collections::BTreeMap,
    io::{BufRead, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Why a program cannot do a piece of work.
pub(crate) type Missing = Box<dyn std::error::Error>;

/// What to measure. `tools/bench/plan.py` decides every size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The piece of work.
    pub(crate) work: Work,
    /// Segments of the spatial convolutions.
    pub(crate) segments: usize,
    /// Images of a batch.
    pub(crate) batch: usize,
    /// Rows and columns of the maps, or of the network's images.
    pub(crate) side: usize,
    /// Channels of the convolution and of the modules.
    pub(crate) channels: usize,
    /// Modules in the chain.
    pub(crate) chain: usize,
    /// The whole network.
    pub(crate) network: NetworkSizes,
    /// For how long to repeat each part.
    pub(crate) seconds: f64,
}

/// The pieces of work.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// One segmented 3x3 convolution and its two gradients, one part each.
    Conv,
    /// A batch norm, modules and a loss: forward and backward.
    Module,
    /// A training step of mini-xception.
    Step,
    /// A training step of the published Xception.
    Xception,
    /// One pass of it, forward only.
    Forward,
    /// The speed of the machine. Only this program measures it.
    Machine,
}

/// Channels and depth of mini-xception.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkSizes {
    /// Channels of the image.
    pub(crate) image: usize,
    /// Channels of the stem.
    pub(crate) stem: usize,
    /// Channels of the entry stages.
    pub(crate) entry: Vec<usize>,
    /// Blocks of the middle flow.
    pub(crate) middle: usize,
    /// Modules of a middle block.
    pub(crate) modules: usize,
    /// Channels of the exit flow.
    pub(crate) exit: usize,
    /// Classes of the classifier.
    pub(crate) classes: usize,
}

/// A piece of work that is ready to run.
#[derive(Default)]
pub(crate) struct Prepared {
    /// Its parts by name.
    pub(crate) parts: Vec<(&'static str, Run)>,
    /// What is known about it, by name.
    pub(crate) facts: BTreeMap<&'static str, f64>,
}

/// Runs a part once, to its end.
pub(crate) type Run = Box<dyn FnMut() -> Result<(), Missing>>;

/// Answers requests until the standard input ends, with what `prepare` makes
/// of each. The same work asked for again is not prepared again.
///
/// # Errors
/// If the standard input or output fails, or a request is not understood.
pub(crate) fn serve(
    program: &str,
    version: &str,
    mut prepare: impl FnMut(&Request) -> Result<Prepared, Missing>,
) -> Result<(), Box<dyn std::error::Error>> {
    say(&BTreeMap::from([("program", program), ("version", version)]))?;
    // A peer's panic is an answer, not a backtrace on standard error.
    std::panic::set_hook(Box::new(|_| ()));
    let mut last: Option<(Request, Prepared)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let seconds = request.seconds;
        // The machine's speed is measured anew each time.
        let asked_before = request.work != Work::Machine
            && last.as_ref().is_some_and(|(before, _)| Request { seconds, ..before.clone() } == request);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            if !asked_before {
                // Two networks at a time are not what a user runs.
                last = None;
                last = Some((request.clone(), prepare(&request)?));
            }
            let Some((_, prepared)) = &mut last else { return Err("nothing was prepared".into()) };
            measure(prepared, seconds)
        }));
        let answer = answer.unwrap_or_else(|panic| Err(message(&*panic).into()));
        say(&answer.unwrap_or_else(|missing| Answer::Missing(first_line(&missing.to_string()))))?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Measured { milliseconds: BTreeMap<&'static str, Vec<f64>>, facts: BTreeMap<&'static str, f64> },
    Missing(String),
}

fn say(answer: &impl Serialize) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

fn measure(prepared: &mut Prepared, seconds: f64) -> Result<Answer, Missing> {
    let mut milliseconds = BTreeMap::new();
    for (part, run) in &mut prepared.parts {
        milliseconds.insert(*part, repeat(run, Duration::from_secs_f64(seconds))?);
    }
    Ok(Answer::Measured { milliseconds, facts: prepared.facts.clone() })
}

/// Times of a part in milliseconds. The first run only warms up, unless it
/// takes so long that nothing in it can be cold.
fn repeat(run: &mut Run, limit: Duration) -> Result<Vec<f64>, Missing> {
    let first = timed(run)?;
    if first > limit.as_secs_f64() * 2e3 {
        return Ok(vec![first]);
    }
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.is_empty() || begin.elapsed() < limit {
        times.push(timed(run)?);
    }
    Ok(times)
}

fn timed(run: &mut Run) -> Result<f64, Missing> {
    let begin = Instant::now();
    run()?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

fn message(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    first_line(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked"))
}

/// A reason must fit into a table cell.
fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().chars().take(150).collect()
}
