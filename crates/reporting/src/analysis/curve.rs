//! The smooth curve over the logarithm of the group width: where it is highest, and whether that moves with the size
//! of the network and the length of training.

use super::{Coordinates, PointSummary, Study, grouped, spectrum_axis};
use crate::statistics::{
    BestPlace, Interval, Observation, Sample, ScalingLaw, SizedError, SmoothCurve, grid, pooled_variance,
    scaling_law,
};

/// Axes that a curve may change its shape with, on a logarithmic scale.
const SHAPES: [&str; 2] = ["network.size", "training.epochs"];

/// One curve for everything that differs in nothing but group width, size and length.
#[derive(Clone, Debug)]
pub struct SpectrumCurve {
    /// What its points share on all other axes.
    pub shared: Coordinates,
    /// The fitted curve, over the natural logarithm of channels per segment.
    pub curve: SmoothCurve,
    /// One line of it for each size and length.
    pub lines: Vec<SpectrumLine>,
    /// By how much the logarithm (base 2) of the best group width moves from the least to the largest value of each shape
    /// axis, the others at their mean, among the widths that both have. Axes in proportion to each other are one.
    pub shifts: Vec<(String, f64, Interval)>,
}

/// The curve at one size and length.
#[derive(Clone, Debug)]
pub struct SpectrumLine {
    /// Its size and length, as typed.
    pub at: Coordinates,
    /// The same as the curve takes them: natural logarithms.
    pub shape: Vec<f64>,
    /// Indices of its points.
    pub points: Vec<usize>,
    /// From their least group width to their largest, as natural logarithms: beyond them nothing is said.
    pub range: Interval,
    /// What is known of the best group width, as a natural logarithm.
    pub best: Option<BestPlace>,
    /// The best group width of the curve itself, as a natural logarithm.
    /// `None` if a width beyond those of the line has been tried, and its mean is not known well enough.
    pub highest: Option<f64>,
}

/// A law of error against size at one group width.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectrumScaling {
    /// The value on the axis of the spectrum.
    pub value: String,
    /// The law.
    pub law: ScalingLaw,
}

/// The curves of a study that varies the spectrum, one for each combination of its other axes.
pub(super) fn curves(study: &Study, points: &[PointSummary]) -> Vec<SpectrumCurve> {
    let Some(spectrum) = spectrum_axis(study) else { return Vec::new() };
    let is_shared =
        |(axis, _): &&(String, String)| *axis != spectrum.name && !SHAPES.contains(&axis.as_str());
    let groups = grouped(0..points.len(), |&index| -> Coordinates {
        points[index].point.iter().filter(is_shared).cloned().collect()
    });
    groups.into_iter().filter_map(|(shared, members)| curve(shared, &members, points)).collect()
}

