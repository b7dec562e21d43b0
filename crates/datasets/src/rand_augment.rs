//! RandAugment (Cubuk et al., arXiv:1909.13719) with the operations, ranges and 31
//! magnitudes of torchvision's, at the nearest pixel and with black outside. Unlike there, a shear leaves the
//! centre in place and not the upper left corner, and a shift may be a fraction of a pixel before it is rounded.

use rand_chacha::rand_core::Rng;

use crate::ImageShape;
use crate::colour;
use crate::random_numbers::below;
use crate::view::copied;

/// Number of magnitudes: 0 to 30.
const MAGNITUDES: f64 = 31.0;

/// Applies `operations` drawn operations at `magnitude` to one (h, w, c) image.
pub(crate) fn rand_augment(
    shape: ImageShape,
    image: &mut [u8],
    scratch: &mut Vec<u8>,
    operations: u8,
    magnitude: u8,
    rng: &mut impl Rng,
) {
    for _ in 0..operations {
        let operation = below(rng, 14);
        let sign = if rng.next_u32() & 1 == 1 { -1.0 } else { 1.0 };
        apply(operation, shape, image, scratch, f64::from(magnitude) / (MAGNITUDES - 1.0), sign);
    }
}

/// One operation at `strength` from 0 to 1.
fn apply(
    operation: usize,
    shape: ImageShape,
    image: &mut [u8],
    scratch: &mut Vec<u8>,
    strength: f64,
    sign: f64,
) {
    let c = shape.c;
    let factor = 1.0 + sign * 0.9 * strength;
    let (w, h) = (shape.w as f64, shape.h as f64);
    let [shear, angle] = [0.3, std::f64::consts::PI / 6.0].map(|most| sign * most * strength);
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    let mut affine = |matrix, moved| affine(shape, image, scratch, matrix, moved);
    match operation {
        0 => {}
        1 => affine([[1.0, shear], [0.0, 1.0]], [0.0, 0.0]),
        2 => affine([[1.0, 0.0], [shear, 1.0]], [0.0, 0.0]),
        3 => affine([[1.0, 0.0], [0.0, 1.0]], [sign * 150.0 / 331.0 * w * strength, 0.0]),
        4 => affine([[1.0, 0.0], [0.0, 1.0]], [0.0, sign * 150.0 / 331.0 * h * strength]),
        5 => affine([[cos, sin], [-sin, cos]], [0.0, 0.0]),
        6 => colour::brightness(image, c, factor),
        7 => colour::saturation(image, c, factor),
        8 => colour::contrast(image, c, factor),
        9 => sharpness(shape, image, scratch, factor),
        10 => {
            let bits = 8 - libm::round(4.0 * strength) as u32;
            image.iter_mut().for_each(|byte| *byte &= (0xff00_u32 >> bits) as u8);
        }
        11 => {
            let threshold = 255.0 * (1.0 - strength);
            image
                .iter_mut()
                .filter(|byte| f64::from(**byte) >= threshold)
                .for_each(|byte| *byte = 255 - *byte);
        }
        12 => remap(c, image, stretched),
        _ => remap(c, image, equalised),
    }
}

/// Affine transform by `matrix` (x, then y) about the centre and the shift `moved`.
fn affine(
    shape: ImageShape,
    image: &mut [u8],
    scratch: &mut Vec<u8>,
    matrix: [[f64; 2]; 2],
    moved: [f64; 2],
) {
    let ImageShape { h, w, c } = shape;
    let before = copied(image, scratch);
    let (centre_x, centre_y) = (w as f64 / 2.0, h as f64 / 2.0);
    for (at, out) in image.chunks_exact_mut(c).enumerate() {
        let x = (at % w) as f64 + 0.5 - centre_x - moved[0];
        let y = (at / w) as f64 + 0.5 - centre_y - moved[1];
        let from_x = libm::floor(matrix[0][0] * x + matrix[0][1] * y + centre_x);
        let from_y = libm::floor(matrix[1][0] * x + matrix[1][1] * y + centre_y);
        if (0.0..w as f64).contains(&from_x) && (0.0..h as f64).contains(&from_y) {
            let from = (from_y as usize * w + from_x as usize) * c;
            out.copy_from_slice(&before[from..from + c]);
        } else {
            out.fill(0);
        }
    }
}

