//! Seeds as blocks: what is left once points and seeds have each taken their part.

use super::{Interval, Table, t_quantile};

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

    /// Standard error of a weighted sum of points over `seeds` common seeds, `sd sqrt(sum w^2 / seeds)`. The
    /// weights add up to zero, so that what a seed does to all points cancels: `[1, -1]` for a difference.
    pub fn standard_error(&self, weights: &[f64], seeds: usize) -> f64 {
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        self.sd * (squares / seeds as f64).sqrt()
    }

    /// Interval of the mean difference of two points over `pairs` common seeds, with the pooled spread:
    /// `difference ± t(df) sqrt(2) sd / sqrt(pairs)`.
    pub fn interval(&self, difference: f64, pairs: usize, confidence: f64) -> Option<Interval> {
        let t = t_quantile(confidence, self.degrees_of_freedom).filter(|_| pairs > 0)?;
        Some(Interval::around(difference, t * self.standard_error(&[1.0, -1.0], pairs)))
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
pub(super) struct Cell {
    pub(super) point: usize,
    pub(super) seed: usize,
    pub(super) value: f64,
}

pub(super) fn cells(table: &Table) -> impl Iterator<Item = Cell> + '_ {
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
