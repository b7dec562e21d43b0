//! Inception V3's frame with the simplified module (Chollet 2017, figures 2
//! and 3): one 1x1 convolution, then 3x3 convolutions over its segments.
//!
//! ```text
//! stem      as Inception V3                                  32, 32, 64, 80, 192
//! mixed 5b, 5c, 5d     module                                256, 288, 288
//! mixed 6a             module at 768, max pool 3x3/2
//! mixed 6b to 6e       module                                768
//! mixed 7a             module at 1280, max pool 3x3/2
//! mixed 7b, 7c         module                                2048
//! head      global mean pool, [dense layers], [dropout], linear
//! ```
//! With S segments, a module is equivalent to the S towers of figure 2. Three segments, a relu
//! and a norm after both convolutions are Inception's; one per channel makes it the extreme
//! version of figure 4.

use crate::error::SpecError;
use crate::graph::{Activation, Graph, NodeId};
use crate::module::{Intermediate, NormPlacement};
use crate::network::{NetworkKey, NetworkSpec, Preprocessing};
use crate::segments::Segments;
use decouple_kernels::geometry::MapShape;

use super::inception_v3::Inception;
use super::{Architecture, Channels, Names, head};

pub(crate) const SIMPLE_INCEPTION: Architecture = Architecture {
    keys: &[
        NetworkKey::Numerics,
        NetworkKey::Segments,
        NetworkKey::Order,
        NetworkKey::Intermediate,
        NetworkKey::Norm,
        NetworkKey::NormEpsilon,
        NetworkKey::NormMomentum,
        NetworkKey::Kernel,
        NetworkKey::SmallStem,
        NetworkKey::Channels,
        NetworkKey::FullyConnected,
    ],
    // The stem's five convolutions; the modules 5b, 5c and 5d; 6a to 6e; 7a; 7b and 7c.
    channels: Channels::Listed(&[32, 32, 64, 80, 192, 256, 288, 768, 1280, 2048]),
    own: |published| NetworkSpec {
        segments: Segments::Count(3).into(),
        intermediate: Intermediate::Relu,
        norm: NormPlacement::Both,
        ..published
    },
    // Modules 5, 6 and 7.
    stages: |_| 3,
    graph,
    images: (299, 3),
    classes: 1000,
    preprocessing: Some(|_, size| Preprocessing::symmetric(size, 0.875)),
    names: Names { keras: None, timm: None, is_separable: false, differ: false },
};

/// Lowers a valid `spec` with explicit channel counts.
fn graph(spec: &NetworkSpec, input: MapShape, classes: usize) -> Result<Graph, SpecError> {
    let &[c1, c2, c3, c4, c5, a1, a2, c, d, e] = &spec.channels[..] else {
        unreachable!("`validate` has counted the channels");
    };
    let mut net = Inception::new(spec, input)?;
    let mut map = net.stem_of([c1, c2, c3, c4, c5])?;
    let modules = [
        ("5b", 0, a1, false),
        ("5c", 0, a2, false),
        ("5d", 0, a2, false),
        ("6a", 1, c, true),
        ("6b", 1, c, false),
        ("6c", 1, c, false),
        ("6d", 1, c, false),
        ("6e", 1, c, false),
        ("7a", 2, d, true),
        ("7b", 2, e, false),
        ("7c", 2, e, false),
    ];
    for (name, stage, channels, halves) in modules {
        map = net.module(name, map, |net, x| module(net, spec, stage, channels, halves, x))?;
    }
    head::finish(net.builder, spec, map, classes)
}

fn module(
    net: &mut Inception<'_>,
    spec: &NetworkSpec,
    stage: usize,
    channels: usize,
    halves: bool,
    x: NodeId,
) -> Result<NodeId, SpecError> {
    let map = spec.module(stage, channels).lower(&mut net.builder, "module", x)?;
    let map = net.builder.activation("relu", map, Activation::Relu);
    if halves { net.max_pool("pool", map) } else { Ok(map) }
}
