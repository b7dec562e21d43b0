//! Images whose class is planted in them: in the spatial structure of single
//! channels, in structure across channels and space together, or in both.
//!
//! `docs/planted-data.md` shows them and says why they are made like this.
//!
//! An image is a window on an endless plane on which figures lie at random
//! places. Each figure consists of dots at four of the eight neighbours of its
//! centre on a grid of [`PITCH`] pixels, or at all eight:
//!
//! * a **within** figure has four dots, all in one channel. In which four of the
//!   eight places is the class's own pattern of that channel;
//! * a **joint** figure has eight dots, one in each channel and one at each place.
//!   Which channel has which place is one of the class's own permutations.
//!
//! `coupling` is the probability that eight dots are one joint figure instead of
//! two within ones. What holds in every class alike: how many dots there are, how
//! dots of joint figures lie within one channel (independently), and which dots
//! of a figure share a pixel (none).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rayon::prelude::*;

use crate::dataset::Published;
use crate::seeds::{derive_seed, stream, uniform_below};
use crate::{ImageShape, Split};

/// Shape of every planted image.
pub const SHAPE: ImageShape = ImageShape { h: 24, w: 24, c: CHANNELS };

/// Most classes: what the search for permutations that are far apart can supply.
pub(crate) const MOST_CLASSES: usize = 16;

/// As many channels as a figure has places.
const CHANNELS: usize = 8;

/// Pixels between neighbouring places of a figure: more than a 3x3 window spans,
/// so that no convolution of the image itself sees two dots of a figure.
pub const PITCH: isize = 4;

/// The places of a figure, in units of the pitch: (down, right) of its centre.
const PLACES: [(isize, isize); 8] = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];

/// Groups of eight dots on the plane around an image.
const GROUPS: usize = 16;

/// Joint figures of each class.
const JOINT: usize = 2;

/// Bytes of the ground and of a dot, before noise.
const GROUND: i32 = 48;
const DOT: i32 = 160;

/// What is planted. Equal values give equal images, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// Share of the dots that are in joint figures, from 0 (the class shows within
    /// single channels only) to 1 (only across channels and space together).
    pub coupling: f64,
    /// Number of classes.
    pub classes: usize,
    /// Training images, as many of each class as divides; a quarter as many again
    /// for testing.
    pub images: usize,
    /// Standard deviation of the noise, as a share of a dot's height over the ground.
    pub noise: f64,
    /// What makes the figures and images: other seeds, other figures.
    pub seed: u64,
}

impl Default for Planted {
    fn default() -> Self {
        Self { coupling: 0.5, classes: 4, images: 4_000, noise: 0.25, seed: 0 }
    }
}

/// The figures of all classes.
struct Figures {
    /// By class, then channel: the four places of its within figure.
    within: Vec<[[usize; 4]; CHANNELS]>,
    /// By class: permutations, the place of each channel.
    joint: Vec<[[usize; CHANNELS]; JOINT]>,
}

/// Makes the training and test images.
pub(crate) fn generate(planted: &Planted) -> Published {
    let figures = Figures::draw(planted.classes, planted.seed);
    let split = |name: &str, images: usize| {
        let mut pixels = vec![0; images * SHAPE.len()];
        let labels: Vec<u16> = (0..images).map(|index| (index % planted.classes) as u16).collect();
        pixels.par_chunks_exact_mut(SHAPE.len()).zip(&labels).enumerate().for_each(
            |(index, (image, &label))| {
                let mut random = stream(derive_seed(planted.seed, name, 0, index as u64));
                draw(planted, &figures, usize::from(label), &mut random, image);
            },
        );
        Split { shape: SHAPE, images: pixels, labels }
    };
    Published::new(split("planted train", planted.images), split("planted test", planted.images.div_ceil(4)))
}

