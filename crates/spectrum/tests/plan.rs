//! What a plan promises, over every family and the options of the spectrum: it
//! computes the graph, keeps what is read, and never lets two things that are
//! alive at once share memory.

use std::collections::{BTreeMap, HashMap};

use decouple_kernels::{
    geometry::{ConvOptions, MapShape},
    layout::LANES,
};
use decouple_spectrum::{
    backend::{Rule, Update},
    builder::{BatchNormOptions, GraphBuilder},
    error::SpecError,
    graph::{Activation, Graph, NodeId, Op},
    module::{Intermediate, NormPlacement, Order},
    network::{Dense, Family, NetworkKey, NetworkSpec, Numerics},
    plan::{Arena, Conv, GradientId, MapId, Plan, Read, Step, WeightOrder, Work},
    segments::{SegmentSchedule, Segments},
};

/// Every family as both frameworks have it, and every way through mini-xception.
fn plans() -> Vec<(String, Plan)> {
    let mut specs = Vec::new();
    for family in Family::ALL {
        for numerics in [Numerics::Keras, Numerics::Timm] {
            if numerics == Numerics::Keras || family.reads(NetworkKey::Numerics) {
                let own = NetworkSpec::of(family, numerics);
                let fully_connected =
                    if family.reads(NetworkKey::FullyConnected) { vec![9] } else { Vec::new() };
                let small_stem = family.reads(NetworkKey::SmallStem);
                specs.push(NetworkSpec { width: 0.1, small_stem, fully_connected, dropout: 0.5, ..own });
            }
        }
    }
    for norm in [NormPlacement::Module, NormPlacement::Both] {
        for intermediate in [Intermediate::None, Intermediate::Relu, Intermediate::Elu] {
            for order in [Order::PointwiseFirst, Order::SpatialFirst] {
                for (residual, dense) in [
                    (true, Dense::None),
                    (false, Dense::None),
                    (true, Dense::First),
                    (true, Dense::All),
                    (false, Dense::All),
                ] {
                    let segments = SegmentSchedule::Uniform(Segments::Count(3));
                    let own = NetworkSpec::default();
                    specs.push(NetworkSpec { norm, intermediate, order, residual, dense, segments, ..own });
                }
            }
        }
    }
    let plan = |spec: NetworkSpec| {
        let graph = spec.graph(MapShape::new(32, 32, 3), 10).expect("a network for small images");
        (format!("{spec:?}"), Plan::new(graph))
    };
    specs.into_iter().map(plan).collect()
}

/// Values as expressions, numbered so that equal ones have one number.
#[derive(Default)]
struct Expressions {
    numbers: HashMap<(String, Vec<usize>), usize>,
    /// How often each has been computed.
    computed: BTreeMap<usize, usize>,
}

impl Expressions {
    fn of(&mut self, op: &Op, inputs: Vec<usize>) -> usize {
        if matches!(op, Op::Concat) && inputs.len() == 1 {
            return inputs[0];
        }
        let next = self.numbers.len();
        let number = *self.numbers.entry((format!("{op:?}"), inputs)).or_insert(next);
        *self.computed.entry(number).or_default() += 1;
        number
    }

    fn conv(&mut self, conv: &Conv, input: usize) -> usize {
        let (weights, bias) = (conv.weights, conv.bias);
        let op = match conv.order {
            WeightOrder::ChannelFirst => {
                Op::Conv { geometry: conv.whole.unwrap_or(conv.geometry), weights, bias }
            }
            WeightOrder::ChannelLast => Op::Linear { weights, bias },
        };
        let made = self.of(&op, vec![input]);
        conv.activation.map_or(made, |kind| self.of(&Op::Activation(kind), vec![made]))
    }

    /// What a step reads from maps that hold `maps`.
    fn read(&mut self, plan: &Plan, maps: &[Option<usize>], read: &Read) -> usize {
        let mut value = maps[read.map.0].expect("a map is written before it is read");
        if let Some(norm) = &plan.map(read.map).norm {
            let op = &plan.graph.node(norm.node).op;
            assert!(matches!(op, Op::BatchNorm { gamma, beta, mean, variance, epsilon, momentum }
                    if (*gamma, *beta, *mean, *variance) == (norm.gamma, norm.beta, norm.mean, norm.variance)
                        && (*epsilon, *momentum) == (norm.epsilon, norm.momentum)));
            value = self.of(op, vec![value]);
        }
        read.activation.map_or(value, |kind| self.of(&Op::Activation(kind), vec![value]))
    }

