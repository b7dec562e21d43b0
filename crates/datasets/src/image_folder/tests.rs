//! Folders made for each test, sound and broken in every way that we know of.

use std::fs;

use image::{ImageFormat, Rgb, RgbImage};

use super::*;
use crate::{DataSpec, ImageShape, Source, load};

fn spec(classes: usize) -> ImageFolder {
    ImageFolder {
        folder: PathBuf::new(),
        classes,
        class_list: None,
        test_share: 0.25,
        stream: false,
        reading: Reading::of_size([8, 8]),
    }
}

/// Writes a `width` x `height` image whose left half is `left`, its right black.
fn write(path: &Path, width: u32, height: u32, left: [u8; 3]) {
    let image = RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { left } else { [0; 3] }));
    let format = if path.extension().unwrap() == "png" { ImageFormat::Png } else { ImageFormat::Jpeg };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save_with_format(path, format).unwrap();
}

const RED: [u8; 3] = [200, 0, 0];
const BLUE: [u8; 3] = [0, 0, 200];

/// Four red and four blue images, as class folders in `root`.
fn two_classes(root: &Path) {
    for index in 0..4 {
        write(&root.join(format!("red/{index}.png")), 8, 8, RED);
        write(&root.join(format!("blue/{index}.jpg")), 8, 8, BLUE);
    }
}

fn read_from(spec: &ImageFolder, root: &Path) -> Result<Read, DataError> {
    read(spec, Some(root))
}

#[test]
fn classes_are_sorted_and_a_share_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    fs::write(folder.path().join("red/readme.txt"), "not an image").unwrap();
    fs::write(folder.path().join("red/00.bmp"), "not read").unwrap();
    fs::write(folder.path().join("red/.hidden.png"), "not an image").unwrap();
    let Read { published, classes, skipped, notes } = read_from(&spec(2), folder.path()).unwrap();
    assert_eq!(
        notes,
        ["2 files of `red` ignored, by extension: 1 .bmp, 1 .txt; only JPEG, PNG and WebP are read"]
    );
    assert_eq!((classes, skipped), (vec!["blue".to_owned(), "red".to_owned()], vec![]));
    assert_eq!(published.train.class_counts(), [3, 3]);
    assert_eq!(published.test.class_counts(), [1, 1]);
    // PNG is exact: the corners of the last training image are red and black.
    let image = &published.train.images[5 * 192..];
    assert_eq!((&image[..3], &image[21..24]), (&RED[..], &[0; 3][..]));
    assert_eq!(count_train(&spec(2), Some(folder.path())).unwrap(), 6);
}

#[test]
fn folders_say_what_is_for_testing() {
    for name in ["test", "val", "valid", "validation", "Test"] {
        let folder = tempfile::tempdir().unwrap();
        two_classes(&folder.path().join("birds/train"));
        write(&folder.path().join("birds").join(name).join("red/0.png"), 8, 8, RED);
        write(&folder.path().join("birds").join(name).join("blue/0.JPEG"), 8, 8, BLUE);
        let spec = ImageFolder { folder: "birds".into(), ..spec(2) };
        let Read { published, .. } = read_from(&spec, folder.path()).unwrap();
        assert_eq!(published.train.class_counts(), [4, 4]);
        assert_eq!(published.test.class_counts(), [1, 1]);
    }
}

#[test]
fn a_class_without_an_image_is_refused_before_any_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(&folder.path().join("train"));
    write(&folder.path().join("test/red/0.png"), 8, 8, RED);
    fs::create_dir(folder.path().join("test/blue")).unwrap();
    let streamed = ImageFolder { stream: true, ..spec(2) };
    let listing = list(&streamed, Some(folder.path())).unwrap();
    let message = listing.check_classes().unwrap_err().to_string();
    assert!(message.contains("test: expected") && message.contains("class `blue` for testing"), "{message}");
}

