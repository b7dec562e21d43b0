//! Messages in the style of rustc: what is wrong, where, the line with a mark, how to fix it.

use std::fmt::Write;
use std::ops::Range;

/// Bytes of a text, moved by the offset of that text.
pub(super) type Span = Range<usize>;

/// An error or a warning, and the place that it is about.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    title: String,
    labels: Vec<(Span, String)>,
    notes: Vec<String>,
}

impl Diagnostic {
    pub(super) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), labels: Vec::new(), notes: Vec::new() }
    }

    /// Marks a place, with a label under it.
    pub(super) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// Marks the place, where it is known; says the same in a line at the end where it is not.
    pub(super) fn at_or_note(self, span: Option<Span>, label: impl Into<String>) -> Self {
        match span {
            Some(span) => self.at(span, label),
            None => self.note(label),
        }
    }

    /// Adds a line at the end.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The texts that a document was read from. Positions continue from one text to the next, so a
/// position also identifies its text.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    sources: Vec<SourceText>,
}

#[derive(Clone, Debug)]
struct SourceText {
    name: String,
    text: String,
    offset: usize,
    /// Whether lines have numbers: an argument of the command line has none.
    is_file: bool,
}

impl Sources {
    /// Adds the experiment file; returns the offset of its positions.
    pub(super) fn add_file(&mut self, name: &str, text: &str) -> usize {
        self.add(name, text, true)
    }

    /// Adds an argument of the command line; returns the offset of its positions.
    pub(super) fn add_argument(&mut self, name: &str, text: &str) -> usize {
        self.add(name, text, false)
    }

    fn add(&mut self, name: &str, text: &str, is_file: bool) -> usize {
        // One more position than bytes: the end of a text is a place, too.
        let offset = self.sources.last().map_or(0, |last| last.offset + last.text.len() + 1);
        self.sources.push(SourceText { name: name.to_owned(), text: text.to_owned(), offset, is_file });
        offset
    }

    /// The whole message; `severity` is its first word.
    pub(super) fn render(&self, severity: &str, diagnostic: &Diagnostic) -> String {
        let places: Vec<Place<'_>> =
            diagnostic.labels.iter().filter_map(|(span, _)| self.place(span)).collect();
        let numbers = places.iter().filter(|place| place.source.is_file).map(|place| place.line);
        let width = numbers.max().map_or(1, |line| line.to_string().len());
        let mut out = format!("{severity}: {}", diagnostic.title);
        for (index, (place, (_, label))) in places.iter().zip(&diagnostic.labels).enumerate() {
            place.render(&mut out, width, label, index == 0);
        }
        for note in &diagnostic.notes {
            let _ = write!(out, "\n{:width$}  = {note}", "");
        }
        out
    }

    fn place(&self, span: &Span) -> Option<Place<'_>> {
        let source = self.sources.iter().rev().find(|source| source.offset <= span.start)?;
        let start = (span.start - source.offset).min(source.text.len());
        let end = (span.end - source.offset).clamp(start, source.text.len());
        let line_start = source.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source.text[start..].find('\n').map_or(source.text.len(), |newline| start + newline);
        let text = source.text[line_start..line_end].trim_end();
        let before = &source.text[line_start..start];
        // A value over several lines is marked to the end of its first line.
        let marked = source.text[start..end.min(line_start + text.len()).max(start)].chars().count().max(1);
        let line = source.text[..start].matches('\n').count() + 1;
        Some(Place { source, line, text, before, marked })
    }
}

/// A position as a person sees it.
struct Place<'a> {
    source: &'a SourceText,
    /// From 1.
    line: usize,
    text: &'a str,
    /// The text on the line before the mark.
    before: &'a str,
    /// Characters under the mark.
    marked: usize,
}