    fn step(&mut self, plan: &Plan, step: &Step, inputs: Vec<usize>) -> usize {
        match &step.work {
            Work::Convs(convs) => convs.iter().fold(inputs[0], |input, conv| self.conv(conv, input)),
            // Of strips, the node says what the image is pooled by.
            Work::MaxPool(_) if plan.steps[0].cut.is_some() => {
                self.of(&plan.graph.node(step.node).op, inputs)
            }
            Work::MaxPool(geometry) => self.of(&Op::MaxPool(*geometry), inputs),
            Work::MeanPool(geometry, include_padding) => {
                let op = Op::MeanPool { geometry: *geometry, include_padding: *include_padding };
                self.of(&op, inputs)
            }
            Work::GlobalMeanPool => self.of(&Op::GlobalMeanPool, inputs),
            Work::Add => self.of(&Op::Add, inputs),
            Work::Concat => self.of(&Op::Concat, inputs),
            Work::Dropout(rate) => self.of(&Op::Dropout { rate: *rate }, inputs),
        }
    }
}

#[test]
fn a_plan_computes_its_graph_and_nothing_twice() {
    let with_strips =
        |(name, plan): (String, Plan)| [(format!("{name} in strips"), plan.in_strips()), (name, plan)];
    for (name, plan) in plans().into_iter().flat_map(with_strips) {
        let mut expressions = Expressions::default();
        let mut nodes: Vec<usize> = Vec::new();
        for node in &plan.graph.nodes {
            let inputs = node.inputs.iter().map(|input| nodes[input.0]).collect();
            nodes.push(expressions.of(&node.op, inputs));
        }
        expressions.computed.clear();
        let mut maps: Vec<Option<usize>> = vec![None; plan.maps.len()];
        maps[0] = Some(nodes[0]);
        for (index, step) in plan.steps.iter().enumerate() {
            let inputs = step.reads.iter().map(|read| expressions.read(&plan, &maps, read)).collect();
            let made = expressions.step(&plan, step, inputs);
            assert_eq!(plan.map(step.writes).written, Some(index), "{name}");
            assert_eq!(made, nodes[plan.map(step.writes).node.0], "{name}: step {index}");
            assert_eq!(maps[step.writes.0].replace(made), None, "{name}: a map is written once");
        }
        assert_eq!(maps[plan.logits().0], nodes.last().copied(), "{name}: the logits");
        // Norms and activations are computed anew by every reader, all else once.
        for (index, node) in plan.graph.nodes.iter().enumerate() {
            let count = expressions.computed.get(&nodes[index]).copied().unwrap_or(0);
            match node.op {
                Op::Input => {}
                Op::BatchNorm { .. } | Op::Activation(_) => assert!(count > 0, "{name}: {}", node.name),
                _ => {
                    let alike = nodes.iter().filter(|&&number| number == nodes[index]).count();
                    assert_eq!(count, alike, "{name}: {}", node.name);
                }
            }
        }
        let norms = plan.maps.iter().filter_map(|map| map.norm.as_ref()).map(|norm| norm.node);
        let mut norms: Vec<_> = norms.collect();
        norms.sort();
        let expected = plan.graph.nodes.iter().enumerate();
        let expected = expected.filter(|(_, node)| matches!(node.op, Op::BatchNorm { .. }));
        assert!(norms.iter().map(|node| node.0).eq(expected.map(|(index, _)| index)), "{name}: norms");
    }
}

/// When maps and gradients are touched: 0 to n - 1 in the forward pass, n to 2 n - 1 in the
/// backward pass of n steps.
#[derive(Default)]
struct Accesses {
    maps: BTreeMap<usize, Vec<usize>>,
    gradients: BTreeMap<usize, Vec<usize>>,
}

impl Accesses {
    fn forward(plan: &Plan) -> Self {
        let mut accesses = Self::default();
        accesses.maps.entry(0).or_default().push(0);
        for (time, step) in plan.steps.iter().enumerate() {
            let maps = step.reads.iter().map(|read| read.map).chain(step.middle).chain([step.writes]);
            maps.for_each(|map| accesses.maps.entry(map.0).or_default().push(time));
        }
        accesses
    }
}

/// The parts of a gradient: the readers of the map that each have made one, by step
/// and place; of the logits the loss, as a step beyond the last.
type Parts = Vec<(usize, usize)>;

