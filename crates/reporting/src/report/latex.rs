//! `tables.tex`: the report's tables for a paper.

use std::fmt::Write;

use super::tables::{self, Table};
use crate::analysis::Analysis;

/// Every table of the report as a LaTeX `table` with the rules of the package `booktabs`, each labelled
/// `tab:<experiment>-<number>`.
pub fn latex(analysis: &Analysis) -> String {
    let name = &analysis.study.name;
    let mut text = format!("% {}\n% Needs \\usepackage{{booktabs}}.\n", analysis.study.file);
    for (k, part) in tables::all(analysis).iter().enumerate() {
        text += &table(part, &format!("tab:{name}-{}", k + 1));
    }
    text
}

fn table(table: &Table, label: &str) -> String {
    let kinds: String =
        table.columns.iter().map(|(_, is_number)| if *is_number { 'r' } else { 'l' }).collect();
    let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    let header = line(table.columns.iter().map(|(name, _)| escaped(name)).collect());
    let mut text = String::new();
    let _ = write!(
        text,
        "\n\\begin{{table}}\n  \\centering\n  \\caption{{{}. {}}}\n  \\label{{{label}}}\n  \
         \\begin{{tabular}}{{{kinds}}}\n    \\toprule\n{header}    \\midrule\n",
        escaped(&table.title),
        escaped(&table.note)
    );
    for (k, row) in table.rows.iter().enumerate() {
        let bold =
            |cell: String| if table.highlights.contains(&k) { format!("\\textbf{{{cell}}}") } else { cell };
        text += &line(row.iter().map(|cell| bold(escaped(cell))).collect());
    }
    text += "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
    text
}

/// Text with LaTeX's special characters escaped and unsupported ones replaced.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                safe.push('\\');
                safe.push(letter);
            }
            '\\' => safe += "\\textbackslash{}",
            '~' => safe += "\\textasciitilde{}",
            '^' => safe += "\\textasciicircum{}",
            '<' => safe += "$<$",
            '>' => safe += "$>$",
            '±' => safe += "$\\pm$",
            '→' => safe += "$\\to$",
            '·' => safe += "$\\cdot$",
            '∞' => safe += "$\\infty$",
            '–' => safe += "--",
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_letter_means_anything_to_latex() {
        assert_eq!(escaped("100 % of a_b → <c>"), "100 \\% of a\\_b $\\to$ $<$c$>$");
        assert_eq!(escaped("0 to ∞ – ±1"), "0 to $\\infty$ -- $\\pm$1");
        assert_eq!(escaped("\\{~}"), "\\textbackslash{}\\{\\textasciitilde{}\\}");
    }
}
