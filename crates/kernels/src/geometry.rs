//! The shapes that kernels work on, validated once.
//!
//! A geometry describes one image; calls are told how many there are, so one geometry serves a full batch and the
//! shorter last one alike. The costs of a convolution are computed here, from the same numbers that the kernels loop
//! over.

use std::ops::Range;

/// The shape of one image's feature map, in the order (h, w, c). How maps are stored: [`crate::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl MapShape {
    /// A map of `h` rows, `w` columns and `c` channels.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// Values in one image: `h * w * c`.
    pub const fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether the map holds no value at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pixels in one image: `h * w`.
    pub const fn pixels(&self) -> usize {
        self.h * self.w
    }
}

impl std::fmt::Display for MapShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}

/// Rows and columns of zeros around a map. Four numbers, because "same" at
/// stride 2 is asymmetric in Keras and symmetric in PyTorch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same number of rows and columns on every side.
    pub const fn symmetric(amount: usize) -> Self {
        Self { top: amount, bottom: amount, left: amount, right: amount }
    }

    /// Keras' and TensorFlow's "same": the output has `ceil(extent / stride)`
    /// rows and columns, and the odd pixel of padding goes below and right.
    pub fn same(input: MapShape, kernel: usize, stride: usize, dilation: usize) -> Self {
        let total = |extent: usize| {
            let out = extent.div_ceil(stride);
            ((out - 1) * stride + (kernel - 1) * dilation + 1).saturating_sub(extent)
        };
        let (rows, columns) = (total(input.h), total(input.w));
        Self { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }
}

/// Why a geometry cannot exist. Carries the operation and the numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// An extent that must be at least one is zero.
    #[error("{op}: {what} is zero")]
    Zero {
        /// The operation.
        op: &'static str,
        /// Which number.
        what: &'static str,
    },
    /// The window is larger than the padded map.
    #[error("{op}: a window of {window} does not fit into {extent} padded {axis}")]
    WindowTooLarge {
        /// The operation.
        op: &'static str,
        /// "rows" or "columns".
        axis: &'static str,
        /// Extent of the dilated window.
        window: usize,
        /// Extent of the padded map.
        extent: usize,
    },
    /// Padding as large as the window: some outputs would see no input.
    #[error("{op}: padding of {padding} {axis} on one side is not less than the window of {window}")]
    PaddingTooLarge {
        /// The operation.
        op: &'static str,
        /// "rows" or "columns".
        axis: &'static str,
        /// The padding.
        padding: usize,
        /// Extent of the dilated window.
        window: usize,
    },
    /// More segments than input or output channels.
    #[error("convolution: {segments} segments need at least as many channels, found {in_c} in, {out_c} out")]
    TooManySegments {
        /// Segments asked for.
        segments: usize,
        /// Input channels.
        in_c: usize,
        /// Output channels.
        out_c: usize,
    },
}

/// The channels of part `index` when `channels` are cut into `parts`: sizes
/// differ by at most one, the larger parts come first.
///
/// ```
/// use decouple_kernels::geometry::partition;
/// // The paper's 728 channels in three segments: 243, 243, 242.
/// assert_eq!(partition(728, 3, 2), 486..728);
/// ```
pub fn partition(channels: usize, parts: usize, index: usize) -> Range<usize> {
    let (base, larger) = (channels / parts, channels % parts);
    let start = index * base + index.min(larger);
    start..start + base + usize::from(index < larger)
}

/// `range` in pieces of at most `most`, as equal as possible.
pub(crate) fn pieces(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(most);
    (0..count).map(move |index| {
        let piece = partition(range.len(), count, index);
        range.start + piece.start..range.start + piece.end
    })
}

/// The options of a convolution, apart from its input map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    /// Rows of the kernel.
    pub kernel_h: usize,
    /// Columns of the kernel.
    pub kernel_w: usize,
    /// Step between outputs, the same in both directions.
    pub stride: usize,
    /// Step between taps, the same in both directions.
    pub dilation: usize,
    /// Zeros around the input.
    pub padding: Padding,
    /// Independent segments of channels. They need not divide the channels.
    pub segments: usize,
}

impl ConvOptions {
    /// A 1x1 convolution.
    pub const fn pointwise() -> Self {
        Self { kernel_h: 1, kernel_w: 1, stride: 1, dilation: 1, padding: Padding::symmetric(0), segments: 1 }
    }

