//! What the program carries, loaded as a user of the crate would.

use decouple_datasets::{DataError, DataSpec, FASHION_MNIST_LICENCE, ImageShape, load};
use decouple_kernels::{geometry::MapShape, layout::BatchLayout};

/// Changes only with the images or the order they are kept in, and every result
/// with it.
const CHECKSUM: &str = "cbdc581cce8a063af9a36786018691d8d18af4d51b7dd8e01115ffbc54597174";

#[test]
fn the_subset_is_pinned() {
    let data = load(&DataSpec::default(), None).unwrap();
    assert_eq!(data.checksum, CHECKSUM);
    assert_eq!(data.name, "fashion-mnist");
    assert_eq!(data.shape(), ImageShape { h: 28, w: 28, c: 1 });
    assert_eq!(data.classes.len(), 10);
    // The first published training images: an ankle boot, then a T-shirt.
    assert_eq!([0, 1].map(|image| data.train.label(image)), [9, 0]);
}

#[test]
fn the_subset_is_balanced() {
    let data = load(&DataSpec::default(), None).unwrap();
    assert_eq!(data.train.class_counts(), [1_000; 10]);
    assert_eq!(data.test.class_counts(), [200; 10]);
    assert!(data.validation.is_empty());
    assert_eq!(decouple_datasets::bytes_in_memory([&data]), 12_000 * 784);
}

#[test]
fn validation_is_balanced_and_disjoint() {
    let whole = load(&DataSpec::default(), None).unwrap();
    let data = load(&DataSpec { validation: 1_003, ..DataSpec::default() }, None).unwrap();
    assert_eq!(data.validation.class_counts(), [101, 101, 101, 100, 100, 100, 100, 100, 100, 100]);
    assert_eq!(data.train.len(), 8_997);
    assert_eq!(data.checksum, whole.checksum);
    assert!(data.test == whole.test);

    // Both parts, merged by label and order, are the whole again.
    let of_class = |split: &decouple_datasets::Selection, class: u16| -> Vec<Vec<u8>> {
        let images = split.images().zip(split.labels());
        images.filter(|&(_, label)| label == class).map(|(image, _)| image.to_vec()).collect()
    };
    for class in 0..10 {
        let mut merged = of_class(&data.train, class);
        merged.extend(of_class(&data.validation, class));
        assert!(merged == of_class(&whole.train, class), "class {class}");
    }
}

#[test]
fn the_training_split_has_mean_0_and_deviation_1_after_normalisation() {
    let data = load(&DataSpec::default(), None).unwrap();
    let indices: Vec<u32> = (0..10_000).collect();
    let mut batch = decouple_datasets::Batch::default();
    let layout = BatchLayout::channels_last(MapShape::new(28, 28, 1), indices.len());
    let normalisation = data.normalisation();
    let train = &data.train;
    decouple_datasets::fill_batch(train, &indices, &[], |_| 0, &normalisation, &layout, &mut batch).unwrap();
    let out = &batch.values;
    let count = out.len() as f64;
    let mean = out.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance = out.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / count;
    assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
    assert!(batch.labels.iter().copied().eq(data.train.labels()));
}

#[test]
fn impossible_wishes_are_refused() {
    let spec = DataSpec { validation: 10_000, ..DataSpec::default() };
    assert!(matches!(load(&spec, None), Err(DataError::Validation { available: 1_000, .. })));

    let crop = |pixels: &str| DataSpec { augment: vec![pixels.parse().unwrap()], ..DataSpec::default() };
    assert!(load(&crop("pad-crop 27"), None).is_ok());
    assert!(matches!(load(&crop("pad-crop 28"), None), Err(DataError::Augment { .. })));
}

#[test]
fn the_licence_travels_along() {
    let licence = FASHION_MNIST_LICENCE;
    assert!(licence.contains("Zalando SE") && licence.contains("MIT"), "{licence}");
}
