//! Images whose class is planted in them: in the spatial structure of single
//! channels, in structure across channels and space together, or in both.
//!
//! `docs/planted-data.md` shows them and explains their design.
//!
//! An image is a window on an endless plane on which *figures* of dots lie at
//! random places, among many single dots. A figure fits into 3x3 pixels:
//!
//! * a **within** figure is an L of four dots in one channel, whichever that is. Its rotation
//!   gives the class;
//! * a **joint** figure has one dot in each channel, on the eight pixels around its centre.
//!   Which channel has which pixel gives the class.
//!
//! `coupling` is the probability that eight dots are one joint figure instead of two within
//! ones. The same in every class: the number of dots and their positions on the image, which
//! dots share a pixel, and at coupling 1 the (independent) arrangement of the dots of one
//! channel, at coupling 0 that of dots in different channels.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rayon::prelude::*;

use crate::published::Published;
use crate::seeds::{derive_seed, stream, uniform_below};
use crate::{ImageShape, Split};

/// Shape of every planted image.
pub const SHAPE: ImageShape = ImageShape { h: 16, w: 16, c: CHANNELS };

/// As many channels as a joint figure has places.
const CHANNELS: usize = 8;

/// Classes: the rotations of a within figure.
pub const CLASSES: usize = 4;

/// The L of a within figure: (down, right) of its centre. A quarter turn takes
/// (down, right) to (right, -down).
const ELL: [Offset; 4] = [(-1, 0), (0, 0), (1, 0), (1, 1)];

/// The places of a joint figure. Not in order around the centre: a rotation of the order must
/// not be a rotation of the figure.
const PLACES: [Offset; CHANNELS] = [(-1, -1), (0, 1), (1, -1), (-1, 0), (1, 1), (0, -1), (-1, 1), (1, 0)];

/// Joint figures of each class: together the classes have every channel at every
/// place once.
const JOINT: usize = CHANNELS / CLASSES;

/// Distance of a figure's pixels from its centre.
const REACH: usize = 1;

/// Groups of eight dots in figures on the plane around an image, and the number of single dots.
const GROUPS: usize = 3;
const SINGLES: usize = 300;

/// Byte values of background and dot, before noise.
const GROUND: i32 = 48;
const DOT: i32 = 160;

/// Rows down and columns to the right.
type Offset = (isize, isize);

/// What is planted. Equal values give equal images, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// Share of the figures' dots that are in joint figures, from 0 (the class shows
    /// within single channels only) to 1 (only across channels and space together).
    pub coupling: f64,
    /// Training images, equally many of each class as far as possible, plus a quarter as many
    /// for testing.
    pub images: usize,
    /// Standard deviation of the noise, relative to a dot's height over the background.
    pub noise: f64,
    /// Seed of the images; another seed gives other images with the same figures.
    pub seed: u64,
}

impl Default for Planted {
    fn default() -> Self {
        Self { coupling: 0.5, images: 8_000, noise: 0.1, seed: 0 }
    }
}

/// Makes the training and test images.
pub(crate) fn generate(planted: &Planted) -> Published {
    let split = |name: &str, images: usize| {
        let mut pixels = vec![0; images * SHAPE.len()];
        let labels: Vec<u16> = (0..images).map(|index| (index % CLASSES) as u16).collect();
        let images = pixels.par_chunks_exact_mut(SHAPE.len()).zip(&labels).enumerate();
        images.for_each(|(index, (image, &label))| {
            let mut random = stream(derive_seed(planted.seed, name, 0, index as u64));
            draw(planted, usize::from(label), &mut random, image);
        });
        Split { shape: SHAPE, images: pixels, labels }
    };
    let test_images = planted.images.div_ceil(4);
    Published::new(split("planted train", planted.images), split("planted test", test_images))
}

/// Draws one (h, w, c) image of `class`.
fn draw(planted: &Planted, class: usize, random: &mut ChaCha8Rng, image: &mut [u8]) {
    let mut dots = Dots(vec![false; image.len()]);
    let joint_below = (planted.coupling * f64::from(1 << 24)) as u32;
    for _ in 0..GROUPS {
        if uniform_below(random, 1 << 24) < joint_below {
            dots.joint_figure(class, random);
        } else {
            dots.within_figure(class, random);
            dots.within_figure(class, random);
        }
    }
    for _ in 0..SINGLES {
        dots.put(place(random), (0, 0), channel(random));
    }
    let deviation = planted.noise * f64::from(DOT);
    for (pixel, dot) in image.iter_mut().zip(dots.0) {
        let value = GROUND + if dot { DOT } else { 0 };
        *pixel = (value + (deviation * noise(random)).round() as i32).clamp(0, 255) as u8;
    }
}

/// Whether there is a dot: (h, w, c).
struct Dots(Vec<bool>);

impl Dots {
    fn within_figure(&mut self, class: usize, random: &mut ChaCha8Rng) {
        let (channel, centre) = (channel(random), place(random));
        for offset in ELL {
            let turned = (0..class).fold(offset, |(down, right), _| (right, -down));
            self.put(centre, turned, channel);
        }
    }

    fn joint_figure(&mut self, class: usize, random: &mut ChaCha8Rng) {
        let turn = class + CLASSES * uniform_below(random, JOINT as u32) as usize;
        let centre = place(random);
        for channel in 0..CHANNELS {
            self.put(centre, PLACES[(channel + turn) % CHANNELS], channel);
        }
    }