impl Place<'_> {
    fn render(&self, out: &mut String, width: usize, label: &str, is_first: bool) {
        let arrow = if is_first { "-->" } else { ":::" };
        let Self { source, line, text, before, marked } = self;
        let column = before.chars().count() + 1;
        let (cut, text) = clipped(text, column - 1);
        // Tabs stay tabs, so that the mark stands under its place at any tab width.
        let indent: String = before.chars().skip(cut).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let marks = "^".repeat((*marked).min(text.chars().count().saturating_sub(column - 1 - cut)).max(1));
        let (position, number) = if source.is_file {
            (format!("{}:{line}:{column}", source.name), line.to_string())
        } else {
            (source.name.clone(), String::new())
        };
        let _ = write!(out, "\n {:width$}{arrow} {position}", "");
        let _ = write!(out, "\n {:width$} |", "");
        let _ = write!(out, "\n {number:>width$} | {text}");
        let _ = write!(out, "\n {:width$} | {indent}{marks} {label}", "");
    }
}

/// The part of a line around the character at `place` that fits a screen, and the number of characters cut
/// off before it.
fn clipped(line: &str, place: usize) -> (usize, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 160;
    let length = line.chars().count();
    let cut = if length > SHOWN { place.saturating_sub(BEFORE) } else { 0 };
    let mut shown: String = line.chars().skip(cut).take(SHOWN).collect();
    if length > cut + SHOWN {
        shown.push('…');
    }
    (cut, shown)
}

/// The candidate that `typed` was probably meant to be, if any is close enough.
///
/// A name may be typed without the sections in front of it or the words at its
/// end: `weight-decay` is near `training.weight-decay`, `warmup` near
/// `warmup-epochs`.
pub(super) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = typed.chars().count();
    // A word of one letter is near nothing: all others are one edit away.
    let allowed = (letters / 3).max(1).min(letters.saturating_sub(1));
    let edits = |candidate: &'a str| {
        let least = parts(candidate).map(|part| edit_distance(typed, part)).min();
        Some((least?, candidate))
    };
    let (distance, candidate) =
        candidates.into_iter().filter_map(edits).min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed).then_some(candidate)
}

/// A name, and what is left of it without sections or last words:
/// `a.b-c`, `a.b`, `b-c`, `b`.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    starts.flat_map(move |start| {
        let tail = &name[start..];
        std::iter::once(tail).chain(tail.match_indices('-').map(|(dash, _)| &tail[..dash]))
    })
}

/// "did you mean `...`?", or `otherwise` where nothing is near.
pub(super) fn suggestion<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(typed, candidates).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// Insertions, deletions, replacements and swaps of neighbours between two
/// words (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// "`a`, `b`, `c`".
pub(super) fn in_backticks<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "ab", 2),
            ("segmnets", "segments", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["segments", "network.kernel", "training.weight-decay"];
        assert_eq!(nearest("segmnets", names), Some("segments"));
        assert_eq!(nearest("weight-decay", names), Some("training.weight-decay"));
        assert_eq!(nearest("trainig.weight-dcay", names), Some("training.weight-decay"));
        assert_eq!(nearest("weight", names), Some("training.weight-decay"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("5", ["1", "3"]), None);
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let mut sources = Sources::default();
        let text = format!("{}seed = [{}]", "x, ".repeat(1_000), "1, ".repeat(10_000));
        let start = text.find("seed").unwrap_or_default();
        sources.add_file("f.toml", &text);
        let shown = sources.render("error", &Diagnostic::new("t").at(start..text.len(), "too many"));
        assert!(shown.contains("x, seed = [1, ") && shown.contains("^^ too many"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
    }

    #[test]
    fn marks_stand_under_their_place() {
        let mut sources = Sources::default();
        sources.add_file("f.toml", "é\tx = 1\r\ny = [\n2]");
        let offset = sources.add_argument("--set", "z=3");
        let diagnostic =
            Diagnostic::new("t").at(3..4, "tab").at(15..20, "lines").at(offset..offset + 1, "argument");
        insta::assert_snapshot!(sources.render("error", &diagnostic), @r"
        error: t
          --> f.toml:1:3
           |
         1 | é	x = 1
           |  	^ tab
          ::: f.toml:2:6
           |
         2 | y = [
           |      ^ lines
          ::: --set
           |
           | z=3
           | ^ argument
        ");
    }
}
