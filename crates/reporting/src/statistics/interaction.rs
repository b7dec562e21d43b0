//! Whether the effect of one axis depends on another.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::{additive_residual, mean};

/// F test of a two-way interaction with seeds as blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InteractionTest {
    /// Mean square of the interaction over that of the residual.
    pub f: f64,
    /// `(a - 1) (b - 1)` for `a` by `b` points.
    pub numerator_df: usize,
    /// `(a b - 1) (seeds - 1)`.
    pub denominator_df: usize,
    /// The chance of such an `f` where the effects only add up.
    pub p: f64,
    /// Seeds that all points finished; the others are left out.
    pub seeds: usize,
}

/// Tests whether the effects of two axes add up.
///
/// `cells[i][j][seed]` is the value at the `i`-th of `a` values of one axis and the `j`-th of `b` of the other.
/// The sum of squares is `seeds * sum (m_ij - m_i - m_j + m)^2` over the cell means, tested against the spread
/// that [`additive_residual`] leaves (D. C. Montgomery, "Design and Analysis of Experiments", section 5.6).
///
/// `None` for an axis of one value, or where fewer than two seeds finished all points.
pub fn interaction_test(cells: &[Vec<Vec<Option<f64>>>]) -> Option<InteractionTest> {
    let (a, b) = (cells.len(), cells.first()?.len());
    if a < 2 || b < 2 || cells.iter().any(|row| row.len() != b) {
        return None;
    }
    let table: Vec<Vec<Option<f64>>> = complete_seeds(cells);
    let seeds = table.first()?.len();
    let residual = additive_residual(&table).filter(|_| seeds > 1)?;
    let means: Vec<f64> =
        table.iter().filter_map(|row| mean(&row.iter().copied().flatten().collect::<Vec<_>>())).collect();
    let whole = mean(&means)?;
    let row = |i: usize| means[i * b..(i + 1) * b].iter().sum::<f64>() / b as f64;
    let column = |j: usize| (0..a).map(|i| means[i * b + j]).sum::<f64>() / a as f64;
    let (rows, columns): (Vec<f64>, Vec<f64>) = ((0..a).map(row).collect(), (0..b).map(column).collect());
    let squares: f64 = means
        .iter()
        .enumerate()
        .map(|(k, value)| (value - rows[k / b] - columns[k % b] + whole).powi(2))
        .sum();
    let numerator_df = (a - 1) * (b - 1);
    let f = seeds as f64 * squares / numerator_df as f64 / residual.sd.powi(2);
    let denominator_df = residual.degrees_of_freedom;
    let distribution = FisherSnedecor::new(numerator_df as f64, denominator_df as f64).ok()?;
    let p = if f.is_finite() { distribution.sf(f) } else { f64::NAN };
    (!p.is_nan()).then_some(InteractionTest { f, numerator_df, denominator_df, p, seeds })
}

/// One row a point, with the seeds that all points finished.
fn complete_seeds(cells: &[Vec<Vec<Option<f64>>>]) -> Vec<Vec<Option<f64>>> {
    let points: Vec<&Vec<Option<f64>>> = cells.iter().flatten().collect();
    let seeds = points.iter().map(|row| row.len()).min().unwrap_or(0);
    let complete: Vec<usize> =
        (0..seeds).filter(|&seed| points.iter().all(|row| row[seed].is_some())).collect();
    points.iter().map(|row| complete.iter().map(|&seed| row[seed]).collect()).collect()
}
