//! What can go wrong in an operation.

use decouple_kernels::error::ShapeError;

use crate::MapShape;

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// A slice does not have the length that the geometry asks for.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A geometry that cannot exist.
    #[error(transparent)]
    Geometry(#[from] crate::GeometryError),
    /// A map does not have the shape that the operation asks for.
    #[error("{op}: expected a map of {expected}, found {found}")]
    Map {
        /// The operation.
        op: &'static str,
        /// Shape of one image that was expected.
        expected: MapShape,
        /// Shape of one image that was found.
        found: MapShape,
    },
    /// Two maps of one operation hold different numbers of images.
    #[error("{op}: expected {expected} images, found {found}")]
    Batch {
        /// The operation.
        op: &'static str,
        /// Images in the first map.
        expected: usize,
        /// Images in the other.
        found: usize,
    },
    /// A dropout rate is no probability below one.
    #[error(transparent)]
    Rate(#[from] decouple_kernels::elementwise::RateError),
    /// A label names a class that the logits do not have.
    #[error("cross entropy: label {label} of image {image}, with {classes} classes")]
    Label {
        /// The label.
        label: u16,
        /// Its place in the batch.
        image: usize,
        /// Number of classes.
        classes: usize,
    },
    /// dfdx could not build a tensor.
    #[error("dfdx: {0:?}")]
    Tensor(dfdx::tensor::CpuError),
}

impl From<dfdx::tensor::CpuError> for OpError {
    fn from(error: dfdx::tensor::CpuError) -> Self {
        Self::Tensor(error)
    }
}
