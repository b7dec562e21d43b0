//! One file a network family, each short enough to be read beside the paper.

pub mod mini_xception;
