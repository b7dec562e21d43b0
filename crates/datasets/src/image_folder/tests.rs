//! Folders made for each test, sound and broken in every way that we know of.

use image::{ImageFormat, Rgb, RgbImage};

use super::*;

fn spec(classes: usize) -> ImageFolder {
    ImageFolder {
        folder: PathBuf::new(),
        classes,
        size: [8, 8],
        channels: 3,
        test_share: 0.25,
        corrupt: Corrupt::Refuse,
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

fn read_from(spec: &ImageFolder, root: &Path) -> Result<Decoded, DataError> {
    read(spec, Some(root))
}

#[test]
fn classes_are_sorted_and_a_share_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path());
    fs::write(folder.path().join("red/readme.txt"), "not an image").unwrap();
    fs::write(folder.path().join("red/.hidden.png"), "not an image").unwrap();
    let Decoded { published, classes, skipped } = read_from(&spec(2), folder.path()).unwrap();
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
    for name in ["test", "val"] {
        let folder = tempfile::tempdir().unwrap();
        two_classes(&folder.path().join("birds/train"));
        write(&folder.path().join("birds").join(name).join("red/0.png"), 8, 8, RED);
        write(&folder.path().join("birds").join(name).join("blue/0.JPEG"), 8, 8, BLUE);
        let spec = ImageFolder { folder: "birds".into(), ..spec(2) };
        let Decoded { published, .. } = read_from(&spec, folder.path()).unwrap();
        assert_eq!(published.train.class_counts(), [4, 4]);
        assert_eq!(published.test.class_counts(), [1, 1]);
    }
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
    let Decoded { published, .. } = read_from(&spec(2), folder.path()).unwrap();
    let row = &published.train.images[..24];
    assert_eq!((&row[..3], &row[21..]), (&RED[..], &[0; 3][..]));

    let grey = ImageFolder { channels: 1, size: [4, 6], ..spec(2) };
    let Decoded { published, .. } = read_from(&grey, folder.path()).unwrap();
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
            message.starts_with(&format!("{}: expected a sound JPEG or PNG", file.display())),
            "{message}"
        );

        let lenient = ImageFolder { corrupt: Corrupt::Skip, ..spec(2) };
        let Decoded { published, skipped, .. } = read_from(&lenient, folder.path()).unwrap();
        assert_eq!(published.train.len() + published.test.len(), 8, "{name}");
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].file, file);
        assert!(!skipped[0].reason.is_empty());
    }
}

#[test]
fn folders_that_do_not_fit_are_explained() {
    let message = |spec: &ImageFolder, root: &Path| read_from(spec, root).err().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    two_classes(root);
    let text = message(&spec(3), root);
    assert!(
        text.ends_with("expected 3 folders, one a class, as `data.classes` says; found 2: blue, red"),
        "{text}"
    );
    let nowhere = ImageFolder { folder: "nowhere".into(), ..spec(2) };
    assert!(message(&nowhere, root).contains("nowhere: expected a folder that can be listed"));

    fs::create_dir(root.join("green")).unwrap();
    assert!(message(&spec(3), root).contains("green: expected at least one readable"));

    let other = tempfile::tempdir().unwrap();
    two_classes(&other.path().join("train"));
    write(&other.path().join("test/red/0.png"), 8, 8, RED);
    let text = message(&spec(2), other.path());
    assert!(text.contains("test: expected a folder `blue`"), "{text}");

    let huge = ImageFolder { size: [1024, 1024], ..spec(3) };
    let many = tempfile::tempdir().unwrap();
    for class in ["a", "b", "c"] {
        fs::create_dir(many.path().join(class)).unwrap();
        for index in 0..1_000 {
            fs::write(many.path().join(class).join(format!("{index}.png")), "").unwrap();
        }
    }
    assert!(message(&huge, many.path()).contains("choose a smaller `data.size`"));
}
