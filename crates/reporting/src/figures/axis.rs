//! Maps values to positions: a frame with a scale on each side.

use super::canvas::{Anchor, Canvas, Style};
use super::font::text_width;
use super::headline::{MARGIN, WIDTH};
use super::palette::{FAINT, GRID, INK};

/// Size of the numbers along an axis.
pub(super) const TICK: f64 = 13.0;
/// Size of the names of axes and lines.
pub(super) const LABEL: f64 = 14.0;

/// A rectangle of the page that shows `x` against `y`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

impl Frame {
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.across(x), self.down(y))
    }

    pub(super) fn across(&self, x: f64) -> f64 {
        self.left + (x - self.x.0) / (self.x.1 - self.x.0) * (self.right - self.left)
    }

    pub(super) fn down(&self, y: f64) -> f64 {
        self.bottom - (y - self.y.0) / (self.y.1 - self.y.0) * (self.bottom - self.top)
    }

    /// The position of a share in a frame of percentages, clamped to 0 to 100 % and to the frame, which the
    /// ends of a t-interval may exceed.
    pub(super) fn share(&self, share: f64) -> f64 {
        self.down(100.0 * share.clamp(0.0, 1.0)).clamp(self.top, self.bottom)
    }

    /// Horizontal lines at round values, with their numbers unless a frame beside it has them, and the base line.
    pub(super) fn draw_rows(&self, canvas: &mut Canvas, most: usize, is_numbered: bool) {
        let digits = decimals(self.y, most);
        for value in round_values(self.y, most) {
            let y = self.down(value);
            canvas.line(vec![(self.left, y), (self.right, y)], GRID, 1.0, 0.0);
            let text = if is_numbered { format!("{value:.digits$}") } else { String::new() };
            canvas.text(text, (self.left - 8.0, y), Style::new(TICK, Anchor::End).coloured(FAINT));
        }
        canvas.line(vec![(self.left, self.bottom), (self.right, self.bottom)], INK, 1.0, 0.0);
    }

    /// Labels positions along the base line, using a second line for labels that would touch; returns
    /// the extra height used.
    pub(super) fn name_columns(&self, canvas: &mut Canvas, names: &[(f64, String)]) -> f64 {
        let widths: Vec<(f64, f64)> =
            names.iter().map(|(x, name)| (*x, text_width(name, TICK, false))).collect();
        let lines = stagger(&widths);
        for ((x, name), line) in names.iter().zip(&lines) {
            canvas.line(vec![(*x, self.bottom), (*x, self.bottom + 5.0)], INK, 1.0, 0.0);
            if let Some(line) = line {
                let place = (*x, self.bottom + 17.0 + 17.0 * *line as f64);
                canvas.text(name, place, Style::new(TICK, Anchor::Middle));
            }
        }
        if lines.contains(&Some(1)) { 17.0 } else { 0.0 }
    }

    /// As [`name_columns`](Self::name_columns), for columns at every whole `x`: a label takes as many lines
    /// as its column's width requires.
    pub(super) fn name_even_columns(&self, canvas: &mut Canvas, names: &[(f64, String)]) -> f64 {
        let room = (self.right - self.left) / (self.x.1 - self.x.0) - 8.0;
        let lines: Vec<Vec<String>> =
            names.iter().map(|(_, name)| wrapped(name, room, TICK, false)).collect();
        if lines.iter().flatten().any(|line| text_width(line, TICK, false) > room) {
            return self.name_columns(canvas, names);
        }
        for ((x, _), lines) in names.iter().zip(&lines) {
            canvas.line(vec![(*x, self.bottom), (*x, self.bottom + 5.0)], INK, 1.0, 0.0);
            for (k, line) in lines.iter().enumerate() {
                let place = (*x, self.bottom + 17.0 + 17.0 * k as f64);
                canvas.text(line, place, Style::new(TICK, Anchor::Middle));
            }
        }
        17.0 * lines.iter().map(|lines| lines.len().saturating_sub(1)).max().unwrap_or(0) as f64
    }

    /// The title of the x axis, so far below the base line.
    pub(super) fn name_below(&self, canvas: &mut Canvas, name: &str, distance: f64) {
        let place = ((self.left + self.right) / 2.0, self.bottom + distance);
        canvas.text(name, place, Style::new(LABEL, Anchor::Middle));
    }

    /// The title of the y axis; leaves room for numbers as wide as `100.0`.
    pub(super) fn name_rows(&self, canvas: &mut Canvas, name: &str) {
        let style = Style { upwards: true, ..Style::new(LABEL, Anchor::Middle) };
        canvas.text(name, (self.left - 54.0, (self.top + self.bottom) / 2.0), style);
    }
}