#[test]
fn the_share_is_spread_over_the_names() {
    let held: Vec<usize> = (0..20).filter(|&index| held_out(index, 0.2)).collect();
    assert_eq!(held, [4, 9, 14, 19]);
}

#[test]
fn images_are_scaled_to_cover_and_cut_evenly() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..4 {
        // Of 32x16 the middle 16x16 stays: half red, half black, scaled to 8x8.
        write(&folder.path().join(format!("a/{index}.png")), 32, 16, RED);
        write(&folder.path().join(format!("b/{index}.png")), 4, 4, BLUE);
    }
    let Read { published, .. } = read_from(&spec(2), folder.path()).unwrap();
    let row = &published.train.images[..24];
    assert_eq!((&row[..3], &row[21..]), (&RED[..], &[0; 3][..]));

    let grey = Reading { channels: 1, ..Reading::of_size([4, 6]) };
    let grey = ImageFolder { reading: grey, ..spec(2) };
    let Read { published, .. } = read_from(&grey, folder.path()).unwrap();
    assert_eq!(published.train.shape, ImageShape { h: 4, w: 6, c: 1 });
    assert_eq!(published.train.images.len(), 6 * 24);
}

/// Files that are no sound images, with what is said of them.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let path = folder.path().join(name);
        write(&path, 64, 64, RED);
        fs::read(path).unwrap()
    };
    let (png, jpeg) = (of("x.png"), of("x.jpg"));
    // A PNG whose header claims 60,000 by 60,000 pixels.
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    vec![
        ("empty.png", Vec::new()),
        ("text.jpg", b"no image at all".to_vec()),
        ("short.png", png[..png.len() / 2].to_vec()),
        ("header.jpg", jpeg[..20].to_vec()),
        ("short.jpg", jpeg[..jpeg.len() - 40].to_vec()),
        ("bomb.png", bomb),
    ]
}

#[test]
fn a_corrupt_file_is_named_or_skipped_as_asked() {
    for (name, content) in broken() {
        let folder = tempfile::tempdir().unwrap();
        two_classes(folder.path());
        let file = folder.path().join("red").join(name);
        fs::write(&file, content).unwrap();

        let Err(error) = read_from(&spec(2), folder.path()) else { panic!("{name} is refused") };
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("{}: expected a sound JPEG, PNG or WebP", file.display())),
            "{message}"
        );

        let mut lenient = spec(2);
        lenient.reading.corrupt = Corrupt::Skip;
        let Read { published, skipped, .. } = read_from(&lenient, folder.path()).unwrap();
        assert_eq!(published.train.len() + published.test.len(), 8, "{name}");
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].file, file);
        assert!(!skipped[0].reason.is_empty());
    }
}

#[test]
fn of_several_broken_files_the_first_is_named_and_none_leaves_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    let sound = read_from(&spec(2), folder.path()).unwrap().published;
    // In front of sound files, between them and behind them; each fourth file is for testing.
    let broken = ["blue/!.jpg", "red/00.png", "red/4.png"].map(|name| folder.path().join(name));
    for file in &broken {
        fs::write(file, "torn").unwrap();
    }
    for _ in 0..8 {
        let message = read_from(&spec(2), folder.path()).err().unwrap().to_string();
        assert!(message.starts_with(&broken[0].display().to_string()), "{message}");
    }
    let mut lenient = spec(2);
    lenient.reading.corrupt = Corrupt::Skip;
    let Read { published: found, skipped, .. } = read_from(&lenient, folder.path()).unwrap();
    assert_eq!(skipped.into_iter().map(|skipped| skipped.file).collect::<Vec<_>>(), broken);
    let images = |split: &Split| {
        let images = split.images.chunks_exact(192).map(<[u8]>::to_vec).zip(split.labels.iter().copied());
        images.collect::<Vec<_>>()
    };
    let all = |published: &Published| {
        let mut all = [images(&published.train), images(&published.test)].concat();
        all.sort_unstable();
        all
    };
    assert_eq!(all(&found), all(&sound));
}

