//! Keys of `[trial.data]`.

use std::ops::Bound::{Excluded, Included};

use super::values::{
    Values::{AnyOf, Flag, List, Noted, OneOf, Real, Text, Whole, Words},
    WHOLE,
};
use super::{Key, key, measured};

pub(super) const KEYS: &[Key] = &[
    key(
        "data.set",
        "The images.",
        Noted(&[
            ("fashion-mnist", ""),
            ("cifar-10", ""),
            ("cifar-100", "their binary files"),
            ("image-folder", "JPEG, PNG and WebP files, one folder per class"),
            ("shards", "tar files of samples"),
            ("manifest", "a table of paths with labels"),
            ("planted", "generated"),
        ]),
        "\"fashion-mnist\"",
    ),
    key(
        "data.subset",
        "How much of the set: the embedded part, or all of it, read from a folder (fashion-mnist).",
        Words(&["embedded", "full"]),
        "\"embedded\"",
    ),
    key(
        "data.folder",
        "The folder that holds `train` (or `training`) and one of `test`, `testing`, `val`, `valid` and `validation`, or the class folders themselves; relative to the data folder (image-folder, shards).",
        Text("a path"),
        "\"\"",
    ),
    key(
        "data.classes",
        "Number of classes; required (image-folder, shards, manifest).",
        Whole(2, Some(65536)),
        "",
    ),
    measured(
        "data.size",
        "Rows and columns that images are scaled and cropped to; required (image-folder, shards, manifest).",
        List(&Whole(1, Some(1024)), ": rows and columns"),
        "pixels",
        "",
    ),
    measured(
        "data.channels",
        "Grey or colour (image-folder, shards, manifest).",
        OneOf(&[1, 3]),
        "channels",
        "3",
    ),
    key(
        "data.test-share",
        "Share of each class used for testing if there is no test folder (image-folder), or if there is no split column (manifest).",
        Real(Excluded(0.0), Excluded(1.0)),
        "0.2",
    ),
    key(
        "data.corrupt",
        "What to do about a broken image file (image-folder, shards, manifest).",
        Noted(&[("refuse", "stop and name it"), ("skip", "leave it out and list it")]),
        "\"refuse\"",
    ),
    key(
        "data.class-list",
        "A file in the folder with the class names, one per line, in the order of their labels. Without it, folders in natural order (image-folder, shards, manifest).",
        Text("a path"),
        "",
    ),
    key(
        "data.orientation",
        "Whether photographs are rotated as their EXIF orientation says (image-folder, shards, manifest).",
        Flag,
        "true",
    ),
    measured(
        "data.most-pixels",
        "Largest image that is read; its file may have two bytes per pixel (image-folder, shards, manifest).",
        Whole(1, Some(68719476736)),
        "pixels",
        "134217728",
    ),
    key(
        "data.fit",
        "How an image of another aspect ratio is brought to `size`: scaled until it covers it and centre-cropped, as in timm, or each side scaled on its own, as in Keras (image-folder, shards, manifest).",
        Words(&["cover", "stretch"]),
        "\"cover\"",
    ),
    key(
        "data.crop-fraction",
        "`size` as a share of the scaled image, whose centre is cut out (image-folder, shards, manifest).",
        Real(Included(0.01), Included(1.0)),
        "1.0",
    ),
    key(
        "data.filter",
        "Interpolation when an image is scaled (image-folder, shards, manifest).",
        Words(&["nearest", "bilinear", "bicubic"]),
        "\"bilinear\"",
    ),
    key(
        "data.reduced",
        "Whether JPEG files are decoded at a half, a quarter or an eighth of their size where that leaves two pixels per side for each of the result: faster, but not the same bytes (image-folder, shards, manifest).",
        Flag,
        "false",
    ),
    key(
        "data.stream",
        "Whether images are decoded anew in every epoch, which allows any number and size of photographs; otherwise they are brought to `size` once and kept in memory (image-folder; shards and manifests only `true`).",
        Flag,
        "false",
    ),
    key(
        "data.multi-label",
        "Whether an image may have any number of labels instead of one. The score is then MAP@100 instead of accuracy (shards, manifest).",
        Flag,
        "false",
    ),
    key(
        "data.class-weights",
        "A file beside the images with one number per line: the weight of each class in the loss. Its content is part of the set's checksum (shards, manifest).",
        Text("a path"),
        "",
    ),
    key(
        "data.score-weights",
        "The same for MAP@100, such as the frequency of each class in use; without it all classes count the same (shards, manifest; with `multi-label`).",
        Text("a path"),
        "",
    ),
    key(
        "data.manifest",
        "The table: .csv or .tsv with column names in the first line, .jsonl with one object per line, or .parquet; relative to the data folder. Paths in it are relative to the table (manifest).",
        Text("a path"),
        "",
    ),
    key(
        "data.path-column",
        "Column of the image paths; without it the first that exists of `path`, `image`, `file`, `filename`, `file_name`, `filepath`, `image_path` (manifest).",
        Text("a string"),
        "",
    ),
    key(
        "data.label-column",
        "Column of the labels; without it `label`, `labels`, `class`, `classes` or `category` (manifest).",
        Text("a string"),
        "",
    ),
    key(
        "data.split-column",
        "Column that says `train` or `test`; without it `split`, `subset`, `part` or `partition`. If there is no such column, `test-share` of the rows is used for testing (manifest).",
        Text("a string"),
        "",
    ),
    key(
        "data.coupling",
        "Where the class is planted: from 0, within single channels, to 1, across channels and space together (planted).",
        Real(Included(0.0), Included(1.0)),
        "0.5",
    ),
    measured(
        "data.images",
        "Training images, plus a quarter as many for testing (planted). Or the images per epoch; without the key, all (shards).",
        Whole(1, None),
        "images",
        "8000",
    ),
    key(
        "data.noise",
        "Standard deviation of the noise, relative to the height of a planted dot (planted).",
        Real(Included(0.0), Included(1.0)),
        "0.1",
    ),
    key(
        "data.seed",
        "Seed of the generator; another seed gives other images of the same figures (planted).",
        WHOLE,
        "0",
    ),
    measured(
        "data.validation",
        "Training images held out for validation, spread evenly over the classes; in shards, chosen by sample name.",
        WHOLE,
        "images",
        "0",
    ),
    key(
        "data.split",
        "Which images are held out: always the last of each class, or a random draw with this number or with the seed of each run.",
        AnyOf(&[Words(&["fixed", "seed"]), WHOLE]),
        "\"fixed\"",
    ),
    key(
        "data.augment",
        "Random augmentation of each training image, in this order.",
        List(
            &Text(
                "`\"random-resized-crop LEAST MOST\"` (first), `\"pad-crop PIXELS\"`, `\"flip\"`, `\"jitter BRIGHTNESS CONTRAST SATURATION HUE\"`, `\"cutout PIXELS\"`, `\"rand-augment OPERATIONS MAGNITUDE\"`, `\"mixup ALPHA\"` and `\"cutmix ALPHA\"` (last)",
            ),
            "",
        ),
        "[]",
    ),
];