    /// Puts a dot, if it lies on the image.
    fn put(&mut self, centre: Offset, offset: Offset, channel: usize) {
        let (row, column) = (centre.0 + offset.0, centre.1 + offset.1);
        if (0..SHAPE.h as isize).contains(&row) && (0..SHAPE.w as isize).contains(&column) {
            self.0[(row as usize * SHAPE.w + column as usize) * SHAPE.c + channel] = true;
        }
    }
}

/// A place on the plane from which a figure reaches the image at least in part:
/// uniform, so that each of its dots is uniform over the image.
fn place(random: &mut ChaCha8Rng) -> Offset {
    let mut along =
        |extent: usize| uniform_below(random, (extent + 2 * REACH) as u32) as isize - REACH as isize;
    (along(SHAPE.h), along(SHAPE.w))
}

fn channel(random: &mut ChaCha8Rng) -> usize {
    uniform_below(random, CHANNELS as u32) as usize
}

/// Mean 0, standard deviation 1, approximately normal: the sum of four uniform bytes.
fn noise(random: &mut ChaCha8Rng) -> f64 {
    let sum: u32 = random.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
    // Four bytes have the mean 510 and the variance 4 (256^2 - 1) / 12.
    (f64::from(sum) - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(coupling: f64) -> Split {
        generate(&Planted { coupling, images: 8_000, noise: 0.0, ..Planted::default() }).train
    }

    /// For each class, how often an image has a dot in channel `a` and another
    /// `lag` from it in channel `b`.
    fn pairs(split: &Split, a: usize, b: usize, lag: Offset) -> [f64; CLASSES] {
        let mut counts = [0.0; CLASSES];
        let is_dot = |image: &[u8], row: isize, column: isize, channel: usize| {
            let inside = (0..SHAPE.h as isize).contains(&row) && (0..SHAPE.w as isize).contains(&column);
            inside && image[(row as usize * SHAPE.w + column as usize) * CHANNELS + channel] > GROUND as u8
        };
        for (image, &label) in split.images.chunks_exact(SHAPE.len()).zip(&split.labels) {
            let places = (0..SHAPE.h as isize).flat_map(|row| (0..SHAPE.w as isize).map(move |c| (row, c)));
            let is_pair = |&(row, column): &Offset| {
                is_dot(image, row, column, a) && is_dot(image, row + lag.0, column + lag.1, b)
            };
            counts[usize::from(label)] += places.filter(is_pair).count() as f64;
        }
        counts.map(|count| count / (split.len() / CLASSES) as f64)
    }

    /// The largest difference of a class from the mean over them, over all lags that
    /// a figure spans, in standard deviations of what chance makes of it.
    fn contrast(split: &Split, a: usize, b: usize) -> f64 {
        let lags = (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right)));
        let differences = lags.filter(|&lag| lag != (0, 0)).map(|lag| {
            let rates = pairs(split, a, b, lag);
            let mean = rates.iter().sum::<f64>() / CLASSES as f64;
            let largest = rates.iter().map(|rate| (rate - mean).abs()).fold(0.0, f64::max);
            // Pairs by chance are as many as in Poisson's distribution, or a few more.
            largest / (mean / (split.len() / CLASSES) as f64).sqrt()
        });
        differences.fold(0.0, f64::max)
    }

    #[test]
    fn images_are_pinned() {
        let published = generate(&Planted { images: 40, ..Planted::default() });
        assert_eq!((published.train.len(), published.test.len()), (40, 10));
        assert_eq!(published.train.class_counts(), [10; CLASSES]);
        let expected = "9c6f82634ef1dbb472dbd16a9dadb3e9baf10dc0698d6ab1578d5ec0ce4ea7ed";
        assert_eq!(published.checksum, expected);
    }

    #[test]
    fn the_class_shows_only_where_it_is_planted() {
        let (uncoupled, coupled) = (planted(0.0), planted(1.0));
        let found =
            [&uncoupled, &coupled].map(|split| [(2, 2), (2, 5), (0, 7)].map(|(a, b)| contrast(split, a, b)));
        let [[within, across, ends], [within_coupled, across_coupled, ends_coupled]] = found;
        assert!(within > 6.0 && across_coupled > 6.0 && ends_coupled > 6.0, "{found:?}");
        assert!(across < 4.5 && ends < 4.5 && within_coupled < 4.5, "{found:?}");
    }

    #[test]
    fn pixels_alone_say_nothing() {
        for coupling in [0.0, 0.5, 1.0] {
            let split = planted(coupling);
            for (a, b) in [(1, 1), (0, 1), (3, 6)] {
                let rates = pairs(&split, a, b, (0, 0));
                let mean = rates.iter().sum::<f64>() / CLASSES as f64;
                let deviation = (mean / 2_000.0).sqrt();
                assert!(rates.iter().all(|rate| (rate - mean).abs() < 4.0 * deviation), "{rates:?}");
            }
        }
    }

    #[test]
    fn joint_figures_have_every_channel_at_every_place_once() {
        let mut seen = std::collections::BTreeSet::new();
        for turn in 0..CLASSES * JOINT {
            seen.extend((0..CHANNELS).map(|channel| (channel, PLACES[(channel + turn) % CHANNELS])));
        }
        assert_eq!(seen.len(), CHANNELS * CHANNELS);
    }
}
