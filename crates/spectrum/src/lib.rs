//! Networks along the Inception-to-Xception spectrum, as data.
#![forbid(unsafe_code)]

pub mod graph;
