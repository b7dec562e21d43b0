//! Finds the width at which a training step of a network takes as long as one of another
//! network, which has to be measured.

use std::fmt;

use decouple_kernels::geometry::MapShape;
use serde::{Deserialize, Serialize};

use super::{Quantity, Scaling, Search, Solved};
use crate::error::SpecError;
use crate::network::NetworkSpec;

/// The largest relative deviation from the reference's time that meets a budget. Wider than for
/// a counted quantity: timing is not exact, and one more channel can cost a whole vector.
pub const TOLERANCE: f64 = 0.03;

/// Networks that are measured for one point.
pub const MOST_MEASUREMENTS: usize = 16;

/// The exponent with which time is first assumed to grow with the width: between one (depthwise
/// convolutions) and two (matrix products).
const EXPONENT: f64 = 1.5;

/// The largest factor on the width between measurements until the target time is bracketed.
const LARGEST_STRIDE: f64 = 2.0;

/// How long a training step of one network takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTime {
    /// The median step.
    pub median_secs: f64,
    /// Distance between the quartiles of the steps.
    pub quartiles_secs: f64,
    /// Steps that were timed.
    pub steps: usize,
}

impl StepTime {
    /// Summarises the `secs` of single steps, at least one.
    pub fn of(mut secs: Vec<f64>) -> Self {
        secs.sort_by(f64::total_cmp);
        let at = |share: f64| secs[((secs.len() - 1) as f64 * share).round() as usize];
        Self { median_secs: at(0.5), quartiles_secs: at(0.75) - at(0.25), steps: secs.len() }
    }

    /// Standard error of the median, as a share of it: 0.93 times the distance
    /// between the quartiles over the root of the steps, as for normal noise.
    fn relative_error(&self) -> f64 {
        0.93 * self.quartiles_secs / self.median_secs / (self.steps as f64).sqrt()
    }
}

/// Alternating steps of a network and of the reference, so that whatever slows the machine down
/// slows both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedPair {
    /// Of the network.
    pub network: StepTime,
    /// Of the reference.
    pub reference: StepTime,
}

impl TimedPair {
    /// The network's time over that of the reference.
    pub fn ratio(&self) -> f64 {
        self.network.median_secs / self.reference.median_secs
    }

    /// Standard error of [`Self::ratio`], as a share of it.
    pub fn spread(&self) -> f64 {
        self.network.relative_error().hypot(self.reference.relative_error())
    }

    /// Whether the two times are the same within [`TOLERANCE`].
    pub fn meets_budget(&self) -> bool {
        (self.ratio() - 1.0).abs() <= TOLERANCE
    }

    /// Whether the times are too noisy to decide: two standard errors are more than
    /// [`TOLERANCE`], as on a busy machine.
    pub fn is_uncertain(&self) -> bool {
        2.0 * self.spread() > TOLERANCE
    }

    /// Distance from equal times: the absolute logarithm of the ratio.
    fn distance(&self) -> f64 {
        self.ratio().ln().abs()
    }
}

/// `41.20 ms beside 41.00 ms (+0.5 %, give or take 0.2 %)`.
impl fmt::Display for TimedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} ms beside {:.2} ms ({:+.1} %, give or take {:.1} %)",
            1e3 * self.network.median_secs,
            1e3 * self.reference.median_secs,
            100.0 * (self.ratio() - 1.0),
            100.0 * self.spread(),
        )
    }
}

/// The network whose step time came nearest to that of the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// The network, with explicit channel counts and width 1.
    pub spec: NetworkSpec,
    /// The width that gives these channel counts.
    pub width: f64,
    /// The measured times.
    pub comparison: TimedPair,
}

/// Why no network was found.
#[derive(Debug, thiserror::Error)]
pub enum StepTimeError<E> {
    /// A network cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A network could not be measured.
    #[error("{0}")]
    Clock(E),
}

