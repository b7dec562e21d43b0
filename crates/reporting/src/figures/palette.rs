//! Colours that colour-blind people can distinguish and that differ in lightness, so that they work in grey.
//! Each has a counterpart for dark pages.

/// Red, green and blue on a light page and on a dark one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) light: (u8, u8, u8),
    pub(super) dark: (u8, u8, u8),
}

impl Colour {
    const fn new(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Self {
        Self { light, dark }
    }
}

pub(super) const INK: Colour = Colour::new((26, 26, 26), (236, 236, 236));
pub(super) const FAINT: Colour = Colour::new((96, 96, 96), (170, 170, 170));
pub(super) const GRID: Colour = Colour::new((226, 226, 226), (58, 60, 64));
pub(super) const PAPER: Colour = Colour::new((255, 255, 255), (24, 26, 30));

/// After Okabe and Ito 2008, in the order of use: for things without an order.
const CATEGORIES: [Colour; 7] = [
    Colour::new((0, 114, 178), (86, 180, 233)),
    Colour::new((213, 94, 0), (240, 140, 60)),
    Colour::new((0, 138, 104), (60, 200, 160)),
    Colour::new((170, 68, 137), (222, 150, 195)),
    Colour::new((176, 122, 0), (235, 190, 80)),
    Colour::new((70, 70, 70), (190, 190, 190)),
    Colour::new((110, 80, 200), (165, 145, 240)),
];

/// Viridis without its lightest end on light pages and without its darkest on dark ones: for things with an
/// order.
const SEQUENCE: [Colour; 5] = [
    Colour::new((68, 1, 84), (132, 110, 190)),
    Colour::new((59, 82, 139), (88, 140, 200)),
    Colour::new((33, 145, 140), (60, 185, 170)),
    Colour::new((80, 175, 85), (130, 215, 110)),
    Colour::new((200, 165, 0), (250, 230, 80)),
];

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
    let blend = |a: (u8, u8, u8), b: (u8, u8, u8)| (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2));
    let (a, b) = (SEQUENCE[left], SEQUENCE[left + 1]);
    Colour { light: blend(a.light, b.light), dark: blend(a.dark, b.dark) }
}
