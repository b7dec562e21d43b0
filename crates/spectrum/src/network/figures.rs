//! The modules of the paper's figures 1 to 4, each as a graph of its own.
//!
//! All on a map of 35x35x288, where Inception V3 has its modules A.

use crate::builder::GraphBuilder;
use crate::error::SpecError;
use crate::graph::{Graph, NodeId};
use decouple_kernels::geometry::{ConvOptions, MapShape, Padding};

/// What the four figures show.
pub const TITLES: [&str; 4] = [
    "Figure 1: a module of Inception V3",
    "Figure 2: a simplified Inception module",
    "Figure 3: the same function, with one large 1x1 convolution",
    "Figure 4: an extreme Inception module, one segment per channel",
];

const MAP: MapShape = MapShape::new(35, 35, 288);

/// The module of figure `number`, 1 to 4; `None` for another number.
///
/// ```
/// use decouple_spectrum::network::figures::module;
/// let costs = [2, 3, 4].map(|number| module(number).unwrap().cost().parameters);
/// // Figures 2 and 3 are the same function; the extreme version has fewer weights.
/// assert_eq!(costs, [288 * 288 + 3 * 9 * 96 * 96, 288 * 288 + 3 * 9 * 96 * 96, 288 * 288 + 9 * 288]);
/// ```
pub fn module(number: usize) -> Option<Graph> {
    let lower = match number {
        1 => canonical,
        2 => towers,
        3 => |b: &mut GraphBuilder| segmented(b, 3),
        4 => |b: &mut GraphBuilder| segmented(b, MAP.c),
        _ => return None,
    };
    let mut b = GraphBuilder::new(MAP).ok()?;
    lower(&mut b).ok()?;
    Some(b.finish())
}

/// Figure 1: the module of Inception V3.
fn canonical(b: &mut GraphBuilder) -> Result<NodeId, SpecError> {
    let x = b.input();
    let one = b.conv("branch1.conv1x1", x, 64, ConvOptions::pointwise())?;
    let three = b.conv("branch2.conv1x1", x, 48, ConvOptions::pointwise())?;
    let three = b.conv("branch2.conv3x3", three, 64, ConvOptions::spatial(3, 1))?;
    let double = b.conv("branch3.conv1x1", x, 64, ConvOptions::pointwise())?;
    let double = b.conv("branch3.conv3x3a", double, 96, ConvOptions::spatial(3, 1))?;
    let double = b.conv("branch3.conv3x3b", double, 96, ConvOptions::spatial(3, 1))?;
    let pool = b.mean_pool("branch4.pool", x, 3, 1, Padding::symmetric(1), false)?;
    let pool = b.conv("branch4.conv1x1", pool, 64, ConvOptions::pointwise())?;
    b.concat("concat", one, &[three, double, pool])
}

/// Figure 2: three towers of a 1x1 and a 3x3 convolution.
fn towers(b: &mut GraphBuilder) -> Result<NodeId, SpecError> {
    let x = b.input();
    let mut outputs = Vec::new();
    for tower in 1..=3 {
        let one = b.conv(&format!("tower{tower}.conv1x1"), x, MAP.c / 3, ConvOptions::pointwise())?;
        outputs.push(b.conv(&format!("tower{tower}.conv3x3"), one, MAP.c / 3, ConvOptions::spatial(3, 1))?);
    }
    b.concat("concat", outputs[0], &outputs[1..])
}

/// Figures 3 and 4: one 1x1 convolution, then a 3x3 one over segments.
fn segmented(b: &mut GraphBuilder, segments: usize) -> Result<NodeId, SpecError> {
    let one = b.conv("pointwise", b.input(), MAP.c, ConvOptions::pointwise())?;
    b.spatial("spatial", one, 3, segments)
}
