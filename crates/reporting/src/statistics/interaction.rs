//! Whether the effect of one axis depends on another.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::Estimate;

/// A test of a two-way interaction whose cells may have different spreads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InteractionTest {
    /// The statistic.
    pub f: f64,
    /// Its degrees of freedom, estimated: at most `(a - 1) (b - 1)` for `a` by `b` cells.
    pub numerator_df: f64,
    /// Those of the spread, estimated.
    pub denominator_df: f64,
    /// The probability of such an `f` if the effects are additive.
    pub p: f64,
}

/// Tests whether the effects of two axes are additive; `cells[i][j]` is the estimate at the `i`-th of `a`
/// values of one axis and the `j`-th of `b` of the other.
///
/// The ANOVA-type statistic of Brunner, Dette and Munk (Journal of the American Statistical Association 92,
/// 1997), in which every cell has its own spread: with the projection `T = P_a x P_b` on interactions (`P_a =
/// I - J/a`), the means `y`, the squared errors `S = diag(s^2/n)` and the common diagonal element `t` of `T`,
/// `F = y' T y / (t tr S)` has `(t tr S)^2 / tr(T S T S)` and `(tr S)^2 / sum(s_k^2/n_k)^2 / (n_k - 1)`
/// degrees of freedom. For cells of equal size and spread it is approximately the F test of an analysis of
/// variance. Of two, three and four seeds it errs at 5 % in about 12, 9 and 8 % of experiments where one of 6 by 3 cells
/// has ten times the spread of the others. `None` for an axis of one value, or where a cell has no estimate.
pub fn interaction_test(cells: &[Vec<Option<Estimate>>]) -> Option<InteractionTest> {
    let (a, b) = (cells.len(), cells.first()?.len());
    if a < 2 || b < 2 || cells.iter().any(|row| row.len() != b) {
        return None;
    }
    let cells: Vec<Estimate> = cells.iter().flatten().copied().collect::<Option<_>>()?;
    let errors: Vec<f64> = cells.iter().map(|cell| cell.standard_error.powi(2)).collect();
    let element = |i: usize, j: usize, size: usize| f64::from(u8::from(i == j)) - 1.0 / size as f64;
    let projection = |k: usize, l: usize| element(k / b, l / b, a) * element(k % b, l % b, b);
    let total: f64 = errors.iter().sum();
    let scale = projection(0, 0) * total;
    let places = || (0..cells.len()).flat_map(|k| (0..cells.len()).map(move |l| (k, l)));
    let square: f64 =
        places().map(|(k, l)| cells[k].value * projection(k, l) * cells[l].value).sum::<f64>().max(0.0);
    let twice: f64 = places().map(|(k, l)| projection(k, l).powi(2) * errors[k] * errors[l]).sum();
    let weighted: f64 =
        errors.iter().zip(&cells).map(|(error, cell)| error * error / cell.degrees_of_freedom).sum();
    let (f, numerator_df, denominator_df) = (square / scale, scale * scale / twice, total * total / weighted);
    let p = FisherSnedecor::new(numerator_df, denominator_df).ok()?.sf(f);
    (!p.is_nan()).then_some(InteractionTest { f, numerator_df, denominator_df, p })
}
