//! Treats the test images as a sample, and compares points image by image.

use super::random::Draws;
use super::{Estimate, Interval, Sample, t_quantile};

/// Random splits of the runs, if there are too many to count all.
const SPLITS: usize = 20_000;
/// Up to this many runs of two points all splits are counted: 12,870 for 16.
const COUNTED: usize = 16;
/// Up to this many seeds of two points all swaps are counted: 16,384.
const COUNTED_PAIRS: usize = 14;

/// Whether each run of a point is right on each test image, one row per run.
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
/// The variance of the difference is `s_a^2 / n_a + s_b^2 / n_b` over seeds, plus `v / m` over the `m`
/// images, with `v` the variance over images of the difference of the shares of runs that are right. The
/// effect of a seed on single images is in both terms, so the sum is slightly conservative, like resampling
/// both seeds and images (A. B. Owen, Annals of Applied Statistics 1, 2007), which it agrees with. Degrees of
/// freedom after Satterthwaite, with `m - 1` of the images. `None` if the spread over the seeds of a point is
/// unknown, or there are fewer than two images.
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

/// P-value of the null hypothesis that two points do equally well on every single image, that is, that the
/// images per run gets right do not depend on its point.
///
/// A permutation test. The statistic is `sum over images (share right at a - share right at b)^2`; under the
/// null hypothesis every split of the runs into two such groups is equally likely. Points of equal accuracy
/// that are right on different images differ significantly. All splits are counted up to 16 runs, 20,000
/// drawn beyond. `None` if there are so few splits that no p-value could be below 5 % (three runs each), or
/// if the numbers of images differ. Where runs of one seed are alike, p is too large; see
/// [`same_within_seeds`].
pub fn same_image_by_image(a: &Correctness, b: &Correctness) -> Option<f64> {
    let distance = Distance::between(a, b).filter(|_| smallest_p(a.len(), b.len()) <= 0.05)?;
    let runs = a.len() + b.len();
    if runs <= COUNTED {
        let masks = (0u32..1 << runs).filter(|mask| mask.count_ones() as usize == a.len());
        let splits = masks.map(|mask| Vec::from_iter((0..runs).filter(|run| mask >> run & 1 == 1)));
        return Some(distance.share_as_far(splits));
    }
    let mut random = Draws::new(1);
    let mut order = Vec::from_iter(0..runs);
    let drawn = (0..SPLITS).map(|_| {
        for place in 0..a.len() {
            let left = (runs - place) as f64;
            order.swap(place, place + (random.uniform() * left) as usize);
        }
        order[..a.len()].to_vec()
    });
    Some(distance.share_of_drawn(drawn))
}

/// The same of points with the same seeds: row `k` of both is the run of one seed.
///
/// Runs of one seed have their order of images in common, and where the split depends on the seed their training
/// images. So runs of different seeds cannot change places: a split of some runs of both points would differ from the
/// observed one by the seeds, too. Under the null hypothesis the two runs of each seed can, independently of the
/// others. All `2^n` swaps are counted up to 14 seeds, 20,000 drawn beyond. `None` if no p-value could be below 5 %
/// (five seeds), or if the numbers of runs or images differ.
pub fn same_within_seeds(a: &Correctness, b: &Correctness) -> Option<f64> {
    let seeds = a.len();
    // Swapping all of them mirrors the observed split.
    let smallest_p = 2.0 / 2f64.powf(seeds as f64);
    let distance = Distance::between(a, b).filter(|_| b.len() == seeds && smallest_p <= 0.05)?;
    if seeds <= COUNTED_PAIRS {
        let member = |mask: u32, seed: usize| seed + seeds * (mask >> seed & 1) as usize;
        let swaps = (0u32..1 << seeds).map(|mask| Vec::from_iter((0..seeds).map(|seed| member(mask, seed))));
        return Some(distance.share_as_far(swaps));
    }
    let mut random = Draws::new(1);
    let mut member = |seed: usize| if random.uniform() < 0.5 { seed } else { seed + seeds };
    let drawn = (0..SPLITS).map(|_| Vec::from_iter((0..seeds).map(&mut member)));
    Some(distance.share_of_drawn(drawn))
}

/// The distance of two groups of runs, for any split, computed without going through the images again.
///
/// With the weights `w = 1 / a` of a run in the first group and `-1 / b` of another, the statistic is the sum over
/// pairs of runs of `w_x w_y p_xy`, where `p_xy` counts the images that both get right. Since `w` is
/// `n / (a b)` times the membership of the first group less `1 / b`, splits compare as `n^2 q - 2 n a r` does, with
/// `q` the sum of `p` over pairs in the first group and `r` that over pairs whose first run is: whole numbers, so
/// that equal splits are equal.
struct Distance {
    runs: usize,
    first: usize,
    /// Images that runs x and y both get right, at x * runs + y.
    both: Vec<u32>,
    /// The sum of each row.
    sums: Vec<i128>,
}

