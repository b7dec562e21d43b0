//! The forward pass, with the sums for a norm's mean and variance.

use rayon::prelude::*;

use super::{Band, Convs, Part, Shared};
use crate::{
    buffer::Scratch,
    conv::Rows,
    layout::{LANES, MapLayout, groups},
    rows::{self, Prologue, SumsAbout},
};

/// Inputs and outputs of the forward pass. Maps have the layouts of the [`Convs`].
#[derive(Debug)]
pub struct Forward<'a> {
    /// Images of the batch.
    pub images: usize,
    /// The input.
    pub x: &'a [f32],
    /// How it is read.
    pub prologue: Prologue<'a>,
    /// For each convolution, one value per output channel.
    pub biases: [Option<&'a [f32]>; 2],
    /// Of two convolutions, the output of the first.
    pub middle: Option<&'a mut [f32]>,
    /// The output.
    pub y: &'a mut [f32],
    /// If statistics are wanted: values near each channel's mean, and the sums of the
    /// differences and of their squares, [`Convs::sums`] of them.
    pub moments: Option<SumsAbout<'a>>,
}

impl Convs {
    /// y = second(between(first(activation(norm(x))))), overwriting `middle` and `y`, margins
    /// included. Cost: the geometries' multiply-adds for each image of whole groups; lanes
    /// beyond the last image are unspecified.
    ///
    /// # Panics
    /// If the length of a slice does not match the layouts and images, or no weights are packed.
    pub fn forward(&self, forward: Forward<'_>, scratch: &Scratch) {
        let Forward { images, x, prologue, biases, middle, y, mut moments } = forward;
        self.check_map(0, images, x.len());
        self.check_map(self.convs.len(), images, y.len());
        assert_eq!(middle.is_some(), self.convs.len() == 2, "a map between two convolutions");
        if let Some(middle) = &middle {
            self.check_map(1, images, middle.len());
        }
        assert!(self.convs.iter().all(|conv| conv.forward.is_packed()), "weights for the way forward");
        for (conv, bias) in self.convs.iter().zip(&biases) {
            let channels = conv.spec.geometry.output().c;
            assert!(bias.is_none_or(|bias| bias.len() == channels), "a bias for each channel");
        }
        let channels = self.output().shape.c;
        if let Some((centre, sums)) = &mut moments {
            assert_eq!((centre.len(), sums.len()), (channels, self.sums(self.output(), images)));
            sums.fill([[0.0; LANES]; 2]);
        }
        let maps = [
            Shared(x.as_ptr().cast_mut()),
            middle.map_or(Shared(std::ptr::null_mut()), |map| Shared(map.as_mut_ptr())),
            Shared(y.as_mut_ptr()),
        ];
        let centre = moments.as_ref().map(|(centre, _)| *centre);
        let sums = moments.map(|(_, sums)| Shared(sums.as_mut_ptr().cast()));
        if let (2, Some(middle)) = (self.convs.len(), maps.get(1)) {
            self.clear_between_bands(*middle, images);
        }
        self.parts(images).into_par_iter().for_each(|part| {
            scratch.with(self.forward_scratch(), |scratch| {
                for group in part.groups.clone() {
                    let sums = sums.map(|sums| {
                        let len = channels * 2 * LANES;
                        // SAFETY: each group and band has its own sums.
                        let sums = unsafe { sums.slice((group * self.bands.len() + part.band) * len, len) };
                        sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0
                    });
                    let task =
                        Task { convs: self, prologue, biases, maps, group, band: &self.bands[part.band] };
                    task.run(&part, centre.zip(sums), scratch);
                }
            });
        });
    }

    /// Zeros before the first row of each band of the map between two convolutions:
    /// the margin of a row that another band writes.
    fn clear_between_bands(&self, middle: Shared, images: usize) {
        let layout = &self.layouts[1];
        for group in 0..groups(images) {
            for band in &self.bands[1..] {
                let row = group * layout.group() + layout.start() + band.rows[1].start * layout.row();
                // SAFETY: no task has begun yet.
                unsafe { middle.slice(row - layout.start(), layout.start()) }.fill(0.0);
            }
        }
    }

    pub(super) fn check_map(&self, map: usize, images: usize, len: usize) {
        assert_eq!(len, self.layouts[map].len(images), "values of a map of {:?}", self.layouts[map]);
    }

    /// Rows of the input that one row of outputs reads.
    fn input_ring(&self) -> usize {
        let o = self.convs[0].spec.geometry.options();
        let at_once = self.convs[0].forward.rows_at_once();
        ((o.kernel_h - 1) * o.dilation + 1 + o.stride * at_once).min(self.layouts[0].shape.h)
    }