impl Figures {
    /// Within figures of one channel are different in all classes; two joint
    /// figures give the same place to at most two channels.
    fn draw(classes: usize, seed: u64) -> Self {
        let mut random = stream(derive_seed(seed, "planted figures", 0, 0));
        let mut within = vec![[[0; 4]; CHANNELS]; classes];
        for channel in 0..CHANNELS {
            let mut patterns: Vec<[usize; 4]> = Vec::new();
            while patterns.len() < classes {
                let mut places = shuffled(&mut random);
                places[..4].sort_unstable();
                let pattern = [places[0], places[1], places[2], places[3]];
                if !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
            }
            within.iter_mut().zip(patterns).for_each(|(class, pattern)| class[channel] = pattern);
        }
        let mut permutations: Vec<[usize; CHANNELS]> = Vec::new();
        while permutations.len() < classes * JOINT {
            let candidate = shuffled(&mut random);
            let shared =
                |other: &[usize; CHANNELS]| candidate.iter().zip(other).filter(|(a, b)| a == b).count();
            if permutations.iter().all(|other| shared(other) <= 2) {
                permutations.push(candidate);
            }
        }
        let joint =
            permutations.chunks_exact(JOINT).map(|of_class| std::array::from_fn(|i| of_class[i])).collect();
        Self { within, joint }
    }
}

fn shuffled(random: &mut ChaCha8Rng) -> [usize; 8] {
    let mut places = std::array::from_fn(|i| i);
    for last in (1..8).rev() {
        places.swap(last, uniform_below(random, last as u32 + 1) as usize);
    }
    places
}

/// Draws one (h, w, c) image of `class`.
fn draw(planted: &Planted, figures: &Figures, class: usize, random: &mut ChaCha8Rng, image: &mut [u8]) {
    let mut dots = vec![false; image.len()];
    let threshold = (planted.coupling * f64::from(1 << 24)) as u32;
    for _ in 0..GROUPS {
        if uniform_below(random, 1 << 24) < threshold {
            let figure = &figures.joint[class][uniform_below(random, JOINT as u32) as usize];
            let centre = centre(random);
            for (channel, &place) in figure.iter().enumerate() {
                dot(&mut dots, centre, place, channel);
            }
        } else {
            for _ in 0..2 {
                let channel = uniform_below(random, CHANNELS as u32) as usize;
                let centre = centre(random);
                for place in figures.within[class][channel] {
                    dot(&mut dots, centre, place, channel);
                }
            }
        }
    }
    let deviation = planted.noise * f64::from(DOT);
    for (pixel, dot) in image.iter_mut().zip(dots) {
        let value = GROUND + if dot { DOT } else { 0 };
        *pixel = (value + (deviation * noise(random)).round() as i32).clamp(0, 255) as u8;
    }
}

/// A place on the plane from which a figure reaches the image at least in part:
/// uniform, so that each of its dots is uniform over the image.
fn centre(random: &mut ChaCha8Rng) -> (isize, isize) {
    let mut along = |extent: usize| {
        let reach = PITCH as u32;
        uniform_below(random, extent as u32 + 2 * reach) as isize - PITCH
    };
    (along(SHAPE.h), along(SHAPE.w))
}

fn dot(dots: &mut [bool], centre: (isize, isize), place: usize, channel: usize) {
    let (row, column) = (centre.0 + PITCH * PLACES[place].0, centre.1 + PITCH * PLACES[place].1);
    if (0..SHAPE.h as isize).contains(&row) && (0..SHAPE.w as isize).contains(&column) {
        dots[(row as usize * SHAPE.w + column as usize) * SHAPE.c + channel] = true;
    }
}