/// What the gradient of every map should be.
fn expected_gradients(plan: &Plan) -> Vec<Parts> {
    let mut expected: Vec<Parts> = vec![Parts::new(); plan.maps.len()];
    expected[plan.logits().0].push((plan.steps.len(), 0));
    for (index, step) in plan.steps.iter().enumerate().rev() {
        for (place, read) in step.reads.iter().enumerate().filter(|(_, read)| read.gradient.is_some()) {
            let part = part(plan, step, index, place, &expected[step.writes.0].clone());
            expected[read.map.0].extend(part);
            expected[read.map.0].sort_unstable();
        }
    }
    expected
}

/// What a step adds to the gradient of a map that it reads: a plain sum its own
/// gradient, any other something new.
fn part(plan: &Plan, step: &Step, index: usize, place: usize, own: &Parts) -> Parts {
    let is_plain = step.work == Work::Add
        && plan.map(step.writes).norm.is_none()
        && step.reads[place].activation.is_none();
    if is_plain { own.clone() } else { vec![(index, place)] }
}

/// Runs the backward pass on gradients as lists of their parts: every step finds the whole
/// gradient of what it wrote, whatever has been written to what it shares.
fn backward(name: &str, plan: &Plan) -> Accesses {
    let mut accesses = Accesses::forward(plan);
    let expected = expected_gradients(plan);
    let mut held: Vec<Parts> = vec![Parts::new(); plan.gradients.len()];
    let gradient = |map: MapId| plan.map(map).gradient;
    let Some(GradientId(logits)) = gradient(plan.logits()) else { panic!("{name}: nothing to train") };
    held[logits] = expected[plan.logits().0].clone();
    for (index, step) in plan.steps.iter().enumerate().rev() {
        let time = 2 * plan.steps.len() - 1 - index;
        let Some(GradientId(own)) = gradient(step.writes) else {
            assert!(step.reads.iter().all(|read| read.gradient.is_none()), "{name}: step {index}");
            continue;
        };
        let parts = held[own].clone();
        assert_eq!(parts, expected[step.writes.0], "{name}: step {index} reads its gradient");
        accesses.gradients.entry(own).or_default().push(time);
        let mut maps: Vec<MapId> = step.middle.into_iter().collect();
        // A norm is undone where its map was written.
        maps.extend(plan.map(step.writes).norm.is_some().then_some(step.writes));
        for (place, read) in step.reads.iter().enumerate() {
            if matches!(step.work, Work::Convs(_)) {
                maps.push(read.map);
            }
            let Some(write) = read.gradient else { continue };
            let Some(GradientId(of)) = gradient(read.map) else { panic!("{name}: step {index}") };
            if matches!(step.work, Work::MaxPool(_))
                || read.activation.is_some()
                || (plan.map(read.map).norm.is_some() && write.completes)
            {
                maps.push(read.map);
            }
            let part = part(plan, step, index, place, &parts);
            accesses.gradients.entry(of).or_default().push(time);
            match (write.is_shared, write.adds) {
                (true, adds) => {
                    assert!(of == own && !adds && part == parts, "{name}: step {index} shares");
                }
                (false, true) => {
                    held[of].extend(part);
                    held[of].sort_unstable();
                }
                (false, false) => held[of] = part,
            }
            if write.completes {
                assert_eq!(held[of], expected[read.map.0], "{name}: step {index} completes a gradient");
            }
        }
        maps.iter().for_each(|map| accesses.maps.entry(map.0).or_default().push(time));
    }
    accesses
}

#[test]
fn every_gradient_is_whole_when_it_is_read() {
    let mut shared = 0;
    for (name, plan) in plans() {
        backward(&name, &plan);
        for (index, map) in plan.maps.iter().enumerate().skip(1) {
            let readers = plan.steps.iter().flat_map(|step| &step.reads);
            let readers: Vec<_> = readers.filter(|read| read.map.0 == index).collect();
            let is_tracked = map.gradient.is_some();
            assert!(readers.iter().all(|read| read.gradient.is_some() == is_tracked), "{name}: map {index}");
            let completed = readers.iter().filter_map(|read| read.gradient).filter(|write| write.completes);
            let is_read = !readers.is_empty() && is_tracked;
            assert_eq!(completed.count(), usize::from(is_read), "{name}: map {index}");
        }
        assert_eq!(plan.maps[0].gradient, None, "{name}: images have no gradient");
        let reads = plan.steps.iter().flat_map(|step| &step.reads);
        shared += reads.filter(|read| read.gradient.is_some_and(|write| write.is_shared)).count();
    }
    assert!(shared > 0, "residual networks share gradients");
}

