//! A smooth curve through the means of points, whose shape may change with other quantities, with its
//! uncertainty: a band, and an interval of its best point.

use super::Interval;
use super::matrix::{Matrix, cholesky, column, dot, log_determinant, solve};
use super::random::Draws;

/// A mean that the curve is fitted to.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Place on the curve.
    pub x: f64,
    /// What the shape may change with, such as log parameters; equally many in all observations.
    pub shape: Vec<f64>,
    /// The mean.
    pub y: f64,
    /// Its squared standard error.
    pub squared_error: f64,
}

/// A fitted curve `y = a_z + f_0(x) + sum z_k f_k(x)`: each shape z that was observed has a level a of its own, since
/// accuracy levels off with size and length, and only the form changes linearly with z.
#[derive(Clone, Debug)]
pub struct SmoothCurve {
    observations: Vec<Observation>,
    /// Start and length of the range of x: curves are fitted on 0 to 1.
    range: (f64, f64),
    /// The different shapes of the observations.
    shapes: Vec<Vec<f64>>,
    /// Means of the shape quantities, which are centred.
    centres: Vec<f64>,
    /// The smoothness of each `f_k`: the variance of the noise of its second derivative.
    bend: Vec<f64>,
    factor: Matrix,
    design: Matrix,
    information: Matrix,
    coefficients: Vec<f64>,
    weights: Vec<f64>,
    freedom: f64,
}

/// The posterior of the best place of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestPlace {
    /// 95 % of the curves that the data allow are best in it.
    pub interval: Interval,
    /// The share of curves that are best at an end: if large, the best place may lie beyond.
    pub at_an_end: f64,
}

/// Places on which curves are drawn and compared.
const GRID: usize = 61;
/// Curves drawn from the posterior.
const CURVES: usize = 2000;
/// The bend is searched between these, as logarithms relative to the scatter of the means.
const BENDS: (f64, f64) = (-16.0, 12.0);

impl SmoothCurve {
    /// Fits a curve; `freedom` are the degrees of freedom of the standard errors together.
    ///
    /// Each `f_k` is a straight line plus a once integrated Wiener process, whose posterior mean is the cubic
    /// smoothing spline (G. Wahba, Journal of the Royal Statistical Society B 40, 1978); its smoothness is
    /// found by restricted maximum likelihood. `None` for fewer than four different places, no more
    /// observations than levels and slopes, or standard errors that are not above zero.
    pub fn fit(observations: &[Observation], freedom: f64) -> Option<Self> {
        let xs = || observations.iter().map(|observation| observation.x);
        let (low, high) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
        let mut places: Vec<f64> = xs().collect();
        places.sort_by(f64::total_cmp);
        places.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        let quantities = observations.first()?.shape.len();
        let is_sound = |o: &Observation| {
            o.shape.len() == quantities
                && o.squared_error > 0.0
                && o.squared_error.is_finite()
                && o.y.is_finite()
        };
        let mut shapes: Vec<Vec<f64>> = Vec::new();
        for observation in observations {
            if !shapes.contains(&observation.shape) {
                shapes.push(observation.shape.clone());
            }
        }
        let coefficients = shapes.len() + 1 + quantities;
        if places.len() < 4 || observations.len() <= coefficients || !observations.iter().all(is_sound) {
            return None;
        }
        let n = observations.len() as f64;
        let centre = |k: usize| observations.iter().map(|o| o.shape[k]).sum::<f64>() / n;
        let mean = observations.iter().map(|o| o.y).sum::<f64>() / n;
        let scatter = observations.iter().map(|o| (o.y - mean).powi(2)).sum::<f64>() / n;
        let mut curve = Self {
            observations: observations.to_vec(),
            range: (low, high - low),
            shapes,
            centres: (0..quantities).map(centre).collect(),
            bend: vec![scatter.max(1e-300); quantities + 1],
            factor: Vec::new(),
            design: Vec::new(),
            information: Vec::new(),
            coefficients: Vec::new(),
            weights: Vec::new(),
            freedom,
        };
        curve.design = observations.iter().map(|o| curve.lines(o.x, &o.shape)).collect();
        // One after the other, twice: they hardly depend on each other.
        for _ in 0..if quantities == 0 { 1 } else { 2 } {
            for k in 0..=quantities {
                curve.bend[k] = scatter.max(1e-300) * curve.best_bend(k, scatter).exp();
            }
        }
        curve.solve()?;
        Some(curve)
    }

    /// The restricted log-likelihood at the present bends, up to a constant; larger is better.
    pub fn log_likelihood(&self) -> Option<f64> {
        let mut copy = self.clone();
        copy.solve()
    }

    /// How much each part may bend.
    pub fn bends(&self) -> &[f64] {
        &self.bend
    }

