//! Networks that together have every operation, and values for them.

use decouple_kernels::geometry::MapShape;
use decouple_made_up::every_family;
use decouple_spectrum::{
    graph::Graph,
    module::{Intermediate, NormPlacement, Order},
    network::{Dense, Family, NetworkSpec},
    segments::{SegmentSchedule, Segments},
};

/// Classes of all of them: more than five, so that top-5 scores mean something.
pub(crate) const CLASSES: usize = 7;

/// A network, and the shape of its images.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) network: NetworkSpec,
    pub(crate) input: MapShape,
}

impl Case {
    pub(crate) fn graph(&self) -> Graph {
        self.network.graph(self.input, CLASSES).unwrap()
    }
}

/// Every family as each framework implements it, narrow and on small images; and
/// mini-xceptions with uneven segments, both orders and every intermediate.
pub(crate) fn cases() -> Vec<Case> {
    let families = every_family(0.1).map(|network| {
        // The smallest images that the published stems leave something of.
        let side =
            if matches!(network.family, Family::InceptionV3 | Family::SimpleInception) { 79 } else { 64 };
        let name = format!("{}-{:?}", network.family, network.numerics).to_lowercase();
        let network = NetworkSpec { small_stem: false, ..network };
        Case { name, network, input: MapShape::new(side, side, 3) }
    });
    let mut cases: Vec<_> = families.collect();
    let mini = |name: &str, change: fn(&mut NetworkSpec)| {
        let mut network = NetworkSpec::default();
        change(&mut network);
        Case { name: name.to_owned(), network, input: MapShape::new(28, 27, 1) }
    };
    cases.push(mini("uneven-segments", |network| {
        network.segments = Segments::Count(3).into();
        network.intermediate = Intermediate::Elu;
    }));
    cases.push(mini("uneven-segments-per-stage", |network| {
        let stages = [3, 5, 7, 9, 11];
        network.segments = SegmentSchedule::PerStage(stages.map(Segments::Count).to_vec());
        (network.order, network.norm) = (Order::SpatialFirst, NormPlacement::Both);
        (network.intermediate, network.dense) = (Intermediate::Relu, Dense::All);
    }));
    cases
}
