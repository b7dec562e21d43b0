//! Networks that together have every operation, and values for them.

use decouple_kernels::geometry::MapShape;
use decouple_spectrum::{
    graph::{Graph, Role},
    module::{Intermediate, NormPlacement, Order},
    network::{Dense, Family, NetworkKey, NetworkSpec, Numerics},
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
    let mut cases = Vec::new();
    for family in Family::ALL {
        for numerics in [Numerics::Keras, Numerics::Timm] {
            if !family.reads(NetworkKey::Numerics) && numerics == Numerics::Timm {
                continue;
            }
            // The smallest images that the published stems leave something of.
            let side = if matches!(family, Family::InceptionV3 | Family::SimpleInception) { 79 } else { 64 };
            let fully_connected =
                if family.reads(NetworkKey::FullyConnected) { vec![40] } else { Vec::new() };
            let own = NetworkSpec::of(family, numerics);
            let network = NetworkSpec { width: 0.1, dropout: 0.5, fully_connected, ..own };
            let name = format!("{family}-{numerics:?}").to_lowercase();
            cases.push(Case { name, network, input: MapShape::new(side, side, 3) });
        }
    }
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

/// Values under which every layer matters: norms that do not only keep what they
/// read, and images that are not all alike.
pub(crate) fn values(graph: &Graph) -> Vec<Vec<f32>> {
    let start = decouple_training::start_values::start_values(graph, 11);
    let drawn = graph.parameters.iter().zip(start);
    drawn
        .map(|(parameter, start)| match parameter.role {
            Role::ConvWeight | Role::LinearWeight => start,
            Role::Gamma | Role::RunningVariance => wave(start.len(), 1.0),
            Role::Bias | Role::Beta | Role::RunningMean => wave(start.len(), 0.0),
        })
        .collect()
}

/// `count` numbers within a quarter of `centre`.
pub(crate) fn wave(count: usize, centre: f32) -> Vec<f32> {
    (0..count).map(|index| centre + 0.25 * (1.0 + 0.7 * index as f32).sin()).collect()
}
