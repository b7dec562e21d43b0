//! Shared by all pages: head, style, font, script, and how a table is rendered.

use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::tables::Table;
use crate::analysis::{Analysis, held_equal};
use crate::figures::font;
use crate::numbers::plural;

const STYLE: &str = include_str!("../../assets/report.css");
const SCRIPT: &str = include_str!("../../assets/report.js");

/// A whole page. `description` is for lists of pages; `style` is added to the common style.
pub(super) fn page(title: &str, description: &str, style: &str, body: Markup) -> Markup {
    // Nothing may be loaded, whatever the page contains.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self'; \
                  font-src data:";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="description" content=(description);
                title { (title) }
                style { (PreEscaped(fonts())) (PreEscaped(STYLE)) (PreEscaped(style)) }
            }
            body {
                (body)
                footer { p { "Made by decouple " (env!("CARGO_PKG_VERSION")) " from the runs beside this file." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The embedded font as rules of a style sheet.
fn fonts() -> String {
    let rule = |(weight, file): (u32, &[u8])| {
        format!(
            "@font-face{{font-family:Inter;font-weight:{weight};src:url(data:font/otf;base64,{})}}\n",
            BASE64_STANDARD.encode(file)
        )
    };
    [(400, font::REGULAR), (600, font::SEMI_BOLD)].map(rule).concat()
}

/// A table with its title and its note; wide ones scroll by themselves.
pub(super) fn table(table: &Table) -> Markup {
    html! {
        h2 { (table.title) }
        p { (table.note) }
        div class="scroll" {
            table {
                thead { tr {
                    @for (name, is_number) in &table.columns {
                        th scope="col" class=[is_number.then_some("number")] { (name) }
                    }
                } }
                tbody {
                    @for (k, row) in table.rows.iter().enumerate() {
                        tr class=[table.highlights.contains(&k).then_some("best")] {
                            @for (cell, (_, is_number)) in row.iter().zip(&table.columns) {
                                td class=[is_number.then_some("number")] { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// "fashion-mnist · equal parameters · 6 points, 18 of 18 runs finished · 8 epochs · 2000 test images"
pub(super) fn facts(analysis: &Analysis) -> String {
    let study = &analysis.study;
    let finished = analysis.each_run().filter(|run| run.score().is_some()).count();
    let points = plural(analysis.points.len(), "point");
    let fixed: Vec<String> = study.fixed.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
    let facts = [
        Some(study.data.clone()).filter(|data| !data.is_empty()),
        Some(held_equal(study.held.as_deref())),
        Some(format!("{points}, {finished} of {} finished", plural(analysis.each_run().count(), "run"))),
        Some(fixed.join(" · ")).filter(|fixed| !fixed.is_empty()),
        study.epochs.map(|epochs| plural(epochs, "epoch")),
        study.test_images.map(|images| format!("{images} test images")),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// A message of several lines keeps them.
pub(super) fn inline_code(message: &str) -> Markup {
    html! { @if message.contains('\n') { pre { (message) } } @else { (message) } }
}
