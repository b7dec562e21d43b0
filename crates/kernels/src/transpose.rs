//! Matrices turned over.

/// Rows and columns of a block: its rows lie in few cache lines, even where the
/// rows of the matrix all fall on one set of the cache.
const BLOCK: (usize, usize) = (4, 16);

/// Writes `to[column * to_stride + row] = from[row * row_stride + column * column_stride]`
/// for `rows` rows and `columns` columns of `from`.
pub(crate) fn transpose(
    from: &[f32],
    (row_stride, column_stride): (usize, usize),
    to: &mut [f32],
    to_stride: usize,
    (rows, columns): (usize, usize),
) {
    for row in (0..rows).step_by(BLOCK.0) {
        for column in (0..columns).step_by(BLOCK.1) {
            let size = (BLOCK.0.min(rows - row), BLOCK.1.min(columns - column));
            let from = &from[row * row_stride + column * column_stride..];
            let to = &mut to[column * to_stride + row..];
            if size == BLOCK && column_stride == 1 {
                transpose_block(from, row_stride, to, to_stride);
            } else {
                for column in 0..size.1 {
                    for row in 0..size.0 {
                        to[column * to_stride + row] = from[row * row_stride + column * column_stride];
                    }
                }
            }
        }
    }
}

/// A whole block with columns side by side.
#[cfg(target_arch = "x86_64")]
fn transpose_block(from: &[f32], row_stride: usize, to: &mut [f32], to_stride: usize) {
    use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
    assert!(3 * row_stride + BLOCK.1 <= from.len() && (BLOCK.1 - 1) * to_stride + BLOCK.0 <= to.len());
    for column in (0..BLOCK.1).step_by(4) {
        // SAFETY: the assertion bounds all that is read and written, and every
        // x86-64 has these instructions.
        unsafe {
            let from = from.as_ptr().add(column);
            let [mut a, mut b, mut c, mut d] =
                [0, 1, 2, 3].map(|row| _mm_loadu_ps(from.add(row * row_stride)));
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            for (index, values) in [a, b, c, d].into_iter().enumerate() {
                _mm_storeu_ps(to.as_mut_ptr().add((column + index) * to_stride), values);
            }
        }
    }
}

/// A whole block with columns side by side.
#[cfg(not(target_arch = "x86_64"))]
fn transpose_block(from: &[f32], row_stride: usize, to: &mut [f32], to_stride: usize) {
    for column in 0..BLOCK.1 {
        for row in 0..BLOCK.0 {
            to[column * to_stride + row] = from[row * row_stride + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_finds_its_place() {
        for (rows, columns, column_stride) in [(1, 1, 1), (4, 16, 1), (13, 37, 1), (8, 33, 9), (64, 64, 1)] {
            let (row_stride, to_stride) = (columns * column_stride + 3, rows + 2);
            let from: Vec<f32> = (0..rows * row_stride).map(|i| i as f32).collect();
            let mut to = vec![-1.0; columns * to_stride];
            transpose(&from, (row_stride, column_stride), &mut to, to_stride, (rows, columns));
            for (i, &value) in to.iter().enumerate() {
                let (column, row) = (i / to_stride, i % to_stride);
                let expected = (row < rows).then(|| from[row * row_stride + column * column_stride]);
                assert_eq!(
                    value,
                    expected.unwrap_or(-1.0),
                    "row {row} of {rows}, column {column} of {columns}"
                );
            }
        }
    }
}