/// Away from or towards the image smoothed by 1, 1, 1; 1, 5, 1; 1, 1, 1 over 13; the
/// border stays.
fn sharpness(shape: ImageShape, image: &mut [u8], scratch: &mut Vec<u8>, factor: f64) {
    let ImageShape { h, w, c } = shape;
    let before = copied(image, scratch);
    for y in 1..h.saturating_sub(1) {
        for at in (y * w + 1) * c..((y + 1) * w).saturating_sub(1) * c {
            let around = |row: usize| {
                let middle = row * w * c + at - y * w * c;
                [middle - c, middle, middle + c].map(|place| u32::from(before[place])).iter().sum::<u32>()
            };
            let sum = around(y - 1) + around(y) + around(y + 1) + 4 * u32::from(before[at]);
            let smooth = libm::floor(f64::from(sum) / 13.0 + 0.5);
            let value = smooth + (f64::from(before[at]) - smooth) * factor;
            image[at] = value.clamp(0.0, 255.0) as u8;
        }
    }
}

/// Maps each byte of a channel through the `table` of its histogram.
fn remap(channels: usize, image: &mut [u8], table: fn(&[u32; 256]) -> [u8; 256]) {
    for channel in 0..channels {
        let mut histogram = [0_u32; 256];
        for pixel in image.chunks_exact(channels) {
            histogram[usize::from(pixel[channel])] += 1;
        }
        let table = table(&histogram);
        for pixel in image.chunks_exact_mut(channels) {
            pixel[channel] = table[usize::from(pixel[channel])];
        }
    }
}

/// Autocontrast: the darkest value to 0, the brightest to 255.
fn stretched(histogram: &[u32; 256]) -> [u8; 256] {
    let least = histogram.iter().position(|&count| count > 0).unwrap_or(0);
    let most = histogram.iter().rposition(|&count| count > 0).unwrap_or(0);
    std::array::from_fn(|byte| {
        if most <= least {
            byte as u8
        } else {
            ((byte.saturating_sub(least)) as f64 * (255.0 / (most - least) as f64)).min(255.0) as u8
        }
    })
}

/// Equalisation, as Pillow's `ImageOps.equalize`.
fn equalised(histogram: &[u32; 256]) -> [u8; 256] {
    let last = histogram.iter().rposition(|&count| count > 0).map_or(0, |last| histogram[last]);
    let step = (histogram.iter().sum::<u32>() - last) / 255;
    let mut sum = step / 2;
    std::array::from_fn(|byte| {
        let value = sum.checked_div(step).map_or(byte as u32, |value| value.min(255));
        sum += histogram[byte];
        value as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::stream;

    const SHAPE: ImageShape = ImageShape { h: 9, w: 11, c: 3 };

    fn picture() -> Vec<u8> {
        (0..SHAPE.len()).map(|at| (at * 89 % 251) as u8).collect()
    }

    fn after(operation: usize, strength: f64, sign: f64) -> Vec<u8> {
        let mut image = picture();
        apply(operation, SHAPE, &mut image, &mut vec![0; SHAPE.len()], strength, sign);
        image
    }

    #[test]
    fn geometry_and_colours_at_strength_zero_change_nothing() {
        for operation in 0..=10 {
            assert_eq!(after(operation, 0.0, 1.0), picture(), "operation {operation}");
        }
    }

    #[test]
    fn every_operation_does_what_it_is_called() {
        assert_eq!(after(10, 1.0, 1.0), picture().iter().map(|byte| byte & 0xf0).collect::<Vec<_>>());
        assert_eq!(after(11, 1.0, 1.0), picture().iter().map(|byte| 255 - byte).collect::<Vec<_>>());
        // 150 / 331 of 11 columns are 4.98: all moves right by five.
        let moved = after(3, 1.0, 1.0);
        assert_eq!((&moved[..15], &moved[15..33]), (&[0; 15][..], &picture()[..18]));
        for channel in 0..3 {
            let stretched = after(12, 1.0, 1.0);
            let values = stretched.iter().skip(channel).step_by(3);
            assert_eq!((values.clone().min(), values.max()), (Some(&0), Some(&255)));
        }
    }

    #[test]
    fn draws_are_functions_of_the_stream() {
        let of = |seed| {
            let mut image = picture();
            rand_augment(SHAPE, &mut image, &mut vec![0; SHAPE.len()], 2, 9, &mut stream(seed));
            image
        };
        assert_eq!(of(1), of(1));
        assert!((0..20).any(|seed| of(seed) != of(1)));
    }
}
