//! Finds the width at which a network meets a budget, so that points of the
//! spectrum are compared at equal cost.

use crate::cost::{Cost, grouped};
use crate::error::SpecError;
use crate::network::{MAX_CHANNELS, NetworkSpec, scaled};
use crate::segments::{SegmentSchedule, Segments};
use decouple_kernels::geometry::MapShape;
use serde::{Deserialize, Serialize};
use std::fmt;

pub mod step_time;

/// The largest relative deviation from the target that meets a budget.
pub const TOLERANCE: f64 = 0.005;

/// Widths are searched in steps of one part in this many: fine enough to move
/// single channels of wide layers, and four decimals when printed.
const WIDTH_STEPS: u64 = 10_000;

/// At most this many single channels are added to or taken from the layers of
/// one width.
const MAX_DEPARTURE: u8 = 5;

/// And no more of them than there are this many ways to move: with sixty layers three.
const MOST_WAYS: u64 = 2_000_000;

/// Single channels are adjusted from at most this many widths beyond the two nearest.
const STARTS: usize = 4;

/// Networks that are lowered for each number of adjusted channels.
const TRIED: usize = 4;

/// The quantity that a budget holds equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Trainable values.
    Parameters,
    /// Multiply-adds of one image.
    Macs,
    /// Outputs of convolutions and dense layers for one image.
    Activations,
}

impl Quantity {
    /// This quantity of `cost`.
    pub fn of(self, cost: &Cost) -> u64 {
        match self {
            Self::Parameters => cost.parameters,
            Self::Macs => cost.macs,
            Self::Activations => cost.activations,
        }
    }
}

/// As typed: `parameters`, `macs`, `activations`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parameters => "parameters",
            Self::Macs => "macs",
            Self::Activations => "activations",
        })
    }
}

/// Which channel counts a budget may scale, and how far down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scaling {
    /// Which of them.
    pub pays: Pays,
    /// The fewest channels that any of them may have.
    pub least: usize,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { pays: Pays::All, least: 1 }
    }
}

/// Which channel counts a budget may scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pays {
    /// All.
    #[default]
    All,
    /// Those inside modules ([`NetworkSpec::inner`]), while stem and residual stream stay.
    Inner,
}

/// A network that meets a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The network, with explicit channel counts and width 1.
    pub spec: NetworkSpec,
    /// The width whose channel counts are closest to it.
    pub width: f64,
    /// The budget.
    pub target: u64,
    /// The network's amount of the held quantity.
    pub reached: u64,
    /// All its costs, to show the drift of the others.
    pub cost: Cost,
}

impl Solved {
    /// `(reached - target) / target`: negative below the budget.
    pub fn relative_error(&self) -> f64 {
        (self.reached as f64 - self.target as f64) / self.target as f64
    }

    fn distance(&self) -> f64 {
        self.relative_error().abs()
    }

    fn meets_budget(&self) -> bool {
        self.distance() <= TOLERANCE
    }
}

/// Why no network meets the budget.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BudgetError {
    /// Every network of the family costs more.
    #[error("{}: the narrowest network allowed has {}",
        cannot_meet(.segments, *.hold, *.target), grouped(*.narrowest))]
    TooSmall {
        /// Segments of the network.
        segments: SegmentSchedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The smallest possible amount.
        narrowest: u64,
    },
    /// Every network of the family costs less.
    #[error("{}: the widest network that the family allows (width {width}) has {}",
        cannot_meet(.segments, *.hold, *.target), grouped(*.widest))]
    TooLarge {
        /// Segments of the network.
        segments: SegmentSchedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The largest possible amount.
        widest: u64,
        /// Its width.
        width: f64,
    },
    /// No network comes close enough: a single channel is too large a step.
    #[error("{} within {} %: the nearest network (width {width}) has {}",
        cannot_meet(.segments, *.hold, *.target), TOLERANCE * 100.0, grouped(*.nearest))]
    TooCoarse {
        /// Segments of the network.
        segments: SegmentSchedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The nearest amount found.
        nearest: u64,
        /// Its width before adjusting single channels.
        width: f64,
    },
    /// The network itself cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Finds the width at which `spec` has `target` of the quantity `hold`, for
