//! Means, intervals and comparisons of a few seeds: every formula in one place.
//!
//! Two facts shape what is here. Seeds are few (3 to 20), so every quantile is Student's, never the normal
//! one. And a seed fixes initial weights, data order and augmentation alike for every point of a sweep, so
//! the seeds are *blocks* and points are compared within them: a sweep is a randomised complete block
//! design (D. C. Montgomery, "Design and Analysis of Experiments", chapter 4).
//!
//! A [`Table`] is what most functions take: one row a point, one column a seed, `None` where that run has
//! not finished. Every value is checked against scipy or numpy by `tests/statistics.rs`, whose fixture is
//! printed by `tools/statistics-fixtures.py`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

/// Values by point (row) and seed (column); `None` where a run gave no value. All rows are equally long.
pub type Table = [Vec<Option<f64>>];

/// A range that holds the true value with a stated confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of `half_width` on both sides of `centre`.
    pub fn around(centre: f64, half_width: f64) -> Self {
        Self { low: centre - half_width, high: centre + half_width }
    }

    /// Half of its width: the number behind a "±".
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether `value` lies within, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of a sample, `sqrt(sum (x - mean)^2 / (n - 1))`; `None` for fewer than two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    let centre = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|x| (x - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The quantile of Student's t with `degrees_of_freedom` that leaves `(1 - confidence) / 2` above it.
pub fn t_quantile(confidence: f64, degrees_of_freedom: usize) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).ok()?;
    (0.0 < confidence && confidence < 1.0).then(|| student.inverse_cdf(0.5 + confidence / 2.0))
}

/// Student's interval for a mean, `mean ± t(n - 1) sd / sqrt(n)`; `None` for fewer than two values, since one
/// value says nothing of the spread.
///
/// ```
/// let interval = decouple_reporting::statistics::t_interval(&[1.0, 2.0, 3.0], 0.95).unwrap();
/// assert!((interval.half_width() - 2.484_137_7).abs() < 1e-6);
/// ```
pub fn t_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let spread = sd(values)?;
    let t = t_quantile(confidence, values.len() - 1)?;
    Some(Interval::around(mean(values)?, t * spread / (values.len() as f64).sqrt()))
}

/// The difference `a - b` of two points over the seeds that both finished.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifference {
    /// Seeds that both points finished.
    pub pairs: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Standard deviation of the differences; `None` for one pair.
    pub sd: Option<f64>,
    /// Student's interval of the mean difference with `pairs - 1` degrees of freedom.
    pub interval: Option<Interval>,
    /// Pearson's correlation of the two points over the seeds: what pairing bought. The variance of a
    /// difference is `var a + var b - 2 correlation sd a sd b`, so at 0 pairing was worth nothing.
    /// `None` where one of the two does not vary.
    pub correlation: Option<f64>,
}

/// Compares two rows of a [`Table`] seed by seed; `None` where they share no finished seed.
pub fn paired_difference(a: &[Option<f64>], b: &[Option<f64>], confidence: f64) -> Option<PairedDifference> {
    let (left, right): (Vec<f64>, Vec<f64>) = a.iter().zip(b).filter_map(|(a, b)| a.zip(*b)).unzip();
    let differences: Vec<f64> = left.iter().zip(&right).map(|(a, b)| a - b).collect();
    Some(PairedDifference {
        pairs: differences.len(),
        mean: mean(&differences)?,
        sd: sd(&differences),
        interval: t_interval(&differences, confidence),
        correlation: correlation(&left, &right),
    })
}

/// Pearson's correlation, `cov(a, b) / (sd a sd b)`.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let scale = sd(a)? * sd(b)? * (a.len() - 1) as f64;
    let products: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    (scale > 0.0).then(|| (products / scale).clamp(-1.0, 1.0))
}

/// What is left of a table once points and seeds have each taken their part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// Standard deviation of one value about `point + seed`.
    pub sd: f64,
    /// Degrees of freedom that `sd` rests on; `(points - 1) (seeds - 1)` for a full table.
    pub degrees_of_freedom: usize,
}

impl Residual {
    /// Standard deviation of the difference of two points on one seed, pooled over all points: `sqrt(2) sd`.
    pub fn paired_sd(&self) -> f64 {
        std::f64::consts::SQRT_2 * self.sd
    }

    /// Interval of the mean difference of two points over `pairs` common seeds, with the pooled spread:
    /// `difference ± t(df) sqrt(2) sd / sqrt(pairs)`.
    pub fn interval(&self, difference: f64, pairs: usize, confidence: f64) -> Option<Interval> {
        let t = t_quantile(confidence, self.degrees_of_freedom).filter(|_| pairs > 0)?;
        Some(Interval::around(difference, t * self.paired_sd() / (pairs as f64).sqrt()))
    }
}