    /// Rows between the convolutions that a band needs but another owns.
    fn halo(&self) -> usize {
        match (self.convs.get(1), self.bands.len()) {
            (None, _) | (_, 1) => 0,
            (Some(second), _) => {
                let o = second.spec.geometry.options();
                let [first, second] = [0, 1].map(|conv| self.convs[conv].forward.rows_at_once() - 1);
                2 * ((o.kernel_h - 1) * o.dilation + o.stride + second) + first
            }
        }
    }
}

/// Scratch values of a task: a ring of the input, one of the rows between two convolutions that
/// another band owns, and the scratch of a walk.
pub(super) fn scratch(convs: &Convs) -> usize {
    let input = &convs.layouts[0];
    let ring = input.start() + convs.input_ring() * input.row();
    let halo = convs.layouts[1].start() + convs.halo() * convs.layouts[1].row();
    ring + halo + convs.convs.iter().map(|conv| conv.forward.scratch()).max().unwrap_or(0)
}

/// One group and band.
struct Task<'a> {
    convs: &'a Convs,
    prologue: Prologue<'a>,
    biases: [Option<&'a [f32]>; 2],
    maps: [Shared; 3],
    group: usize,
    band: &'a Band,
}

impl Task<'_> {
    fn run(&self, part: &Part, mut moments: Option<SumsAbout<'_>>, scratch: &mut [f32]) {
        let convs = self.convs;
        let last = convs.convs.len();
        let (ring, rest) =
            scratch.split_at_mut(convs.layouts[0].start() + convs.input_ring() * convs.layouts[0].row());
        let (halo, work) =
            rest.split_at_mut(convs.layouts[1].start() + convs.halo() * convs.layouts[1].row());
        let x = map_rows(self.maps[0], &convs.layouts[0], self.group);
        let mut input = Input { x, task: self, rows: x, done: 0 };
        if !self.prologue.is_plain() {
            input.rows = ring_rows(ring, &convs.layouts[0], convs.input_ring());
        }
        input.done = self.first_input_row();
        let y_layout = convs.output();
        let y = map_rows(self.maps[2], y_layout, self.group);
        let mut middle = (last == 2).then(|| self.middle(halo));
        if part.band == 0 {
            self.clear_margins();
        }
        let conv = &convs.convs[last - 1];
        for step in conv.forward.steps(self.band.rows[last].clone()) {
            let read = conv.forward.reads(step.clone());
            let from = match &mut middle {
                Some(middle) => {
                    self.make_middle(middle, read.end, &mut input, work);
                    middle.rows
                }
                None => {
                    input.read_until(read.end);
                    input.rows
                }
            };
            // SAFETY: the rows that these read are there; the band owns them.
            unsafe {
                let ahead = y.at(step.end);
                conv.forward.rows(step.clone(), from, y, self.biases[last - 1], work.as_mut_ptr(), ahead);
            }
            for row in step {
                let y = row_mut(y, row, y_layout.row());
                rows::finish(convs.isa, y_layout, conv.spec.activation, y_layout.shape.c, y);
                if let Some((centre, sums)) = &mut moments {
                    rows::add_moments(convs.isa, y_layout, centre, y, sums);
                }
            }
        }
        // Rows that no output reads, which the backward pass does.
        if let Some(middle) = &mut middle {
            self.make_middle(middle, self.band.rows[1].end, &mut input, work);
        }
    }

    /// The rows between two convolutions, none of which is computed yet.
    fn middle(&self, halo: &mut [f32]) -> Middle {
        let (convs, layout) = (self.convs, &self.convs.layouts[1]);
        let mut rows = map_rows(self.maps[1], layout, self.group);
        if convs.bands.len() > 1 {
            rows = rows.within(self.band.rows[1].clone(), ring_rows(halo, layout, convs.halo()));
        }
        Middle { rows, done: self.first_middle_row() }
    }

    /// Zeros before the first row of a group in what is written: a margin, too.
    fn clear_margins(&self) {
        let layouts = [(1, &self.convs.layouts[1]), (2, self.convs.output())];
        for (map, layout) in layouts.into_iter().skip(2 - self.convs.convs.len()) {
            // SAFETY: the first band owns the beginning of a group.
            unsafe { self.maps[map].slice(self.group * layout.group(), layout.start()) }.fill(0.0);
        }
    }

    /// The first row between two convolutions that the band computes: its first output may skip rows that
    /// the backward pass reads.
    fn first_middle_row(&self) -> usize {
        let read = self.convs.convs[1].forward.reads(self.band.rows[2].clone());
        read.start.min(self.band.rows[1].start)
    }

    /// The first row of the input that the band reads.
    fn first_input_row(&self) -> usize {
        let first =
            if self.convs.convs.len() == 2 { self.first_middle_row() } else { self.band.rows[1].start };
        self.convs.convs[0].forward.reads(first..self.band.rows[1].end.max(first)).start
    }

    /// Computes the rows between the convolutions up to `end`, or to the end of its row of
    /// tiles.
    fn make_middle(&self, middle: &mut Middle, end: usize, input: &mut Input<'_>, work: &mut [f32]) {
        let (conv, layout) = (&self.convs.convs[0], &self.convs.layouts[1]);
        let at_once = conv.forward.rows_at_once();
        let end = end.next_multiple_of(at_once).min(layout.shape.h);
        for step in conv.forward.steps(middle.done..end.max(middle.done)) {
            input.read_until(conv.forward.reads(step.clone()).end);
            let to = middle.rows;
            // SAFETY: the rows that these read are there; the band owns them or the ring that they stand in.
            unsafe {
                let ahead = to.at(step.end);
                conv.forward.rows(step.clone(), input.rows, to, self.biases[0], work.as_mut_ptr(), ahead);
            }
            for row in step {
                let values = row_mut(middle.rows, row, layout.row());
                // The margin before the first row of the next band has been cleared, and may
                // already be read.
                let own = &self.band.rows[1];
                let is_last = row + 1 == own.end && own.end < layout.shape.h;
                let margins = layout.shape.c - usize::from(is_last);
                rows::finish(self.convs.isa, layout, conv.spec.activation, margins, values);
                if !own.contains(&row) {
                    clear_before(middle.rows, row, layout);
                }
            }
        }
        middle.done = middle.done.max(end);
    }
}

