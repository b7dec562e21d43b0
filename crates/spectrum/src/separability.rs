//! Measures how separable the kernels of a coupled convolution are: how much of their energy is
//! kept when they are projected further along the spectrum.
//!
//! Energy is the sum of squared weights. Two projections of a dense kernel, whose
//! weights are (out, in, kh, kw), are measured:
//!
//! * onto S segments ([`segmented`]): inputs and outputs are each divided into S groups, and
//!   weights between different groups are set to zero. The assignment of channels to groups is
//!   free, since the neighbouring layers can be reordered; the best assignment found counts.
//! * onto separable form ([`separable`]): the kernel of each output channel, a matrix of inputs
//!   by taps, is replaced by its best approximation of rank one: one spatial kernel times one
//!   mix of channels, as computed by a pointwise convolution before a per-channel one.
//!
//! Both keep some energy of any kernel, even a random one; [`shuffled`] gives a kernel for
//! comparison.

use decouple_kernels::geometry::partition;

/// The weights of a dense convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseKernel {
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
    /// Rows times columns.
    pub taps: usize,
    /// (outputs, inputs, taps).
    pub weights: Vec<f32>,
}

/// A projected kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The share of the kernel's energy that is kept, from 0 to 1; 1 for a zero kernel.
    pub kept: f64,
    /// The projected weights, in the kernel's order.
    pub weights: Vec<f32>,
}

/// Number of starts of the search for groups; the best result counts.
const STARTS: u64 = 6;

/// Most rounds of the search from one start, normally far more than needed.
const MOST_ROUNDS: usize = 50;

impl DenseKernel {
    /// A kernel from its extents.
    ///
    /// # Panics
    /// If the number of weights is not their product.
    pub fn new(outputs: usize, inputs: usize, taps: usize, weights: Vec<f32>) -> Self {
        assert_eq!(weights.len(), outputs * inputs * taps, "weights of {outputs} x {inputs} x {taps}");
        Self { outputs, inputs, taps, weights }
    }

    /// Energy of each pair of channels: (outputs, inputs).
    fn energies(&self) -> Vec<f64> {
        self.weights.chunks_exact(self.taps).map(energy).collect()
    }

    fn projected(&self, weights: Vec<f32>) -> Projection {
        let whole = energy(&self.weights);
        let kept = if whole > 0.0 { energy(&weights) / whole } else { 1.0 };
        Projection { kept, weights }
    }
}

fn energy(weights: &[f32]) -> f64 {
    weights.iter().map(|&weight| f64::from(weight).powi(2)).sum()
}

/// The best projection onto `segments` groups of channels that was found. Sizes
/// differ by at most one, the larger first, as in a segmented convolution.
///
/// Inputs and outputs are assigned alternately, each time optimally for the other's groups (a
/// linear assignment), until nothing improves; from several starts. For one segment and for one
/// per channel the result is optimal. Cost: a few dozen assignments of cubic cost in the
/// channels.
///
/// # Panics
/// If `segments` is 0 or more than there are input or output channels.
pub fn segmented(kernel: &DenseKernel, segments: usize) -> Projection {
    let DenseKernel { outputs, inputs, taps, .. } = *kernel;
    assert!(segments >= 1 && segments <= outputs.min(inputs), "{segments} segments of {outputs} x {inputs}");
    let energies = kernel.energies();
    let best = (0..STARTS)
        .map(|start| search(&energies, outputs, inputs, segments, start))
        .max_by(|a, b| a.kept.total_cmp(&b.kept))
        .unwrap_or_else(|| Groups { kept: 0.0, outputs: vec![0; outputs], inputs: vec![0; inputs] });
    let mut weights = kernel.weights.clone();
    for (pair, weights) in weights.chunks_exact_mut(taps).enumerate() {
        if best.outputs[pair / inputs] != best.inputs[pair % inputs] {
            weights.fill(0.0);
        }
    }
    kernel.projected(weights)
}

/// A division of channels: the group of each.
struct Groups {
    /// Energy within groups.
    kept: f64,
    outputs: Vec<usize>,
    inputs: Vec<usize>,
}