/// images of shape `input` and `classes` logits.
///
/// The width found replaces `spec.width`. If rounding to whole channels leaves the cost more
/// than [`TOLERANCE`] away, up to five single channels are added to or removed from its layers,
/// at most two per layer and as few as suffice. A network that has exactly `target` at its own
/// width keeps that width.
///
/// Segments are resolved anew at each width, so with `channels-per-segment` and `level` the
/// cost may occasionally fall as the width grows. If several widths meet the budget, one of
/// them is found, always the same. Takes one to a few hundred lowerings, and two more for each channel of the widest
/// layer where neither of the nearest widths can be adjusted.
///
/// # Errors
/// [`BudgetError`] states the amount of the nearest network.
pub fn solve(
    spec: &NetworkSpec,
    input: MapShape,
    classes: usize,
    hold: Quantity,
    target: u64,
) -> Result<Solved, BudgetError> {
    solve_scaling(spec, input, classes, hold, target, Scaling::default())
}

/// As [`solve`], with `scaling` determining which channel counts may change. If only inner counts change, the
/// others keep their width.
///
/// # Errors
/// As [`solve`].
pub fn solve_scaling(
    spec: &NetworkSpec,
    input: MapShape,
    classes: usize,
    hold: Quantity,
    target: u64,
    scaling: Scaling,
) -> Result<Solved, BudgetError> {
    spec.validate()?;
    let spec = &match scaling.pays {
        Pays::All => spec.clone(),
        Pays::Inner => spec.explicit().with_inner(),
    };
    let search = Search { spec, input, classes, hold, target, scaling };
    let own = search.network(spec.width, &search.counts(&spec.explicit()))?;
    let is_wide = search.counts(&own.spec).iter().all(|&count| count >= scaling.least);
    if own.reached == target && is_wide {
        return Ok(own);
    }
    let nearest = search.nearest(search.crossing()?)?;
    if nearest.meets_budget() { Ok(nearest) } else { Err(search.failure(nearest)?) }
}

/// The target and the network of a search.
struct Search<'a> {
    spec: &'a NetworkSpec,
    input: MapShape,
    classes: usize,
    hold: Quantity,
    target: u64,
    scaling: Scaling,
}

