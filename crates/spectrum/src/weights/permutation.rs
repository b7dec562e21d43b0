//! The memory layout of a tensor in another framework, relative to ours.
//!
//! Every layout that differs is a permutation of at most four axes, so there
//! is one routine for all, and its inverse is the same routine.

use decouple_kernels::geometry::MapShape;

/// The place of our values in another framework's tensor: ours have `extents`, and their axes are
/// permuted to the order `axes`.
///
/// ```
/// use decouple_spectrum::weights::permutation::Permutation;
/// // Dense weights are (out, in) here and (in, out) in Keras.
/// let keras = Permutation::transposed(2, 3);
/// assert_eq!(keras.shape(), [3, 2]);
/// assert_eq!(keras.to_foreign(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// assert_eq!(keras.to_ours(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    extents: [usize; 4],
    axes: [usize; 4],
    /// The other framework's extents, which may leave out ones of size 1.
    shape: Vec<usize>,
}

/// Axes in the original order.
const KEPT: [usize; 4] = [0, 1, 2, 3];

impl Permutation {
    /// The same order, under `shape`.
    pub fn kept(shape: &[usize]) -> Self {
        let len = shape.iter().product();
        Self { extents: [len, 1, 1, 1], axes: KEPT, shape: shape.to_vec() }
    }

    /// A matrix of `rows` and `columns` here, transposed there.
    pub fn transposed(rows: usize, columns: usize) -> Self {
        Self { extents: [rows, columns, 1, 1], axes: [1, 0, 2, 3], shape: vec![columns, rows] }
    }

    /// Keras' regular convolution: (out, in, h, w) here, (h, w, in, out) there.
    pub fn keras_conv(extents: [usize; 4]) -> Self {
        Self::permuted(extents, [2, 3, 1, 0])
    }

    /// Keras' depthwise convolution: (c, 1, h, w) here, (h, w, c, 1) there.
    pub fn keras_depthwise(extents: [usize; 4]) -> Self {
        Self::permuted(extents, [2, 3, 0, 1])
    }

    /// A dense layer over a flattened map, which timm computes as a convolution
    /// that covers the map: (out, h, w, c) here, (out, c, h, w) there.
    pub fn timm_flattened(outputs: usize, map: MapShape) -> Self {
        Self::permuted([outputs, map.h, map.w, map.c], [0, 3, 1, 2])
    }

    fn permuted(extents: [usize; 4], axes: [usize; 4]) -> Self {
        Self { extents, axes, shape: axes.map(|axis| extents[axis]).to_vec() }
    }

    /// The other framework's extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether both have their values in the same order.
    pub fn is_kept(&self) -> bool {
        self.axes == KEPT
    }

    /// Our values in the other framework's order.
    ///
    /// # Panics
    /// If the number of values is wrong.
    pub fn to_foreign(&self, values: &[f32]) -> Vec<f32> {
        permute(values, self.extents, self.axes)
    }

    /// The other framework's values in our order.
    ///
    /// # Panics
    /// If the number of values is wrong.
    pub fn to_ours(&self, values: &[f32]) -> Vec<f32> {
        let mut inverse = KEPT;
        self.axes.iter().enumerate().for_each(|(there, &here)| inverse[here] = there);
        permute(values, self.axes.map(|axis| self.extents[axis]), inverse)
    }
}

/// `values` of `extents` with axis `axes[i]` as axis `i`. Writes in order.
fn permute(values: &[f32], extents: [usize; 4], axes: [usize; 4]) -> Vec<f32> {
    assert_eq!(values.len(), extents.iter().product::<usize>(), "a value for each place");
    let [_, b, c, d] = extents;
    let strides = [b * c * d, c * d, d, 1];
    let [(n0, s0), (n1, s1), (n2, s2), (n3, s3)] = axes.map(|axis| (extents[axis], strides[axis]));
    let mut result = Vec::with_capacity(values.len());
    for i in 0..n0 {
        for j in 0..n1 {
            for k in 0..n2 {
                let start = i * s0 + j * s1 + k * s2;
                result.extend((0..n3).map(|l| values[start + l * s3]));
            }
        }
    }
    result
}
