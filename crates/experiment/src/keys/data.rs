//! Keys of `[trial.data]`.

use std::ops::Bound::{Excluded, Included};

use super::values::{
    Values::{AnyOf, Flag, List, Noted, OneOf, Real, Text, Whole, Words},
    WHOLE,
};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "data.set",
        "The images.",
        Noted(&[
            ("fashion-mnist", ""),
            ("cifar-10", ""),
            ("cifar-100", "their binary files"),
            ("image-folder", "JPEG, PNG and WebP files, a folder a class"),
            ("shards", "tar files of samples"),
            ("planted", "generated"),
        ]),
        "",
        "\"fashion-mnist\"",
    ),
    key(
        "data.subset",
        "How much of the set: the part that the program carries, or all of it, from a folder (fashion-mnist).",
        Words(&["embedded", "full"]),
        "",
        "\"embedded\"",
    ),
    key(
        "data.folder",
        "The folder that holds `train` and one of `test`, `val`, `valid` and `validation`, or the classes themselves; relative to that of the data sets (image-folder, shards).",
        Text("a path"),
        "",
        "\"\"",
    ),
    key(
        "data.classes",
        "Number of classes; always stated (image-folder, shards).",
        Whole(2, Some(65536)),
        "",
        "",
    ),
    key(
        "data.size",
        "Rows and columns that images are scaled and cut to; always stated (image-folder, shards).",
        List(&Whole(1, Some(1024)), ": rows and columns"),
        "pixels",
        "",
    ),
    key("data.channels", "Grey or colour (image-folder, shards).", OneOf(&[1, 3]), "channels", "3"),
    key(
        "data.test-share",
        "Share of each class that is for testing, where no folder says which images are (image-folder).",
        Real(Excluded(0.0), Excluded(1.0)),
        "",
        "0.2",
    ),
    key(
        "data.corrupt",
        "What to do about a file that is no sound image: stop, or leave it out and list it (image-folder, shards).",
        Words(&["refuse", "skip"]),
        "",
        "\"refuse\"",
    ),
    key(
        "data.class-list",
        "A file in the folder with the names of the classes, one a line in the order of their labels; without it the natural order of the folders counts (image-folder, shards).",
        Text("a path"),
        "",
        "",
    ),
    key(
        "data.orientation",
        "Whether photographs are turned as the camera noted (EXIF) (image-folder, shards).",
        Flag,
        "",
        "true",
    ),
    key(
        "data.most-pixels",
        "Most pixels of an image that is read; a file may have two bytes for each (image-folder, shards).",
        Whole(1, Some(68719476736)),
        "pixels",
        "134217728",
    ),
    key(
        "data.fit",
        "How an image of another ratio is brought to `size`: scaled until it covers it and cut evenly, as timm does, or each side on its own, as Keras does (image-folder, shards).",
        Words(&["cover", "stretch"]),
        "",
        "\"cover\"",
    ),
    key(
        "data.crop-fraction",
        "Share of the scaled image that `size` is of, cut out of its middle (image-folder, shards).",
        Real(Included(0.01), Included(1.0)),
        "",
        "1.0",
    ),
    key(
        "data.filter",
        "How pixels are weighed together where an image is scaled (image-folder, shards).",
        Words(&["nearest", "bilinear", "bicubic"]),
        "",
        "\"bilinear\"",
    ),
    key(
        "data.stream",
        "Whether images are decoded anew in every epoch, from photographs of any number and size; else they are brought to `size` once and kept in memory (image-folder; of shards only `true`).",
        Flag,
        "",
        "false",
    ),
    key(
        "data.multi-label",
        "Whether an image may have any number of labels; else it has one (shards).",
        Flag,
        "",
        "false",
    ),
    key(
        "data.coupling",
        "Where the class is planted: from 0, within single channels, to 1, across channels and space together (planted).",
        Real(Included(0.0), Included(1.0)),
        "",
        "0.5",
    ),
    key(
        "data.images",
        "Training images; a quarter as many again are for testing (planted). Or the images of an epoch: without the key all, and the default is of no concern (shards).",
        Whole(1, None),
        "images",
        "8000",
    ),
    key(
        "data.noise",
        "Standard deviation of the noise, as a share of what is planted (planted).",
        Real(Included(0.0), Included(1.0)),
        "",
        "0.1",
    ),
    key(
        "data.seed",
        "What the images are made from; other seeds, other images of the same figures (planted).",
        WHOLE,
        "",
        "0",
    ),
    key(
        "data.validation",
        "Training images held out for validation, spread evenly over the classes.",
        WHOLE,
        "images",
        "0",
    ),
    key(
        "data.split",
        "Which images are held out: always the last of each class, some drawn by this number, or some drawn by the seed of each run.",
        AnyOf(&[Words(&["fixed", "seed"]), WHOLE]),
        "",
        "\"fixed\"",
    ),
    key(
        "data.augment",
        "What is done at random to each training image, in this order.",
        List(
            &Text(
                "`\"random-resized-crop LEAST MOST\"` (first), `\"pad-crop PIXELS\"`, `\"flip\"`, `\"jitter BRIGHTNESS CONTRAST SATURATION HUE\"`, `\"cutout PIXELS\"`, `\"rand-augment OPERATIONS MAGNITUDE\"`, `\"mixup ALPHA\"` and `\"cutmix ALPHA\"` (last)",
            ),
            "",
        ),
        "",
        "[]",
    ),
];