    /// The same data at given bends.
    pub fn with_bends(&self, bends: &[f64]) -> Option<Self> {
        let mut curve = Self { bend: bends.to_vec(), ..self.clone() };
        curve.solve()?;
        Some(curve)
    }

    /// The logarithm of the `k`-th bend, relative to `scatter`, that is most likely with the others as they are.
    fn best_bend(&self, k: usize, scatter: f64) -> f64 {
        let at = |log: f64| {
            let mut curve = self.clone();
            curve.bend[k] = scatter.max(1e-300) * log.exp();
            curve.solve().unwrap_or(f64::NEG_INFINITY)
        };
        let steps = 28;
        let step = (BENDS.1 - BENDS.0) / steps as f64;
        let coarse = (0..=steps).map(|i| BENDS.0 + i as f64 * step);
        let start = coarse.max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap_or(0.0);
        // Golden section about the best of a coarse search.
        let golden = (5f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = (start - step, start + step);
        while high - low > 1e-4 {
            let (left, right) = (high - golden * (high - low), low + golden * (high - low));
            if at(left) > at(right) { high = right } else { low = left }
        }
        (low + high) / 2.0
    }

    /// Straight lines at a place: the level of each shape, x, and x times each shape quantity. A shape that was not
    /// observed is at the mean level.
    fn lines(&self, x: f64, shape: &[f64]) -> Vec<f64> {
        let place = (x - self.range.0) / self.range.1;
        let own = self.shapes.iter().position(|other| other == shape);
        let level = |k| own.map_or(1.0 / self.shapes.len() as f64, |own| f64::from(u8::from(own == k)));
        let centred = shape.iter().zip(&self.centres).map(|(value, centre)| place * (value - centre));
        (0..self.shapes.len()).map(level).chain([place]).chain(centred).collect()
    }

    /// Covariance of the bent parts at two places.
    fn covariance(&self, a: (f64, &[f64]), b: (f64, &[f64])) -> f64 {
        let place = |x: f64| (x - self.range.0) / self.range.1;
        let (s, t) = (place(a.0).min(place(b.0)), place(a.0).max(place(b.0)));
        let wiener = s * s * (3.0 * t - s) / 6.0;
        let centred = |shape: &[f64], k: usize| shape[k] - self.centres[k];
        let of_shape = |k: usize| self.bend[k + 1] * centred(a.1, k) * centred(b.1, k);
        wiener * (self.bend[0] + (0..a.1.len()).map(of_shape).sum::<f64>())
    }

    /// Solves for the lines and the weights of the bent parts; returns the restricted log-likelihood.
    fn solve(&mut self) -> Option<f64> {
        let o = &self.observations;
        let entry = |i: usize, j: usize| {
            let error = if i == j { o[i].squared_error } else { 0.0 };
            error + self.covariance((o[i].x, &o[i].shape), (o[j].x, &o[j].shape))
        };
        let covariance: Matrix = (0..o.len()).map(|i| (0..o.len()).map(|j| entry(i, j)).collect()).collect();
        let factor = cholesky(&covariance)?;
        let columns: Vec<Vec<f64>> = (0..self.design[0].len()).map(|k| column(&self.design, k)).collect();
        let solved: Vec<Vec<f64>> = columns.iter().map(|column| solve(&factor, column)).collect();
        let normal: Matrix = columns.iter().map(|a| solved.iter().map(|b| dot(a, b)).collect()).collect();
        let information = cholesky(&normal)?;
        let y: Vec<f64> = o.iter().map(|observation| observation.y).collect();
        let right: Vec<f64> = solved.iter().map(|column| dot(column, &y)).collect();
        let coefficients = solve(&information, &right);
        let rest: Vec<f64> = self.design.iter().zip(&y).map(|(row, y)| y - dot(row, &coefficients)).collect();
        let weights = solve(&factor, &rest);
        let fit = dot(&rest, &weights);
        let likelihood = -0.5 * (log_determinant(&factor) + log_determinant(&information) + fit);
        (self.factor, self.information) = (factor, information);
        (self.coefficients, self.weights) = (coefficients, weights);
        Some(likelihood)
    }

    /// Posterior mean at a place.
    pub fn mean(&self, x: f64, shape: &[f64]) -> f64 {
        dot(&self.lines(x, shape), &self.coefficients) + dot(&self.reach(x, shape), &self.weights)
    }

    /// Covariance of the bent part at a place with each observation.
    fn reach(&self, x: f64, shape: &[f64]) -> Vec<f64> {
        self.observations.iter().map(|o| self.covariance((x, shape), (o.x, &o.shape))).collect()
    }

    /// Posterior covariance of the curve between places.
    fn posterior(&self, places: &[(f64, &[f64])]) -> Matrix {
        let reach: Vec<Vec<f64>> = places.iter().map(|(x, shape)| self.reach(*x, shape)).collect();
        let solved: Vec<Vec<f64>> = reach.iter().map(|reach| solve(&self.factor, reach)).collect();
        // The uncertainty of the straight lines given the observations.
        let lines: Vec<Vec<f64>> = places
            .iter()
            .zip(&solved)
            .map(|((x, shape), solved)| {
                let own = self.lines(*x, shape);
                (0..own.len()).map(|k| own[k] - dot(solved, &column(&self.design, k))).collect()
            })
            .collect();
        let open: Vec<Vec<f64>> = lines.iter().map(|line| solve(&self.information, line)).collect();
        let entry = |i: usize, j: usize| {
            self.covariance(places[i], places[j]) - dot(&reach[i], &solved[j]) + dot(&lines[i], &open[j])
        };
        (0..places.len()).map(|i| (0..places.len()).map(|j| entry(i, j)).collect()).collect()
    }

    /// Standard deviation of the posterior at a place.
    pub fn sd(&self, x: f64, shape: &[f64]) -> f64 {
        self.posterior(&[(x, shape)])[0][0].max(0.0).sqrt()
    }

    /// From the least place of an observation to the largest.
    pub fn range(&self) -> Interval {
        Interval { low: self.range.0, high: self.range.0 + self.range.1 }
    }

    /// The 95 % band at a place: Student's t with the degrees of freedom of the standard errors.
    pub fn band(&self, x: f64, shape: &[f64]) -> Option<Interval> {
        let t = super::t_quantile(0.95, self.freedom)?;
        Some(Interval::around(self.mean(x, shape), t * self.sd(x, shape)))
    }

    /// Indices of the best place of `grid` in each drawn curve, for several shapes at once: a row a curve.
    fn drawn_bests(&self, shapes: &[Vec<f64>], grid: &[f64]) -> Option<Vec<Vec<usize>>> {
        let places: Vec<(f64, &[f64])> =
            shapes.iter().flat_map(|shape| grid.iter().map(|x| (*x, shape.as_slice()))).collect();
        let mut covariance = self.posterior(&places);
        let largest = (0..places.len()).map(|i| covariance[i][i]).fold(0.0, f64::max);
        (0..places.len()).for_each(|i| covariance[i][i] += 1e-8 * largest + 1e-300);
        let factor = cholesky(&covariance)?;
        let means: Vec<f64> = places.iter().map(|(x, shape)| self.mean(*x, shape)).collect();
        let mut random = Draws::new(2);
        let curve = |random: &mut Draws| -> Vec<usize> {
            let normal: Vec<f64> = places.iter().map(|_| random.normal()).collect();
            let wide = (self.freedom / random.chi_squared(self.freedom)).sqrt();
            let value = |i: usize| means[i] + wide * dot(&factor[i][..=i], &normal[..=i]);
            let best = |start: usize| {
                let all = (0..GRID).map(|i| (i, value(start + i)));
                all.fold((0, f64::NEG_INFINITY), |best, (i, y)| if y > best.1 { (i, y) } else { best }).0
            };
            (0..shapes.len()).map(|k| best(k * GRID)).collect()
        };
        Some((0..CURVES).map(|_| curve(&mut random)).collect())
    }

    /// Where `within` a range the curve of a shape is highest.
    pub fn best(&self, shape: &[f64], within: Interval) -> Option<BestPlace> {
        let grid = grid(within);
        let bests = self.drawn_bests(&[shape.to_vec()], &grid)?;
        let bests: Vec<usize> = bests.into_iter().map(|row| row[0]).collect();
        let at_end = bests.iter().filter(|best| **best == 0 || **best == GRID - 1).count();
        let mut places: Vec<f64> = bests.iter().map(|best| grid[*best]).collect();
        let (_, interval) = middle(&mut places);
        Some(BestPlace { interval, at_an_end: at_end as f64 / CURVES as f64 })
    }

    /// By how much the best place `within` a range moves from one shape to another: the median over drawn curves and
    /// 95 % of them.
    pub fn shift(&self, from: &[f64], to: &[f64], within: Interval) -> Option<(f64, Interval)> {
        let grid = grid(within);
        let bests = self.drawn_bests(&[from.to_vec(), to.to_vec()], &grid)?;
        let mut shifts: Vec<f64> = bests.iter().map(|row| grid[row[1]] - grid[row[0]]).collect();
        Some(middle(&mut shifts))
    }
}

/// The places at which curves are drawn and compared.
pub fn grid(within: Interval) -> Vec<f64> {
    let length = within.high - within.low;
    (0..GRID).map(|i| within.low + length * i as f64 / (GRID - 1) as f64).collect()
}

/// Median and central 95 % of drawn values.
pub(super) fn middle(values: &mut [f64]) -> (f64, Interval) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.5), Interval { low: at(0.025), high: at(0.975) })
}