    /// An odd `kernel` x `kernel` convolution at stride 1 that keeps the map's
    /// size, over `segments` segments.
    pub const fn spatial(kernel: usize, segments: usize) -> Self {
        Self {
            kernel_h: kernel,
            kernel_w: kernel,
            stride: 1,
            dilation: 1,
            padding: Padding::symmetric(kernel / 2),
            segments,
        }
    }
}

/// A validated convolution of one image.
///
/// Weights are stored output channel by output channel, each as
/// `[input channel of its segment][kernel row][kernel column]`. For segments of
/// equal size that is PyTorch's `(out, in / groups, kh, kw)`; for uneven
/// segments the rows have different lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    input: MapShape,
    output: MapShape,
    options: ConvOptions,
}

impl ConvGeometry {
    /// Checks that `options` fit `input` and computes the output's shape.
    ///
    /// # Errors
    /// [`GeometryError`] when an extent is zero, the window does not fit, the
    /// padding on one side reaches the window's extent, or there are more
    /// segments than input or output channels.
    pub fn new(input: MapShape, out_c: usize, options: ConvOptions) -> Result<Self, GeometryError> {
        const OP: &str = "convolution";
        let named = [
            (input.h, "input height"),
            (input.w, "input width"),
            (input.c, "input channel count"),
            (out_c, "output channel count"),
            (options.kernel_h, "kernel height"),
            (options.kernel_w, "kernel width"),
            (options.stride, "stride"),
            (options.dilation, "dilation"),
            (options.segments, "segment count"),
        ];
        if let Some((_, what)) = named.into_iter().find(|&(value, _)| value == 0) {
            return Err(GeometryError::Zero { op: OP, what });
        }
        if options.segments > input.c.min(out_c) {
            return Err(GeometryError::TooManySegments { segments: options.segments, in_c: input.c, out_c });
        }
        let ConvOptions { kernel_h, kernel_w, stride, dilation, padding, .. } = options;
        let h = window_extent(OP, "rows", input.h, kernel_h, dilation, stride, padding.top, padding.bottom)?;
        let w =
            window_extent(OP, "columns", input.w, kernel_w, dilation, stride, padding.left, padding.right)?;
        Ok(Self { input, output: MapShape::new(h, w, out_c), options })
    }

    /// Shape of one input image.
    pub const fn input(&self) -> MapShape {
        self.input
    }

    /// Shape of one output image.
    pub const fn output(&self) -> MapShape {
        self.output
    }

    /// Kernel, stride, dilation, padding and segments.
    pub const fn options(&self) -> &ConvOptions {
        &self.options
    }

    /// Input channels that `segment` reads.
    pub fn segment_inputs(&self, segment: usize) -> Range<usize> {
        partition(self.input.c, self.options.segments, segment)
    }

    /// Output channels that `segment` writes.
    pub fn segment_outputs(&self, segment: usize) -> Range<usize> {
        partition(self.output.c, self.options.segments, segment)
    }

    /// Where the weights of `segment` start in the weight slice.
    pub fn segment_weights(&self, segment: usize) -> Range<usize> {
        let start: usize = (0..segment).map(|each| self.segment_weight_count(each)).sum();
        start..start + self.segment_weight_count(segment)
    }

    /// Number of weights over all segments.
    pub fn weight_count(&self) -> usize {
        (0..self.options.segments).map(|each| self.segment_weight_count(each)).sum()
    }

    /// Multiply-adds of one image. Taps that fall on padding count, as in published tables.
    pub fn macs(&self) -> u64 {
        self.output.pixels() as u64 * self.weight_count() as u64
    }

    /// Whether this is a 1x1 convolution over all channels at stride 1: a
    /// plain matrix product.
    pub fn is_pointwise(&self) -> bool {
        let o = &self.options;
        (o.kernel_h, o.kernel_w, o.stride, o.segments) == (1, 1, 1, 1) && o.padding == Padding::default()
    }

    fn segment_weight_count(&self, segment: usize) -> usize {
        self.segment_inputs(segment).len()
            * self.segment_outputs(segment).len()
            * self.options.kernel_h
            * self.options.kernel_w
    }
}

/// A validated pooling window over one image. Channels stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    input: MapShape,
    output: MapShape,
    /// Extent of the square window.
    window: usize,
    /// Step between windows.
    stride: usize,
    /// Border outside the image: ignored by the maximum; counted by the mean or not, depending
    /// on the call.
    padding: Padding,
}