#[test]
fn parts_are_cut_out_with_the_filter_of_the_set() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    for filter in [crate::Filter::Bilinear, crate::Filter::Bicubic] {
        let reading = Reading { filter, ..Reading::of_size([8, 8]) };
        let source = crate::Source::ImageFolder(ImageFolder { reading, ..spec(2) });
        let data =
            crate::load(&crate::DataSpec { source, ..Default::default() }, Some(folder.path())).unwrap();
        assert_eq!((data.train.filter(), data.validation.filter()), (filter, filter));
    }
}

#[test]
fn two_folders_of_one_class_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for class in ["n01", "n01 tench", "n02"] {
        (0..4).for_each(|index| write(&root.join(format!("{class}/{index}.png")), 8, 8, RED));
    }
    fs::write(root.join("classes.txt"), "n01 tench\nn02 goldfish\n").unwrap();
    let listed = ImageFolder { class_list: Some("classes.txt".into()), ..spec(2) };
    let text = read_from(&listed, root).err().unwrap().to_string();
    assert!(text.contains("the folders `n01` and `n01 tench` of "), "{text}");
    assert!(text.contains(" are both called like its class `n01 tench`"), "{text}");
}

#[test]
fn folders_that_do_not_fit_are_explained() {
    let message = |spec: &ImageFolder, root: &Path| read_from(spec, root).err().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    two_classes(root);
    let text = message(&spec(3), root);
    assert!(
        text.ends_with("expected 3 folders, one per class, as `data.classes` says; found 2: blue, red"),
        "{text}"
    );
    let nowhere = ImageFolder { folder: "nowhere".into(), ..spec(2) };
    assert!(message(&nowhere, root).contains("nowhere: expected a folder that can be listed"));

    fs::create_dir(root.join("green")).unwrap();
    let text = message(&spec(3), root);
    assert!(text.ends_with("file of class `green` for training, found none"), "{text}");

    let other = tempfile::tempdir().unwrap();
    two_classes(&other.path().join("train"));
    write(&other.path().join("test/red/0.png"), 8, 8, RED);
    let text = message(&spec(2), other.path());
    assert!(text.ends_with(&format!("only {} has blue", other.path().join("train").display())), "{text}");
    fs::create_dir(other.path().join("test/green")).unwrap();
    let text = message(&spec(2), other.path());
    assert!(text.ends_with(&format!("only {} has green", other.path().join("test").display())), "{text}");

    let huge = ImageFolder { reading: Reading::of_size([1024, 1024]), ..spec(3) };
    let many = tempfile::tempdir().unwrap();
    for class in ["a", "b", "c"] {
        fs::create_dir(many.path().join(class)).unwrap();
        for index in 0..1_000 {
            fs::write(many.path().join(class).join(format!("{index}.png")), "").unwrap();
        }
    }
    assert!(message(&huge, many.path()).contains("choose a smaller `data.size`"));
}

