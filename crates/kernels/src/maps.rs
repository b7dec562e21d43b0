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

/// The rows of one image that each lane reads, of a map that holds strips of its rows in the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Rows of the image; the map holds as many in each lane as its shape says.
    pub height: usize,
    /// Rows that each lane reads.
    pub rows: usize,
    /// From the first row that a lane reads to that of the next lane.
    pub step: usize,
    /// Rows above the image that the first lane reads.
    pub above: usize,
}

impl Cut {
    /// Lane and row of the map where lane `lane` finds its row `row`; none outside of the image.
    fn place(&self, lane: usize, row: usize, each: usize) -> Option<(usize, usize)> {
        let row = (lane * self.step + row).checked_sub(self.above).filter(|&row| row < self.height)?;
        Some((row / each, row % each))
    }
}

/// y = what each lane reads of `source`, as `cut` says, with `outside` beyond the image. Scratch: a row of the source.
///
/// # Panics
/// If the length of a slice does not match its layout, or rows of the image are not in the map.
pub fn cut(
    isa: Isa,
    source: &InputMap<'_>,
    cut: Cut,
    outside: f32,
    (layout, y): (&MapLayout, &mut [f32]),
    scratch: &Scratch,
) {
    let (from, each) = (&source.layout, source.layout.shape.h);
    assert_eq!((source.x.len(), y.len()), (from.len(1), layout.len(1)), "values of a map and its cut");
    assert_eq!(layout.shape.h, cut.rows, "rows that are cut");
    assert!(cut.height <= LANES * each, "rows of the image");
    let rows = group_mut(layout, y).par_chunks_exact_mut(layout.row());
    rows.enumerate().for_each(|(row, y)| {
        let places: [_; LANES] = std::array::from_fn(|lane| cut.place(lane, row, each));
        let own = places[0].map(|(_, row)| row);
        let is_own = |(lane, &place): (usize, &Option<(usize, usize)>)| place == own.map(|row| (lane, row));
        let group = Group::new(from, source.x);
        match own {
            // Rows of the lane's own strip.
            Some(own) if places.iter().enumerate().all(is_own) => {
                rows::read(isa, from, layout, source.prologue, group.row(own), y);
            }
            _ => scratch.with(from.row(), |row| {
                gather(group, places, row);
                rows::read(isa, from, layout, source.prologue, row, y);
            }),
        }
        fill_outside(layout, places.map(|place| place.is_none()), outside, y);
    });
}

/// A row whose values come from a lane and row of their own in each lane; unspecified where there is none.
fn gather(group: Group<'_>, places: [Option<(usize, usize)>; LANES], row: &mut [f32]) {
    // Most rows beyond a lane's own are one row of its neighbours.
    let ahead = |(lane, place): (usize, &Option<(usize, usize)>)| {
        place.map(|(from, row)| (row, from as isize - lane as isize))
    };
    let mut shifts = places.iter().enumerate().filter_map(ahead);
    let Some((first, shift)) = shifts.next() else { return };
    if shifts.all(|other| other == (first, shift)) {
        let (values, count) = (group.row(first), row.len() - shift.unsigned_abs());
        let [to, from] = if shift < 0 { [row.len() - count, 0] } else { [0, values.len() - count] };
        row[to..to + count].copy_from_slice(&values[from..from + count]);
        return;
    }
    let lanes = places.map(|place| place.map_or(group.rows, |(lane, row)| &group.row(row)[lane..]));
    for (index, values) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        for (value, lane) in values.iter_mut().zip(lanes) {
            *value = lane[index * LANES];
        }
    }
}

/// `outside` in all columns of the lanes that are outside of the image.
fn fill_outside(layout: &MapLayout, is_outside: [bool; LANES], outside: f32, row: &mut [f32]) {
    let lanes: Vec<usize> = (0..LANES).filter(|&lane| is_outside[lane]).collect();
    if lanes.is_empty() {
        return;
    }
    for channel in row.chunks_exact_mut(layout.channel()) {
        for column in channel.as_chunks_mut::<LANES>().0.iter_mut().take(layout.shape.w) {
            lanes.iter().for_each(|&lane| column[lane] = outside);
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{activation::Activation, geometry::MapShape, rows::Affine};

    proptest! {
        #[test]
        fn a_cut_is_what_its_definition_says(
            (height, each, above) in (1usize..40).prop_flat_map(|height| {
                let least = height.div_ceil(LANES);
                (Just(height), least..least + 4, 0..height.min(4))
            }),
            (rows, step) in (1usize..7, 1usize..9),
            (width, channels, margins) in (1usize..5, 1usize..4, [0usize..3, 0..3]),
            is_plain: bool,
        ) {
            let from = MapLayout::new(MapShape::new(each, width, channels), margins[0]);
            let to = MapLayout::new(MapShape::new(rows, width, channels), margins[1]);
            let x: Vec<f32> = (0..from.len(1)).map(|place| (place * 7919 % 1000) as f32 - 500.0).collect();
            let [mean, scale, shift] = [2.0, 0.5, 3.0].map(|value| vec![value; channels]);
            let affine = Affine { mean: &mean, scale: &scale, shift: &shift };
            let prologue = Prologue { affine: Some(affine), activation: Some(Activation::Relu) };
            let prologue = if is_plain { Prologue::default() } else { prologue };
            let seen = |value: f32| if is_plain { value } else { ((value - 2.0) * 0.5 + 3.0).max(0.0) };
            let mut scratch = Scratch::default();
            scratch.reserve(from.row());
            let wanted = Cut { height, rows, step, above };
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; to.len(1)];
                let source = InputMap { layout: from, prologue, x: &x };
                cut(isa, &source, wanted, -1.0, (&to, &mut y), &scratch);
                let mut expected = vec![0.0; to.len(1)];
                for lane in 0..LANES {
                    for (row, column, channel) in places(to.shape) {
                        let image = (lane * step + row).checked_sub(above).filter(|&row| row < height);
                        expected[to.batch(LANES).place(lane, row, column, channel)] = image.map_or(-1.0, |row| {
                            seen(x[from.batch(LANES).place(row / each, row % each, column, channel)])
                        });
                    }
                }
                prop_assert_eq!(&y, &expected, "{}", isa.name());
            }
        }
    }

    fn places(shape: MapShape) -> impl Iterator<Item = (usize, usize, usize)> {
        let MapShape { h, w, c } = shape;
        (0..h * w * c).map(move |place| (place / (w * c), place / c % w, place % c))
    }
}
