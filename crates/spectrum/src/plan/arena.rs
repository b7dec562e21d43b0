//! The place of every map and gradient in one block of memory, and the size of this block and
//! of the parameters' state, so that what is allocated equals the estimate.

use decouple_kernels::layout::{MapLayout, groups};

use super::{Map, MapId, Plan};
use crate::update::Update;

/// A place for every map and gradient, in values of one group of images: with
/// n groups, every place and length is n times as large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    /// Where each map begins.
    pub maps: Vec<usize>,
    /// Where each gradient begins; none in inference.
    pub gradients: Vec<usize>,
    /// The total length.
    pub len: usize,
}

/// Something that needs memory, and its lifetime (both ends included).
struct Tenant {
    len: usize,
    from: usize,
    until: usize,
}

impl Plan {
    /// The layout of a map, and of its gradient.
    pub fn layout(&self, id: MapId) -> MapLayout {
        let map = self.map(id);
        MapLayout::new(map.shape, map.margin)
    }

    /// Places for a training step, forward and backward.
    pub fn training_arena(&self) -> Arena {
        // The backward pass of step t comes at time 2 steps - 1 - t.
        let back = |step: usize| 2 * self.steps.len() - 1 - step;
        let map = |map: &Map| map.kept_until.map_or(map.last_read, back);
        let mut tenants = self.tenants(map);
        tenants.extend(self.gradients.iter().map(|gradient| Tenant {
            len: self.layout(gradient.map).group(),
            from: back(gradient.from),
            until: back(gradient.until),
        }));
        place(&tenants, self.maps.len())
    }

    /// Places for a pass forward.
    pub fn inference_arena(&self) -> Arena {
        place(&self.tenants(|map| map.last_read), self.maps.len())
    }

    /// Bytes of the parameters' state for steps like `update`: values, gradients, optimiser
    /// state, averages.
    pub fn parameter_bytes(&self, update: &Update) -> u64 {
        let kept = self.graph.parameters.iter().map(|spec| {
            let statistics = 1 + usize::from(update.average_share.is_some());
            spec.len() * if spec.role.is_trained() { update.copies() } else { statistics }
        });
        (size_of::<f32>() * kept.sum::<usize>()) as u64
    }

    fn tenants(&self, until: impl Fn(&Map) -> usize) -> Vec<Tenant> {
        let of = |(index, map): (usize, &Map)| Tenant {
            len: self.layout(MapId(index)).group(),
            from: map.written.unwrap_or(0),
            until: until(map),
        };
        self.maps.iter().enumerate().map(of).collect()
    }
}

impl Arena {
    /// Bytes that `images` images take.
    pub fn bytes(&self, images: usize) -> u64 {
        groups(images).saturating_mul(self.len).saturating_mul(size_of::<f32>()) as u64
    }
}

/// Greedy by size: the largest first, each at the lowest place that is free during its lifetime
/// (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020,
/// section 4.2).
fn place(tenants: &[Tenant], maps: usize) -> Arena {
    let mut order: Vec<usize> = (0..tenants.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(tenants[index].len), tenants[index].from));
    let mut places = vec![0; tenants.len()];
    // What has been placed, sorted by its beginning.
    let mut placed: Vec<usize> = Vec::new();
    let mut len = 0;
    for index in order {
        let tenant = &tenants[index];
        let mut begin = 0;
        for &other in &placed {
            let is_alive = tenants[other].from <= tenant.until && tenant.from <= tenants[other].until;
            if is_alive && places[other] < begin + tenant.len {
                begin = begin.max(places[other] + tenants[other].len);
            }
        }
        places[index] = begin;
        let rank = placed.partition_point(|&other| places[other] <= begin);
        placed.insert(rank, index);
        len = len.max(begin + tenant.len);
    }
    let gradients = places.split_off(maps);
    Arena { maps: places, gradients, len }
}
