//! Colours that colour-blind people tell apart, and that differ in lightness,
//! so that they survive grey.

/// Red, green, blue.
pub(super) type Colour = (u8, u8, u8);

pub(super) const INK: Colour = (34, 34, 34);
pub(super) const FAINT: Colour = (110, 110, 110);
pub(super) const GRID: Colour = (224, 224, 224);

/// Okabe and Ito 2008, in the order of use: for things without an order.
const CATEGORIES: [Colour; 7] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (34, 34, 34),
];

/// Viridis without its lightest end: for things with an order.
const SEQUENCE: [Colour; 5] = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (214, 190, 30)];

/// The colour of the `index`-th of things without an order.
pub(super) fn category(index: usize) -> Colour {
    CATEGORIES[index % CATEGORIES.len()]
}

/// The colour of the `index`-th of `count` things with an order.
pub(super) fn ordered(index: usize, count: usize) -> Colour {
    let place = index as f64 / count.saturating_sub(1).max(1) as f64 * (SEQUENCE.len() - 1) as f64;
    let left = (place.floor() as usize).min(SEQUENCE.len() - 2);
    let share = place - left as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (SEQUENCE[left], SEQUENCE[left + 1]);
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}
