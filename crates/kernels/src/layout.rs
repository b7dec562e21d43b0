//! The memory layout of a batch: sixteen images side by side.
//!
//! ```text
//! map = [group of 16 images][row][channel][column, then a margin of zeros][image]
//! ```
//!
//! A vector is one value of sixteen images, so every kernel is a loop over whole vectors,
//! whatever the number of channels, of segments or of columns. The margin serves as padding on
//! both sides: the values before a row of a channel are the margin of the previous channel.
//! Each group begins with a margin too.

use crate::geometry::{ConvGeometry, MapShape};

/// Images in a group, and values in a vector.
pub const LANES: usize = 16;

/// The place of every value of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapLayout {
    /// Shape of one image.
    pub shape: MapShape,
    /// Columns of zeros after each row of a channel.
    pub margin: usize,
}

/// Lengths that no memory has saturate, and so equal that of no slice.
impl MapLayout {
    /// The layout of maps of `shape` with `margin` columns of zeros.
    pub const fn new(shape: MapShape, margin: usize) -> Self {
        Self { shape, margin }
    }

    /// Values from a channel to the next.
    pub const fn channel(&self) -> usize {
        self.shape.w.saturating_add(self.margin).saturating_mul(LANES)
    }

    /// Values from a row to the next.
    pub const fn row(&self) -> usize {
        self.shape.c.saturating_mul(self.channel())
    }

    /// Values from the beginning of a group to its first row.
    pub const fn start(&self) -> usize {
        self.margin.saturating_mul(LANES)
    }

    /// Values of a group of images: from its beginning to the next one's.
    pub const fn group(&self) -> usize {
        self.start().saturating_add(self.shape.h.saturating_mul(self.row()))
    }

    /// Values of `images` images.
    pub const fn len(&self, images: usize) -> usize {
        groups(images).saturating_mul(self.group())
    }

    /// The same as strides, for writing images.
    pub const fn batch(&self, images: usize) -> BatchLayout {
        BatchLayout {
            shape: self.shape,
            len: self.len(images),
            images_per_group: LANES,
            start: self.start(),
            group: self.group(),
            row: self.row(),
            channel: self.channel(),
            column: LANES,
            image: 1,
        }
    }
}

/// Groups of `images` images; the last one may not be full.
pub const fn groups(images: usize) -> usize {
    images.div_ceil(LANES)
}

/// The place of every value of a batch, for any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchLayout {
    /// Shape of one image.
    pub shape: MapShape,
    /// Values of the batch, those between images included.
    pub len: usize,
    /// Images in a group.
    pub images_per_group: usize,
    /// Place of the first value of a group.
    pub start: usize,
    /// Values from a group to the next.
    pub group: usize,
    /// Values from a row to the next.
    pub row: usize,
    /// Values from a channel to the next.
    pub channel: usize,
    /// Values from a column to the next.
    pub column: usize,
    /// Values from an image of a group to the next.
    pub image: usize,
}

impl BatchLayout {
    /// One image after the other, channels last: (n, h, w, c).
    pub const fn channels_last(shape: MapShape, images: usize) -> Self {
        Self {
            shape,
            len: images * shape.len(),
            images_per_group: 1,
            start: 0,
            group: shape.len(),
            row: shape.w * shape.c,
            channel: 1,
            column: shape.c,
            image: 0,
        }
    }

    /// Place of the first value of image `image`.
    pub const fn image_start(&self, image: usize) -> usize {
        image / self.images_per_group * self.group + self.start + image % self.images_per_group * self.image
    }

