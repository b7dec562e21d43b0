//! Summarises the tries of a recipe: a quadratic surface, and the expected best of a number of tries.

use super::matrix::{Matrix, cholesky, dot, solve};

/// A quadratic surface over two quantities: `b0 + b1 x + b2 y + b3 x^2 + b4 y^2 + b5 x y`, about the centre of the
/// tried range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuadraticSurface {
    /// Its minimum within the tried range.
    pub optimum: [f64; 2],
    /// Whether it has a minimum at all.
    pub has_lowest: bool,
    /// Whether its minimum within the tried range lies at an edge.
    pub is_at_edge: bool,
}

/// Fits a surface by least squares; `None` for fewer than seven tries, or tries that do not determine its six
/// coefficients.
pub fn quadratic_surface(tries: &[([f64; 2], f64)]) -> Option<QuadraticSurface> {
    if tries.len() < 7 {
        return None;
    }
    let end = |k: usize, pick: fn(f64, f64) -> f64| tries.iter().map(|(place, _)| place[k]).reduce(pick);
    let low = [end(0, f64::min)?, end(1, f64::min)?];
    let high = [end(0, f64::max)?, end(1, f64::max)?];
    let middle = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
    let terms = |place: &[f64; 2]| {
        let (x, y) = (place[0] - middle[0], place[1] - middle[1]);
        [1.0, x, y, x * x, y * y, x * y]
    };
    let rows: Vec<[f64; 6]> = tries.iter().map(|(place, _)| terms(place)).collect();
    let normal: Matrix =
        (0..6).map(|i| (0..6).map(|j| rows.iter().map(|row| row[i] * row[j]).sum()).collect()).collect();
    let right: Vec<f64> =
        (0..6).map(|i| rows.iter().zip(tries).map(|(row, (_, value))| row[i] * value).sum()).collect();
    // A direction that the tries do not span leaves a pivot of rounding errors.
    let factor =
        cholesky(&normal).filter(|factor| (0..6).all(|i| factor[i][i] > 1e-6 * normal[i][i].sqrt()))?;
    let solved = solve(&factor, &right);
    let coefficients: [f64; 6] = solved.try_into().ok()?;
    let [_, _, _, xx, yy, xy] = coefficients;
    let has_lowest = xx > 0.0 && 4.0 * xx * yy > xy * xy;
    // On a grid, so that edges need no special treatment.
    const STEPS: usize = 200;
    let place = |i: usize, k: usize| low[k] + (high[k] - low[k]) * i as f64 / STEPS as f64;
    let at = |i: usize, j: usize| dot(&terms(&[place(i, 0), place(j, 1)]), &coefficients);
    let all = (0..=STEPS).flat_map(|i| (0..=STEPS).map(move |j| (i, j)));
    let (i, j) = all.min_by(|a, b| at(a.0, a.1).total_cmp(&at(b.0, b.1)))?;
    let is_end = |i: usize| i == 0 || i == STEPS;
    Some(QuadraticSurface {
        optimum: [place(i, 0), place(j, 1)],
        has_lowest,
        is_at_edge: is_end(i) || is_end(j),
    })
}

/// The expected minimum of `n` of these values, drawn without replacement; `None` for more than there are.
///
/// The k-th lowest of N is the lowest of n with the chance `C(N - k, n - 1) / C(N, n)`, counted from 1 (J.
/// Dodge et al., "Show Your Work", EMNLP 2019, who draw with replacement).
pub fn expected_best(values: &[f64], n: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if n == 0 || n > sorted.len() {
        return None;
    }
    let choose = |n: usize, k: usize| -> f64 { (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product() };
    let all = choose(sorted.len(), n);
    let chance = |place: usize| {
        let left = sorted.len() - place - 1;
        if left + 1 >= n { choose(left, n - 1) / all } else { 0.0 }
    };
    Some(sorted.iter().enumerate().map(|(place, value)| value * chance(place)).sum())
}
