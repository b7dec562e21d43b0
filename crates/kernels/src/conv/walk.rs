//! A convolution by its definition, by Winograd tiles or with factors in bf16, to those who
//! call it.

use std::ops::Range;

use super::{
    bf16::{DirectBf16, is_matrix_product},
    direct::{Direct, Direction, Rows, WeightOrder},
    gradient::{DirectGradient, Sums},
    winograd::{F2, F2Gradient, F4, F4Gradient, has_tiles},
};
use crate::{
    arithmetic::{Arithmetic, Precision, Winograd},
    geometry::ConvGeometry,
    isa::Isa,
    layout::MapLayout,
};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// By the definition.
    Direct,
    /// By the definition, with factors in bf16.
    DirectBf16,
    /// By tiles of 2x2 outputs.
    F2,
    /// By tiles of 4x4 outputs.
    F4,
}

impl Algorithm {
    /// The fastest that `arithmetic` allows and the convolution has.
    pub(crate) fn of(arithmetic: Arithmetic, geometry: &ConvGeometry, order: WeightOrder) -> Self {
        let is_bf16 = arithmetic.precision == Precision::Bf16;
        match arithmetic.winograd {
            _ if is_bf16 && is_matrix_product(geometry, order) => Self::DirectBf16,
            Winograd::F2 if has_tiles(geometry, order) => Self::F2,
            Winograd::F4 if has_tiles(geometry, order) => Self::F4,
            _ => Self::Direct,
        }
    }
}

/// Computes outputs, or gradients of inputs, row by row or by rows of tiles.
#[derive(Clone, Debug)]
pub(crate) enum Walk {
    /// By the definition.
    Direct(Direct),
    /// By the definition, with factors in bf16.
    DirectBf16(Box<DirectBf16>),
    /// By tiles of 2x2 outputs.
    F2(F2),
    /// By tiles of 4x4 outputs.
    F4(F4),
}

/// Calls a method that all ways have.
macro_rules! either {
    ($of:ident, $way:ident => $call:expr) => {
        match $of {
            Self::Direct($way) => $call,
            Self::DirectBf16($way) => $call,
            Self::F2($way) => $call,
            Self::F4($way) => $call,
        }
    };
}

impl Walk {
    pub(crate) fn new(
        isa: Isa,
        conv: (ConvGeometry, WeightOrder),
        algorithm: Algorithm,
        direction: Direction,
        maps: [MapLayout; 2],
    ) -> Self {
        match algorithm {
            Algorithm::Direct => Self::Direct(Direct::new(isa, conv, Precision::F32, direction, maps)),
            Algorithm::DirectBf16 => Self::DirectBf16(DirectBf16::new(isa, conv, direction, maps).into()),
            Algorithm::F2 => Self::F2(F2::new(isa, conv.0, direction, maps)),
            Algorithm::F4 => Self::F4(F4::new(isa, conv.0, direction, maps)),
        }
    }

