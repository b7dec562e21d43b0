//! Convolutions over uneven segments, as other programs can express them.

use std::ops::Range;

use decouple_kernels::geometry::ConvGeometry;

/// Neighbouring segments of a convolution that have equally many channels: what
/// other programs call a grouped convolution.
///
/// Sizes of segments differ by at most one, and the larger ones come first; so a convolution
/// has one part if its segments are even, and two or three otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EvenPart {
    /// Its segments.
    pub(crate) groups: usize,
    /// The channels that it reads.
    pub(crate) inputs: Range<usize>,
    /// The channels that it outputs.
    pub(crate) outputs: Range<usize>,
    /// Where its weights lie among those of the convolution.
    pub(crate) weights: Range<usize>,
    /// Their extents: (outputs, inputs of one segment, kernel rows, kernel columns).
    pub(crate) shape: [usize; 4],
}

/// The parts of a convolution, in the order of their channels.
pub(crate) fn parts(geometry: &ConvGeometry) -> Vec<EvenPart> {
    let options = geometry.options();
    let (kernel_h, kernel_w) = (options.kernel_h, options.kernel_w);
    let mut parts: Vec<EvenPart> = Vec::new();
    let mut taken = 0;
    for segment in 0..options.segments {
        let (inputs, outputs) = (geometry.segment_inputs(segment), geometry.segment_outputs(segment));
        let count = inputs.len() * outputs.len() * kernel_h * kernel_w;
        let weights = taken..taken + count;
        taken = weights.end;
        match parts.last_mut() {
            Some(last)
                if last.shape[1] == inputs.len() && last.outputs.len() == last.groups * outputs.len() =>
            {
                last.groups += 1;
                last.shape[0] += outputs.len();
                (last.inputs.end, last.outputs.end) = (inputs.end, outputs.end);
                last.weights.end = weights.end;
            }
            _ => {
                let shape = [outputs.len(), inputs.len(), kernel_h, kernel_w];
                parts.push(EvenPart { groups: 1, inputs, outputs, weights, shape });
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use decouple_kernels::geometry::{ConvOptions, MapShape};

    use super::*;

    fn of(in_c: usize, out_c: usize, segments: usize) -> Vec<EvenPart> {
        let geometry =
            ConvGeometry::new(MapShape::new(5, 5, in_c), out_c, ConvOptions::spatial(3, segments)).unwrap();
        let parts = parts(&geometry);
        assert_eq!(parts.last().unwrap().weights.end, geometry.weight_count());
        assert_eq!(parts.iter().map(|part| part.groups).sum::<usize>(), segments);
        for part in &parts {
            assert_eq!(part.weights.len(), part.shape.iter().product::<usize>());
            assert_eq!(part.inputs.len(), part.groups * part.shape[1]);
            assert_eq!(part.outputs.len(), part.shape[0]);
        }
        parts
    }

    #[test]
    fn even_segments_are_one_part_and_uneven_ones_two_or_three() {
        assert_eq!(of(16, 16, 4).len(), 1);
        assert_eq!(of(16, 32, 16).len(), 1);
        let uneven = of(8, 8, 3);
        assert_eq!(uneven.iter().map(|part| part.groups).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(uneven[1].inputs, 6..8);
        let three = of(8, 10, 3);
        assert_eq!(three.iter().map(|part| part.outputs.clone()).collect::<Vec<_>>(), [0..4, 4..7, 7..10]);
    }
}
