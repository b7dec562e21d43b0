//! Channels of several maps side by side, and apart again.

use rayon::prelude::*;

use crate::{
    error::ShapeError,
    isa::Context,
    rows::{chunk_of, row_count},
};

/// `y[row] = parts[0][row], parts[1][row], ...`, overwriting `y`: the channels
/// of several maps side by side. Each part is given with its number of
/// channels; all have as many rows (pixels of the batch) as `y`.
///
/// ```
/// use decouple_kernels::{elementwise::concat, isa::Context};
/// let mut y = [0.0; 6];
/// concat(&Context::best(), &[(&[1.0, 2.0], 1), (&[3.0, 4.0, 5.0, 6.0], 2)], &mut y)?;
/// assert_eq!(y, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
/// # Ok::<(), decouple_kernels::error::ShapeError>(())
/// ```
///
/// # Errors
/// [`ShapeError`] when `y` is not whole rows of the channels together, or a
/// part has another number of rows.
pub fn concat(_ctx: &Context, parts: &[(&[f32], usize)], y: &mut [f32]) -> Result<(), ShapeError> {
    const OP: &str = "concat";
    let channels: usize = parts.iter().map(|&(_, channels)| channels).sum();
    let rows = row_count(OP, "y", channels, y.len())?;
    for &(part, part_channels) in parts {
        ShapeError::check(OP, "part", rows * part_channels, part.len())?;
    }
    let chunk = chunk_of(channels);
    y.par_chunks_mut(chunk).enumerate().for_each(|(index, y)| {
        let first_row = index * (chunk / channels);
        let mut offset = 0;
        for &(part, part_channels) in parts.iter().filter(|&&(_, part_channels)| part_channels > 0) {
            let sources = part[first_row * part_channels..].chunks_exact(part_channels);
            for (row, source) in y.chunks_exact_mut(channels).zip(sources) {
                row[offset..][..part_channels].copy_from_slice(source);
            }
            offset += part_channels;
        }
    });
    Ok(())
}

/// The inverse of [`concat()`], and its gradient: `parts[i][row]` becomes its
/// channels of `x[row]`, overwriting every part.
///
/// # Errors
/// As [`concat()`].
pub fn split(_ctx: &Context, x: &[f32], parts: &mut [(&mut [f32], usize)]) -> Result<(), ShapeError> {
    const OP: &str = "split";
    let channels: usize = parts.iter().map(|&(_, channels)| channels).sum();
    let rows = row_count(OP, "x", channels, x.len())?;
    for (part, part_channels) in &*parts {
        ShapeError::check(OP, "part", rows * part_channels, part.len())?;
    }
    let mut offset = 0;
    for (part, part_channels) in parts.iter_mut().filter(|(_, part_channels)| *part_channels > 0) {
        let part_channels = *part_channels;
        let chunk = chunk_of(part_channels);
        part.par_chunks_mut(chunk).enumerate().for_each(|(index, part)| {
            let sources = x[index * (chunk / part_channels) * channels..].chunks_exact(channels);
            for (row, source) in part.chunks_exact_mut(part_channels).zip(sources) {
                row.copy_from_slice(&source[offset..][..part_channels]);
            }
        });
        offset += part_channels;
    }
    Ok(())
}
