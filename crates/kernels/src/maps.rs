//! Operations on whole maps besides convolution and pooling: sums, joins, means over all
//! pixels, dropout, and the sums that batch norms need.

use rayon::prelude::*;

use crate::{
    buffer::Scratch,
    convs::InputGradient,
    isa::Isa,
    layout::{DropoutMask, LANES, MapLayout, groups},
    rows::{self, ChannelSums, Prologue, SumsAbout, Undo},
};

/// The rows of one group of images.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    layout: MapLayout,
    rows: &'a [f32],
}

impl<'a> Group<'a> {
    /// `group`: its values, the margin before them included.
    pub(crate) fn new(layout: &MapLayout, group: &'a [f32]) -> Self {
        Self { layout: *layout, rows: &group[layout.start()..] }
    }

    pub(crate) fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.rows.chunks_exact(self.layout.row())
    }

    fn row(self, row: usize) -> &'a [f32] {
        &self.rows[row * self.layout.row()..][..self.layout.row()]
    }
}

/// The rows of a group to be written; the margin before them becomes zero.
pub(crate) fn group_mut<'a>(layout: &MapLayout, group: &'a mut [f32]) -> &'a mut [f32] {
    let (margin, rows) = group.split_at_mut(layout.start());
    margin.fill(0.0);
    rows
}

/// The rows of a group in the form in which they are read, a few at a time.
pub(crate) struct Seen<'a> {
    isa: Isa,
    layout: MapLayout,
    prologue: Prologue<'a>,
    group: Group<'a>,
    /// The last rows that were read, row r at r modulo their number, and up to which
    /// row: nothing where reading is plain.
    ring: &'a mut [f32],
    done: usize,
}

impl<'a> Seen<'a> {
    /// `ring` holds as many rows as are asked for at once.
    pub(crate) fn new(
        isa: Isa,
        layout: &MapLayout,
        prologue: Prologue<'a>,
        group: &'a [f32],
        ring: &'a mut [f32],
    ) -> Self {
        Self { isa, layout: *layout, prologue, group: Group::new(layout, group), ring, done: 0 }
    }

    /// The rows `rows`, which begin no earlier than those of the call before.
    pub(crate) fn rows(&mut self, rows: std::ops::Range<usize>) -> Vec<&[f32]> {
        if self.prologue.is_plain() {
            return rows.map(|row| self.group.row(row)).collect();
        }
        let len = self.layout.row();
        let capacity = self.ring.len() / len;
        assert!(rows.len() <= capacity, "{} rows in a ring of {capacity}", rows.len());
        for row in self.done.max(rows.start)..rows.end {
            let seen = &mut self.ring[row % capacity * len..][..len];
            rows::read(self.isa, &self.layout, &self.layout, self.prologue, self.group.row(row), seen);
        }
        self.done = self.done.max(rows.end);
        rows.map(|row| &self.ring[row % capacity * len..][..len]).collect()
    }
}

/// The mean of each channel, and for each group the sums that are its own.
pub(crate) fn split_sums<'a>(
    sums: Option<SumsAbout<'a>>,
    groups: usize,
    channels: usize,
) -> (Option<&'a [f32]>, Vec<Option<&'a mut ChannelSums>>) {
    match sums {
        None => (None, (0..groups).map(|_| None).collect()),
        Some((mean, sums)) => {
            assert_eq!(sums.len(), groups * channels, "sums of each group and channel");
            sums.fill([[0.0; LANES]; 2]);
            (Some(mean), sums.chunks_exact_mut(channels).map(Some).collect())
        }
    }
}

/// An input map and how it is read.
#[derive(Clone, Copy, Debug)]
pub struct InputMap<'a> {
    /// The layout of its values.
    pub layout: MapLayout,
    /// How they are read.
    pub prologue: Prologue<'a>,
    /// The values.
    pub x: &'a [f32],
}

/// y = the sum of `sources`, which all have its shape. Scratch: a row.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn add(
    isa: Isa,
    layout: &MapLayout,
    images: usize,
    sources: &[InputMap<'_>],
    y: &mut [f32],
    scratch: &Scratch,
) {
    assert_eq!(y.len(), layout.len(images), "values of a sum");
    assert!(
        sources
            .iter()
            .all(|source| source.layout.shape == layout.shape && source.x.len() == source.layout.len(images))
    );
    y.par_chunks_mut(layout.group()).enumerate().for_each(|(group, y)| {
        scratch.with(layout.row(), |seen| {
            for (row, y) in group_mut(layout, y).chunks_exact_mut(layout.row()).enumerate() {
                for (index, source) in sources.iter().enumerate() {
                    let x = group_of(source, group).row(row);
                    if index == 0 {
                        rows::read(isa, &source.layout, layout, source.prologue, x, y);
                    } else {
                        rows::read(isa, &source.layout, layout, source.prologue, x, seen);
                        rows::add(isa, seen, y);
                    }
                }
            }
        });
    });
}