impl Distance {
    /// Of two points; `None` without runs, or if their numbers of images differ.
    fn between(a: &Correctness, b: &Correctness) -> Option<Self> {
        let runs: Vec<&Vec<bool>> = a.iter().chain(b).collect();
        let images = runs.first()?.len();
        runs.iter().all(|run| run.len() == images).then(|| Self::of(&runs, a.len()))
    }

    fn of(runs: &[&Vec<bool>], first: usize) -> Self {
        let pack = |word: &[bool]| word.iter().rev().fold(0u64, |bits, &right| bits << 1 | u64::from(right));
        let packed: Vec<Vec<u64>> = runs.iter().map(|run| run.chunks(64).map(pack).collect()).collect();
        let both = |x: &[u64], y: &[u64]| x.iter().zip(y).map(|(x, y)| (x & y).count_ones()).sum();
        let both: Vec<u32> = packed.iter().flat_map(|x| packed.iter().map(move |y| both(x, y))).collect();
        let sums = both.chunks(runs.len()).map(|row| row.iter().copied().map(i128::from).sum()).collect();
        Self { runs: runs.len(), first, both, sums }
    }

    fn of_split(&self, first: &[usize]) -> i128 {
        let row = |x: usize| &self.both[x * self.runs..][..self.runs];
        let before =
            |place: usize, x: usize| first[..place].iter().map(|&y| u64::from(row(x)[y])).sum::<u64>();
        let pairs = first.iter().enumerate().map(|(place, &x)| 2 * before(place, x) + u64::from(row(x)[x]));
        let (within, touching) =
            (i128::from(pairs.sum::<u64>()), first.iter().map(|&x| self.sums[x]).sum::<i128>());
        let (n, a) = (self.runs as i128, self.first as i128);
        n * n * within - 2 * n * a * touching
    }

    /// How many of the splits are as far apart as the observed one, and how many there are.
    fn as_far(&self, splits: impl Iterator<Item = Vec<usize>>) -> (u32, u32) {
        let own = self.of_split(&Vec::from_iter(0..self.first));
        splits
            .fold((0, 0), |(as_far, all), first| (as_far + u32::from(self.of_split(&first) >= own), all + 1))
    }

    /// The p-value, of all splits.
    fn share_as_far(&self, splits: impl Iterator<Item = Vec<usize>>) -> f64 {
        let (as_far, all) = self.as_far(splits);
        f64::from(as_far) / f64::from(all)
    }

    /// The p-value, of some that were drawn. The observed split counts as one of them (B. Phipson and G. K. Smyth,
    /// 2010).
    fn share_of_drawn(&self, splits: impl Iterator<Item = Vec<usize>>) -> f64 {
        let (as_far, all) = self.as_far(splits);
        f64::from(as_far + 1) / f64::from(all + 1)
    }
}

/// The smallest p-value that the splits of `a` and `b` runs can give: a split and, of equal groups, its mirror.
fn smallest_p(a: usize, b: usize) -> f64 {
    let splits: f64 = (1..=a).map(|k| (b + k) as f64 / k as f64).product();
    if a == b { 2.0 / splits } else { 1.0 / splits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_as_far_apart_as_the_definition_says() {
        let mut random = Draws::new(3);
        let rows: Vec<Vec<bool>> =
            (0..7).map(|_| (0..100).map(|_| random.uniform() < 0.5).collect()).collect();
        let runs: Vec<&Vec<bool>> = rows.iter().collect();
        let distance = Distance::of(&runs, 3);
        let by_definition = |first: &[usize]| -> f64 {
            let weight = |run: usize| if first.contains(&run) { 1.0 / 3.0 } else { -1.0 / 4.0 };
            let at = |image: usize| (0..7).filter(|&run| rows[run][image]).map(weight).sum::<f64>();
            (0..100).map(|image| at(image).powi(2)).sum()
        };
        let sets = [[0, 1, 2], [6, 1, 3], [5, 4, 2]];
        for (x, y) in sets.iter().flat_map(|x| sets.iter().map(move |y| (x, y))) {
            let scaled = (distance.of_split(x) - distance.of_split(y)) as f64 / (3.0 * 4.0f64).powi(2);
            assert!((scaled - (by_definition(x) - by_definition(y))).abs() < 1e-9);
        }
    }
}