impl Search<'_> {
    /// The channel counts of `spec` that may change.
    fn counts(&self, spec: &NetworkSpec) -> Vec<usize> {
        match self.scaling.pays {
            Pays::All => spec.channels(),
            Pays::Inner => spec.inner.clone(),
        }
    }

    /// The widest of them.
    fn widest(&self) -> usize {
        match self.scaling.pays {
            Pays::All => self.spec.widest(),
            Pays::Inner => self.spec.inner.iter().copied().fold(1, usize::max),
        }
    }

    /// The network with `channels` as its variable counts, labelled with `width`.
    fn network(&self, width: f64, channels: &[usize]) -> Result<Solved, SpecError> {
        let spec = match self.scaling.pays {
            Pays::All => self.spec.with_channels(width, channels),
            Pays::Inner => NetworkSpec { inner: channels.to_vec(), ..self.spec.clone() },
        };
        let cost = spec.graph(self.input, self.classes)?.cost();
        Ok(Solved { spec, width, target: self.target, reached: self.hold.of(&cost), cost })
    }

    fn at_step(&self, step: u64) -> Result<Solved, SpecError> {
        let width = step as f64 / WIDTH_STEPS as f64;
        let one = |count: usize| scaled(count, width).max(self.scaling.least);
        let channels: Vec<usize> = self.counts(self.spec).into_iter().map(one).collect();
        self.network(width, &channels)
    }

    /// The widest step at which no layer has too many channels.
    fn last_step(&self) -> u64 {
        let widest = self.widest();
        MAX_CHANNELS as u64 * WIDTH_STEPS / widest as u64
    }

    /// A step of width at which the network is below the target while the next step is not; the
    /// last step if even that is below.
    fn crossing(&self) -> Result<u64, SpecError> {
        let is_below = |step| Ok::<_, SpecError>(self.at_step(step)?.reached < self.target);
        let last = self.last_step();
        let (mut low, mut high) = (1, WIDTH_STEPS.min(last));
        while is_below(high)? {
            if high == last {
                return Ok(last);
            }
            (low, high) = (high, last.min(high * 2));
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            if is_below(middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// A network that meets the budget, as close to one width as possible; if there is none,
    /// the nearest one found.
    fn nearest(&self, crossing: u64) -> Result<Solved, SpecError> {
        let next = (crossing + 1).min(self.last_step());
        let best = self.at_step(crossing)?;
        let best = self.adjusted(best.clone(), &[best, self.at_step(next)?])?;
        if best.meets_budget() {
            return Ok(best);
        }
        // Where the cost falls with the width, it crosses the target again.
        self.adjusted(best, &self.around(crossing)?)
    }

    /// The networks whose widths lie within a quarter of step `crossing` and
    /// whose costs lie nearest to the budget.
    fn around(&self, crossing: u64) -> Result<Vec<Solved>, SpecError> {
        let widest = self.widest();
        // Four steps for each channel that the widest layer gains.
        let stride = (WIDTH_STEPS / (4 * widest as u64)).max(1) as usize;
        let (first, last) = (crossing - crossing / 4, (crossing + crossing / 4).min(self.last_step()));
        let mut networks: Vec<Solved> = Vec::new();
        for step in (first..=last).step_by(stride) {
            let network = self.at_step(step)?;
            if networks.last().is_none_or(|previous| previous.spec != network.spec) {
                networks.push(network);
            }
        }
        networks.sort_by(|left, right| left.distance().total_cmp(&right.distance()));
        networks.truncate(STARTS);
        Ok(networks)
    }

    /// A network that meets the budget with as few channels as possible moved from one of
    /// `starts`; if there is none, the nearest of `best` and all that were tried.
    ///
    /// The channels of one layer hardly change the cost of others, so the effect of several
    /// moves is predicted by the sum of their effects, and only the most promising networks are
    /// lowered.
    fn adjusted(&self, best: Solved, starts: &[Solved]) -> Result<Solved, SpecError> {
        let mut best = starts.iter().cloned().fold(best, nearer);
        if best.meets_budget() {
            return Ok(best);
        }
        let effects: Vec<Effects> =
            starts.iter().map(|start| self.effects(start)).collect::<Result<_, _>>()?;
        let layers = self.counts(self.spec).len();
        for departure in (1..=MAX_DEPARTURE).take_while(|&departure| ways(layers, departure) <= MOST_WAYS) {
            // The most promising, best first.
            let mut candidates: Vec<(f64, &Solved, Vec<i8>)> = Vec::new();
            each_way(&mut vec![0; layers], layers, departure, &mut |moves| {
                for (start, effects) in starts.iter().zip(&effects) {
                    let Some(effect) = total_effect(effects, moves) else { continue };
                    let distance = (start.reached as f64 + effect - self.target as f64).abs();
                    let place = candidates.partition_point(|(other, ..)| *other <= distance);
                    if place < TRIED {
                        candidates.insert(place, (distance, start, moves.to_vec()));
                        candidates.truncate(TRIED);
                    }
                }
            });
            for (_, start, moves) in &candidates {
                if let Some(network) = self.moved(start, moves)? {
                    best = nearer(best, network);
                }
            }
            if best.meets_budget() {
                break;
            }
        }
        Ok(best)
    }

    /// The effect of each move of a single layer.
    fn effects(&self, start: &Solved) -> Result<Effects, SpecError> {
        let counts = self.counts(self.spec).len();
        let mut effects = vec![[None; MOVES.len()]; counts];
        for (layer, effects) in effects.iter_mut().enumerate() {
            for (effect, by) in effects.iter_mut().zip(MOVES) {
                let mut moves = vec![0; counts];
                moves[layer] = by;
                let moved = self.moved(start, &moves)?;
                *effect = moved.map(|network| network.reached as f64 - start.reached as f64);
            }
        }
        Ok(effects)
    }

    /// `start` with each layer's channels moved, unless a count leaves its range.
    fn moved(&self, start: &Solved, moves: &[i8]) -> Result<Option<Solved>, SpecError> {
        let counts = self.counts(&start.spec);
        let moved = counts.iter().zip(moves).map(|(&count, &by)| count.checked_add_signed(by.into()));
        match moved.collect::<Option<Vec<usize>>>() {
            Some(counts)
                if counts.iter().all(|count| (self.scaling.least..=MAX_CHANNELS).contains(count)) =>
            {
                self.network(start.width, &counts).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn failure(&self, nearest: Solved) -> Result<BudgetError, SpecError> {
        let (segments, hold, target) = (self.spec.segments.clone(), self.hold, self.target);
        let narrowest = self.at_step(1)?.reached;
        if narrowest > target {
            return Ok(BudgetError::TooSmall { segments, hold, target, narrowest });
        }
        let last = self.at_step(self.last_step())?;
        let (widest, width) = (last.reached, last.width);
        if widest < target {
            return Ok(BudgetError::TooLarge { segments, hold, target, widest, width });
        }
        let (width, nearest) = (nearest.width, nearest.reached);
        Ok(BudgetError::TooCoarse { segments, hold, target, nearest, width })
    }
}

/// Moves of one layer's channels.
const MOVES: [i8; 5] = [0, 1, -1, 2, -2];

/// Layer by layer, the effect of each of [`MOVES`] on the held quantity; `None` if the channels
/// would leave their range.
type Effects = Vec<[Option<f64>; MOVES.len()]>;

/// The summed effect of `moves`.
fn total_effect(effects: &Effects, moves: &[i8]) -> Option<f64> {
    let of = |(effects, by): (&[Option<f64>; MOVES.len()], &i8)| {
        effects[MOVES.iter().position(|other| other == by)?]
    };
    effects.iter().zip(moves).map(of).sum()
}

/// Calls `visit` with every way to move `departure` channels in the first `layers` of `moves`, the others as they are.
fn each_way(moves: &mut [i8], layers: usize, departure: u8, visit: &mut dyn FnMut(&[i8])) {
    if layers == 0 {
        return if departure == 0 {
            visit(moves)
        };
    }
    for by in MOVES.into_iter().filter(|by| by.unsigned_abs() <= departure) {
        moves[layers - 1] = by;
        each_way(moves, layers - 1, departure - by.unsigned_abs(), visit);
    }
}

/// How many ways [`each_way`] visits.
fn ways(counts: usize, departure: u8) -> u64 {
    // For each departure, the ways in the layers so far.
    let mut of = [0_u64; MAX_DEPARTURE as usize + 1];
    of[0] = 1;
    for _ in 0..counts {
        for departure in (0..of.len()).rev() {
            let by = |step: usize| departure.checked_sub(step).map_or(0, |rest| 2 * of[rest]);
            of[departure] += by(1) + by(2);
        }
    }
    of[usize::from(departure)]
}

/// The one closer to the budget; the first if they are equally close.
fn nearer(first: Solved, second: Solved) -> Solved {
    if second.distance() < first.distance() { second } else { first }
}

fn cannot_meet(segments: &SegmentSchedule, hold: Quantity, target: u64) -> String {
    let network = match segments {
        SegmentSchedule::Uniform(Segments::Count(1)) => "1 segment".to_owned(),
        SegmentSchedule::Uniform(Segments::Count(count)) => format!("{count} segments"),
        _ => format!("segments {segments}"),
    };
    format!("{network} cannot meet the budget of {} {hold}", grouped(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_channels_are_moved_in_many_layers() {
        assert!(ways(20, MAX_DEPARTURE) <= MOST_WAYS);
        assert!(ways(60, 3) <= MOST_WAYS && ways(60, 4) > MOST_WAYS);
    }

    #[test]
    fn every_way_to_move_channels_appears_once() {
        let mut all: Vec<Vec<i8>> = Vec::new();
        each_way(&mut [0; 5], 5, 3, &mut |moves| all.push(moves.to_vec()));
        // Three layers by one; one layer by two and another by one.
        let expected = 10 * 8 + 20 * 4;
        assert_eq!(all.len(), expected);
        assert_eq!(ways(5, 3), expected as u64);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), expected);
        assert!(all.iter().all(|moves| moves.iter().map(|by| by.unsigned_abs()).sum::<u8>() == 3));
    }
}
