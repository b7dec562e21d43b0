//! Finds the width at which a network meets a budget, so that points of the
//! spectrum are compared at equal cost.

use crate::cost::Cost;
use crate::error::SpecError;
use crate::network::{MAX_CHANNELS, NetworkSpec, scaled};
use crate::segments::{Schedule, Segments};
use decouple_kernels::geometry::MapShape;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest relative distance from the target that meets a budget.
pub const TOLERANCE: f64 = 0.005;

/// Widths are searched in steps of one part in this many: fine enough to move
/// single channels of wide layers, and four decimals when printed.
const WIDTH_STEPS: u64 = 10_000;

/// At most this many layers' channel counts move by one from their rounded
/// value.
const MAX_DEPARTURES: usize = 3;

/// The quantity that a budget holds equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Trained values.
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

/// A network that meets a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The network, with explicit channel counts and width 1.
    pub spec: NetworkSpec,
    /// The width from whose channel counts it departs least.
    pub width: f64,
    /// The budget.
    pub target: u64,
    /// What the network has of the held quantity.
    pub reached: u64,
    /// All its costs, to tell how far the others drift.
    pub cost: Cost,
}

impl Solved {
    /// `(reached - target) / target`: negative below the budget.
    pub fn relative_error(&self) -> f64 {
        relative_error(self.reached, self.target)
    }
}

/// Why no network meets the budget.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BudgetError {
    /// Every network of the family costs more.
    #[error("{}: the narrowest network that the family allows, one channel a layer, has {}",
        cannot_meet(.segments, *.hold, *.target), grouped(*.narrowest))]
    TooSmall {
        /// Segments of the network.
        segments: Schedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The least that can be had.
        narrowest: u64,
    },
    /// Every network of the family costs less.
    #[error("{}: the widest network that the family allows (width {width}) has {}",
        cannot_meet(.segments, *.hold, *.target), grouped(*.widest))]
    TooLarge {
        /// Segments of the network.
        segments: Schedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The most that can be had.
        widest: u64,
        /// Its width.
        width: f64,
    },
    /// One channel more or less is too large a step.
    #[error("{} within {} %: the nearest network (width {width}) has {}",
        cannot_meet(.segments, *.hold, *.target), TOLERANCE * 100.0, grouped(*.nearest))]
    TooCoarse {
        /// Segments of the network.
        segments: Schedule,
        /// What the budget holds.
        hold: Quantity,
        /// The budget.
        target: u64,
        /// The nearest that was found.
        nearest: u64,
        /// The width from which it departs.
        width: f64,
    },
    /// The network itself cannot be built.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Finds the width at which `spec` has `target` of the quantity `hold`, for
/// images of shape `input` and `classes` logits.
///
/// The width found takes the place of `spec.width`. Where rounding to whole
/// channels leaves the cost more than [`TOLERANCE`] away, up to three layers'
/// counts move by one channel, as few as suffice. A network that has exactly
/// `target` at its own width keeps that width. Segments are resolved anew at
/// each width, so the cost of `channels-per-segment` and `level` falls here
/// and there as the width grows; of several widths that meet the budget, one
/// is found, always the same. Takes one to a few hundred lowerings.
///
/// # Errors
/// [`BudgetError`] says what the nearest network has.
pub fn solve(
    spec: &NetworkSpec,
    input: MapShape,
    classes: usize,
    hold: Quantity,
    target: u64,
) -> Result<Solved, BudgetError> {
    spec.validate()?;
    let search = Search { spec, input, classes, hold, target };
    let own = search.network(spec.width, &spec.explicit().channels())?;
    if own.reached == target {
        return Ok(own);
    }
    let (below, above) = search.bracket()?;
    let nearest = search.nearest([below, above])?;
    if nearest.relative_error().abs() <= TOLERANCE { Ok(nearest) } else { Err(search.failure(nearest)?) }
}

/// What a search looks for, and in which network.
struct Search<'a> {
    spec: &'a NetworkSpec,
    input: MapShape,
    classes: usize,
    hold: Quantity,
    target: u64,
}