    /// Place of one value.
    ///
    /// ```
    /// use decouple_kernels::{geometry::MapShape, layout::{BatchLayout, MapLayout}};
    /// let shape = MapShape::new(2, 3, 5);
    /// assert_eq!(BatchLayout::channels_last(shape, 4).place(1, 0, 2, 3), 30 + 2 * 5 + 3);
    /// // Image 17 is the second of its group; rows of a channel have one column of zeros.
    /// let layout = MapLayout::new(shape, 1);
    /// assert_eq!(layout.batch(20).place(17, 1, 2, 3), layout.group() + 16 + (5 + 3) * 4 * 16 + 2 * 16 + 1);
    /// ```
    pub const fn place(&self, image: usize, row: usize, column: usize, channel: usize) -> usize {
        self.image_start(image) + row * self.row + column * self.column + channel * self.channel
    }
}

impl BatchLayout {
    /// `images` given as (image, row, column, channel), each value in its place, and zeros
    /// elsewhere. Convenient but not fast.
    ///
    /// # Panics
    /// If there are more images than the layout has places for.
    pub fn of(&self, images: &[f32]) -> Vec<f32> {
        let mut batch = vec![0.0; self.len];
        let places = self.places(images.len() / self.shape.len());
        places.zip(images).for_each(|(place, &value)| batch[place] = value);
        batch
    }

    /// The places of all values of `images` images, in the order (image, row, column, channel).
    pub fn places(self, images: usize) -> impl Iterator<Item = usize> {
        let (MapShape { w, c, .. }, len) = (self.shape, self.shape.len());
        (0..images * len).map(move |at| {
            let (image, index) = (at / len, at % len);
            self.place(image, index / (w * c), index / c % w, index % c)
        })
    }
}

/// The factor of dropout for every value of a map (inverted dropout, Srivastava et al. 2014):
/// zero with probability p and 1 / (1 - p) otherwise, decided by the number at the value's
/// place in a SplitMix64 stream (Steele, Lea and Flood 2014). Nothing is stored: the backward
/// pass computes it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutMask {
    /// State of the stream before the first value.
    pub state: u64,
    /// The share of 2^32 numbers below which a value is dropped; exact.
    pub dropped: u64,
    /// The factor of the other values.
    pub factor: f32,
}

impl DropoutMask {
    /// The mask of node `node` that drops a share `rate`, from 0 up to 1, in a step
    /// whose seed is `seed`.
    pub fn new(rate: f32, seed: u64, node: usize) -> Self {
        let state = mix(seed.wrapping_add(node as u64));
        Self { state, dropped: (f64::from(rate) * 4_294_967_296.0) as u64, factor: 1.0 / (1.0 - rate) }
    }

    /// The factor of value `index`, its place in (image, row, column, channel) order, whatever
    /// the layout in memory.
    ///
    /// ```
    /// use decouple_kernels::layout::DropoutMask;
    /// let mask = DropoutMask::new(0.25, 7, 3);
    /// let kept = (0..10_000).filter(|&index| mask.of(index) == 1.0 / 0.75).count();
    /// assert!((7_300..7_700).contains(&kept));
    /// ```
    #[inline(always)]
    pub fn of(&self, index: usize) -> f32 {
        let number = mix(self.state.wrapping_add((index as u64 + 1).wrapping_mul(STEP))) >> 32;
        if number < self.dropped { 0.0 } else { self.factor }
    }
}

/// Increment of SplitMix64: 2^64 over the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64.
#[inline(always)]
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl ConvGeometry {
    /// Columns of zeros that are read beyond a row of the input in the forward pass, and beyond
    /// a row of the output's gradient in the backward pass.
    pub fn margins(&self) -> (usize, usize) {
        let (o, w, out_w) = (self.options(), self.input().w, self.output().w);
        let span = (o.kernel_w - 1) * o.dilation;
        let right = ((out_w - 1) * o.stride + span).saturating_sub(o.padding.left + w - 1);
        let back_left = span.saturating_sub(o.padding.left).div_ceil(o.stride);
        let back_right = ((w - 1 + o.padding.left) / o.stride).saturating_sub(out_w - 1);
        (o.padding.left.max(right), back_left.max(back_right))
    }
}