/// y = the channels of all `sources`, one after the other; of one source a copy.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn concat(isa: Isa, layout: &MapLayout, images: usize, sources: &[InputMap<'_>], y: &mut [f32]) {
    assert_eq!(y.len(), layout.len(images), "values of a concatenation");
    y.par_chunks_mut(layout.group()).enumerate().for_each(|(group, y)| {
        for (row, mut y) in group_mut(layout, y).chunks_exact_mut(layout.row()).enumerate() {
            for source in sources {
                let part = part_of(layout, source.layout.shape.c);
                let (own, rest) = y.split_at_mut(part.row());
                rows::read(
                    isa,
                    &source.layout,
                    &part,
                    source.prologue,
                    group_of(source, group).row(row),
                    own,
                );
                y = rest;
            }
        }
    });
}

/// `layout` with only this many channels.
fn part_of(layout: &MapLayout, channels: usize) -> MapLayout {
    let mut part = *layout;
    part.shape.c = channels;
    part
}

/// The stored row of a source whose gradient is written; empty if the values are not needed and no longer
/// available.
pub(crate) fn stored_row<'a>(source: &InputMap<'a>, group: usize, row: usize) -> &'a [f32] {
    if source.x.is_empty() { source.x } else { group_of(source, group).row(row) }
}

fn group_of<'a>(source: &InputMap<'a>, group: usize) -> Group<'a> {
    let len = source.layout.group();
    Group::new(&source.layout, &source.x[group * len..][..len])
}

/// The gradient of one source of [`add()`] or [`concat()`] from that of the result:
/// its channels from `first` on.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn join_backward(
    isa: Isa,
    layout: &MapLayout,
    images: usize,
    source: &InputMap<'_>,
    (dy, first): (&[f32], usize),
    input: InputGradient<'_>,
) {
    assert_eq!((dy.len(), input.target.len()), (layout.len(images), source.layout.len(images)));
    let InputGradient { target, adds, sums } = input;
    let (mean, sums) = split_sums(sums, groups(images), source.layout.shape.c);
    let part = part_of(layout, source.layout.shape.c);
    let begin = first * layout.channel();
    let work = target.par_chunks_mut(source.layout.group()).zip(sums).zip(dy.par_chunks(layout.group()));
    work.enumerate().for_each(|(group, ((target, mut sums), dy))| {
        let target =
            if adds { &mut target[source.layout.start()..] } else { group_mut(&source.layout, target) };
        let targets = target.chunks_exact_mut(source.layout.row());
        for (row, (dy, target)) in Group::new(layout, dy).rows().zip(targets).enumerate() {
            let x = stored_row(source, group, row);
            let fresh = &dy[begin..begin + part.row()];
            let sums = mean.zip(sums.as_deref_mut());
            let undo = Undo { prologue: source.prologue, x, fresh, adds, sums };
            rows::undo(isa, &part, &source.layout, undo, target);
        }
    });
}

/// The gradient of a step's output before its norm: `dx = a dy + b x + c`, zero in
/// lanes without an image.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn through_norm(
    isa: Isa,
    layout: &MapLayout,
    images: usize,
    norm: &rows::ThroughNorm,
    (dy, x): (&[f32], &[f32]),
    dx: &mut [f32],
) {
    assert!([dy.len(), x.len(), dx.len()] == [layout.len(images); 3], "values of a map and its gradients");
    let work = dx
        .par_chunks_mut(layout.group())
        .zip(dy.par_chunks(layout.group()).zip(x.par_chunks(layout.group())));
    work.enumerate().for_each(|(group, (dx, (dy, x)))| {
        let rows = Group::new(layout, dy).rows().zip(Group::new(layout, x).rows());
        let images = (images - group * LANES).min(LANES);
        for ((dy, x), dx) in rows.zip(group_mut(layout, dx).chunks_exact_mut(layout.row())) {
            rows::through_norm(isa, layout, norm, (dy, x), images, dx);
        }
    });
}

/// The sums of `x - centre` and of its square, for each group and channel.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn moments(
    isa: Isa,
    layout: &MapLayout,
    images: usize,
    centre: &[f32],
    x: &[f32],
    sums: &mut ChannelSums,
) {
    assert_eq!(x.len(), layout.len(images), "values of a map");
    let (_, sums) = split_sums(Some((centre, sums)), groups(images), layout.shape.c);
    x.par_chunks(layout.group()).zip(sums).for_each(|(x, sums)| {
        let Some(sums) = sums else { return };
        Group::new(layout, x).rows().for_each(|x| rows::add_moments(isa, layout, centre, x, sums));
    });
}