/// Mean 0, deviation 1, near to normal: the sum of four uniform bytes.
fn noise(random: &mut ChaCha8Rng) -> f64 {
    let sum: u32 = random.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
    // Four bytes have the mean 510 and the variance 4 (256^2 - 1) / 12.
    (f64::from(sum) - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(coupling: f64) -> Planted {
        Planted { coupling, images: 2_000, noise: 0.0, ..Planted::default() }
    }

    /// For each class, how often two places `pitch * lag` apart both have a dot, an
    /// image, in channels `a` and `b`.
    fn pairs(split: &Split, classes: usize, a: usize, b: usize, lag: (isize, isize)) -> Vec<f64> {
        let mut counts = vec![0.0; classes];
        let is_dot = |image: &[u8], row: isize, column: isize, channel: usize| {
            let inside = (0..SHAPE.h as isize).contains(&row) && (0..SHAPE.w as isize).contains(&column);
            inside && image[(row as usize * SHAPE.w + column as usize) * CHANNELS + channel] > GROUND as u8
        };
        for (image, &label) in split.images.chunks_exact(SHAPE.len()).zip(&split.labels) {
            for (row, column) in
                (0..SHAPE.h as isize).flat_map(|row| (0..SHAPE.w as isize).map(move |c| (row, c)))
            {
                let other = (row + PITCH * lag.0, column + PITCH * lag.1);
                if is_dot(image, row, column, a) && is_dot(image, other.0, other.1, b) {
                    counts[usize::from(label)] += 1.0;
                }
            }
        }
        let images = split.class_counts();
        counts.iter().zip(images).map(|(count, images)| count / images as f64).collect()
    }

    /// Largest difference between classes over all lags, in units of what chance
    /// makes of it.
    fn contrast(split: &Split, a: usize, b: usize) -> f64 {
        let lags = (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right)));
        let lags = lags.filter(|&lag| a != b || lag != (0, 0));
        lags.map(|lag| {
            let rates = pairs(split, 4, a, b, lag);
            let mean = rates.iter().sum::<f64>() / 4.0;
            let spread = rates.iter().map(|rate| (rate - mean).abs()).fold(0.0, f64::max);
            // Counts are near to Poisson's.
            spread / (mean / (split.len() as f64 / 4.0)).sqrt().max(1e-9)
        })
        .fold(0.0, f64::max)
    }

    #[test]
    fn images_are_pinned() {
        let published = generate(&Planted { images: 40, ..Planted::default() });
        assert_eq!((published.train.len(), published.test.len()), (40, 10));
        let expected = "655a3b6feb7d7bdae10791e2bd9a1b70fa5639091f4f1b5f728e3f043f6027eb";
        assert_eq!(published.checksum, expected);
    }

    #[test]
    fn the_class_shows_only_where_it_is_planted() {
        let uncoupled = generate(&planted(0.0)).train;
        let coupled = generate(&planted(1.0)).train;
        assert!(contrast(&uncoupled, 2, 2) > 20.0, "{}", contrast(&uncoupled, 2, 2));
        assert!(contrast(&uncoupled, 2, 5) < 5.0, "{}", contrast(&uncoupled, 2, 5));
        assert!(contrast(&coupled, 2, 2) < 5.0, "{}", contrast(&coupled, 2, 2));
        assert!(contrast(&coupled, 2, 5) > 20.0, "{}", contrast(&coupled, 2, 5));
    }

    #[test]
    fn single_pixels_say_nothing() {
        for coupling in [0.0, 0.5, 1.0] {
            let split = generate(&planted(coupling)).train;
            for (a, b) in [(0, 1), (3, 6)] {
                let rates = pairs(&split, 4, a, b, (0, 0));
                let mean = rates.iter().sum::<f64>() / 4.0;
                let deviation = (mean / 500.0).sqrt();
                assert!(rates.iter().all(|rate| (rate - mean).abs() < 4.0 * deviation), "{rates:?}");
            }
        }
    }

    #[test]
    fn classes_are_balanced_and_figures_differ() {
        let Planted { classes, seed, .. } = Planted::default();
        let split = generate(&planted(0.5)).train;
        assert_eq!(split.class_counts(), [500; 4]);
        let figures = Figures::draw(classes, seed);
        for (a, b) in [(0, 1), (2, 3)] {
            assert!(figures.within[a].iter().zip(&figures.within[b]).all(|(a, b)| a != b));
        }
        for figure in figures.joint.iter().flatten() {
            let mut places = *figure;
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
        }
        Figures::draw(MOST_CLASSES, 3);
    }
}