#[test]
fn nothing_is_let_go_before_its_last_reader() {
    for (name, plan) in plans() {
        let accesses = backward(&name, &plan);
        let steps = plan.steps.len();
        for (index, map) in plan.maps.iter().enumerate() {
            let times = &accesses.maps[&index];
            let forward = times.iter().copied().filter(|&time| time < steps).max();
            assert_eq!(Some(map.last_read), forward, "{name}: map {index}");
            let back = times.iter().copied().filter(|&time| time >= steps).max();
            assert_eq!(map.kept_until, back.map(|time| 2 * steps - 1 - time), "{name}: map {index}");
        }
        for (index, gradient) in plan.gradients.iter().enumerate() {
            let times = accesses.gradients[&index].iter().map(|time| 2 * steps - 1 - time);
            let (first, last) = (times.clone().max(), times.min());
            assert!(first <= Some(gradient.from) && Some(gradient.until) <= last, "{name}: gradient {index}");
        }
    }
}

/// Places, lengths and times of what an arena holds.
fn tenants(plan: &Plan, arena: &Arena, accesses: &Accesses) -> Vec<[usize; 4]> {
    let times = |times: &Vec<usize>| [*times.iter().min().unwrap(), *times.iter().max().unwrap()];
    let map = |(&index, accessed): (&usize, &Vec<usize>)| {
        let [first, last] = times(accessed);
        [arena.maps[index], plan.layout(MapId(index)).group(), first, last]
    };
    let gradient = |(&index, accessed): (&usize, &Vec<usize>)| {
        let [first, last] = times(accessed);
        [arena.gradients[index], plan.layout(plan.gradients[index].map).group(), first, last]
    };
    accesses.maps.iter().map(map).chain(accesses.gradients.iter().map(gradient)).collect()
}

#[test]
fn no_two_that_are_alive_at_once_share_memory() {
    for (name, plan) in plans() {
        let mut training = backward(&name, &plan);
        // The logits' gradient is there before the last step reads it.
        let GradientId(logits) = plan.map(plan.logits()).gradient.expect("it is trained");
        training.gradients.entry(logits).or_default().push(plan.steps.len());
        let strips = plan.in_strips();
        let arenas = [
            (&plan, plan.training_arena(), training),
            (&plan, plan.inference_arena(), Accesses::forward(&plan)),
            (&strips, strips.inference_arena(), Accesses::forward(&strips)),
        ];
        for (plan, arena, accesses) in arenas {
            let tenants = tenants(plan, &arena, &accesses);
            for (index, &[begin, len, first, last]) in tenants.iter().enumerate() {
                assert!(begin + len <= arena.len, "{name}: tenant {index}");
                for &[other_begin, other_len, other_first, other_last] in &tenants[..index] {
                    let is_together = first <= other_last && other_first <= last;
                    let overlaps = begin < other_begin + other_len && other_begin < begin + len;
                    assert!(!(is_together && overlaps), "{name}: tenant {index}");
                }
            }
        }
    }
}

/// Rows that a lane holds are those that the next step's lanes find there.
#[test]
fn strips_hold_every_row_of_an_image() {
    for (name, plan) in plans() {
        let strips = plan.in_strips();
        assert_eq!(strips.layout(MapId(0)), plan.layout(MapId(0)), "{name}: the image");
        for step in &strips.steps {
            let (read, writes) = (strips.map(step.reads[0].map), strips.map(step.writes));
            let height = |node: NodeId| strips.graph.node(node).output.h;
            assert!(LANES * writes.shape.h >= height(writes.node), "{name}: {step:?}");
            let reads = match &step.work {
                Work::Convs(convs) => convs[0].geometry.input().h,
                Work::MaxPool(geometry) | Work::MeanPool(geometry, _) => geometry.input().h,
                Work::GlobalMeanPool => height(read.node),
                Work::Add | Work::Concat | Work::Dropout(_) => writes.shape.h,
            };
            assert_eq!(strips.found(step).shape.h, reads, "{name}: {step:?}");
            let is_of_image = step.cut.is_none_or(|cut| cut.height == height(read.node));
            assert!(is_of_image, "{name}: {step:?}");
        }
    }
}

