//! The table at the end of a run.

use crate::analysis::{Analysis, PointSummary};
use crate::numbers::{percent, seconds, short_count};

/// A table for a terminal, one row a point, aligned with spaces; each line ends with a line feed.
///
/// The score is in percent with its 95 % interval. A last column tells of diverged, failed and missing runs
/// where there are any.
pub fn terminal_table(analysis: &Analysis) -> String {
    let has_unfinished = analysis.points.iter().any(|point| unfinished(point).is_some());
    let mut header: Vec<String> = analysis.study.axes.iter().map(|axis| axis.name.clone()).collect();
    if header.is_empty() {
        header.push("point".to_owned());
    }
    let text_columns = header.len();
    header.extend(["width", "params", "MACs", "train s"].map(str::to_owned));
    header.push(format!("test {} (95 %)", analysis.study.metric));
    if has_unfinished {
        header.push("runs".to_owned());
    }
    let mut rows = vec![header];
    rows.extend(analysis.points.iter().map(|point| row(analysis, point, has_unfinished)));
    aligned(&rows, text_columns)
}

fn row(analysis: &Analysis, point: &PointSummary, has_unfinished: bool) -> Vec<String> {
    let absent = || "-".to_owned();
    let mut cells: Vec<String> = (analysis.study.axes.iter())
        .map(|axis| point.value(&axis.name).map_or_else(absent, str::to_owned))
        .collect();
    if cells.is_empty() {
        cells.push(point.label.clone());
    }
    cells.push(point.width.map_or_else(absent, |width| format!("{width:.2}")));
    cells.push(short_count(point.costs.parameters));
    cells.push(short_count(point.costs.macs));
    cells.push(point.train_secs.map_or_else(absent, seconds));
    cells.push(match (point.mean, point.interval) {
        (Some(mean), Some(interval)) => format!("{} ± {}", percent(mean), percent(interval.half_width())),
        (Some(mean), None) => percent(mean),
        (None, _) => absent(),
    });
    if has_unfinished {
        cells.push(unfinished(point).unwrap_or_default());
    }
    cells
}

/// "2 finished, 1 diverged"; `None` where all runs finished.
fn unfinished(point: &PointSummary) -> Option<String> {
    let lost = [(point.diverged, "diverged"), (point.failed, "failed"), (point.missing, "missing")];
    let words: Vec<String> =
        lost.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    (!words.is_empty()).then(|| format!("{} finished, {}", point.finished(), words.join(", ")))
}

/// Pads every cell to its column, words to the left and the four cost columns to the right; three spaces
/// between columns and none at the end of a line.
fn aligned(rows: &[Vec<String>], text_columns: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let last_number = text_columns + 4;
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let numeric = (text_columns..last_number).contains(&column);
            line += &if numeric { format!("{padding}{cell}   ") } else { format!("{cell}{padding}   ") };
        }
        table += line.trim_end();
        table.push('\n');
    }
    table
}
