//! Summarises the tries of a recipe: a quadratic surface, and the expected best of a number of tries.

use super::matrix::{Matrix, cholesky, dot, solve};
use super::{Interval, t_quantile};

/// The minimum, within the tried range, of a quadratic surface over two quantities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimum {
    /// The lowest point of the surface lies within the range.
    Inside {
        /// That point.
        place: [f64; 2],
        /// The 95 % interval of each quantity there; `None` where one would be wider than twice what was tried, or the
        /// tries have no spread to tell it from.
        intervals: Option<[Interval; 2]>,
    },
    /// The minimum lies at an edge of the range.
    AtEdge {
        /// The minimum.
        place: [f64; 2],
        /// Whether the surface has a lowest point, beyond the edge.
        has_lowest: bool,
    },
}

impl Optimum {
    /// The minimum.
    pub fn place(&self) -> [f64; 2] {
        let (Self::Inside { place, .. } | Self::AtEdge { place, .. }) = self;
        *place
    }
}

/// The minimum of the surface `b0 + b1 x + b2 y + b3 x^2 + b4 y^2 + b5 x y` fitted by least squares, about the centre of
/// the range; `None` for fewer than seven tries, or tries that do not determine its six coefficients.
///
/// Intervals are by the delta method: those of a point that depends on the coefficients, whose errors follow Student's t
/// with as many degrees of freedom as there are tries beyond six.
pub fn quadratic_surface(tries: &[([f64; 2], f64)]) -> Option<Optimum> {
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
    let coefficients: [f64; 6] = solve(&factor, &right).try_into().ok()?;
    let [_, x, y, xx, yy, xy] = coefficients;
    let determinant = 4.0 * xx * yy - xy * xy;
    let has_lowest = xx > 0.0 && determinant > 0.0;
    // Where both slopes are zero: `2 xx p + xy q = a`, `xy p + 2 yy q = b`.
    let flat =
        |a: f64, b: f64| [(2.0 * yy * a - xy * b) / determinant, (2.0 * xx * b - xy * a) / determinant];
    let [p, q] = flat(-x, -y);
    let place = [middle[0] + p, middle[1] + q];
    if has_lowest && (0..2).all(|k| low[k] < place[k] && place[k] < high[k]) {
        // How it moves with each coefficient.
        let moves = [[0.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [-2.0 * p, 0.0], [0.0, -2.0 * q], [-q, -p]]
            .map(|[a, b]| flat(a, b));
        let left_over = |(row, (_, value)): (&[f64; 6], &([f64; 2], f64))| value - dot(row, &coefficients);
        let squares: f64 = rows.iter().zip(tries).map(left_over).map(|rest| rest * rest).sum();
        let degrees = (tries.len() - 6) as f64;
        let interval = |k: usize| {
            let slope = moves.map(|moved| moved[k]);
            let variance = dot(&slope, &solve(&factor, &slope)) * squares / degrees;
            let margin = t_quantile(0.95, degrees)? * variance.sqrt();
            (0.0 < margin && margin <= high[k] - low[k]).then(|| Interval::around(place[k], margin))
        };
        return Some(Optimum::Inside { place, intervals: interval(0).zip(interval(1)).map(Into::into) });
    }
    // A surface without a lowest point within the range is least at an edge, as a grid tells.
    const STEPS: usize = 200;
    let place = |i: usize, k: usize| low[k] + (high[k] - low[k]) * i as f64 / STEPS as f64;
    let at = |i: usize, j: usize| dot(&terms(&[place(i, 0), place(j, 1)]), &coefficients);
    let all = (0..=STEPS).flat_map(|i| (0..=STEPS).map(move |j| (i, j)));
    let (i, j) = all.min_by(|a, b| at(a.0, a.1).total_cmp(&at(b.0, b.1)))?;
    Some(Optimum::AtEdge { place: [place(i, 0), place(j, 1)], has_lowest })
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
