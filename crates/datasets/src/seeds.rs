//! The only place where the seeds of training are derived and their random streams begin.
//!
//! A random choice is a function of (seed, purpose, epoch, index), never the next number of a
//! long-lived generator. So a resumed run needs no saved state, and adding a use of randomness
//! in one place does not change another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Separates these hashes from every other use of BLAKE3. A change of the derivation needs a
/// new version here, since it changes all results.
const CONTEXT: &str = "decouple 2026-11-24 seed derivation v1";

/// The seed for one use of randomness.
///
/// `seed` is the trial's own, `purpose` names the use, `epoch` and `index` identify the draw (0
/// if not applicable). Purposes in the program are short words such as `order`, `augment`,
/// `dropout`.
///
/// The value is the first eight bytes, read as little-endian, of BLAKE3 in its
/// key-derivation mode (BLAKE3 paper, section 2.3) with the context
/// `decouple 2026-11-24 seed derivation v1` over `seed`, `epoch`, `index` (eight
/// little-endian bytes each) and then the UTF-8 bytes of `purpose`. Only the last
/// part varies in length, so different arguments never give the same bytes.
///
/// ```
/// assert_eq!(decouple_datasets::derive_seed(1, "order", 2, 3), 0x513b_9908_7e67_0ffd);
/// ```
pub fn derive_seed(seed: u64, purpose: &str, epoch: u64, index: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for number in [seed, epoch, index] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(purpose.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// The stream of random numbers that belongs to a derived seed: ChaCha with
/// eight rounds, its key the seed's eight little-endian bytes and zeros, nonce
/// and counter zero. The same on every machine.
pub fn stream(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A uniform whole number in `0..bound`; 0 if `bound` is 0.
///
/// Lemire, "Fast random integer generation in an interval" (2019), algorithm 5:
/// the upper half of a 32 by 32 bit product, redrawn in the few cases that would
/// favour some values.
pub fn uniform_below(rng: &mut impl Rng, bound: u32) -> u32 {
    let mut product = u64::from(rng.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let surplus = bound.wrapping_neg() % bound;
        while (product as u32) < surplus {
            product = u64::from(rng.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the reference implementation of BLAKE3, not with this crate.
    #[test]
    fn derivation_is_pinned() {
        assert_eq!(derive_seed(0, "", 0, 0), 0x407c_70c3_bc2d_9811);
        assert_eq!(derive_seed(1, "order", 2, 3), 0x513b_9908_7e67_0ffd);
        assert_eq!(derive_seed(u64::MAX, "augment", 90, 59_999), 0x4e22_4065_3549_2e09);
    }

    #[test]
    fn every_argument_matters() {
        let seeds = [
            derive_seed(1, "order", 2, 3),
            derive_seed(0, "order", 2, 3),
            derive_seed(1, "orders", 2, 3),
            derive_seed(1, "order", 3, 2),
            derive_seed(2, "order", 1, 3),
        ];
        for (i, a) in seeds.iter().enumerate() {
            assert!(seeds[..i].iter().all(|b| a != b), "{seeds:x?}");
        }
    }

    /// The first bytes of ChaCha8 under the zero key of 256 bits, from
    /// draft-strombergson-chacha-test-vectors-01, TC1.
    #[test]
    fn stream_is_chacha8() {
        let mut bytes = [0; 8];
        stream(0).fill_bytes(&mut bytes);
        assert_eq!(bytes, [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
    }

    #[test]
    fn numbers_below_a_bound_are_evenly_spread() {
        let mut rng = stream(derive_seed(0, "test", 0, 0));
        let mut counts = [0_u32; 5];
        for _ in 0..50_000 {
            counts[uniform_below(&mut rng, 5) as usize] += 1;
        }
        // Five standard deviations of a binomial count are 447.
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 450), "{counts:?}");
    }

    #[test]
    fn small_bounds_have_one_answer() {
        let mut rng = stream(1);
        assert_eq!(uniform_below(&mut rng, 1), 0);
        assert_eq!(uniform_below(&mut rng, 0), 0);
    }
}
