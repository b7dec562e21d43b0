//! The same batches whoever makes them, and what is in them.

use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::fingerprint::Cache;
use crate::import::append;
use crate::labels::Labels;
use crate::test_files::encoded;
use crate::{Classes, DataSpec, Source};

/// An encoded image of one colour: `(number, 0, 0)`.
fn png(number: u8) -> Vec<u8> {
    encoded(RgbImage::from_pixel(12, 9, Rgb([number, 0, 0])), ImageFormat::Png)
}

/// Shards of three samples each; sample `i` has the colour and class `i % 10`.
fn write_shards(folder: &Path, part: &str, images: u8) {
    let numbers: Vec<u8> = (0..images).collect();
    for (shard, numbers) in numbers.chunks(3).enumerate() {
        let mut builder = tar::Builder::new(Vec::new());
        for &number in numbers {
            append(&mut builder, &format!("{number}.png"), &png(number)).unwrap();
            append(&mut builder, &format!("{number}.cls"), (number % 10).to_string().as_bytes()).unwrap();
        }
        std::fs::write(folder.join(format!("{part}-{shard}.tar")), builder.into_inner().unwrap()).unwrap();
    }
}

fn spec_of_shards() -> Shards {
    Shards {
        folder: PathBuf::new(),
        classes: Classes { count: 10, ..Classes::default() },
        images: None,
        reading: Reading::of_size([4, 4]),
    }
}

/// The shards in `folder` with some samples held out.
fn part(folder: &Path, validation: usize, split: Option<u64>) -> Result<crate::Dataset, DataError> {
    let spec =
        DataSpec { source: Source::Shards(spec_of_shards()), validation, split, ..DataSpec::default() };
    crate::loader::streamed::shards(&spec_of_shards(), Some(folder))?
        .part(&spec, &Cache::at(&folder.join("cache")))
}

fn shards(images: u8) -> (tempfile::TempDir, Streamed) {
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path(), "train", images);
    write_shards(folder.path(), "test", 5);
    let data = part(folder.path(), 0, None).unwrap();
    assert_eq!((data.classes.len(), data.notes.len(), data.checksum.len()), (10, 0, 64));
    // Of numbers 0 to images - 1 in red, nothing in the others.
    let mean = f64::from(images - 1) / 2.0 / 255.0;
    assert!((f64::from(data.mean[0]) - mean).abs() < 1e-6 && data.mean[1..] == [0.0; 2], "{:?}", data.mean);
    (folder, data.stream.unwrap())
}

fn files(set: &Streamed, folder: &Path, images: u8) -> Streamed {
    let file = |number: u8| {
        let path = folder.join(format!("{number}.png"));
        std::fs::write(&path, png(number)).unwrap();
        (path, vec![u16::from(number % 10)])
    };
    Streamed { train: Origin::Files(Files::from((0..images).map(file).collect::<Vec<_>>())), ..set.clone() }
}

const EPOCH: BatchOrder = BatchOrder::Shuffled { seed: 3, epoch: 1 };

fn batches(set: &Streamed, order: BatchOrder, workers: usize) -> Vec<PixelBatch> {
    let augment = ["random-resized-crop", "flip", "mixup 0.2"].map(|step| step.parse().unwrap());
    set.batches(Part::Train, order, 4, &augment, workers).collect::<Result<_, _>>().unwrap()
}

/// The numbers of a batch's images.
fn numbers(batch: &PixelBatch) -> Vec<u8> {
    batch.pixels.chunks(batch.shape.len()).map(|image| image[0]).collect()
}

#[test]
fn every_sample_comes_once_with_its_label() {
    let (folder, shards) = shards(22);
    for set in [files(&shards, folder.path(), 22), shards] {
        assert_eq!(
            (set.len(Part::Train), set.len(Part::Test), set.is_empty(Part::Validation)),
            (22, 5, true)
        );
        let stored = batches(&set, BatchOrder::AsStored, 2);
        assert_eq!(stored.iter().flat_map(numbers).collect::<Vec<_>>(), (0..22).collect::<Vec<_>>());
        assert_eq!(stored[5].len(), 2);
        assert!(stored.iter().all(|batch| batch.mixes.is_empty()));
        let shuffled = batches(&set, EPOCH, 2);
        // Whole batches only.
        assert_eq!((shuffled.len(), shuffled[0].mixes.len()), (5, 4));
        let mut seen: Vec<u8> = shuffled.iter().flat_map(numbers).collect();
        assert_ne!(seen, (0..20).collect::<Vec<_>>());
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 20);
        for batch in shuffled {
            let expected = numbers(&batch).iter().map(|number| u16::from(number % 10)).collect();
            assert_eq!(batch.labels, Labels::single(expected));
        }
    }
}