impl PoolGeometry {
    /// Checks the window against `input` and computes the output's shape.
    ///
    /// # Errors
    /// [`GeometryError`] when an extent is zero, the window does not fit, or
    /// the padding on one side reaches the window's extent.
    pub fn new(
        input: MapShape,
        window: usize,
        stride: usize,
        padding: Padding,
    ) -> Result<Self, GeometryError> {
        const OP: &str = "pooling";
        let named = [
            (input.h, "input height"),
            (input.w, "input width"),
            (input.c, "channel count"),
            (window, "window"),
            (stride, "stride"),
        ];
        if let Some((_, what)) = named.into_iter().find(|&(value, _)| value == 0) {
            return Err(GeometryError::Zero { op: OP, what });
        }
        let h = window_extent(OP, "rows", input.h, window, 1, stride, padding.top, padding.bottom)?;
        let w = window_extent(OP, "columns", input.w, window, 1, stride, padding.left, padding.right)?;
        Ok(Self { input, output: MapShape::new(h, w, input.c), window, stride, padding })
    }

    /// Shape of one input image.
    pub const fn input(&self) -> MapShape {
        self.input
    }

    /// Shape of one output image.
    pub const fn output(&self) -> MapShape {
        self.output
    }

    /// Extent of the square window.
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Step between windows.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// The border around the image.
    pub const fn padding(&self) -> Padding {
        self.padding
    }
}

/// Outputs along one axis, or why there are none.
#[allow(clippy::too_many_arguments, reason = "one axis of a geometry is this many numbers")]
fn window_extent(
    op: &'static str,
    axis: &'static str,
    extent: usize,
    kernel: usize,
    dilation: usize,
    stride: usize,
    before: usize,
    after: usize,
) -> Result<usize, GeometryError> {
    let window = (kernel - 1).saturating_mul(dilation).saturating_add(1);
    let padding = before.max(after);
    if padding >= window {
        return Err(GeometryError::PaddingTooLarge { op, axis, padding, window });
    }
    let padded = extent.saturating_add(before).saturating_add(after);
    if window > padded {
        return Err(GeometryError::WindowTooLarge { op, axis, window, extent: padded });
    }
    Ok((padded - window) / stride + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_is_the_paper_s_uneven_split() {
        let sizes: Vec<_> = (0..3).map(|i| partition(728, 3, i).len()).collect();
        assert_eq!(sizes, [243, 243, 242]);
        assert_eq!(partition(5, 5, 4), 4..5);
    }

    #[test]
    fn same_padding_is_asymmetric_at_stride_two() {
        let map = MapShape::new(74, 74, 3);
        let padding = Padding::same(map, 3, 2, 1);
        assert_eq!(padding, Padding { top: 0, bottom: 1, left: 0, right: 1 });
        let pool = PoolGeometry::new(map, 3, 2, padding).unwrap();
        assert_eq!(pool.output(), MapShape::new(37, 37, 3));
    }

    #[test]
    fn weights_and_macs_of_uneven_segments() {
        let g = ConvGeometry::new(MapShape::new(4, 4, 5), 5, ConvOptions::spatial(3, 2)).unwrap();
        assert_eq!(g.weight_count(), (9 + 4) * 9);
        assert_eq!(g.segment_weights(1), 81..117);
        assert_eq!(g.macs(), 16 * 117);
    }

    #[test]
    fn impossible_geometries_are_refused() {
        let map = MapShape::new(4, 4, 2);
        let too_many = ConvGeometry::new(map, 2, ConvOptions::spatial(3, 3)).unwrap_err();
        assert!(matches!(too_many, GeometryError::TooManySegments { segments: 3, .. }));
        let mut options = ConvOptions::spatial(7, 1);
        options.padding = Padding::symmetric(0);
        let too_large = ConvGeometry::new(map, 2, options).unwrap_err();
        assert_eq!(too_large.to_string(), "convolution: a window of 7 does not fit into 4 padded rows");
        options.padding = Padding::symmetric(7);
        assert!(matches!(ConvGeometry::new(map, 2, options), Err(GeometryError::PaddingTooLarge { .. })));
        options.stride = 0;
        assert!(matches!(
            ConvGeometry::new(map, 2, options),
            Err(GeometryError::Zero { what: "stride", .. })
        ));
    }
}
