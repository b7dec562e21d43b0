//! The memory that the engine needs besides a plan's maps and parameters. The executor
//! allocates what is counted here, and in each step a few sums per channel.

use decouple_kernels::{
    arithmetic::Arithmetic,
    convs::{ConvSpec, Convs},
    isa::Isa,
    layout::groups,
    pool::{Pool, Pooling},
};
use decouple_spectrum::plan::{Conv, Plan, Step, Work};

/// The kernels of each step of convolutions.
pub(crate) fn convs(isa: Isa, plan: &Plan, arithmetic: Arithmetic) -> Vec<Option<Convs>> {
    let of = |step: &Step| {
        let Work::Convs(convs) = &step.work else { return None };
        let spec = |conv: &Conv| ConvSpec {
            geometry: conv.geometry,
            order: conv.order,
            activation: conv.activation,
        };
        let specs: Vec<ConvSpec> = convs.iter().map(spec).collect();
        let read = &step.reads[0];
        let maps = step.middle.into_iter().chain([step.writes]);
        let layouts: Vec<_> =
            [plan.found(step)].into_iter().chain(maps.map(|map| plan.layout(map))).collect();
        if let (Some(whole), &[spec], &[from, to]) = (&convs[0].whole, &specs[..], &layouts[..]) {
            return Some(Convs::of_strips(isa, spec, whole, [from, to], arithmetic));
        }
        Some(Convs::new(isa, &specs, &layouts, read.gradient.is_some(), arithmetic))
    };
    plan.steps.iter().map(of).collect()
}

/// The pooling of a step, if it is one.
pub(crate) fn pool(isa: Isa, plan: &Plan, step: &Step) -> Option<Pool> {
    let (geometry, pooling) = match step.work {
        Work::MaxPool(geometry) => (geometry, Pooling::Max),
        Work::MeanPool(geometry, include_padding) => (geometry, Pooling::Mean { include_padding }),
        _ => return None,
    };
    let (from, to) = (plan.found(step), plan.layout(step.writes));
    Some(Pool { isa, geometry, pooling, from, to })
}

/// Working memory for the steps of a pass over a batch, in values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Scratch of one task.
    pub task: usize,
    /// Concurrent tasks, given enough threads.
    tasks: usize,
    /// Sums of weights' gradients of all tasks of a step.
    pub partial: usize,
    /// A gradient that differs from the one written by the readers of a map; in inference, what a step reads of a map.
    pub spare: usize,
    /// Packed weights.
    packed: usize,
}

impl Room {
    /// For a forward pass over `images` images, or forward and backward.
    pub(crate) fn new(
        isa: Isa,
        plan: &Plan,
        convs: &[Option<Convs>],
        images: usize,
        is_training: bool,
    ) -> Self {
        let most = |of: &dyn Fn(&Convs) -> usize| convs.iter().flatten().map(of).max().unwrap_or(0);
        let tasks = most(&|convs| convs.tasks(images)).max(groups(images));
        let packed = convs.iter().flatten().map(|convs| convs.packed()[usize::from(is_training)]).sum();
        let of_maps = plan.steps.iter().map(|step| match step.work {
            Work::MaxPool(_) | Work::MeanPool(..) => pool(isa, plan, step).map_or(0, |pool| pool.scratch()),
            Work::GlobalMeanPool => plan.layout(step.reads[0].map).row(),
            Work::Add => plan.layout(step.writes).row(),
            _ => 0,
        });
        let cuts = || plan.steps.iter().filter(|step| step.cut.is_some());
        let of_cuts = cuts().map(|step| plan.layout(step.reads[0].map).row());
        let task = most(&Convs::forward_scratch).max(of_maps.chain(of_cuts).max().unwrap_or(0));
        if !is_training {
            let spare = cuts().map(|step| plan.found(step).len(images)).max().unwrap_or(0);
            return Self { task, tasks, partial: 0, spare, packed };
        }
        let has_own = |step: &&Step| {
            let map = plan.map(step.writes);
            let changes = map.norm.is_some() || matches!(step.work, Work::Dropout(_));
            changes && map.gradient.is_some() && !matches!(step.work, Work::Convs(_))
        };
        let own = plan.steps.iter().filter(has_own).map(|step| plan.layout(step.writes).len(images));
        Self {
            task: task.max(most(&Convs::backward_scratch)),
            tasks,
            partial: most(&|convs| convs.partial(images)),
            spare: own.max().unwrap_or(0),
            packed,
        }
    }

    /// Total bytes with this many threads.
    pub(crate) fn bytes(&self, threads: usize) -> u64 {
        let of_tasks = self.task.saturating_mul(self.tasks.min(threads));
        let values =
            [self.partial, self.spare, self.packed].into_iter().fold(of_tasks, usize::saturating_add);
        values.saturating_mul(size_of::<f32>()) as u64
    }
}
