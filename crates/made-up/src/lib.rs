//! Values and networks that the tests of several crates make alike.
//!
//! ```
//! use decouple_made_up::noise;
//! assert_eq!(noise("images", 2), noise("images", 3)[..2]);
//! assert!(noise("images", 9).iter().all(|value| (-1.0..1.0).contains(value)));
//! ```
#![forbid(unsafe_code)]

use decouple_spectrum::{
    graph::{Graph, Role},
    network::{Family, NetworkKey, NetworkSpec, Numerics},
};

/// `count` multiples of 2^-23 in [-1, 1), a function of `name`: its FNV-1a hash, continued by splitmix64
/// (Steele, Lea and Flood 2014). Python scripts make the same, bit for bit.
pub fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64).map(move |index| {
        let z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// The numbers of [`uniform`] in single precision.
pub fn noise(name: &str, count: usize) -> Vec<f32> {
    uniform(name, count).map(|value| value as f32).collect()
}

/// Values for every parameter of a network under which each layer matters: weights to their fan-in, scales
/// and variances about one, all else about zero.
pub fn values(graph: &Graph) -> Vec<Vec<f32>> {
    let parameters = graph.parameters.iter().map(|spec| {
        let (scale, centre) = match spec.role {
            Role::ConvWeight | Role::LinearWeight => ((2.0 / spec.fan_in as f32).sqrt(), 0.0),
            Role::Gamma | Role::RunningVariance => (0.3, 1.0),
            Role::Bias | Role::Beta | Role::RunningMean => (0.3, 0.0),
        };
        noise(&spec.name, spec.len()).into_iter().map(|value| centre + scale * value).collect()
    });
    parameters.collect()
}

/// Every family as each framework implements it, at `width`, for small images; with a dense layer and
/// dropout where the family has them.
pub fn every_family(width: f64) -> impl Iterator<Item = NetworkSpec> {
    let both =
        Family::ALL.into_iter().flat_map(|family| [Numerics::Keras, Numerics::Timm].map(|n| (family, n)));
    let known =
        both.filter(|(family, numerics)| *numerics == Numerics::Keras || family.reads(NetworkKey::Numerics));
    known.map(move |(family, numerics)| NetworkSpec {
        width,
        small_stem: family.reads(NetworkKey::SmallStem),
        fully_connected: if family.reads(NetworkKey::FullyConnected) { vec![40] } else { Vec::new() },
        dropout: 0.5,
        ..NetworkSpec::of(family, numerics)
    })
}