/// Fits `value = point + seed` by least squares and returns the spread about it, `sqrt(RSS / df)`.
///
/// The table may have gaps: then `df = values - points - seeds + components`, where components counts the
/// parts of the table that share no seed. `None` where no degree of freedom is left. For two points this is
/// the spread of the plain paired comparison; for more it assumes that the points scatter alike, which few
/// seeds could neither show nor refute, and repays it with many more degrees of freedom.
pub fn additive_residual(table: &Table) -> Option<Residual> {
    let cells: Vec<Cell> = cells(table).collect();
    let seeds = table.iter().map(Vec::len).max()?;
    let (mut point_effect, mut seed_effect) = (vec![0.0; table.len()], vec![0.0; seeds]);
    // Each half-step solves exactly for one set of effects. Without gaps the first round ends it; with gaps
    // the steps shrink geometrically.
    for _ in 0..1000 {
        refit(&mut point_effect, cells.iter().map(|c| (c.point, c.value - seed_effect[c.seed])));
        let step = refit(&mut seed_effect, cells.iter().map(|c| (c.seed, c.value - point_effect[c.point])));
        if step < 1e-14 {
            break;
        }
    }
    let squares: f64 =
        cells.iter().map(|c| (c.value - point_effect[c.point] - seed_effect[c.seed]).powi(2)).sum();
    let degrees_of_freedom = cells.len() - rank(&cells, table.len(), seeds);
    (degrees_of_freedom > 0)
        .then(|| Residual { sd: (squares / degrees_of_freedom as f64).sqrt(), degrees_of_freedom })
}

/// One finished run in a table.
struct Cell {
    point: usize,
    seed: usize,
    value: f64,
}

fn cells(table: &Table) -> impl Iterator<Item = Cell> + '_ {
    table.iter().enumerate().flat_map(|(point, row)| {
        row.iter().enumerate().filter_map(move |(seed, value)| value.map(|value| Cell { point, seed, value }))
    })
}

/// Sets each effect to the mean of its remainders and returns the largest change.
fn refit(effects: &mut [f64], remainders: impl Iterator<Item = (usize, f64)>) -> f64 {
    let mut sums = vec![(0.0, 0.0); effects.len()];
    for (index, remainder) in remainders {
        sums[index].0 += remainder;
        sums[index].1 += 1.0;
    }
    let mut largest: f64 = 0.0;
    for (effect, (sum, count)) in effects.iter_mut().zip(sums).filter(|(_, (_, count))| *count > 0.0) {
        largest = largest.max((sum / count - *effect).abs());
        *effect = sum / count;
    }
    largest
}

/// Rank of the additive model's design: points and seeds that occur, less one for each connected part.
fn rank(cells: &[Cell], points: usize, seeds: usize) -> usize {
    // Every point and seed starts as its own part, and each cell joins two; labels only ever fall.
    let mut part: Vec<usize> = (0..points + seeds).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for cell in cells {
            let (a, b) = (part[cell.point], part[points + cell.seed]);
            changed |= a != b;
            part[cell.point] = a.min(b);
            part[points + cell.seed] = a.min(b);
        }
    }
    let mut occurs = vec![false; points + seeds];
    for cell in cells {
        occurs[cell.point] = true;
        occurs[points + cell.seed] = true;
    }
    let nodes = occurs.iter().filter(|occurs| **occurs).count();
    let parts = (0..points + seeds).filter(|&node| occurs[node] && part[node] == node).count();
    nodes - parts
}

/// Resamples drawn where all of them are too many to count.
const RESAMPLES: usize = 10_000;

/// Probability that each point is the best of all, by bootstrap over seeds.
///
/// A resample draws as many seeds as there are, with replacement, and takes them **for all points at once**,
/// so that what a seed does to every point cancels. The point with the highest mean wins; a tie is shared.
/// Up to 8 seeds all distinct resamples are counted with their multinomial weight, which is exact; beyond,
/// 10,000 are drawn from a fixed stream, so the result is a function of the table alone. A point takes the
/// mean over those of the drawn seeds that it finished.
///
/// With `n` seeds the resampled means scatter by `sqrt((n - 1) / n)` of what they should, so that at 3 seeds
/// the probabilities are too sure of themselves; they order the points and are no test.
/// (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", chapter 6.)
///
/// `None` for fewer than two seeds or no value at all. Cost: resamples x points x seeds.
pub fn probability_best(table: &Table) -> Option<Vec<f64>> {
    let seeds = table.iter().map(Vec::len).max().filter(|&seeds| seeds > 1)?;
    cells(table).next()?;
    let mut wins = vec![0.0; table.len()];
    if seeds <= 8 {
        each_resample(seeds, &mut |counts, weight| share_win(table, counts, weight, &mut wins));
    } else {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for _ in 0..RESAMPLES {
            let mut counts = vec![0; seeds];
            for _ in 0..seeds {
                // The high half of a product is uniform up to 2^-32 of a seed.
                counts[(u64::from(random.next_u32()) * seeds as u64 >> 32) as usize] += 1;
            }
            share_win(table, &counts, 1.0, &mut wins);
        }
    }
    let total: f64 = wins.iter().sum();
    (total > 0.0).then(|| wins.iter().map(|win| win / total).collect())
}