/// Rows between the convolutions; those before `done` are computed.
struct Middle {
    rows: Rows,
    done: usize,
}

/// Rows of the input as they are read; those before `done` are available.
struct Input<'a> {
    x: Rows,
    task: &'a Task<'a>,
    rows: Rows,
    done: usize,
}

impl Input<'_> {
    fn read_until(&mut self, end: usize) {
        if self.task.prologue.is_plain() {
            return;
        }
        let layout = &self.task.convs.layouts[0];
        for row in self.done..end {
            // SAFETY: the map holds the row, and the ring belongs to the task.
            let (x, seen) = unsafe {
                (
                    std::slice::from_raw_parts(self.x.at(row), layout.row()),
                    std::slice::from_raw_parts_mut(self.rows.at(row), layout.row()),
                )
            };
            rows::read(self.task.convs.isa, layout, layout, self.task.prologue, x, seen);
            clear_before(self.rows, row, layout);
        }
        self.done = self.done.max(end);
    }
}

/// Zeros before a row of a ring, where the margin of the row before it is expected.
pub(super) fn clear_before(rows: Rows, row: usize, layout: &MapLayout) {
    // SAFETY: a ring has a margin before its first place, and the margin of the
    // place before any other; it belongs to the task.
    unsafe { std::slice::from_raw_parts_mut(rows.at(row).sub(layout.start()), layout.start()) }.fill(0.0);
}

/// The rows of group `group` of a map.
pub(super) fn map_rows(map: Shared, layout: &MapLayout, group: usize) -> Rows {
    let first = map.0.wrapping_add(group * layout.group() + layout.start());
    Rows::new(first, layout.row(), layout.shape.h)
}

/// A ring of `capacity` rows, after the margin before its first.
pub(super) fn ring_rows(ring: &mut [f32], layout: &MapLayout, capacity: usize) -> Rows {
    assert!(ring.len() >= layout.start() + capacity * layout.row(), "a ring of {capacity} rows");
    ring[..layout.start()].fill(0.0);
    // A pointer to all of the ring: what stands before a row is reached from it.
    Rows::new(ring.as_mut_ptr().wrapping_add(layout.start()), layout.row(), capacity)
}

/// Row `row`, which must exist.
pub(super) fn row_of<'a>(rows: Rows, row: usize, len: usize) -> &'a [f32] {
    // SAFETY: maps hold all their rows, and rings those that a task has made.
    unsafe { std::slice::from_raw_parts(rows.at(row), len) }
}

/// Row `row`, which belongs to the task.
pub(super) fn row_mut<'a>(rows: Rows, row: usize, len: usize) -> &'a mut [f32] {
    // SAFETY: as above; no other task writes the row.
    unsafe { std::slice::from_raw_parts_mut(rows.at(row), len) }
}
