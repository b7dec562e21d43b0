//! The architectures, one file each.

pub mod figures;
mod head;
pub(crate) mod inception_v3;
pub(crate) mod mini_xception;
pub(crate) mod resnet;
pub(crate) mod simple_inception;
pub(crate) mod vgg;
pub(crate) mod xception;