/// Calls `visit` with every way to draw `seeds` of `seeds` (how often each is drawn) and its weight
/// `n! / (c_1! .. c_n!)`.
fn each_resample(seeds: usize, visit: &mut impl FnMut(&[usize], f64)) {
    fn fill(
        counts: &mut Vec<usize>,
        seeds: usize,
        left: usize,
        weight: f64,
        visit: &mut impl FnMut(&[usize], f64),
    ) {
        if counts.len() + 1 == seeds {
            counts.push(left);
            visit(counts, weight / factorial(left));
            counts.pop();
            return;
        }
        for count in 0..=left {
            counts.push(count);
            fill(counts, seeds, left - count, weight / factorial(count), visit);
            counts.pop();
        }
    }
    fill(&mut Vec::with_capacity(seeds), seeds, seeds, factorial(seeds), visit);
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

/// Adds `weight` to the point with the highest mean over the drawn seeds, or its share of it on a tie.
fn share_win(table: &Table, counts: &[usize], weight: f64, wins: &mut [f64]) {
    let means: Vec<f64> = table
        .iter()
        .map(|row| {
            let drawn = row.iter().zip(counts).filter_map(|(value, &count)| Some(((*value)?, count as f64)));
            let (sum, n) =
                drawn.fold((0.0, 0.0), |(sum, n), (value, count)| (sum + count * value, n + count));
            if n > 0.0 { sum / n } else { f64::NEG_INFINITY }
        })
        .collect();
    let highest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return;
    }
    // Equal counts of correct images may differ in the last bits of their means.
    let winners: Vec<usize> = (0..means.len()).filter(|&i| means[i] > highest - 1e-12).collect();
    for &winner in &winners {
        wins[winner] += weight / winners.len() as f64;
    }
}

/// Power of a two-sided test of a mean difference: the chance that it is told from zero.
///
/// The test statistic is noncentral t: `P(|Z + shift| > t W)` with `Z` standard normal, `W^2` chi-squared
/// over its degrees of freedom and `t` the quantile at `confidence`. Integrated over `W` by the midpoint
/// rule. `shift` is `difference / (sd of differences) * sqrt(pairs)`.
pub fn power(shift: f64, degrees_of_freedom: usize, confidence: f64) -> Option<f64> {
    const STEPS: usize = 2000;
    let t = t_quantile(confidence, degrees_of_freedom)?;
    let nu = degrees_of_freedom as f64;
    let log_scale = 2f64.ln() + nu / 2.0 * (nu / 2.0).ln() - ln_gamma(nu / 2.0);
    let step = (1.0 + 8.0 / nu.sqrt()) / STEPS as f64;
    let normal = Normal::standard();
    let integral: f64 = (0..STEPS)
        .map(|i| {
            let w = (i as f64 + 0.5) * step;
            let density = (log_scale + (nu - 1.0) * w.ln() - nu * w * w / 2.0).exp();
            density * (normal.cdf(shift - t * w) + normal.cdf(-shift - t * w))
        })
        .sum();
    Some((integral * step).min(1.0))
}

/// The smallest true difference that `pairs` seeds tell from zero with 80 % power.
///
/// Solves [`power`] for the difference by bisection, with `residual.paired_sd()` taken as the true spread of
/// one difference. It is an estimate itself, so the result is as rough as that spread is. `confidence` is
/// that of the comparison, corrected for the number of comparisons where there are several.
pub fn detectable_difference(residual: Residual, pairs: usize, confidence: f64) -> Option<f64> {
    const POWER: f64 = 0.8;
    let reached = |shift| power(shift, residual.degrees_of_freedom, confidence);
    let (mut low, mut high) = (0.0, 1.0);
    while reached(high)? < POWER {
        (low, high) = (high, 2.0 * high);
        if high > 1e6 {
            return None;
        }
    }
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if reached(middle)? < POWER { low = middle } else { high = middle }
    }
    (pairs > 0).then(|| high * residual.paired_sd() / (pairs as f64).sqrt())
}
