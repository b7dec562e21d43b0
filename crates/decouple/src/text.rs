//! Text for people: numbers, tables, and the way to standard output and standard error.

use std::{
    borrow::Cow,
    fmt::Arguments,
    io::{ErrorKind, Write},
};

use crate::failure::{Failure, IO};

/// Prints to standard output. A reader that has gone away (`| head`) is no
/// error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(shown(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(IO, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// As `eprintln!`, but a reader of standard error that has gone away does not end the work that the message is
/// about, and control characters are shown.
macro_rules! say {
    ($($words:tt)*) => { $crate::text::tell(format_args!($($words)*)) };
}

pub(crate) fn tell(words: Arguments<'_>) {
    let line = format!("{words}\n");
    // Nobody is left to be told of an error.
    let _ = std::io::stderr().lock().write_all(shown(&line).as_bytes());
}

/// Text in which letters that a terminal would obey (escape sequences, changes of direction) are written out, as
/// in `\u001b`, which is what they are in JSON too. What comes from outside (keys, values, names of files and
/// tensors) reaches a terminal only through this.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_obeyed = |letter: char| {
        (letter.is_control() && letter != '\n' && letter != '\t')
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let written = |letter: char| {
        if is_obeyed(letter) { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }
    };
    Cow::Owned(text.chars().map(written).collect())
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{} {word}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

/// `102400` as `102.4k`, `11800000` as `11.8M`.
pub(crate) fn short_count(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", value / 1e6),
        _ => format!("{:.2}G", value / 1e9),
    }
}

/// `102400` as `102,400`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as `12 MiB`, `1.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mib = count as f64 / (1 << 20) as f64;
    if mib < 1024.0 { format!("{:.0} MiB", mib.max(1.0)) } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// Seconds as `40 s`, `12 min`, `3.5 h`, `2.1 days`, `3.4 years`.
pub(crate) fn duration(secs: f64) -> String {
    if secs < 9.95 {
        format!("{secs:.1} s")
    } else if secs < 99.5 {
        format!("{secs:.0} s")
    } else if secs < 5400.0 {
        format!("{:.0} min", secs / 60.0)
    } else if secs < 48.0 * 3600.0 {
        format!("{:.1} h", secs / 3600.0)
    } else if secs < 730.0 * 86_400.0 {
        format!("{:.1} days", secs / 86_400.0)
    } else {
        format!("{:.1} years", secs / (365.25 * 86_400.0))
    }
}

/// A table whose columns line up: the first ones to the left, numbers to the
/// right.
pub(crate) struct Table {
    /// How many columns, from the left, are words.
    words: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(words: usize, header: &[&str]) -> Self {
        Self { words, rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(shown("plain\ttext\n, ±1"), "plain\ttext\n, ±1");
        assert_eq!(shown("\u{1b}[31mred\u{7}\r"), "\\u001b[31mred\\u0007\\u000d");
        assert_eq!(shown("\u{9b}2J \u{202e}txt"), "\\u009b2J \\u202etxt");
        let json = serde_json::to_string("\u{7f}\u{9b}\u{202e}").expect("text");
        let back: String = serde_json::from_str(&shown(&json)).expect("still JSON");
        assert_eq!(back, "\u{7f}\u{9b}\u{202e}");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [0, 999, 1_000, 102_400, 11_800_000].map(short_count),
            ["0", "999", "1.0k", "102.4k", "11.8M"]
        );
        assert_eq!([7, 1_234, 8_357_403_496].map(grouped), ["7", "1,234", "8,357,403,496"]);
        assert_eq!([1, 5 << 20, 3 << 29].map(bytes), ["1 MiB", "5 MiB", "1.5 GiB"]);
        assert_eq!(
            [0.5, 40.0, 700.0, 12_600.0, 400_000.0, 1e8].map(duration),
            ["0.5 s", "40 s", "12 min", "3.5 h", "4.6 days", "3.2 years"]
        );
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(1, &["name", "n"]);
        table.push(vec!["a".into(), "100".into()]);
        table.push(vec!["longer".into(), "7".into()]);
        assert_eq!(table.to_string(), "name      n\na       100\nlonger    7\n");
    }
}
