//! The architectures, one file each: the network, the keys that it reads, its preprocessing of
//! images, and the names of its layers elsewhere.

mod head;
pub(crate) mod inception_v3;
pub(crate) mod mini_xception;
pub(crate) mod resnet;
pub(crate) mod simple_inception;
pub(crate) mod vgg;
pub(crate) mod xception;

use decouple_kernels::geometry::MapShape;

use crate::error::SpecError;
use crate::graph::{Graph, NodeId};
use crate::network::{NetworkKey, NetworkSpec, Numerics, Preprocessing};

/// The description of an architecture.
pub(crate) struct Architecture {
    /// The keys that its networks differ by, besides width and dropout.
    pub(crate) keys: &'static [NetworkKey],
    /// Where its channel counts are.
    pub(crate) channels: Channels,
    /// Turns the defaults of published networks, for given numerics, into its own.
    pub(crate) own: fn(NetworkSpec) -> NetworkSpec,
    /// Stages that a per-stage schedule of segments lists.
    pub(crate) stages: fn(&NetworkSpec) -> usize,
    /// Lowers a valid description with explicit channel counts, for images of a
    /// shape and a number of classes.
    pub(crate) graph: fn(&NetworkSpec, MapShape, usize) -> Result<Graph, SpecError>,
    /// The side and the channels of the images that it was published for.
    pub(crate) images: (usize, usize),
    /// The classes that it was published for.
    pub(crate) classes: usize,
    /// Its preprocessing of photographs to given rows and columns, if it was published with
    /// weights.
    pub(crate) preprocessing: Option<fn(Numerics, [usize; 2]) -> Preprocessing>,
    /// The names of its layers elsewhere.
    pub(crate) names: Names,
}

/// Where a family's channel counts are.
pub(crate) enum Channels {
    /// In the keys `stem`, `entry`, `exit` and `inner`.
    InKeys,
    /// In the key `channels`; these are the paper's, from input to output.
    Listed(&'static [usize]),
    /// In its code, because there are too many to list: they follow the width. Holds the
    /// largest.
    Fixed(usize),
}

/// The names of a family's layers in other frameworks, from the parts of our names; `None` if a
/// framework has no such network.
pub(crate) struct Names {
    /// In `keras.applications`.
    pub(crate) keras: Option<KerasNames>,
    /// In timm.
    pub(crate) timm: Option<TimmNames>,
    /// Whether modules are separable convolutions there: spatial first, one segment per
    /// channel.
    pub(crate) is_separable: bool,
    /// Whether the two frameworks differ in parameters, not only in epsilons and paddings.
    pub(crate) differ: bool,
}

/// Keras' name of a layer; some depend on the layer's place in the graph.
pub(crate) type KerasNames = fn(&Graph, NodeId, &[&str]) -> Option<String>;

/// timm's name of a layer.
pub(crate) type TimmNames = fn(&[&str]) -> Option<String>;

/// The number after `prefix` in `text`.
fn number(text: &str, prefix: &str) -> Option<usize> {
    text.strip_prefix(prefix)?.parse().ok()
}

/// Layer `index`, from 0, of a kind that Keras numbers.
fn unnamed(kind: &str, index: usize) -> String {
    if index == 0 { kind.to_owned() } else { format!("{kind}_{index}") }
}