fn search(energies: &[f64], outputs: usize, inputs: usize, segments: usize, start: u64) -> Groups {
    let by_output = |output: usize, input: usize| energies[output * inputs + input];
    let mut groups = Groups { kept: -1.0, outputs: slots(outputs, segments), inputs: Vec::new() };
    shuffle(&mut groups.outputs, start);
    for _ in 0..MOST_ROUNDS {
        groups.inputs = assign(inputs, segments, &groups.outputs, |input, output| by_output(output, input));
        groups.outputs = assign(outputs, segments, &groups.inputs, by_output);
        let pairs = (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input)));
        let within = pairs.filter(|&(output, input)| groups.outputs[output] == groups.inputs[input]);
        let kept = within.map(|(output, input)| by_output(output, input)).sum();
        // A gain within rounding errors does not count.
        if kept <= groups.kept * (1.0 + 1e-12) {
            break;
        }
        groups.kept = kept;
    }
    groups
}

/// The group of each slot: group g has its share of `channels`, the larger first.
fn slots(channels: usize, segments: usize) -> Vec<usize> {
    (0..segments).flat_map(|g| vec![g; partition(channels, segments, g).len()]).collect()
}

/// The groups of `channels` that keep most energy towards the other side's groups.
fn assign(
    channels: usize,
    segments: usize,
    others: &[usize],
    energy: impl Fn(usize, usize) -> f64,
) -> Vec<usize> {
    let mut towards = vec![0.0; channels * segments];
    for channel in 0..channels {
        for (other, &group) in others.iter().enumerate() {
            towards[channel * segments + group] += energy(channel, other);
        }
    }
    let slots = slots(channels, segments);
    let cost = |channel: usize, slot: usize| -towards[channel * segments + slots[slot]];
    assignment(channels, cost).into_iter().map(|slot| slots[slot]).collect()
}