#[test]
fn numbered_folders_are_in_natural_order_and_a_list_overrules_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for class in 0..11 {
        for index in 0..4 {
            write(&root.join(format!("{class}/{index}.png")), 8, 8, [20 * class, 0, 0]);
        }
    }
    let Read { published, classes, .. } = read_from(&spec(11), root).unwrap();
    assert_eq!(classes, (0..11).map(|class| class.to_string()).collect::<Vec<_>>());
    let first_of = |label: usize| published.train.images[label * 3 * 192];
    assert_eq!((first_of(2), first_of(10)), (40, 200));

    let backwards: String = (0..11).rev().map(|class| format!("{class} the class\n")).collect();
    fs::write(root.join("classes.txt"), backwards).unwrap();
    let listed = ImageFolder { class_list: Some("classes.txt".into()), ..spec(11) };
    let Read { published, classes, .. } = read_from(&listed, root).unwrap();
    assert_eq!((&classes[0][..], published.train.images[0]), ("10 the class", 200));

    fs::write(root.join("classes.txt"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n").unwrap();
    let text = read_from(&listed, root).err().unwrap().to_string();
    assert!(text.ends_with("has folders that are not in the list: 10"), "{text}");
    fs::write(root.join("classes.txt"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n").unwrap();
    let text = read_from(&listed, root).err().unwrap().to_string();
    assert!(text.ends_with("has no folder for: 11"), "{text}");
}

#[test]
fn parts_that_are_not_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for part in ["train", "val", "test"] {
        two_classes(&root.join(part));
    }
    write(&root.join("extra/0.png"), 8, 8, RED);
    let Read { published, notes, .. } = read_from(&spec(2), root).unwrap();
    assert_eq!((published.train.len(), published.test.len()), (8, 8));
    assert!(
        notes[0].starts_with(&format!("{}: 8 images are not used", root.join("val").display())),
        "{notes:?}"
    );
    assert_eq!(notes[1], format!("{}: 1 image is not used", root.join("extra").display()));

    // Unlabelled test images, as ImageNet has them: those of `val` are for testing.
    fs::remove_dir_all(root.join("test")).unwrap();
    write(&root.join("test/0.png"), 8, 8, RED);
    let Read { published, notes, .. } = read_from(&spec(2), root).unwrap();
    assert_eq!((published.train.len(), published.test.len()), (8, 8));
    assert!(notes[0].ends_with("test: 1 image is without class folders or labels not used"), "{notes:?}");
}

#[test]
fn images_lie_at_any_depth_and_labels_may_be_listed() {
    // The layout of Tiny-ImageNet.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for index in 0..4 {
        write(&root.join(format!("train/n2/images/n2_{index}.JPEG")), 8, 8, RED);
        write(&root.join(format!("train/n1/images/n1_{index}.JPEG")), 8, 8, BLUE);
        write(&root.join(format!("val/images/val_{index}.JPEG")), 8, 8, RED);
        write(&root.join(format!("test/images/test_{index}.JPEG")), 8, 8, RED);
    }
    fs::write(root.join("train/n1/n1_boxes.txt"), "").unwrap();
    let annotations = root.join("val/val_annotations.txt");
    let lines = |class| (0..4).map(|i| format!("val_{i}.JPEG\t{class}\t0\t0\t8\t8\n")).collect::<String>();
    fs::write(&annotations, lines("n2")).unwrap();
    // Every class must be tested.
    let text = read_from(&spec(2), root).err().unwrap().to_string();
    assert!(text.ends_with("file of class `n1` for testing, found none"), "{text}");
    write(&root.join("val/images/val_9.JPEG"), 8, 8, BLUE);
    write(&root.join("val/images/val_10.JPEG"), 8, 8, BLUE);
    fs::write(&annotations, lines("n2") + "val_9.JPEG\tn1\n").unwrap();
    let Read { published, notes, .. } = read_from(&spec(2), root).unwrap();
    let unlisted = "val: 1 image is not in the list of labels, and not used";
    assert!(notes.iter().any(|note| note.ends_with(unlisted)), "{notes:?}");
    assert_eq!((published.train.class_counts(), published.test.class_counts()), (vec![4, 4], vec![1, 4]));

    // Streamed, the labels are part of what the set is.
    let checksum = || {
        let source = Source::ImageFolder(ImageFolder { stream: true, ..spec(2) });
        load(&DataSpec { source, ..DataSpec::default() }, Some(root)).unwrap().checksum
    };
    let before = checksum();
    fs::write(&annotations, "\u{feff}".to_owned() + &lines("n1") + "val_9.JPEG\tn2\n").unwrap();
    assert_ne!(checksum(), before);

    fs::write(&annotations, lines("n3")).unwrap();
    let text = read_from(&spec(2), root).err().unwrap().to_string();
    assert!(text.contains("do not have: n3"), "{text}");
    fs::write(&annotations, "val_0.JPEG n2\n").unwrap();
    let text = read_from(&spec(2), root).err().unwrap().to_string();
    assert!(text.contains("line 1: expected the name of a file, a tab"), "{text}");

    // A folder of something else is no class.
    fs::write(&annotations, lines("n2") + "val_9.JPEG\tn1\n").unwrap();
    fs::create_dir(root.join("val/extra")).unwrap();
    assert_eq!(read_from(&spec(2), root).unwrap().published.test.class_counts(), [1, 4]);
    fs::remove_dir(root.join("val/extra")).unwrap();

    // Sorted into folders, the images need no list.
    for class in ["n1", "n2"] {
        fs::create_dir(root.join("val").join(class)).unwrap();
        write(&root.join("val").join(class).join("0.JPEG"), 8, 8, RED);
    }
    fs::create_dir(root.join("val/extra")).unwrap();
    let text = read_from(&spec(2), root).err().unwrap().to_string();
    assert!(text.contains("only") && text.contains("extra"), "{text}");
    fs::remove_dir(root.join("val/extra")).unwrap();
    fs::remove_dir_all(root.join("val/images")).unwrap();
    assert_eq!(read_from(&spec(2), root).unwrap().published.test.class_counts(), [1, 1]);
}

#[test]
fn a_share_that_is_no_image_is_named_with_one_that_is() {
    for (images, expected) in [
        (1, "one image, which cannot be both"),
        (3, "a share of 0.25 of 3 images is none for testing; `data.test-share = 0.3334`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        two_classes(folder.path());
        for index in images..4 {
            fs::remove_file(folder.path().join(format!("blue/{index}.jpg"))).unwrap();
        }
        let text = read_from(&spec(2), folder.path()).err().unwrap().to_string();
        assert!(text.starts_with(&format!("{}: {expected}", folder.path().join("blue").display())), "{text}");
    }
    assert!(held_out(2, 0.3334) && !held_out(1, 0.3334));
}

#[test]
fn folders_one_too_deep_are_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(&folder.path().join("birds"));
    let text = read_from(&spec(2), folder.path()).err().unwrap().to_string();
    let expected = format!("found 1: birds; {} has as many", folder.path().join("birds").display());
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn what_systems_leave_behind_is_no_class() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    write(&folder.path().join("__MACOSX/red/._0.png"), 8, 8, RED);
    write(&folder.path().join("red/@eaDir/0.png/thumb.jpg"), 8, 8, RED);
    fs::write(folder.path().join("red/Thumbs.db"), "").unwrap();
    let Read { published, notes, .. } = read_from(&spec(2), folder.path()).unwrap();
    assert_eq!(published.train.len() + published.test.len(), 8);
    assert_eq!(notes, ["ignored system files: @eaDir, Thumbs.db, __MACOSX"]);
}

#[cfg(unix)]
#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    if fs::copy(folder.path().join("red/0.png"), folder.path().join("red").join(name)).is_err() {
        return; // A file system that refuses such names has none.
    }
    let Read { published, .. } = read_from(&spec(2), folder.path()).unwrap();
    assert_eq!(published.train.len() + published.test.len(), 9);
}

#[test]
fn a_strip_takes_no_more_than_a_photograph() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..4 {
        write(&folder.path().join(format!("a/{index}.png")), 60_000, 1, RED);
        write(&folder.path().join(format!("b/{index}.png")), 1, 60_000, BLUE);
    }
    let mut large = ImageFolder { reading: Reading::of_size([512, 512]), ..spec(2) };
    let Read { published, .. } = read_from(&large, folder.path()).unwrap();
    assert_eq!(published.train.len(), 6);
    large.reading.fit = crate::Fit::Stretch;
    let Read { published, .. } = read_from(&large, folder.path()).unwrap();
    assert_eq!(published.train.images[..3], RED);
    large.reading.looking.most_pixels = 59_999;
    let text = read_from(&large, folder.path()).err().unwrap().to_string();
    assert!(text.contains("60000 x 1 pixels are 60000, and at most 59999"), "{text}");
}
