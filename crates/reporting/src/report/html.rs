//! `report.html`.

use maud::{Markup, PreEscaped, html};

use super::frame::{inline_code, page, table};
use super::runs::{lost, runs};
use super::tables;
use crate::analysis::{Analysis, label};
use crate::figures::{self, Figure, TextSetting};
use crate::numbers::{duration, plural};

/// The parts of the page, by their ids.
const CONTENTS: [(&str, &str); 5] = [
    ("tables", "Tables"),
    ("cost", "Cost"),
    ("failures", "Failures"),
    ("runs", "Runs"),
    ("origin", "How it was made"),
];

/// The report as one HTML page that loads nothing. The same analysis gives the same bytes.
pub fn html(analysis: &Analysis) -> String {
    let study = &analysis.study;
    let mut figures = figures::all(analysis).into_iter();
    let headline = figures.next();
    let body = html! {
        header {
            p class="eyebrow" { "decouple · " (study.name) }
            h1 { (study.title()) }
            (verdict(analysis))
            p class="facts" { (super::frame::facts(analysis)) }
            nav class="facts" {
                @for (place, name) in CONTENTS { a href=(format!("#{place}")) { (name) } " " }
            }
        }
        main {
            @if let Some(figure) = &headline { (drawing(figure)) }
            div id="tables" { @for part in tables::all(analysis) { section { (table(&part)) } } }
            @for figure in figures { section { (drawing(&figure)) } }
            (costs(analysis))
            (failures(analysis))
            section id="runs" {
                h2 { "Runs" }
                p { "One row per run, finished or not; also in " code { "runs.csv" } ", at full precision." }
                (runs(analysis))
            }
            (origin(analysis))
        }
    };
    page(&format!("{} · decouple", study.name), &analysis.verdict.to_string(), "", body).into_string()
}

fn verdict(analysis: &Analysis) -> Markup {
    let sentences = &analysis.verdict.sentences;
    html! {
        div class="verdict" {
            @if let Some(first) = sentences.first() { p { strong { (first) } } }
            @for sentence in sentences.iter().skip(1) { p { (sentence) } }
        }
    }
}

fn drawing(figure: &Figure) -> Markup {
    html! {
        figure id=(figure.name) {
            div class="scroll" { (PreEscaped(figure.canvas.svg(TextSetting::Page))) }
            figcaption {
                (figure.caption) " "
                a href=(format!("figures/{}.svg", figure.name)) { "SVG" } ", "
                a href=(format!("figures/{}.png", figure.name)) { "PNG" }
            }
        }
    }
}

/// The total cost of the runs, those that points share once.
fn costs(analysis: &Analysis) -> Markup {
    let times: Vec<f64> = analysis.each_run().filter_map(|run| run.train_secs).collect();
    let (trained, secs) = (times.len(), times.iter().sum::<f64>());
    let peak = analysis.runs.iter().filter_map(|run| run.peak_bytes).max();
    html! {
        section id="cost" {
            h2 { "Cost" }
            p {
                (plural(trained, "run")) " trained for " (duration(secs)) " in all, evaluation not counted"
                @if let Some(bytes) = peak { "; at most " (format!("{:.0}", bytes as f64 / 1048576.0)) " MiB of memory" }
                "."
            }
        }
    }
}

/// Runs that diverged, failed or were interrupted, and what could not be read.
fn failures(analysis: &Analysis) -> Markup {
    let lost = lost(analysis);
    html! {
        section id="failures" {
            h2 { "Failures" }
            @if lost.is_empty() && analysis.problems.is_empty() {
                p { "None: every run that was started is finished and could be read." }
            } @else {
                ul {
                    @for run in lost {
                        li {
                            (label(&run.point)) ", seed " (run.seed) " (" code { (run.id) } "): " (run.outcome.sentence())
                        }
                    }
                    @for problem in &analysis.problems { li { (inline_code(problem)) } }
                }
            }
        }
    }
}

/// The origin of the report: command, environment, experiment file.
fn origin(analysis: &Analysis) -> Markup {
    let study = &analysis.study;
    html! {
        section id="origin" {
            h2 { "How it was made" }
            dl {
                @for fact in &study.environment {
                    dt { (fact.name) }
                    @for value in &fact.values {
                        dd { @if fact.name == "command" { code { (value) } } @else { (value) } }
                    }
                }
            }
            @if !study.text.is_empty() {
                details {
                    summary { "The experiment file" }
                    pre { code { (study.text) } }
                }
            }
        }
    }
}
