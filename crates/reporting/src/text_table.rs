//! Tables for a terminal, including the one at the end of a run.

use std::fmt;

use crate::analysis::{Analysis, PointSummary};
use crate::numbers::{percent, seconds, short_count};

/// A table whose columns line up: the first ones to the left, numbers to the
/// right.
#[derive(Clone, Debug)]
pub struct TextTable {
    /// How many columns, from the left, are words.
    words: usize,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table of these columns, of which the first `words` hold words.
    pub fn new(words: usize, header: &[&str]) -> Self {
        Self { words, rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                if column < self.words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// One row per point; each line ends with a line feed.
///
/// The score is in percent with its 95 % interval. A last column lists diverged, failed, unusable and missing
/// runs, if any.
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
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut table = TextTable::new(text_columns, &header);
    let half_widths = analysis.points.iter().filter_map(half_width);
    let room = half_widths.map(|half| half.chars().count()).max().unwrap_or(0);
    for point in &analysis.points {
        table.push(row(analysis, point, room, has_unfinished));
    }
    table.to_string()
}

/// What follows the mean of a point that has an interval.
fn half_width(point: &PointSummary) -> Option<String> {
    point.interval.map(|interval| format!(" ± {}", percent(interval.half_width())))
}

/// The cells of a point; `room` characters follow each mean, so that means stand below each other.
fn row(analysis: &Analysis, point: &PointSummary, room: usize, has_unfinished: bool) -> Vec<String> {
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
    let half = half_width(point).unwrap_or_default();
    cells.push(point.mean.map_or_else(absent, |mean| format!("{}{half:<room$}", percent(mean))));
    if has_unfinished {
        cells.push(unfinished(point).unwrap_or_default());
    }
    cells
}

/// "2 finished, 1 diverged"; `None` where all runs finished.
fn unfinished(point: &PointSummary) -> Option<String> {
    let lost = [
        (point.diverged, "diverged"),
        (point.failed, "failed"),
        (point.unusable, "unusable"),
        (point.missing - point.unusable, "missing"),
    ];
    let words: Vec<String> =
        lost.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    (!words.is_empty()).then(|| format!("{} finished, {}", point.finished(), words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let mut table = TextTable::new(1, &["name", "n"]);
        table.push(vec!["a".into(), "100".into()]);
        table.push(vec!["longer".into(), "7".into()]);
        assert_eq!(table.to_string(), "name      n\na       100\nlonger    7\n");
    }
}