/// Values at round distances (1, 2 or 5 times a power of ten) inside the range, at most `most` of them.
pub(super) fn round_values((low, high): (f64, f64), most: usize) -> Vec<f64> {
    let step = round_step((high - low) / most.max(1) as f64);
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first + 1.0).max(0.0) as usize;
    (0..count.min(1000)).map(|k| (first + k as f64) * step).collect()
}

/// [`round_values`], about `most` of them: more where otherwise one would stand alone, which tells no scale.
pub(super) fn few_values(range: (f64, f64), most: usize) -> Vec<f64> {
    let values = (most..2 * most + 3).map(|most| round_values(range, most));
    values.reduce(|values, more| if values.len() < 2 { more } else { values }).unwrap_or_default()
}

/// The least of 1, 2, 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(power)
}

/// Digits after the point that numbers at the distances of [`round_values`] need.
pub(super) fn decimals((low, high): (f64, f64), most: usize) -> usize {
    (-round_step((high - low) / most.max(1) as f64).log10()).ceil().clamp(0.0, 6.0) as usize
}

/// The range of `values` with a margin, at least `least` wide.
pub(super) fn padded(values: impl Iterator<Item = f64>, least: f64, margin: f64) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, least.max(1e-9));
    }
    let widened = ((least - (high - low)) / 2.0).max(0.0);
    let (low, high) = (low - widened, high + widened);
    let room = margin * (high - low);
    (low - room, high + room)
}

/// Assigns labels (position and width) to lines without overlap: to a second line if the first has no room,
/// or left out if neither has. Returns each label's line.
pub(super) fn stagger(labels: &[(f64, f64)]) -> Vec<Option<usize>> {
    let mut ends = [f64::NEG_INFINITY; 2];
    let lines = labels.iter().map(|&(place, width)| {
        let line = (0..2).find(|&line| ends[line] + 6.0 <= place - width / 2.0)?;
        ends[line] = place + width / 2.0;
        Some(line)
    });
    lines.collect()
}

/// Places entries of these widths one after the other between the margins, as words of a paragraph; returns
/// the row and the left end of each.
pub(super) fn flowed(widths: impl IntoIterator<Item = f64>) -> Vec<(usize, f64)> {
    let (mut row, mut x) = (0, MARGIN);
    let places = widths.into_iter().map(|width| {
        if x > MARGIN && x + width > WIDTH {
            (row, x) = (row + 1, MARGIN);
        }
        let place = (row, x);
        x += width;
        place
    });
    places.collect()
}

/// Moves positions apart, as little as possible, so that none is closer than `distance` to the next; for
/// labels at the ends of lines.
pub(super) fn spread(places: &[f64], distance: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    // Groups of labels that touch, each centred on the mean of its desired positions.
    let mut groups: Vec<(f64, Vec<usize>)> = Vec::new();
    for index in order {
        groups.push((places[index], vec![index]));
        while let [.., (before, left), (after, right)] = groups.as_slice() {
            let room = distance * (left.len() + right.len()) as f64 / 2.0;
            if after - before >= room {
                break;
            }
            let total = (left.len() + right.len()) as f64;
            let centre = (before * left.len() as f64 + after * right.len() as f64) / total;
            let joined = left.iter().chain(right).copied().collect();
            groups.truncate(groups.len() - 2);
            groups.push((centre, joined));
        }
    }
    let mut moved = places.to_vec();
    for (centre, members) in groups {
        let first = centre - distance * (members.len() as f64 - 1.0) / 2.0;
        for (k, member) in members.into_iter().enumerate() {
            moved[member] = first + distance * k as f64;
        }
    }
    moved
}

/// Wraps a text between words into lines no wider than `width`.
pub(super) fn wrapped(text: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size, bold) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
