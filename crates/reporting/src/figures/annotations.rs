//! Places labels beside marks: never over another label or a mark, and off lines if there is
//! room.

use super::axis::TICK;
use super::canvas::{Anchor, Canvas, Style};
use super::font::text_width;
use super::palette::{FAINT, PAPER};

/// Left, right, top and bottom.
pub(super) type Area = [f64; 4];

/// What the labels of one panel must avoid.
#[derive(Debug)]
pub(super) struct Annotations {
    /// Where names may stand.
    bounds: Area,
    /// Marks and names.
    taken: Vec<Area>,
    /// Lines: a label may cross them if there is no better place.
    lines: Vec<Area>,
}

impl Annotations {
    pub(super) fn new(bounds: Area) -> Self {
        Self { bounds, taken: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn keep_off_mark(&mut self, (x, y): (f64, f64), radius: f64) {
        self.taken.push([x - radius, x + radius, y - radius, y + radius]);
    }

    /// `from` and `to` lie above or beside each other.
    pub(super) fn keep_off_line(&mut self, from: (f64, f64), to: (f64, f64)) {
        let (top, bottom) = (from.1.min(to.1) - 1.0, from.1.max(to.1) + 1.0);
        self.lines.push([from.0.min(to.0), from.0.max(to.0), top, bottom]);
    }

    /// Writes `text` as near to the mark at `place` as there is room, with a line to the mark if that is
    /// some way off; if there is no room nearby, the mark gets no label.
    pub(super) fn write(&mut self, canvas: &mut Canvas, text: &str, place: (f64, f64)) {
        let width = text_width(text, TICK, false);
        let free: Vec<Area> = candidates(place, width).filter(|area| self.is_free(*area)).collect();
        let crossed = |area: &Area| self.lines.iter().filter(|line| overlap(area, line)).count();
        let Some(area) = free.iter().min_by_key(|area| crossed(area)).copied() else { return };
        // The place of the name that is nearest to the mark.
        let end = (place.0.clamp(area[0], area[1]), place.1.clamp(area[2], area[3]));
        if f64::hypot(end.0 - place.0, end.1 - place.1) > NEAR + 1.0 {
            canvas.line(vec![place, end], FAINT, 0.8, 0.0);
        }
        if crossed(&area) > 0 {
            let corners = [(area[0], area[2]), (area[1], area[2]), (area[1], area[3]), (area[0], area[3])];
            canvas.area(corners.to_vec(), PAPER, 0.8);
        }
        canvas.text(text, (area[0], (area[2] + area[3]) / 2.0), Style::new(TICK, Anchor::Start));
        self.taken.push(area);
    }

    fn is_free(&self, area: Area) -> bool {
        area[0] >= self.bounds[0]
            && area[1] <= self.bounds[1]
            && area[2] >= self.bounds[2]
            && area[3] <= self.bounds[3]
            && !self.taken.iter().any(|other| overlap(&area, other))
    }
}

/// From a mark to a name beside it.
const NEAR: f64 = 7.0;

/// Candidate places for the label of a mark, the best first: beside it, above and below, then farther away.
fn candidates((x, y): (f64, f64), width: f64) -> impl Iterator<Item = Area> {
    const HALF: f64 = 6.5;
    [NEAR, 18.0, 32.0, 46.0].into_iter().flat_map(move |far| {
        let (right, left, middle) = (x + far, x - far - width, x - width / 2.0);
        let slant = far + 3.0;
        [
            (right, y),
            (left, y),
            (right, y - slant),
            (left, y - slant),
            (right, y + slant),
            (left, y + slant),
            (middle, y - far - HALF),
            (middle, y + far + HALF),
        ]
        .map(|(left, y)| [left, left + width, y - HALF, y + HALF])
    })
}

fn overlap(a: &Area, b: &Area) -> bool {
    a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3]
}