#[test]
fn workers_and_resuming_change_nothing() {
    let (folder, shards) = shards(22);
    for set in [files(&shards, folder.path(), 22), shards] {
        let one = batches(&set, EPOCH, 1);
        assert_eq!(one, batches(&set, EPOCH, 3));
        assert_ne!(one, batches(&set, BatchOrder::Shuffled { seed: 3, epoch: 2 }, 1));
        let augment = ["random-resized-crop", "flip", "mixup 0.2"].map(|step| step.parse().unwrap());
        let resumed = set.batches(Part::Train, EPOCH, 4, &augment, 2).skip_batches(3);
        assert_eq!(resumed.collect::<Result<Vec<_>, _>>().unwrap(), one[3..]);
        // Nobody waits for the rest.
        drop(set.batches(Part::Train, EPOCH, 4, &augment, 2).next());
    }
}

#[test]
fn a_broken_image_is_refused_or_left_out_and_the_batch_filled_up() {
    let (folder, shards) = shards(22);
    let mut set = files(&shards, folder.path(), 22);
    std::fs::write(folder.path().join("7.png"), "torn").unwrap();
    let refused = set.batches(Part::Train, BatchOrder::AsStored, 4, &[], 1).find_map(Result::err).unwrap();
    assert!(refused.to_string().contains("7.png: expected a sound JPEG"), "{refused}");
    set.reading.corrupt = crate::Corrupt::Skip;
    let read = batches(&set, BatchOrder::AsStored, 2);
    assert_eq!(numbers(&read[1]), [4, 5, 6, 8]);
    let (count, kept) = set.left_out();
    assert_eq!((count, kept[0].file.clone()), (1, folder.path().join("7.png")));

    // An epoch keeps its number of batches: 21 sound images are 5 batches of 4, and with
    // two more left out others come again.
    for number in [8, 9] {
        std::fs::write(folder.path().join(format!("{number}.png")), "torn").unwrap();
    }
    let read = batches(&set, EPOCH, 2);
    assert_eq!((read.len(), read[4].len()), (5, 4));
    let resumed = set.batches(Part::Train, EPOCH, 4, &[], 1).skip_batches(3);
    let whole = set.batches(Part::Train, EPOCH, 4, &[], 1).skip(3);
    assert_eq!(
        resumed.collect::<Result<Vec<_>, _>>().unwrap(),
        whole.collect::<Result<Vec<_>, _>>().unwrap()
    );
    for number in 0..22 {
        std::fs::write(folder.path().join(format!("{number}.png")), "torn").unwrap();
    }
    assert_eq!(batches(&set, EPOCH, 2), []);
}

#[test]
fn a_pass_that_panics_is_not_taken_for_finished() {
    let panicked = |label: &'static str| Some(std::thread::spawn(move || panic!("{label}")));
    let mut set = Batches { receiver: Some(sync_channel(1).1), skip: None, thread: panicked("a pass") };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| set.next())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some("a pass"));

    let (sender, receiver) = sync_channel(1);
    let sample = crate::shard::Sample { name: "0".into(), image: Ok(png(0)), labels: vec![0], index: 0 };
    sender.send(Ok(sample)).unwrap();
    drop(sender);
    let mut samples = produce::Samples::Shards { receiver, reader: panicked("a shard") };
    assert_eq!(samples.take(1).unwrap().len(), 1);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| samples.take(1).map(drop)));
    assert!(panic.is_err());
}

#[test]
fn samples_are_held_out_of_shards_by_their_names() {
    let (folder, whole) = shards(22);
    let numbers_of = |set: &Streamed, part: Part, order: BatchOrder| {
        let batches = set.batches(part, order, 1, &[], 2).map(|batch| numbers(&batch.unwrap())[0]);
        batches.collect::<Vec<u8>>()
    };
    let stored =
        |data: &crate::Dataset, part| numbers_of(data.stream.as_ref().unwrap(), part, BatchOrder::AsStored);
    let mut drawn = Vec::new();
    for split in [None, Some(0), Some(1)] {
        let data = part(folder.path(), 6, split).unwrap();
        assert_eq!(Part::ALL.map(|part| data.images(part)), [16, 6, 5]);
        let [train, validation] = [Part::Train, Part::Validation].map(|part| stored(&data, part));
        assert_eq!((train.len(), validation.len()), (16, 6));
        let mut all = [&train[..], &validation[..]].concat();
        all.sort_unstable();
        assert_eq!(all, (0..22).collect::<Vec<_>>());
        // Only what is trained on is measured.
        let mean = train.iter().map(|&number| f64::from(number)).sum::<f64>() / 16.0 / 255.0;
        assert!((f64::from(data.mean[0]) - mean).abs() < 1e-6);
        // From the cache as from the shards.
        assert_eq!(stored(&part(folder.path(), 6, split).unwrap(), Part::Validation), validation);
        let mut shuffled = numbers_of(data.stream.as_ref().unwrap(), Part::Train, EPOCH);
        assert_ne!(shuffled, train);
        shuffled.sort_unstable();
        assert_eq!(shuffled, train);
        drawn.push(validation);
    }
    drawn.dedup();
    assert_eq!(drawn.len(), 3);
    assert_eq!(whole.len(Part::Train), 22);
    let error = part(folder.path(), 22, None).unwrap_err().to_string();
    assert!(error.starts_with("validation = 22: the 22 samples"), "{error}");
}

