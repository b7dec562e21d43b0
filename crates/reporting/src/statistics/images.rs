//! The test images as a sample of their own, and points compared image by image.

use std::collections::HashSet;

use super::random::Draws;
use super::{Estimate, Interval, Sample, t_quantile};

/// Splits of the runs that are drawn where all of them are too many to count.
const SPLITS: usize = 20_000;
/// Up to so many runs of two points all splits are counted: 12,870 of 16.
const COUNTED: usize = 16;

/// Whether each run of a point is right on each test image, a row a run.
pub type Correctness = [Vec<bool>];

/// The difference of two points as it would be on other seeds *and* other test images of the same kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnOtherImages {
    /// Mean difference of accuracy.
    pub difference: f64,
    /// Its standard error over seeds alone.
    pub seeds_error: f64,
    /// Its standard error over images alone.
    pub images_error: f64,
    /// Interval over both, of this difference alone.
    pub interval: Interval,
}

/// Compares two points over seeds and images.
///
/// The variance of the difference is `s_a^2 / n_a + s_b^2 / n_b` over seeds, plus `v / m` over the `m` images,
/// with `v` the variance over images of the difference of the shares of runs that are right. What a seed does to
/// single images is in both terms, so the sum errs a little on the side of caution, as resampling both seeds and
/// images does (A. B. Owen, Annals of Applied Statistics 1, 2007), which it agrees with. Degrees of freedom after
/// Satterthwaite, with `m - 1` of the images. `None` where a point tells no spread over seeds, or there are fewer
/// than two images.
pub fn on_other_images(a: &Correctness, b: &Correctness, confidence: f64) -> Option<OnOtherImages> {
    let sample = |runs: &Correctness| {
        let accuracies: Vec<f64> = runs.iter().map(|run| share(run)).collect();
        Sample::of(&accuracies)
    };
    let seeds = Estimate::difference(sample(a)?, sample(b)?)?;
    let images = a.first()?.len();
    if images < 2 || a.iter().chain(b).any(|run| run.len() != images) {
        return None;
    }
    let right = |runs: &Correctness, image: usize| {
        runs.iter().filter(|run| run[image]).count() as f64 / runs.len() as f64
    };
    let differences: Vec<f64> = (0..images).map(|image| right(a, image) - right(b, image)).collect();
    let spread = super::sd(&differences)?;
    let squares = [seeds.standard_error.powi(2), spread * spread / images as f64];
    let total = squares[0] + squares[1];
    let weighted = squares[0].powi(2) / seeds.degrees_of_freedom + squares[1].powi(2) / (images - 1) as f64;
    let t = t_quantile(confidence, total * total / weighted)?;
    Some(OnOtherImages {
        difference: seeds.value,
        seeds_error: seeds.standard_error,
        images_error: squares[1].sqrt(),
        interval: Interval::around(seeds.value, t * total.sqrt()),
    })
}

fn share(run: &[bool]) -> f64 {
    run.iter().filter(|right| **right).count() as f64 / run.len().max(1) as f64
}

/// P-value of the claim that two points do alike on every single image: that which images a run gets right does
/// not depend on the point it is of.
///
/// A permutation test. The statistic is `sum over images (share right at a - share right at b)^2`; under the claim
/// every way to split the runs into two such groups is as likely. Points of equal accuracy that are right on
/// different images differ significantly. All splits are counted up to 16 runs, 20,000 drawn beyond. `None` where so few
/// splits exist that no p-value could be below 5 % (three runs each), or images differ in number.
pub fn same_image_by_image(a: &Correctness, b: &Correctness) -> Option<f64> {
    let runs: Vec<&Vec<bool>> = a.iter().chain(b).collect();
    let images = runs.first()?.len();
    if runs.iter().any(|run| run.len() != images) || smallest_p(a.len(), b.len()) > 0.05 {
        return None;
    }
    // With the products of the runs' rows, the statistic of any split costs nothing more of the images.
    let product = |x: &[bool], y: &[bool]| x.iter().zip(y).filter(|(x, y)| **x && **y).count() as f64;
    let products: Vec<Vec<f64>> = runs.iter().map(|x| runs.iter().map(|y| product(x, y)).collect()).collect();
    let statistic = |is_first: &[bool]| -> f64 {
        let weight = |run: usize| if is_first[run] { 1.0 / a.len() as f64 } else { -1.0 / b.len() as f64 };
        let pairs = (0..runs.len()).flat_map(|x| (0..runs.len()).map(move |y| (x, y)));
        pairs.map(|(x, y)| weight(x) * weight(y) * products[x][y]).sum()
    };
    let own: Vec<bool> = (0..runs.len()).map(|run| run < a.len()).collect();
    let least = statistic(&own) * (1.0 - 1e-9) - 1e-9;
    let (mut as_far, mut all) = (0.0, 0.0);
    let mut count = |is_first: &[bool]| {
        as_far += f64::from(u8::from(statistic(is_first) >= least));
        all += 1.0;
    };
    if runs.len() <= COUNTED {
        for mask in 0u32..1 << runs.len() {
            if mask.count_ones() as usize == a.len() {
                let split: Vec<bool> = (0..runs.len()).map(|run| mask >> run & 1 == 1).collect();
                count(&split);
            }
        }
        return Some(as_far / all);
    }
    let mut random = Draws::new(1);
    for _ in 0..SPLITS {
        let mut first: HashSet<usize> = HashSet::new();
        while first.len() < a.len() {
            first.insert((random.uniform() * runs.len() as f64) as usize);
        }
        let split: Vec<bool> = (0..runs.len()).map(|run| first.contains(&run)).collect();
        count(&split);
    }
    // The split as it is counts as one of them (B. Phipson and G. K. Smyth, 2010).
    Some((as_far + 1.0) / (all + 1.0))
}

/// The smallest p-value that the splits of `a` and `b` runs can give: a split and, of equal groups, its mirror.
fn smallest_p(a: usize, b: usize) -> f64 {
    let splits: f64 = (1..=a).map(|k| (b + k) as f64 / k as f64).product();
    if a == b { 2.0 / splits } else { 1.0 / splits }
}