    /// Packs the weights.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        either!(self, way => way.pack(weights));
    }

    /// Number of values that [`Self::pack`] produces.
    pub(crate) fn packed(&self) -> usize {
        either!(self, way => way.packed())
    }

    /// Bytes of the packed weights so far.
    pub(crate) fn packed_bytes(&self) -> u64 {
        either!(self, way => way.packed_bytes())
    }

    /// Whether the weights are packed.
    pub(crate) fn is_packed(&self) -> bool {
        either!(self, way => way.is_packed())
    }

    /// Number of rows that are computed together, beginning at its multiples.
    pub(crate) const fn rows_at_once(&self) -> usize {
        match self {
            Self::Direct(_) | Self::DirectBf16(_) => 1,
            Self::F2(_) => 2,
            Self::F4(_) => 4,
        }
    }

    /// `rows` divided into those that are computed together.
    pub(crate) fn steps(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let at_once = self.rows_at_once();
        let first = if rows.is_empty() { rows.end } else { rows.start / at_once * at_once };
        (first..rows.end)
            .step_by(at_once)
            .map(move |step| step.max(rows.start)..(step + at_once).min(rows.end))
    }

    /// Rows of the input that the output rows `rows` read.
    pub(crate) fn reads(&self, rows: Range<usize>) -> Range<usize> {
        either!(self, way => way.reads(rows))
    }

    /// Values of scratch.
    pub(crate) fn scratch(&self) -> usize {
        match self {
            Self::Direct(_) => 0,
            Self::DirectBf16(way) => way.scratch(),
            Self::F2(way) => way.scratch(),
            Self::F4(way) => way.scratch(),
        }
    }

    /// Computes the output rows `rows`, one of [`Self::steps`]. A row at `ahead`, of the output's
    /// layout, is fetched into the cache meanwhile: the place of what is written next.
    ///
    /// # Safety
    /// `input` holds the rows of [`Self::reads`], with their margins, `output` the rows, which
    /// nothing else touches, `bias` a value per channel, and `scratch` is valid for
    /// [`Self::scratch`] values.
    pub(crate) unsafe fn rows(
        &self,
        rows: Range<usize>,
        input: Rows,
        output: Rows,
        bias: Option<&[f32]>,
        scratch: *mut f32,
        ahead: *const f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Direct(way) => {
                    rows.for_each(|row| way.row(row, input, output.at(row), bias, ahead));
                }
                Self::DirectBf16(way) => {
                    rows.for_each(|row| way.row(row, input, output.at(row), bias, scratch, ahead));
                }
                Self::F2(way) => way.rows(rows, input, output, bias, scratch),
                Self::F4(way) => way.rows(rows, input, output, bias, scratch),
            }
        }
    }
}

/// Sums the gradient of a convolution's weights.
#[derive(Clone, Debug)]
pub(crate) enum WeightGradient {
    /// By the definition.
    Direct(DirectGradient),
    /// By tiles of 2x2 outputs.
    F2(F2Gradient),
    /// By tiles of 4x4 outputs.
    F4(F4Gradient),
}

impl WeightGradient {
    pub(crate) fn new(
        isa: Isa,
        conv: (ConvGeometry, WeightOrder),
        algorithm: Algorithm,
        maps: [MapLayout; 2],
    ) -> Self {
        match algorithm {
            Algorithm::Direct | Algorithm::DirectBf16 => Self::Direct(DirectGradient::new(isa, conv, maps)),
            Algorithm::F2 => Self::F2(F2Gradient::new(isa, conv.0, maps)),
            Algorithm::F4 => Self::F4(F4Gradient::new(isa, conv.0, maps)),
        }
    }

    /// Values that [`Sums::running`] has.
    pub(crate) fn running(&self) -> usize {
        match self {
            Self::Direct(way) => way.running(),
            Self::F2(way) => way.running(),
            Self::F4(way) => way.running(),
        }
    }

    /// Values of scratch.
    pub(crate) fn scratch(&self) -> usize {
        match self {
            Self::Direct(_) => 0,
            Self::F2(way) => way.scratch(),
            Self::F4(way) => way.scratch(),
        }
    }

    /// Adds the contribution of the output rows `rows`.
    ///
    /// # Safety
    /// `gradients` holds these rows of the output's gradient and `inputs` those of [`Walk::reads`],
    /// with their margins; `sums` has [`Self::running`] values and `scratch` is valid for
    /// [`Self::scratch`], which nothing else touches.
    pub(crate) unsafe fn rows(
        &self,
        rows: Range<usize>,
        inputs: Rows,
        gradients: Rows,
        sums: Sums,
        scratch: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Direct(way) => way.rows(rows, inputs, gradients, sums),
                Self::F2(way) => way.rows(rows, inputs, gradients, sums, scratch),
                Self::F4(way) => way.rows(rows, inputs, gradients, sums, scratch),
            }
        }
    }
}
