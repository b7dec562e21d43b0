//! How an error falls with size: `error = c + a P^-alpha`.

use super::Interval;
use super::random::Draws;
use super::smooth::middle;

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalingLaw {
    /// The error that remains at any size.
    pub floor: f64,
    /// The error above the floor at the smallest size.
    pub above: f64,
    /// How fast it falls.
    pub exponent: f64,
    /// 95 % interval of the exponent, from resampled means; an end that lies beyond the search is 0 or infinite.
    pub exponent_interval: Interval,
    /// 95 % interval of the floor.
    pub floor_interval: Interval,
}

/// The error of a network of some size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizedError {
    /// Parameters.
    pub size: f64,
    /// Mean error over seeds.
    pub mean: f64,
    /// Squared standard error of that mean.
    pub squared_error: f64,
}

/// Resampled laws behind an interval.
const RESAMPLES: usize = 400;
/// Range of the search for the exponent.
const EXPONENTS: (f64, f64) = (0.02, 3.0);

/// Fits `error = floor + above (P / P_least)^-exponent` by weighted least squares to errors at sizes `P`, whose
/// variances have `degrees_of_freedom`.
///
/// Given the exponent, the other two parameters are linear and may not be negative; the exponent is found by
/// search. The intervals come from laws fitted to means drawn from Student's t about the observed ones, each
/// with its own standard error. `None` for fewer than four different sizes, which three parameters would fit
/// trivially.
pub fn scaling_law(points: &[SizedError], degrees_of_freedom: f64) -> Option<ScalingLaw> {
    let mut sizes: Vec<f64> = points.iter().map(|point| point.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    if sizes.len() < 4 || sizes[0] <= 0.0 {
        return None;
    }
    let place = |size: f64| size / sizes[0];
    let data: Vec<(f64, f64, f64)> =
        points.iter().map(|point| (place(point.size), point.mean, 1.0 / point.squared_error)).collect();
    let (floor, above, exponent) = least_squares(&data);
    let mut random = Draws::new(3);
    let (mut floors, mut exponents): (Vec<f64>, Vec<f64>) = (0..RESAMPLES)
        .map(|index| {
            let mut moved = data.clone();
            for ((_, y, _), point) in moved.iter_mut().zip(points) {
                let chi_squared = random.chi_squared(degrees_of_freedom);
                let t = random.normal() / (chi_squared / degrees_of_freedom).sqrt();
                *y += t * point.squared_error.sqrt();
            }
            let (floor, above, exponent) = least_squares(&moved);
            // An error that does not fall has no exponent, so any.
            let any = if index % 2 == 0 { EXPONENTS.0 } else { EXPONENTS.1 };
            (floor, if above > 0.0 { exponent } else { any })
        })
        .unzip();
    let (_, floor_interval) = middle(&mut floors);
    let (_, found) = middle(&mut exponents);
    let exponent_interval = Interval {
        low: if found.low > EXPONENTS.0 * (1.0 + 1e-4) { found.low } else { 0.0 },
        high: if found.high < EXPONENTS.1 * (1.0 - 1e-4) { found.high } else { f64::INFINITY },
    };
    Some(ScalingLaw { floor, above, exponent, exponent_interval, floor_interval })
}

/// `(floor, above, exponent)` by weighted least squares.
fn least_squares(data: &[(f64, f64, f64)]) -> (f64, f64, f64) {
    let at = |exponent: f64| linear(data, exponent).2;
    let steps = 60;
    let ratio = (EXPONENTS.1 / EXPONENTS.0).ln() / steps as f64;
    let place = |i: f64| EXPONENTS.0 * (ratio * i).exp();
    let start = (0..=steps).min_by(|a, b| at(place(f64::from(*a))).total_cmp(&at(place(f64::from(*b)))));
    let start = f64::from(start.unwrap_or(0));
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = ((start - 1.0).max(0.0), (start + 1.0).min(f64::from(steps)));
    while high - low > 1e-7 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(place(left)) < at(place(right)) { high = right } else { low = left }
    }
    let exponent = place((low + high) / 2.0);
    let (floor, above, _) = linear(data, exponent);
    (floor, above, exponent)
}

/// `(floor, above, squares)` at an exponent, neither of the first two below zero.
fn linear(data: &[(f64, f64, f64)], exponent: f64) -> (f64, f64, f64) {
    let (mut w, mut wx, mut wxx, mut wy, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (size, y, weight) in data {
        let x = size.powf(-exponent);
        w += weight;
        wx += weight * x;
        wxx += weight * x * x;
        wy += weight * y;
        wxy += weight * x * y;
    }
    let determinant = w * wxx - wx * wx;
    let mut floor = (wxx * wy - wx * wxy) / determinant;
    let mut above = (w * wxy - wx * wy) / determinant;
    if floor < 0.0 || !floor.is_finite() {
        (floor, above) = (0.0, wxy / wxx);
    }
    if above < 0.0 {
        (floor, above) = (wy / w, 0.0);
    }
    let squares = data
        .iter()
        .map(|(size, y, weight)| weight * (y - floor - above * size.powf(-exponent)).powi(2))
        .sum();
    (floor, above, squares)
}
