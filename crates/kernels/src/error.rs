//! The one way a kernel call can fail: a slice of the wrong length.

/// A slice whose length does not fit the geometry it was given with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: `{argument}` has {found} values, expected {expected}")]
pub struct ShapeError {
    /// The operation, for example "conv forward".
    pub op: &'static str,
    /// Name of the argument.
    pub argument: &'static str,
    /// How many values it should hold. For the argument that tells the batch
    /// size this is the next whole number of images.
    pub expected: usize,
    /// How many values it holds.
    pub found: usize,
}

impl ShapeError {
    /// `Ok` when `argument` has the expected number of values.
    pub(crate) fn check(
        op: &'static str,
        argument: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self { op, argument, expected, found }) }
    }

    /// How many images of `image_len` values `argument` holds, which must be a
    /// whole number.
    pub(crate) fn batch(
        op: &'static str,
        argument: &'static str,
        image_len: usize,
        found: usize,
    ) -> Result<usize, Self> {
        let batch = found.div_ceil(image_len);
        Self::check(op, argument, batch * image_len, found)?;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_operation_argument_and_lengths() {
        let error = ShapeError::check("conv forward", "weights", 12, 10).unwrap_err();
        assert_eq!(error.to_string(), "conv forward: `weights` has 10 values, expected 12");
    }

    #[test]
    fn a_batch_is_a_whole_number_of_images() {
        assert_eq!(ShapeError::batch("pooling", "x", 4, 12), Ok(3));
        assert_eq!(ShapeError::batch("pooling", "x", 4, 0), Ok(0));
        let error = ShapeError::batch("pooling", "x", 4, 13).unwrap_err();
        assert_eq!((error.expected, error.found), (16, 13));
    }
}
