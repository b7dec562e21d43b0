//! Finds runs that may not be averaged with the others: those on other images, or of another
//! engine.

use std::collections::HashMap;

use decouple_experiment::{NUMERICS_VERSION, Run, RunId};

use crate::analysis::grouped;

/// The runs that do not belong with the majority, each with the reason.
///
/// All runs of a report must have the present arithmetic or the same earlier version, and those whose images come
/// from one place the same checksum, however they split and augment them. The majority decides; in a tie, the newer
/// engine and the later runs.
///
/// `here` is the version by which this program would compute each of them.
pub(crate) fn odd_ones(runs: &[&Run], here: &HashMap<RunId, u32>) -> HashMap<RunId, String> {
    let over: Vec<&Run> = runs.iter().copied().filter(|run| run.status.is_some()).collect();
    let mut odd = HashMap::new();
    let numerics = |run: &Run| {
        let version = run.identity().numerics;
        if here[&run.id] == version { NUMERICS_VERSION } else { version }
    };
    let Some(usual) = most(over.iter().map(|run| (numerics(run), format!("{:010}", numerics(run))))) else {
        return odd;
    };
    let (same, others): (Vec<&Run>, Vec<&Run>) = over.into_iter().partition(|run| numerics(run) == usual);
    for run in others {
        let why = format!("computed by numerics version {}, the others by version {usual}", numerics(run));
        odd.insert(run.id, why);
    }
    for (_, runs) in grouped(same, |run| &run.record.data.source) {
        let data = |run: &Run| run.identity().data.unwrap_or_default();
        let Some(usual) = most(runs.iter().map(|run| (data(run), finished_at(run)))) else { continue };
        for run in runs.into_iter().filter(|run| data(run) != usual) {
            let why = format!(
                "trained on other images than the others (data checksum {:.16}, theirs {usual:.16})",
                data(run)
            );
            odd.insert(run.id, why);
        }
    }
    odd
}

fn finished_at(run: &Run) -> String {
    run.status.as_ref().map_or(String::new(), |status| status.finished_at.clone())
}

/// The most frequent value; in a tie, the one with the largest weight, then the largest.
fn most<T: Ord + Clone>(values: impl Iterator<Item = (T, String)>) -> Option<T> {
    let counts = grouped(values, |(value, _)| value.clone());
    let weighed = counts
        .into_iter()
        .map(|(value, all)| (all.len(), all.into_iter().map(|(_, weight)| weight).max(), value));
    weighed.max().map(|(_, _, value)| value)
}

/// The description of the engine that computed a run, which this program would compute by version `here`.
pub(crate) fn numerics_fact(run: &Run, here: u32) -> String {
    let version = run.identity().numerics;
    if here == version {
        return format!("version {version}");
    }
    format!(
        "version {version}, while this program computes by version {here}: train again to compare with new runs"
    )
}
