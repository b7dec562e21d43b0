//! Image data sets: readers, checks, augmentation, batches.
//!
//! [`load`] turns a [`DataSpec`] into a [`Dataset`]: training, validation and test images as bytes,
//! with their labels. [`epoch_order`] gives the order in which an epoch visits them, [`fill_batch`]
//! augments and normalises some of them into a batch, in the layout of the backend. Nothing here
//! keeps state between calls: every random choice is a function of a seed from [`derive_seed`], so a
//! resumed run needs only its position, and every trial of a sweep at one seed sees the same images
//! in the same order.
//!
//! ```
//! use decouple_datasets::{Batch, DataSpec, derive_seed, epoch_order, fill_batch, load};
//! use decouple_kernels::{geometry::MapShape, layout::BatchLayout};
//!
//! let data = load(&DataSpec::default(), None)?;
//! assert_eq!((data.train.len(), data.test.len()), (10_000, 2_000));
//!
//! let (seed, epoch) = (0, 3);
//! let order = epoch_order(data.train.len(), derive_seed(seed, "order", epoch, 0));
//! let indices = &order[..64];
//! let shape = data.shape();
//! let layout = BatchLayout::channels_last(MapShape::new(shape.h, shape.w, shape.c), indices.len());
//! let mut batch = Batch::default();
//! fill_batch(
//!     &data.train,
//!     indices,
//!     &["pad-crop 2".parse()?, "flip".parse()?],
//!     |index| derive_seed(seed, "augment", epoch, u64::from(index)),
//!     &data.normalisation(),
//!     &layout,
//!     &mut batch,
//! )?;
//! assert_eq!((batch.values.len(), batch.labels.len()), (64 * 28 * 28, 64));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod augment;
mod augmented;
mod batch;
mod cifar;
pub mod class_names;
mod class_weights;
mod colour;
mod content;
mod dataset;
mod directory;
mod error;
mod fashion_mnist;
pub mod fetch;
mod fingerprint;
mod foreign;
mod framing;
mod idx;
pub mod image_folder;
mod import;
mod jpeg;
pub mod known;
mod labels;
mod loader;
pub mod manifest;
mod mixing;
mod new_folder;
pub mod parsers;
mod parts;
mod photograph;
mod pixel_batch;
pub mod planted;
mod published;
mod rand_augment;
mod random_numbers;
mod reading;
mod reduced;
mod resize;
pub mod seeds;
mod selection;
mod set_name;
mod shape;
mod shard;
mod sheet;
mod sight;
mod spec;
mod stand_in;
pub mod stream;
#[cfg(test)]
mod test_files;
mod view;

pub use augment::{Augment, ParseAugmentError, Thousandths};
pub use batch::{Batch, BatchError, Normalisation, epoch_order, fill_batch};
pub use dataset::{Dataset, bytes_in_memory};
pub use error::{DataError, Place, Skipped};
pub use fashion_mnist::LICENCE as FASHION_MNIST_LICENCE;
pub use framing::Fit;
pub use import::{Imported, import};
pub use labels::{Classes, Labels};
pub use loader::{Loader, load};
pub use mixing::Mix;
pub use photograph::{Looking, Photograph};
pub use pixel_batch::PixelBatch;
pub use published::Split;
pub use reading::{Corrupt, Reading};
pub use resize::Filter;
pub use seeds::derive_seed;
pub use selection::Selection;
pub use set_name::SetName;
pub use shape::ImageShape;
pub use sheet::contact_sheet;
pub use spec::{DataSpec, DataTable, Source, Subset};
pub use stand_in::{StandIn, StandInWritten};