#[test]
fn what_is_held_out_of_a_folder_makes_it_no_other_set() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "test"] {
        for class in 0..2 {
            let of_class = folder.path().join(part).join(class.to_string());
            std::fs::create_dir_all(&of_class).unwrap();
            (0..6).for_each(|number| {
                std::fs::write(of_class.join(format!("{number}.png")), png(number)).unwrap()
            });
        }
    }
    let keys = "set = 'image-folder'\nclasses = 2\nsize = [4, 4]\nstream = true\nvalidation = ";
    let of = |validation: usize, split: Option<u64>| {
        let spec = DataSpec { split, ..toml::from_str(&format!("{keys}{validation}")).unwrap() };
        let Source::ImageFolder(images) = &spec.source else { panic!("{spec:?}") };
        let data = crate::loader::streamed::folder(images, Some(folder.path())).unwrap();
        let data = data.part(&spec, &Cache::at(&folder.path().join("cache"))).unwrap();
        let held: Vec<_> = data.stream.unwrap().validation.files().into_iter().map(Path::to_owned).collect();
        (data.checksum, held)
    };
    let [whole, last, one, two] = [of(0, None), of(4, None), of(4, Some(1)), of(4, Some(2))];
    assert!(whole.1.is_empty() && last.1.len() == 4 && last.1 != one.1 && one.1 != two.1);
    assert!([&last.0, &one.0, &two.0].into_iter().all(|checksum| *checksum == whole.0));
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_left_out_like_a_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        std::fs::create_dir(folder.path().join(class)).unwrap();
        (0..4).for_each(|number| {
            std::fs::write(folder.path().join(class).join(format!("{number}.png")), png(number)).unwrap()
        });
    }
    std::os::unix::fs::symlink("nowhere", folder.path().join("a/9.png")).unwrap();
    let keys = "set = 'image-folder'\nclasses = 2\nsize = [4, 4]\nstream = true\ncorrupt = 'skip'\ntest-share = 0.25";
    let spec: DataSpec = toml::from_str(keys).unwrap();
    let Source::ImageFolder(images) = &spec.source else { panic!("{spec:?}") };
    let data = crate::loader::streamed::folder(images, Some(folder.path())).unwrap();
    let set = data.part(&spec, &Cache::at(&folder.path().join("cache"))).unwrap().stream.unwrap();
    let read: usize =
        set.batches(Part::Train, BatchOrder::AsStored, 4, &[], 1).map(|batch| batch.unwrap().len()).sum();
    let (count, kept) = set.left_out();
    assert_eq!((read, count), (6, 1));
    assert!(kept[0].reason.starts_with("a link to something that cannot be found"), "{kept:?}");
}

#[test]
fn a_missing_part_is_named() {
    let (folder, _) = shards(3);
    std::fs::write(folder.path().join("train-9.tar.gz"), "").unwrap();
    let spec = Shards { images: Some(3), ..spec_of_shards() };
    let (_, _, notes) = open_shards(&spec, Some(folder.path())).unwrap();
    assert!(notes[0].contains("1 compressed shard is not used"), "{notes:?}");
    std::fs::remove_file(folder.path().join("test-0.tar")).unwrap();
    std::fs::remove_file(folder.path().join("test-1.tar")).unwrap();
    let spec = Shards { images: Some(3), ..spec_of_shards() };
    let error = open_shards(&spec, Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("no tar file for `test`"), "{error}");
    let nowhere = open_shards(&spec, Some(&folder.path().join("nowhere"))).unwrap_err().to_string();
    assert!(nowhere.contains("tar files") && nowhere.contains("DECOUPLE_DATA"), "{nowhere}");
}

#[test]
fn parts_have_the_names_that_folders_have_and_other_shards_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["training", "testing", "val", "birds"] {
        write_shards(folder.path(), part, 4);
    }
    let (set, _, notes) = open_shards(&spec_of_shards(), Some(folder.path())).unwrap();
    assert_eq!(set.test.files(), [0, 1].map(|shard| folder.path().join(format!("testing-{shard}.tar"))));
    let expected = ["2 shards are of `val` and not used", "2 tar files are of no part and not used"];
    assert!(
        notes.len() == 2 && notes.iter().zip(expected).all(|(note, text)| note.contains(text)),
        "{notes:?}"
    );
}