impl Search<'_> {
    /// The network with `channels`, said to have `width`.
    fn network(&self, width: f64, channels: &[usize]) -> Result<Solved, SpecError> {
        let spec = self.spec.with_channels(channels);
        let cost = spec.graph(self.input, self.classes)?.cost();
        Ok(Solved { spec, width, target: self.target, reached: self.hold.of(&cost), cost })
    }

    fn at_step(&self, step: u64) -> Result<Solved, SpecError> {
        let width = step as f64 / WIDTH_STEPS as f64;
        let channels: Vec<usize> = self.spec.channels().into_iter().map(|c| scaled(c, width)).collect();
        self.network(width, &channels)
    }

    /// The widest step at which no layer has too many channels.
    fn last_step(&self) -> u64 {
        let widest = self.spec.channels().into_iter().max().unwrap_or(1);
        MAX_CHANNELS as u64 * WIDTH_STEPS / widest as u64
    }

    /// Two networks one step of width apart, the first below the target and
    /// the second not; the same network twice where the target lies outside.
    fn bracket(&self) -> Result<(Solved, Solved), SpecError> {
        let last = self.last_step();
        let (mut low, mut high) = (1, WIDTH_STEPS.min(last));
        let mut below = self.at_step(low)?;
        if below.reached >= self.target {
            return Ok((below.clone(), below));
        }
        let mut above = self.at_step(high)?;
        while above.reached < self.target {
            if high == last {
                return Ok((above.clone(), above));
            }
            (low, below) = (high, above);
            high = last.min(high * 2);
            above = self.at_step(high)?;
        }
        while high - low > 1 {
            let middle = low.midpoint(high);
            let network = self.at_step(middle)?;
            if network.reached < self.target {
                (low, below) = (middle, network);
            } else {
                (high, above) = (middle, network);
            }
        }
        Ok((below, above))
    }

    /// The network with the fewest channels moved off `starts` that meets the
    /// budget, and of those the nearest to it; if none does, the nearest.
    fn nearest(&self, starts: [Solved; 2]) -> Result<Solved, SpecError> {
        let counts = self.spec.channels().len();
        let [below, above] = starts;
        let mut best = if distance(&above) < distance(&below) { above.clone() } else { below.clone() };
        for departures in 1..=MAX_DEPARTURES {
            if distance(&best) <= TOLERANCE {
                break;
            }
            for moves in moves(counts, departures) {
                for start in [&below, &above] {
                    let Some(channels) = moved(&start.spec.channels(), &moves) else { continue };
                    let network = self.network(start.width, &channels)?;
                    if distance(&network) < distance(&best) {
                        best = network;
                    }
                }
            }
        }
        Ok(best)
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

/// A channel count, by index, and whether it grows by one or shrinks by one.
type Move = (usize, bool);

/// All ways to move `departures` of `counts` channel counts by one.
fn moves(counts: usize, departures: usize) -> Vec<Vec<Move>> {
    if departures == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for index in 0..counts {
        // The others come after this one, so that each set appears once.
        for rest in moves(counts - index - 1, departures - 1) {
            for grows in [true, false] {
                let shifted = rest.iter().map(|&(other, grows)| (other + index + 1, grows));
                all.push(std::iter::once((index, grows)).chain(shifted).collect());
            }
        }
    }
    all
}

/// `channels` after `moves`, unless a count leaves its range.
fn moved(channels: &[usize], moves: &[Move]) -> Option<Vec<usize>> {
    let mut channels = channels.to_vec();
    for &(index, grows) in moves {
        channels[index] = if grows { channels[index] + 1 } else { channels[index] - 1 };
    }
    channels.iter().all(|channels| (1..=MAX_CHANNELS).contains(channels)).then_some(channels)
}

fn distance(network: &Solved) -> f64 {
    network.relative_error().abs()
}

fn relative_error(reached: u64, target: u64) -> f64 {
    (reached as f64 - target as f64) / target as f64
}

fn cannot_meet(segments: &Schedule, hold: Quantity, target: u64) -> String {
    let network = match segments {
        Schedule::Uniform(Segments::Count(1)) => "1 segment".to_owned(),
        Schedule::Uniform(Segments::Count(count)) => format!("{count} segments"),
        _ => format!("segments {segments}"),
    };
    format!("{network} cannot meet the budget of {} {hold}", grouped(target))
}

/// A count with a comma after every third digit from the right.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_moves_appears_once() {
        let mut all = moves(5, 2);
        assert_eq!(all.len(), 10 * 4);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10 * 4);
        assert!(all.iter().all(|moves| moves[0].0 < moves[1].0 && moves[1].0 < 5));
    }

    #[test]
    fn a_count_stays_in_its_range() {
        assert_eq!(moved(&[1, 7], &[(1, false), (0, true)]), Some(vec![2, 6]));
        assert_eq!(moved(&[1, 7], &[(0, false)]), None);
        assert_eq!(moved(&[MAX_CHANNELS], &[(0, true)]), None);
    }

    #[test]
    fn counts_are_grouped_by_three_digits() {
        assert_eq!([0, 999, 1_000, 102_400].map(grouped), ["0", "999", "1,000", "102,400"]);
    }
}