/// Finds the width at which a training step of `spec` takes as long as one of the reference,
/// where `compare` measures a network beside the reference.
///
/// The first network measured has as many multiply-adds as the reference, `reference_macs`.
/// From there the width is widened or narrowed until one network is faster and a wider one
/// slower, and the interval between the two is divided, by interpolation and by halves in turn,
/// until a network meets the budget, no other lies between, or [`MOST_MEASUREMENTS`] are done.
/// Times need not grow with the width: if several widths meet the budget, one of them is found.
/// The result is a function of the measurements. It may miss the budget: see
/// [`TimedPair::meets_budget`].
///
/// # Errors
/// [`StepTimeError`] if a network cannot be built or measured.
pub fn solve<E>(
    spec: &NetworkSpec,
    input: MapShape,
    classes: usize,
    reference_macs: u64,
    mut compare: impl FnMut(&NetworkSpec) -> Result<TimedPair, E>,
) -> Result<Nearest, StepTimeError<E>> {
    spec.validate()?;
    let search = Search {
        spec,
        input,
        classes,
        hold: Quantity::Macs,
        target: reference_macs,
        scaling: Scaling::default(),
    };
    let mut tried: Vec<Tried> = Vec::new();
    let mut next = Some(search.crossing()?);
    while let Some(step) = next {
        let network = search.at_step(step)?;
        let comparison = compare(&network.spec).map_err(StepTimeError::Clock)?;
        tried.push(Tried { step, network, comparison });
        if comparison.meets_budget() || tried.len() == MOST_MEASUREMENTS {
            break;
        }
        tried.sort_by_key(|tried| tried.step);
        next = following(&search, &tried)?;
    }
    // The first of equals: `tried` is ordered by width, except for its last element.
    let nearest =
        tried.into_iter().min_by(|a, b| a.comparison.distance().total_cmp(&b.comparison.distance()));
    let Tried { network, comparison, .. } = nearest.expect("the crossing is measured");
    Ok(Nearest { spec: network.spec, width: network.width, comparison })
}

/// A network that was measured.
struct Tried {
    step: u64,
    network: Solved,
    comparison: TimedPair,
}

/// The step of width to measure after those `tried`, which are ordered by width; `None` if no
/// other can help.
fn following(search: &Search<'_>, tried: &[Tried]) -> Result<Option<u64>, SpecError> {
    let is_fast = |tried: &Tried| tried.comparison.ratio() < 1.0;
    let crossings = tried.windows(2).filter(|pair| is_fast(&pair[0]) && !is_fast(&pair[1]));
    // If noise or a jump produced several intervals, take the last one found, which is the
    // narrowest.
    let enclosing = crossings.min_by_key(|pair| pair[1].step - pair[0].step);
    if let Some([fast, slow]) = enclosing {
        return between(search, fast, slow, tried.len() % 2 == 1);
    }
    // Without a crossing, all are too slow or the widest is still too fast.
    let (first, last) = (&tried[0], &tried[tried.len() - 1]);
    let from = if is_fast(last) { last } else { first };
    let factor = from.comparison.ratio().powf(-1.0 / EXPONENT).clamp(1.0 / LARGEST_STRIDE, LARGEST_STRIDE);
    let step = ((from.step as f64 * factor).round() as u64).clamp(1, search.last_step());
    let step = if step != from.step {
        step
    } else if is_fast(last) {
        step + 1
    } else {
        step - 1
    };
    if !(1..=search.last_step()).contains(&step) {
        return Ok(None);
    }
    // A narrow network may need a longer stride to become a different one.
    let is_same = search.at_step(step)?.spec == from.network.spec;
    Ok(if is_same { past(search, from, is_fast(last))? } else { Some(step) })
}

/// A step between the two whose network differs from both; `None` if there is none.
fn between(search: &Search<'_>, fast: &Tried, slow: &Tried, halve: bool) -> Result<Option<u64>, SpecError> {
    let (low, high) = ((fast.step as f64).ln(), (slow.step as f64).ln());
    let (below, above) = (-fast.comparison.ratio().ln(), slow.comparison.ratio().ln());
    let share = if halve { 0.5 } else { (below / (below + above)).clamp(0.1, 0.9) };
    let step = ((low + share * (high - low)).exp().round() as u64).clamp(fast.step, slow.step);
    let spec = search.at_step(step)?.spec;
    let step = if spec == fast.network.spec {
        edge(search, fast.step, slow.step, &fast.network.spec)?.1
    } else if spec == slow.network.spec {
        edge(search, slow.step, fast.step, &slow.network.spec)?.1
    } else {
        step
    };
    let spec = search.at_step(step)?.spec;
    Ok((spec != fast.network.spec && spec != slow.network.spec).then_some(step))
}

/// The nearest step beyond `from`, wider or narrower, with a different network.
fn past(search: &Search<'_>, from: &Tried, wider: bool) -> Result<Option<u64>, SpecError> {
    let end = if wider { search.last_step() } else { 1 };
    let (_, step) = edge(search, from.step, end, &from.network.spec)?;
    Ok((search.at_step(step)?.spec != from.network.spec).then_some(step))
}

/// Neighbouring steps on the way from `inside` to `outside`: the last whose
/// network is `spec`, and the one after it. Channel counts never fall as the
/// width grows, so the steps of one network are an interval.
fn edge(
    search: &Search<'_>,
    mut inside: u64,
    mut outside: u64,
    spec: &NetworkSpec,
) -> Result<(u64, u64), SpecError> {
    while inside.abs_diff(outside) > 1 {
        let middle = inside.midpoint(outside);
        if search.at_step(middle)?.spec == *spec { inside = middle } else { outside = middle }
    }
    Ok((inside, outside))
}