#[test]
fn every_map_and_gradient_has_room_for_what_is_read_beyond_its_rows() {
    for (name, plan) in plans() {
        for step in &plan.steps {
            if let Work::Convs(convs) = &step.work {
                let ends: Vec<MapId> =
                    [step.reads[0].map].into_iter().chain(step.middle).chain([step.writes]).collect();
                for (conv, ends) in convs.iter().zip(ends.windows(2)) {
                    let (input, output) = conv.geometry.margins();
                    assert_eq!(conv.geometry.input(), plan.map(ends[0]).shape, "{name}");
                    assert_eq!(conv.geometry.output(), plan.map(ends[1]).shape, "{name}");
                    assert!(
                        plan.map(ends[0]).margin >= input && plan.map(ends[1]).margin >= output,
                        "{name}"
                    );
                }
            }
        }
        // Maps that share a gradient share its layout.
        for map in &plan.maps {
            if let Some(GradientId(id)) = map.gradient {
                let own = plan.map(plan.gradients[id].map);
                assert_eq!((own.shape, own.margin), (map.shape, map.margin), "{name}");
            }
        }
    }
}

/// A 2x2 image of one channel, a residual block of three channels, five logits.
fn block() -> Result<Graph, SpecError> {
    let mut b = GraphBuilder::new(MapShape::new(2, 2, 1))?;
    let options = BatchNormOptions { epsilon: 1e-3, momentum: 0.1, scale: true };
    let conv = b.conv("conv", b.input(), 3, ConvOptions::spatial(3, 1))?;
    let norm = b.batch_norm("norm", conv, options);
    let relu = b.activation("relu", norm, Activation::Relu);
    let sum = b.add("add", relu, conv)?;
    let pooled = b.global_mean_pool("pool", sum);
    b.linear("logits", pooled, 5);
    Ok(b.finish())
}

#[test]
fn sizes_are_the_ones_counted_by_hand() {
    let plan = Plan::new(block().expect("a block"));
    // The norm is not the only reader of the convolution, so it gets a copy.
    let works: Vec<String> =
        plan.steps.iter().map(|step| format!("{:?}", step.work)[..3].to_owned()).collect();
    assert_eq!(works, ["Con", "Con", "Add", "Glo", "Con"]);
    // A margin before the first row, then for each row and channel its columns and a margin.
    let len = |h: usize, w: usize, c: usize| 16 * (1 + h * c * (w + 1));
    let groups: Vec<usize> = (0..plan.maps.len()).map(|map| plan.layout(MapId(map)).group()).collect();
    let map = len(2, 2, 3);
    assert_eq!(groups, [len(2, 2, 1), map, map, map, len(1, 1, 3), len(1, 1, 5)]);
    assert_eq!([groups[0], map], [112, 304]);
    // Steps 0 to 4 forward, then 5 to 9 back:
    //   images 0-9, conv 0-2, copy 1-8, sum 2-3, pooled 3-5, logits 4;
    //   gradients: logits 5, pooled 5-6, sum and conv 6-9, copy 7-8.
    // Most at 2 (images, conv, copy, sum) and at 7 (images, copy, two gradients).
    assert_eq!(plan.gradients.len(), 4);
    assert_eq!(plan.maps[1].gradient, plan.maps[3].gradient);
    assert_eq!(plan.training_arena().len, 112 + 3 * 304);
    // Without the backward pass the images are let go after step 0.
    assert_eq!(plan.inference_arena().len, 3 * 304);
    // Seventeen images are two groups.
    assert_eq!(plan.inference_arena().bytes(17), 2 * 4 * 3 * 304);
}

#[test]
fn what_is_kept_of_the_parameters_is_counted_once_a_copy() {
    let plan = Plan::new(block().expect("a block"));
    // 27 weights, scale and shift of 3 channels, 15 weights and 5 biases; 6 statistics.
    let (trained, statistics) = (27 + 6 + 20, 6);
    let sgd = |momentum| Rule::Sgd { rate: 0.1, momentum, nesterov: false };
    let adam = Rule::Adam { rate: 0.1, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, second_correction: 1.0 };
    for (rule, average_share, copies) in [
        (sgd(0.0), None, [2, 1]),
        (sgd(0.9), Some(0.5), [4, 2]),
        (adam, None, [4, 1]),
        (adam, Some(0.5), [5, 2]),
    ] {
        let update = Update { rule, l2: 0.0, shrink: 1.0, decays_all: false, average_share };
        let kept = 4 * (copies[0] * trained + copies[1] * statistics);
        assert_eq!(plan.parameter_bytes(&update), kept, "{rule:?}");
    }
}