/// The sums of a gradient and of it times `x - mean`, for each group and channel.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn norm_sums(
    isa: Isa,
    layout: &MapLayout,
    images: usize,
    mean: &[f32],
    (dy, x): (&[f32], &[f32]),
    sums: &mut ChannelSums,
) {
    assert_eq!([dy.len(), x.len()], [layout.len(images); 2], "values of a map and its gradient");
    let (_, sums) = split_sums(Some((mean, sums)), groups(images), layout.shape.c);
    dy.par_chunks(layout.group()).zip(x.par_chunks(layout.group())).zip(sums).for_each(|((dy, x), sums)| {
        let Some(sums) = sums else { return };
        let rows = Group::new(layout, dy).rows().zip(Group::new(layout, x).rows());
        rows.for_each(|(dy, x)| rows::add_products(isa, layout, mean, (dy, x), sums));
    });
}

/// y = the mean over all pixels of each channel of `source`. Scratch: a row of it.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn global_mean(
    isa: Isa,
    source: &InputMap<'_>,
    to: &MapLayout,
    images: usize,
    y: &mut [f32],
    scratch: &Scratch,
) {
    let from = source.layout;
    assert_eq!((source.x.len(), y.len()), (from.len(images), to.len(images)), "values of a mean");
    let zero = vec![0.0; from.shape.c];
    let pixels = from.shape.pixels() as f32;
    y.par_chunks_mut(to.group()).zip(source.x.par_chunks(from.group())).for_each(|(y, x)| {
        let mut sums = vec![[[0.0; LANES]; 2]; from.shape.c];
        scratch.with(from.row(), |ring| {
            let mut seen = Seen::new(isa, &from, source.prologue, x, ring);
            for row in 0..from.shape.h {
                rows::add_moments(isa, &from, &zero, seen.rows(row..row + 1)[0], &mut sums);
            }
        });
        let y = group_mut(to, y);
        y.fill(0.0);
        for (y, [sum, _]) in y.chunks_exact_mut(to.channel()).zip(sums) {
            y[..LANES].copy_from_slice(&sum.map(|sum| sum / pixels));
        }
    });
}

/// The gradient of the input of [`global_mean`]. Scratch: a row of it.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn global_mean_backward(
    isa: Isa,
    source: &InputMap<'_>,
    to: &MapLayout,
    images: usize,
    dy: &[f32],
    input: InputGradient<'_>,
    scratch: &Scratch,
) {
    let from = source.layout;
    assert_eq!((dy.len(), input.target.len()), (to.len(images), from.len(images)), "values of a mean");
    let InputGradient { target, adds, sums } = input;
    let (mean, sums) = split_sums(sums, groups(images), from.shape.c);
    let pixels = from.shape.pixels() as f32;
    let work = target.par_chunks_mut(from.group()).zip(sums).zip(dy.par_chunks(to.group()));
    work.enumerate().for_each(|(group, ((target, mut sums), dy))| {
        scratch.with(from.row(), |fresh| {
            fresh.fill(0.0);
            let means = Group::new(to, dy).row(0).chunks_exact(to.channel());
            for (fresh, dy) in fresh.chunks_exact_mut(from.channel()).zip(means) {
                for column in fresh[..from.shape.w * LANES].chunks_exact_mut(LANES) {
                    column.iter_mut().zip(dy).for_each(|(fresh, dy)| *fresh = dy / pixels);
                }
            }
            let target = if adds { &mut target[from.start()..] } else { group_mut(&from, target) };
            for (row, target) in target.chunks_exact_mut(from.row()).enumerate() {
                let x = stored_row(source, group, row);
                let sums = mean.zip(sums.as_deref_mut());
                let undo = Undo { prologue: source.prologue, x, fresh, adds, sums };
                rows::undo(isa, &from, &from, undo, target);
            }
        });
    });
}

/// `values *= mask`, image by image: dropout, forward and backward.
///
/// # Panics
/// If the length of a slice does not match its layout.
pub fn dropout(layout: &MapLayout, images: usize, mask: DropoutMask, values: &mut [f32]) {
    assert_eq!(values.len(), layout.len(images), "values of a map");
    let (shape, batch) = (layout.shape, layout.batch(images));
    values.par_chunks_mut(layout.group()).enumerate().for_each(|(group, values)| {
        for image in 0..(images - group * LANES).min(LANES) {
            let mut index = (group * LANES + image) * shape.len();
            for (row, column) in (0..shape.h).flat_map(|row| (0..shape.w).map(move |column| (row, column))) {
                for channel in 0..shape.c {
                    let value = &mut values[batch.place(image, row, column, channel)];
                    *value *= mask.of(index);
                    index += 1;
                }
            }
        }
    });
}
