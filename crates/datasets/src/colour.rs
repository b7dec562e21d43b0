//! Colour changes on bytes, as in Pillow and torchvision.

use rand_chacha::rand_core::Rng;

use crate::random_numbers::{below, between};

/// Brightness of a pixel: ITU-R BT.601 in 16 binary places, as Pillow's `L`.
pub(crate) fn luma(pixel: &[u8]) -> u8 {
    match *pixel {
        [r, g, b, ..] => {
            let weighed = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471;
            ((weighed + 0x8000) >> 16) as u8
        }
        [grey, ..] => grey,
        [] => 0,
    }
}

fn byte(value: f64) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

/// `from + (image - from) * factor`, `from` given for each pixel.
pub(crate) fn blend(image: &mut [u8], channels: usize, factor: f64, from: impl Fn(&[u8]) -> f64) {
    for pixel in image.chunks_exact_mut(channels) {
        let from = from(pixel);
        for value in pixel {
            *value = byte(from + (f64::from(*value) - from) * factor);
        }
    }
}

/// Multiplies all values.
pub(crate) fn brightness(image: &mut [u8], channels: usize, factor: f64) {
    blend(image, channels, factor, |_| 0.0);
}

/// Moves all values from or towards the mean brightness.
pub(crate) fn contrast(image: &mut [u8], channels: usize, factor: f64) {
    let sum: u64 = image.chunks_exact(channels).map(|pixel| u64::from(luma(pixel))).sum();
    let mean = libm::floor(sum as f64 / (image.len() / channels).max(1) as f64 + 0.5);
    blend(image, channels, factor, |_| mean);
}

/// Moves all values from or towards the pixel's own grey.
pub(crate) fn saturation(image: &mut [u8], channels: usize, factor: f64) {
    blend(image, channels, factor, |pixel| f64::from(luma(pixel)));
}

/// Turns the hue by `turn` of the circle, from -0.5 to 0.5.
pub(crate) fn hue(image: &mut [u8], channels: usize, turn: f64) {
    if channels < 3 {
        return;
    }
    for pixel in image.chunks_exact_mut(channels) {
        let [r, g, b] = [0, 1, 2].map(|c| f64::from(pixel[c]));
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let range = most - least;
        if range == 0.0 {
            continue;
        }
        let sixth = if most == r {
            (g - b) / range
        } else if most == g {
            2.0 + (b - r) / range
        } else {
            4.0 + (r - g) / range
        };
        let turned = sixth / 6.0 + turn + 2.0;
        let sixth = (turned - libm::floor(turned)) * 6.0;
        // The distance from red, green and blue determines the amount of each.
        let light = |centre: f64| {
            let distance = libm::fabs(sixth - centre);
            let distance = distance.min(6.0 - distance);
            byte(least + range * (2.0 - distance).clamp(0.0, 1.0) + 0.5)
        };
        (pixel[0], pixel[1], pixel[2]) = (light(0.0), light(2.0), light(4.0));
    }
}

/// Colour jitter: brightness, contrast and saturation by factors within 1 +- the first
/// three, the hue by a turn within +- the last, in an order drawn anew.
pub(crate) fn jitter(image: &mut [u8], channels: usize, by: [f64; 4], rng: &mut impl Rng) {
    let mut order = [0, 1, 2, 3];
    for last in (1..4).rev() {
        order.swap(last, below(rng, last + 1));
    }
    for which in order {
        let centre = if which == 3 { 0.0 } else { 1.0 };
        let least = if which == 3 { -by[3] } else { (1.0 - by[which]).max(0.0) };
        let factor = between(rng, least, centre + by[which]);
        match which {
            _ if by[which] == 0.0 => {}
            0 => brightness(image, channels, factor),
            1 => contrast(image, channels, factor),
            2 => saturation(image, channels, factor),
            _ => hue(image, channels, factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_one_and_whole_turns_change_nothing() {
        let original = [10, 200, 30, 255, 0, 128, 7, 7, 7];
        for change in [brightness, contrast, saturation] {
            let mut image = original;
            change(&mut image, 3, 1.0);
            assert_eq!(image, original);
        }
        let mut image = original;
        hue(&mut image, 3, 0.0);
        assert_eq!(image, original);
    }

    #[test]
    fn factors_of_zero_leave_black_mean_and_grey() {
        let original = [10, 200, 30, 255, 0, 128];
        let of = |change: fn(&mut [u8], usize, f64)| {
            let mut image = original;
            change(&mut image, 3, 0.0);
            image
        };
        assert_eq!(of(brightness), [0; 6]);
        // 0.299 * 10 + 0.587 * 200 + 0.114 * 30 = 123.8 and 0.299 * 255 + 0.114 * 128 = 90.8.
        assert_eq!(of(saturation), [124, 124, 124, 91, 91, 91]);
        assert_eq!(of(contrast), [108; 6]);
    }

    #[test]
    fn a_third_of_a_turn_moves_red_to_green_to_blue() {
        let mut image = [200, 0, 0, 0, 200, 0];
        hue(&mut image, 3, 1.0 / 3.0);
        assert_eq!(image, [0, 200, 0, 0, 0, 200]);
        hue(&mut image, 3, -1.0 / 3.0);
        assert_eq!(image, [200, 0, 0, 0, 200, 0]);
    }
}
