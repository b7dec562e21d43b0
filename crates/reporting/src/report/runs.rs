//! The table of runs, which the page's script filters and sorts.

use decouple_experiment::{Outcome, value_on};
use maud::{Markup, html};

use crate::analysis::{Analysis, RunOutcome, RunRow, distinct};
use crate::numbers::{seconds, short_count};

/// The runs that were started and are not finished, or cannot be used.
pub(super) fn lost(analysis: &Analysis) -> Vec<&RunRow> {
    let is_lost =
        |run: &&RunRow| !matches!(run.outcome, RunOutcome::Over(Outcome::Finished) | RunOutcome::Missing);
    analysis.runs.iter().filter(is_lost).collect()
}

/// A cell: its text, and the number it is sorted by, if any.
struct Cell {
    text: String,
    key: Option<f64>,
}

impl Cell {
    fn words(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { key: text.parse().ok(), text }
    }

    fn number(value: Option<f64>, text: impl Fn(f64) -> String) -> Self {
        Self { text: value.map_or(String::new(), text), key: value }
    }
}

/// The runs with a filter for each axis, one for outcomes and one for any text. Without its script it is a
/// plain table.
pub(super) fn runs(analysis: &Analysis) -> Markup {
    let axes = &analysis.study.axes;
    let score = format!("{} %", analysis.study.metric);
    let columns: Vec<&str> = (analysis.study.axis_names())
        .chain(["seed", "outcome", &score, "raw %", "averaged %", "parameters", "MACs", "steps"])
        .chain(["train s", "images/s", "peak MiB", "id"])
        .collect();
    html! {
        form class="filters" hidden {
            @for (column, axis) in axes.iter().enumerate() {
                (select(column, &axis.name, analysis.runs.iter().map(|run| value(run, &axis.name))))
            }
            (select(axes.len() + 1, "outcome", analysis.runs.iter().map(|run| run.outcome.word())))
            label { "contains " input type="search" name="text" size="12"; }
            output {}
        }
        div class="scroll" {
            table class="runs" {
                thead { tr {
                    @for (k, column) in columns.iter().enumerate() {
                        th scope="col" class=[(k >= axes.len() + 2 && k + 1 < columns.len()).then_some("number")] {
                            (column)
                        }
                    }
                } }
                tbody { @for run in &analysis.runs { (row(analysis, run)) } }
            }
        }
    }
}

fn select<'a>(column: usize, name: &str, values: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        label {
            (name) " "
            select data-column=(column) {
                option value="" { "all" }
                @for value in distinct(values) { option { (value) } }
            }
        }
    }
}

fn value<'a>(run: &'a RunRow, axis: &str) -> &'a str {
    value_on(&run.point, axis).unwrap_or_default()
}

/// Where the run's own files are, seen from the report. Signs of an address stand in
/// no folder's name but for the `+` and `=` of values.
fn folder(run: &RunRow) -> String {
    format!("runs/{}/", run.folder.replace('+', "%2B"))
}

fn row(analysis: &Analysis, run: &RunRow) -> Markup {
    let percent = |share: Option<f64>| Cell::number(share, |share| format!("{:.2}", 100.0 * share));
    let axes = analysis.study.axes.iter().map(|axis| match axis.name.as_str() {
        // Sorted along the spectrum, so that "per-channel" is the last.
        "segments" => Cell { text: value(run, "segments").to_owned(), key: Some(run.level) },
        name @ "channels-per-segment" => {
            Cell { text: value(run, name).to_owned(), key: Some(1.0 - run.level) }
        }
        name => Cell::words(value(run, name)),
    });
    let words = [Cell::words(run.seed.to_string()), Cell::words(run.outcome.word())];
    let numbers = [
        percent(run.score()),
        percent(run.raw_score),
        percent(run.averaged_score),
        Cell::number(Some(run.costs.parameters as f64), |n| short_count(n as u64)),
        Cell::number(Some(run.costs.macs as f64), |n| short_count(n as u64)),
        Cell::number(run.steps.map(|steps| steps as f64), |steps| steps.to_string()),
        Cell::number(run.train_secs, seconds),
        Cell::number(run.images_per_sec, seconds),
        Cell::number(run.peak_bytes.map(|bytes| bytes as f64), |bytes| format!("{:.0}", bytes / 1048576.0)),
    ];
    let is_lost = run.outcome.is_unusable()
        || matches!(run.outcome, RunOutcome::Over(Outcome::Diverged { .. } | Outcome::Failed { .. }));
    html! {
        tr class=[is_lost.then_some("lost")] {
            @for cell in axes.chain(words) { td data-key=[cell.key] { (cell.text) } }
            @for cell in numbers { td class="number" data-key=[cell.key] { (cell.text) } }
            td {
                @if run.outcome == RunOutcome::Missing { code { (run.id) } } @else {
                    a href=(folder(run)) { code { (run.id) } }
                }
            }
        }
    }
}
