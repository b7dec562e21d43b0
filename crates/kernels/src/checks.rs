//! Shared by the tests of all kernels: made-up values, conversion between maps and images,
//! every instruction set with one, two and three threads.

use rayon::ThreadPoolBuilder;

use crate::{isa::Isa, layout::MapLayout};

/// `len` values in (-1, 1), evenly spread, a function of `seed`.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..len).map(|_| next()).collect()
}

/// The same values in f64.
pub(crate) fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Every place of images, (n, h, w, c), and where the layout has it.
fn places(layout: &MapLayout, images: usize) -> impl Iterator<Item = (usize, usize)> {
    layout.batch(images).places(images).enumerate()
}

/// Images, (n, h, w, c), as a map; `elsewhere` in lanes without an image.
pub(crate) fn to_map(layout: &MapLayout, images: usize, values: &[f32], elsewhere: f32) -> Vec<f32> {
    let mut map = vec![0.0; layout.len(images)];
    let lanes = images.next_multiple_of(crate::layout::LANES);
    places(layout, lanes).for_each(|(_, there)| map[there] = elsewhere);
    places(layout, images).for_each(|(here, there)| map[there] = values[here]);
    map
}

/// The images of a map.
pub(crate) fn from_map(layout: &MapLayout, images: usize, map: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; images * layout.shape.len()];
    places(layout, images).for_each(|(here, there)| values[here] = map[there]);
    values
}

/// Asserts that all margins of a map are zero.
pub(crate) fn assert_margins(what: &str, layout: &MapLayout, images: usize, map: &[f32]) {
    let mut is_value = vec![false; map.len()];
    let lanes = images.next_multiple_of(crate::layout::LANES);
    places(layout, lanes).for_each(|(_, there)| is_value[there] = true);
    for (place, (&value, is_value)) in map.iter().zip(is_value).enumerate() {
        assert!(is_value || value == 0.0, "{what}: {value} in the margin at {place}");
    }
}

/// Runs `kernel` with every instruction set of this machine on one, two and three
/// threads, asserts that the results are the same bits, and returns them.
pub(crate) fn on_all<T: PartialEq + std::fmt::Debug + Send>(kernel: impl Fn(Isa) -> T + Sync) -> T {
    let mut runs = Isa::available().flat_map(|isa| {
        [1, 2, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            ((isa, threads), pool.install(|| kernel(isa)))
        })
    });
    let (_, first) = runs.next().expect("the portable instruction set");
    for (how, result) in runs {
        assert!(result == first, "{how:?} gives other bits");
    }
    first
}

/// Asserts that every value is within `tolerance` of the exact one, relative to
/// `scale`, the size of what was summed.
pub(crate) fn assert_close(what: &str, found: &[f32], exact: &[f64], scale: f64, tolerance: f64) {
    assert_eq!(found.len(), exact.len(), "{what}: length");
    for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(found) - exact).abs();
        assert!(error <= tolerance * scale, "{what}[{i}] is {found}, should be {exact}");
    }
}
