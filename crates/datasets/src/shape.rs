//! Rows, columns and channels.

use std::fmt;

/// The shape of one image, stored as (h, w, c): channels last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl ImageShape {
    /// Bytes in one image: `h * w * c`.
    pub const fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether an image holds no byte at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.h, self.w, self.c)
    }
}