/// Assigns `n` items to slots at the least total cost: the Hungarian method with potentials and
/// shortest augmenting paths (Kuhn 1955; in the form of Jonker and Volgenant 1987), cubic in
/// `n`.
fn assignment(n: usize, cost: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    // Slot 0 is a dummy that each new item starts from; items and slots count from 1.
    let (mut item_potential, mut slot_potential) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    let mut item_of = vec![0; n + 1];
    for item in 1..=n {
        item_of[0] = item;
        let mut slot = 0;
        let (mut least, mut came_from, mut is_reached) =
            (vec![f64::INFINITY; n + 1], vec![0; n + 1], vec![false; n + 1]);
        while item_of[slot] != 0 {
            is_reached[slot] = true;
            let (at, mut step, mut next) = (item_of[slot], f64::INFINITY, 0);
            for other in (1..=n).filter(|&other| !is_reached[other]) {
                let reduced = cost(at - 1, other - 1) - item_potential[at] - slot_potential[other];
                if reduced < least[other] {
                    (least[other], came_from[other]) = (reduced, slot);
                }
                if least[other] < step {
                    (step, next) = (least[other], other);
                }
            }
            for other in 0..=n {
                if is_reached[other] {
                    item_potential[item_of[other]] += step;
                    slot_potential[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            slot = next;
        }
        while slot != 0 {
            item_of[slot] = item_of[came_from[slot]];
            slot = came_from[slot];
        }
    }
    let mut slot_of = vec![0; n];
    (1..=n).for_each(|slot| slot_of[item_of[slot] - 1] = slot - 1);
    slot_of
}

/// The best approximation in which each output has one spatial kernel and one mix
/// of inputs: the first term of a singular value decomposition (Eckart and Young
/// 1936) of each output's (inputs, taps) matrix.
pub fn separable(kernel: &DenseKernel) -> Projection {
    let DenseKernel { inputs, taps, .. } = *kernel;
    let mut weights = Vec::with_capacity(kernel.weights.len());
    for matrix in kernel.weights.chunks_exact(inputs * taps) {
        let direction = principal(matrix, taps);
        for row in matrix.chunks_exact(taps) {
            let along: f64 = row.iter().zip(&direction).map(|(&weight, d)| f64::from(weight) * d).sum();
            weights.extend(direction.iter().map(|d| (along * d) as f32));
        }
    }
    kernel.projected(weights)
}

/// The first right singular vector of a matrix with rows of `taps`: an
/// eigenvector of its Gram matrix, by Jacobi's rotations (which, unlike powers of
/// the matrix, do not depend on a gap between the values).
fn principal(matrix: &[f32], taps: usize) -> Vec<f64> {
    let mut gram = vec![0.0; taps * taps];
    for row in matrix.chunks_exact(taps) {
        for (i, &a) in row.iter().enumerate() {
            row.iter().enumerate().for_each(|(j, &b)| gram[i * taps + j] += f64::from(a) * f64::from(b));
        }
    }
    let mut vectors = vec![0.0; taps * taps];
    (0..taps).for_each(|i| vectors[i * taps + i] = 1.0);
    let trace: f64 = (0..taps).map(|i| gram[i * taps + i]).sum();
    // Each sweep squares the off-diagonal remainder; six suffice, thirty are safe.
    for _ in 0..30 {
        let pairs = (0..taps).flat_map(|p| (p + 1..taps).map(move |q| (p, q)));
        let beside: f64 = pairs.clone().map(|(p, q)| gram[p * taps + q].abs()).sum();
        if beside <= 1e-14 * trace {
            break;
        }
        for (p, q) in pairs {
            rotate(&mut gram, &mut vectors, taps, p, q);
        }
    }
    let largest = (0..taps).max_by(|&a, &b| gram[a * taps + a].total_cmp(&gram[b * taps + b])).unwrap_or(0);
    (0..taps).map(|i| vectors[i * taps + largest]).collect()
}

/// Jacobi's rotation that makes element (p, q) of the symmetric `a` zero (Golub and
/// Van Loan, algorithm 8.5.1), gathered in `v`.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let tangent = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = turn(a[k * n + p], a[k * n + q]);
    }
    for k in 0..n {
        (a[p * n + k], a[q * n + k]) = turn(a[p * n + k], a[q * n + k]);
        (v[k * n + p], v[k * n + q]) = turn(v[k * n + p], v[k * n + q]);
    }
}

/// The same weights in an order drawn from `seed`: a kernel with no structure but
/// the distribution of its weights.
pub fn shuffled(kernel: &DenseKernel, seed: u64) -> DenseKernel {
    let mut weights = kernel.weights.clone();
    shuffle(&mut weights, seed);
    DenseKernel { weights, ..*kernel }
}

/// Fisher and Yates' shuffle with numbers from splitmix64 (Steele, Lea and Flood 2014): good
/// enough to start a search and for a comparison.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        items.swap(last, ((z ^ (z >> 31)) % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights in [-1, 1) from a seed.
    fn random(outputs: usize, inputs: usize, taps: usize, seed: u64) -> DenseKernel {
        let mut order: Vec<i32> = (0..(outputs * inputs * taps) as i32).collect();
        shuffle(&mut order, seed);
        let n = order.len() as f32;
        DenseKernel::new(outputs, inputs, taps, order.iter().map(|&i| 2.0 * i as f32 / n - 1.0).collect())
    }

    /// A kernel whose inputs and outputs lie in hidden groups.
    fn hidden(channels: usize, segments: usize) -> DenseKernel {
        let mut kernel = random(channels, channels, 9, 1);
        let (mut outputs, mut inputs) = (slots(channels, segments), slots(channels, segments));
        shuffle(&mut outputs, 2);
        shuffle(&mut inputs, 3);
        for (pair, weights) in kernel.weights.chunks_exact_mut(9).enumerate() {
            if outputs[pair / channels] != inputs[pair % channels] {
                weights.fill(0.0);
            }
        }
        kernel
    }

    #[test]
    fn hidden_segments_are_found() {
        for (channels, segments) in [(12, 3), (13, 4), (16, 16), (9, 2)] {
            let kernel = hidden(channels, segments);
            let found = segmented(&kernel, segments);
            assert!(found.kept > 1.0 - 1e-9, "{channels} in {segments}: {}", found.kept);
            assert_eq!(found.weights, kernel.weights);
        }
    }

    #[test]
    fn one_segment_keeps_all_and_more_keep_less() {
        let kernel = random(12, 12, 9, 5);
        let kept: Vec<f64> = [1, 2, 4, 12].map(|segments| segmented(&kernel, segments).kept).to_vec();
        assert!((kept[0] - 1.0).abs() < 1e-12);
        assert!(kept.windows(2).all(|pair| pair[0] > pair[1]), "{kept:?}");
        // No structure: little more than the share of pairs that are kept.
        assert!(kept[1] > 0.5 && kept[1] < 0.62, "{kept:?}");
    }

    #[test]
    fn more_inputs_than_outputs_are_divided_too() {
        let kernel = random(6, 10, 9, 4);
        let found = segmented(&kernel, 3);
        let zeros = found.weights.chunks_exact(9).filter(|weights| weights.iter().all(|&w| w == 0.0)).count();
        // Groups of 2 outputs and of 4, 3 and 3 inputs.
        assert_eq!(zeros, 60 - 2 * (4 + 3 + 3));
    }

    #[test]
    fn assignments_are_the_best_of_all() {
        for seed in 0..20 {
            let costs = random(6, 6, 1, seed).weights;
            let cost = |a: usize, b: usize| f64::from(costs[a * 6 + b]);
            let total = |slots: &[usize]| slots.iter().enumerate().map(|(a, &b)| cost(a, b)).sum::<f64>();
            let mut best = f64::INFINITY;
            permutations(&mut vec![], 6, &mut |slots| best = best.min(total(slots)));
            assert!((total(&assignment(6, cost)) - best).abs() < 1e-9);
        }
    }

    fn permutations(begun: &mut Vec<usize>, n: usize, visit: &mut impl FnMut(&[usize])) {
        if begun.len() == n {
            return visit(begun);
        }
        for next in 0..n {
            if !begun.contains(&next) {
                begun.push(next);
                permutations(begun, n, visit);
                begun.pop();
            }
        }
    }

    #[test]
    fn separable_kernels_stay_as_they_are() {
        let (mixes, spatial) = (random(5, 7, 1, 1), random(5, 1, 9, 2));
        let weights = (0..5).flat_map(|output| {
            let mix = mixes.weights[output * 7..][..7].to_vec();
            let taps = spatial.weights[output * 9..][..9].to_vec();
            mix.into_iter().flat_map(move |m| taps.clone().into_iter().map(move |t| m * t))
        });
        let kernel = DenseKernel::new(5, 7, 9, weights.collect());
        let found = separable(&kernel);
        assert!((found.kept - 1.0).abs() < 1e-6, "{}", found.kept);
        assert!(found.weights.iter().zip(&kernel.weights).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn of_a_permutation_one_part_in_its_rank_is_separable() {
        // Each of 8 inputs has its one tap: all singular values are equal.
        let mut weights = vec![0.0; 8 * 9];
        (0..8).for_each(|input| weights[input * 9 + (input * 5) % 9] = 1.0);
        let kept = separable(&DenseKernel::new(1, 8, 9, weights)).kept;
        assert!((kept - 0.125).abs() < 1e-9, "{kept}");
    }

    #[test]
    fn a_zero_kernel_loses_nothing() {
        let kernel = DenseKernel::new(2, 2, 9, vec![0.0; 36]);
        assert_eq!((segmented(&kernel, 2).kept, separable(&kernel).kept), (1.0, 1.0));
    }

    #[test]
    fn shuffling_keeps_the_energy() {
        let kernel = hidden(12, 3);
        let other = shuffled(&kernel, 1);
        assert_ne!(kernel, other);
        assert!((energy(&kernel.weights) - energy(&other.weights)).abs() < 1e-6);
        assert!(segmented(&other, 3).kept < 0.6);
    }
}
