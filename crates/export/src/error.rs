//! Why a network cannot be exported.

/// Why a network cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// There are not as many values as the network has parameters and running
    /// statistics.
    #[error("{found} lists of values: expected {expected}, one for each parameter and running statistic")]
    Parameters {
        /// As in the graph.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// A parameter has another number of values.
    #[error("`{name}` has {found} values: expected {expected}")]
    Values {
        /// The parameter.
        name: String,
        /// As in the graph.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// More than a file of this format can hold.
    #[error("the model has {bytes} bytes: an ONNX file holds at most {most}; choose --format pytorch")]
    TooLarge {
        /// Bytes of the file.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Two layers would be called the same in Python.
    #[error("two layers would be called `{name}` in Python")]
    Name {
        /// The name.
        name: String,
    },
}
