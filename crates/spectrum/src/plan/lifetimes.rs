//! Lifetimes of maps and gradients, and which gradients are shared.

use super::{Gradient, GradientId, GradientWrite, MapId, Plan, Work};

/// Fills in everything that follows from the order of the steps.
pub(super) fn settle(plan: &mut Plan) {
    let is_tracked = tracked(plan);
    settle_forward(plan);
    gradient_writes(plan, &is_tracked);
    share_gradients(plan, &is_tracked);
    kept(plan);
}

/// The same for inference.
pub(super) fn settle_forward(plan: &mut Plan) {
    margins(plan);
    last_reads(plan);
}

/// For each map, whether a parameter precedes it, so that its gradient is needed.
fn tracked(plan: &Plan) -> Vec<bool> {
    let mut is_tracked = vec![false; plan.maps.len()];
    for step in &plan.steps {
        let reads_tracked = step.reads.iter().any(|read| is_tracked[read.map.0]);
        let has_parameters = matches!(step.work, Work::Convs(_)) || plan.map(step.writes).norm.is_some();
        is_tracked[step.writes.0] = reads_tracked || has_parameters;
    }
    is_tracked
}

/// The columns of zeros that convolutions read beyond a row, forward and backward.
fn margins(plan: &mut Plan) {
    for step in &plan.steps {
        let Work::Convs(convs) = &step.work else { continue };
        let mut maps = vec![step.reads[0].map];
        maps.extend(step.middle);
        maps.push(step.writes);
        for (conv, ends) in convs.iter().zip(maps.windows(2)) {
            let (input, output) = conv.geometry.margins();
            for (map, margin) in [(ends[0], input), (ends[1], output)] {
                let held = &mut plan.maps[map.0].margin;
                *held = margin.max(*held);
            }
        }
    }
    // Maps that are added share a gradient, and so its layout.
    loop {
        let mut has_changed = false;
        for step in plan.steps.iter().filter(|step| step.work == Work::Add) {
            let all: Vec<usize> = step.reads.iter().map(|read| read.map.0).chain([step.writes.0]).collect();
            let widest = all.iter().map(|&map| plan.maps[map].margin).max().unwrap_or(1);
            for map in all {
                has_changed |= std::mem::replace(&mut plan.maps[map].margin, widest) != widest;
            }
        }
        if !has_changed {
            return;
        }
    }
}

fn last_reads(plan: &mut Plan) {
    for (index, step) in plan.steps.iter().enumerate() {
        let maps = step.reads.iter().map(|read| read.map).chain(step.middle).chain([step.writes]);
        for map in maps {
            plan.maps[map.0].last_read = index;
        }
    }
}

/// Which step writes a gradient first in the backward pass, and which last.
fn gradient_writes(plan: &mut Plan, is_tracked: &[bool]) {
    let mut is_written = vec![false; plan.maps.len()];
    for step in plan.steps.iter_mut().rev() {
        for read in step.reads.iter_mut().filter(|read| is_tracked[read.map.0]) {
            let adds = std::mem::replace(&mut is_written[read.map.0], true);
            read.gradient = Some(GradientWrite { adds, completes: false, is_shared: false });
        }
    }
    let mut is_complete = vec![false; plan.maps.len()];
    for step in &mut plan.steps {
        for read in step.reads.iter_mut().rev() {
            if let Some(gradient) = &mut read.gradient {
                gradient.completes = !std::mem::replace(&mut is_complete[read.map.0], true);
            }
        }
    }
}

/// Gives every tracked map a gradient. A sum passes its own gradient to its operands; it is
/// shared if nobody changes it while another still reads it.
fn share_gradients(plan: &mut Plan, is_tracked: &[bool]) {
    let mut members: Vec<Vec<MapId>> = Vec::new();
    for map in (0..plan.maps.len()).rev().map(MapId) {
        if !is_tracked[map.0] {
            continue;
        }
        let shared = sum_to_share_with(plan, map, &members);
        let id = shared.unwrap_or(GradientId(members.len()));
        match shared {
            Some(id) => members[id.0].push(map),
            None => members.push(vec![map]),
        }
        plan.maps[map.0].gradient = Some(id);
    }
    plan.gradients = members.iter().map(|maps| lifetime(plan, maps)).collect();
}

/// The gradient that `map` can share: that of the sum that passes it on first.
fn sum_to_share_with(plan: &mut Plan, map: MapId, members: &[Vec<MapId>]) -> Option<GradientId> {
    let sum = plan.steps.iter().rposition(|step| step.reads.iter().any(|read| read.map == map))?;
    let step = &plan.steps[sum];
    let own = plan.map(step.writes);
    let mut reads = step.reads.iter().filter(|read| read.map == map);
    let read = reads.next()?;
    let is_plain = step.work == Work::Add && own.norm.is_none() && read.activation.is_none();
    if !is_plain || reads.next().is_some() {
        return None;
    }
    let id = own.gradient?;
    // Steps that add to the gradient of `one` after the step that wrote `other` has read it.
    let leaves_alone = |one: MapId, other: MapId| {
        let Some(written) = plan.map(other).written else { return true };
        let adders = plan.steps[..sum]
            .iter()
            .enumerate()
            .filter(|(_, step)| step.reads.iter().any(|read| read.map == one));
        adders.map(|(index, _)| index).all(|index| index < written)
    };
    let pending = members[id.0].iter().copied().filter(|&other| plan.map(other).written < Some(sum));
    let mut pending = pending.filter(|&other| other != map);
    if !pending.all(|other| leaves_alone(map, other) && leaves_alone(other, map)) {
        return None;
    }
    let reads = &mut plan.steps[sum].reads;
    let write = reads.iter_mut().find(|read| read.map == map).and_then(|read| read.gradient.as_mut())?;
    write.is_shared = true;
    Some(id)
}

fn lifetime(plan: &Plan, maps: &[MapId]) -> Gradient {
    let (mut from, mut until) = (0, usize::MAX);
    for &map in maps {
        let readers =
            plan.steps.iter().enumerate().filter(|(_, step)| step.reads.iter().any(|read| read.map == map));
        from = readers.map(|(index, _)| index).max().unwrap_or(plan.steps.len() - 1).max(from);
        until = plan.map(map).written.unwrap_or(0).min(until);
    }
    Gradient { map: maps[0], from, until }
}

/// The earliest step whose backward pass reads each map.
fn kept(plan: &mut Plan) {
    for index in (0..plan.steps.len()).rev() {
        let step = &plan.steps[index];
        let mut kept: Vec<MapId> = step.middle.into_iter().collect();
        for read in &step.reads {
            let reads_values = match step.work {
                // The gradient of their weights is a sum over the values that were read.
                Work::Convs(_) => true,
                Work::MaxPool(_) => read.gradient.is_some(),
                _ => read.gradient.is_some() && read.activation.is_some(),
            };
            // The sums for a norm are computed when its gradient is complete.
            let completes =
                plan.map(read.map).norm.is_some() && read.gradient.is_some_and(|write| write.completes);
            if reads_values || completes {
                kept.push(read.map);
            }
        }
        // The backward pass through a norm begins at the step that wrote its map.
        if plan.map(step.writes).norm.is_some() {
            kept.push(step.writes);
        }
        for map in kept {
            plan.maps[map.0].kept_until = Some(index);
        }
    }
}