fn curve(shared: Coordinates, members: &[usize], points: &[PointSummary]) -> Option<SpectrumCurve> {
    let known: Vec<usize> = members
        .iter()
        .copied()
        .filter(|&index| points[index].sample.is_some() && points[index].group_width.is_some())
        .collect();
    let samples: Vec<Sample> = known.iter().filter_map(|&index| points[index].sample).collect();
    let (pooled, freedom) = pooled_variance(&samples)?;
    let number = |index: usize, axis: &str| points[index].value(axis)?.parse::<f64>().ok().map(f64::ln);
    let varies = |axis: &&str| {
        let mut values: Vec<f64> = known.iter().filter_map(|&index| number(index, axis)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values.len() > 1
    };
    let varied: Vec<&str> = SHAPES.iter().copied().filter(varies).collect();
    let logs = |axis: &str| -> Vec<f64> { known.iter().filter_map(|&index| number(index, axis)).collect() };
    // An axis to fit, and its name in a report.
    let mut shapes: Vec<(&str, String)> = Vec::new();
    for &axis in &varied {
        let own = logs(axis);
        let together =
            shapes.iter_mut().find_map(|(other, name)| Some((proportion(&own, &logs(other))?, name)));
        match together {
            Some((proportion, name)) if proportion > 0.0 => *name += &format!(" and {axis}"),
            Some((_, name)) => *name += &format!(" (with {axis} falling)"),
            None => shapes.push((axis, axis.to_owned())),
        }
    }
    let shape =
        |index: usize| -> Option<Vec<f64>> { shapes.iter().map(|(axis, _)| number(index, axis)).collect() };
    let observations: Option<Vec<Observation>> = known
        .iter()
        .zip(&samples)
        .map(|(&index, sample)| {
            Some(Observation {
                x: points[index].group_width?.ln(),
                shape: shape(index)?,
                y: sample.mean,
                squared_error: shrunk_error(sample, pooled),
            })
        })
        .collect();
    let observations = observations?;
    let fitted = SmoothCurve::fit(&observations, freedom)?;
    // Points whose mean is not known well enough to be fitted.
    let unknown: Vec<(Vec<f64>, f64)> = (members.iter().filter(|index| !known.contains(index)))
        .filter_map(|&index| Some((shape(index)?, points[index].group_width?.ln())))
        .collect();
    let lines = grouped(0..known.len(), |&k| observations[k].shape.clone()).into_iter();
    let lines = lines.map(|(shape, members)| {
        let range = range(members.iter().map(|&k| observations[k].x));
        // The best may lie at one of these.
        let is_whole =
            unknown.iter().all(|(other, x)| *other != shape || (range.low..=range.high).contains(x));
        SpectrumLine {
            at: varied
                .iter()
                .filter_map(|axis| {
                    Some(((*axis).to_owned(), points[known[members[0]]].value(axis)?.to_owned()))
                })
                .collect(),
            best: if range.low < range.high && is_whole { fitted.best(&shape, range) } else { None },
            highest: is_whole.then(|| highest(&fitted, &shape, range)),
            shape,
            points: members.into_iter().map(|k| known[k]).collect(),
            range,
        }
    });
    let lines: Vec<SpectrumLine> = lines.collect();
    let are_whole = lines.iter().all(|line| line.highest.is_some());
    let shifts = shapes.into_iter().enumerate().filter_map(|(k, (_, name))| {
        let (shift, interval) = shift(&fitted, &observations, k).filter(|_| are_whole)?;
        Some((name, shift, interval))
    });
    let shifts = shifts.collect();
    Some(SpectrumCurve { shared, curve: fitted, lines, shifts })
}

fn range(values: impl Iterator<Item = f64>) -> Interval {
    let none = Interval { low: f64::INFINITY, high: f64::NEG_INFINITY };
    values.fold(none, |range, x| Interval { low: range.low.min(x), high: range.high.max(x) })
}

/// The sign of the correlation of two quantities whose logarithms lie on a straight line, so that no effect of one is
/// apart from the other's; `None` for others.
fn proportion(a: &[f64], b: &[f64]) -> Option<f64> {
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let is_line = dot(&a, &b).powi(2) > (1.0 - 1e-9) * dot(&a, &a) * dot(&b, &b);
    is_line.then(|| dot(&a, &b).signum())
}

/// The squared standard error of the mean of a point, the variance of a run shrunk towards that of all points as if
/// that were four more runs: the variance of few seeds is too uncertain for a weight.
fn shrunk_error(sample: &Sample, pooled: f64) -> f64 {
    const PRIOR: f64 = 4.0;
    let freedom = sample.degrees_of_freedom();
    (freedom * sample.variance + PRIOR * pooled) / (freedom + PRIOR) / sample.n as f64
}

fn highest(curve: &SmoothCurve, shape: &[f64], range: Interval) -> f64 {
    let better = |a: f64, b: f64| if curve.mean(b, shape) > curve.mean(a, shape) { b } else { a };
    grid(range).into_iter().reduce(better).unwrap_or(f64::NAN)
}

/// How far the best width moves from one end of the `k`-th shape quantity to the other, in doublings, among the widths
/// that both ends have.
fn shift(curve: &SmoothCurve, observations: &[Observation], k: usize) -> Option<(f64, Interval)> {
    let n = observations.len() as f64;
    let values = |j: usize| observations.iter().map(move |observation| observation.shape[j]);
    let middle: Vec<f64> =
        (0..observations.first()?.shape.len()).map(|j| values(j).sum::<f64>() / n).collect();
    let end = |value: f64| {
        let own = observations.iter().filter(move |observation| observation.shape[k] == value);
        let mut shape = middle.clone();
        shape[k] = value;
        (shape, range(own.map(|observation| observation.x)))
    };
    let ends = range(values(k));
    let ((from, low), (to, high)) = (end(ends.low), end(ends.high));
    let within = Interval { low: low.low.max(high.low), high: low.high.min(high.high) };
    let (shift, interval) = curve.shift(&from, &to, within).filter(|_| within.low < within.high)?;
    let doublings = std::f64::consts::LN_2;
    let interval = Interval { low: interval.low / doublings, high: interval.high / doublings };
    Some((shift / doublings, interval))
}

/// Laws of error against size, one for each group width, of a study over sizes and widths alone.
pub(super) fn scalings(study: &Study, points: &[PointSummary]) -> Vec<SpectrumScaling> {
    let Some(spectrum) = spectrum_axis(study) else { return Vec::new() };
    let is_alone = study.axes.len() == 2 && study.axes.iter().any(|axis| axis.name == SHAPES[0]);
    let samples: Vec<Sample> = points.iter().filter_map(|point| point.sample).collect();
    let Some((pooled, freedom)) = pooled_variance(&samples).filter(|_| is_alone) else { return Vec::new() };
    let known = points.iter().filter_map(|point| {
        let sample = point.sample?;
        let error = SizedError {
            size: point.costs.parameters as f64,
            mean: 1.0 - sample.mean,
            squared_error: shrunk_error(&sample, pooled),
        };
        Some((point.value(&spectrum.name)?, error))
    });
    let law = |(value, own): (&str, Vec<(&str, SizedError)>)| {
        let errors: Vec<SizedError> = own.into_iter().map(|(_, error)| error).collect();
        Some(SpectrumScaling { value: value.to_owned(), law: scaling_law(&errors, freedom)? })
    };
    grouped(known, |(value, _)| *value).into_iter().filter_map(law).collect()
}
