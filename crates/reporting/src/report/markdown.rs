//! `report.md`: the report for places that render Markdown, such as repositories.

use std::fmt::Write;

use super::frame::facts;
use super::runs::lost;
use super::tables::{self, Table};
use crate::analysis::{Analysis, label};
use crate::figures;

/// The report as Markdown, with figures by their path relative to the results folder. The table of runs is
/// left to `runs.csv`. The same analysis gives the same bytes.
pub fn markdown(analysis: &Analysis) -> String {
    let study = &analysis.study;
    let mut text = format!("# {}\n\n", escaped(study.title()));
    for (k, sentence) in analysis.verdict.sentences.iter().enumerate() {
        let mark = if k == 0 { "**" } else { "" };
        let _ = writeln!(text, "{mark}{}{mark}", escaped(sentence));
    }
    let _ = writeln!(text, "\n{}\n", escaped(&facts(analysis)));
    let figures = figures::all(analysis);
    let image = |figure: &figures::Figure| {
        format!("![{}](figures/{}.svg)\n\n", escaped(&figure.caption), figure.name)
    };
    text.extend(figures.first().map(image));
    tables::all(analysis).iter().for_each(|part| text += &table(part));
    text.extend(figures.iter().skip(1).map(image));
    let lost = lost(analysis).into_iter().map(|run| {
        format!("{}, seed {} ({}): {}", label(&run.point), run.seed, run.id, run.outcome.sentence())
    });
    let failures: Vec<String> = lost.chain(analysis.problems.iter().cloned()).collect();
    if !failures.is_empty() {
        text += "## Failures\n\n";
        for failure in &failures {
            // A message of several lines keeps them as an indented block.
            let _ = writeln!(text, "- {}", escaped(failure).replace('\n', "\n  "));
        }
        text.push('\n');
    }
    text += "## How it was made\n\n";
    for fact in &study.environment {
        let shown = |value: &String| match fact.name.as_str() {
            // Between backticks only a backtick and the end of the line are special.
            "command" => format!("`{}`", value.replace('`', "'").replace(char::is_control, " ")),
            _ => escaped(value),
        };
        let values: Vec<String> = fact.values.iter().map(shown).collect();
        let _ = writeln!(text, "- {}: {}", fact.name, values.join("; "));
    }
    text += "\nEvery run is in [runs.csv](runs.csv), every point in [summary.csv](summary.csv).\n";
    text
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("## {}\n\n{}\n\n", escaped(&table.title), escaped(&table.note));
    text += &line(table.columns.iter().map(|(name, _)| escaped(name)).collect());
    text += &line(
        table.columns.iter().map(|(_, is_number)| if *is_number { "---:" } else { "---" }.into()).collect(),
    );
    for (k, row) in table.rows.iter().enumerate() {
        let mark = if table.highlights.contains(&k) { "**" } else { "" };
        text += &line(
            row.iter().map(|cell| format!("{mark}{}{mark}", escaped(cell).replace('\n', " "))).collect(),
        );
    }
    text.push('\n');
    text
}

/// Text with all characters escaped that are special in Markdown, in HTML inside it, or in a terminal.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && letter != '\n' {
            let _ = write!(safe, "\\\\u{:04x}", u32::from(letter));
            continue;
        }
        if "\\`*_[]<>|#&~".contains(letter) {
            safe.push('\\');
        }
        safe.push(letter);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_live() {
        let text = escaped("<script>x</script> [a](javascript:b) ![c](d) &lt; `e` \u{1b}[31m");
        assert_eq!(
            text,
            "\\<script\\>x\\</script\\> \\[a\\](javascript:b) !\\[c\\](d) \\&lt; \\`e\\` \\\\u001b\\[31m"
        );
    }
}
