//! A stand-in for a collection of photographs with many labels each, such as the paper's
//! JFT, which is not public: shards of any size with a long-tailed distribution of classes.
//!
//! Classes are the nodes of a tree of three levels, an image is a scene of leaves, and its
//! labels are these and all nodes above them, as a "beagle" is a dog and an animal. The
//! appearance of a leaf follows its path down the tree: the first level determines its hue, the
//! second the direction and width of its stripes, the third its shape and contrast. So common
//! classes can be recognised by colour alone, rarer ones by a texture in a colour, and the
//! rarest also by a shape. The frequency of a leaf falls as 1 / (its place + 2) (Zipf's law).

use std::fs::{self, File};
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use rayon::prelude::*;

use crate::import::append;
use crate::random_numbers::{below, unit};
use crate::seeds::stream;
use crate::{DataError, derive_seed, epoch_order, new_folder};

/// The settings of a stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Training and test images.
    pub images: [usize; 2],
    /// Classes, at least 16.
    pub classes: usize,
    /// Labels of an image: the approximate mean; an image has between half and three halves of
    /// it.
    pub labels: usize,
    /// Rows and columns of an image.
    pub side: usize,
    /// Images of a shard.
    pub samples: usize,
    /// Seed of everything.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandInWritten {
    /// Tar files.
    pub shards: usize,
    /// Mean number of labels per training image.
    pub mean_labels: f64,
    /// Share of the training images that have the most frequent class, and the median class.
    pub shares: [f64; 2],
}

impl StandIn {
    /// Writes the shards to `target`, a new folder: `train-00000.tar` and so on,
    /// `test-00000.tar` and so on; `frequencies.txt`, the share of the training images that has
    /// each class; and `stand-in.toml`, the settings. The same bytes on every machine. Memory:
    /// one image, and 12 bytes per class and thread.
    ///
    /// # Errors
    /// [`DataError::Write`], [`DataError::Exists`], and [`DataError::StandIn`] for invalid settings.
    pub fn write(&self, target: &Path) -> Result<StandInWritten, DataError> {
        self.check()?;
        new_folder::fill(target, |folder| self.write_to(folder))
    }

    fn write_to(&self, folder: &Path) -> Result<StandInWritten, DataError> {
        let tree = Tree::new(self.classes, self.seed);
        let written = |source| DataError::Write { file: folder.to_owned(), source };
        let mut shards = 0;
        let mut counts = vec![0_u64; self.classes];
        for (part, images) in ["train", "test"].into_iter().zip(self.images) {
            let numbers: Vec<usize> = (0..images.div_ceil(self.samples)).collect();
            shards += numbers.len();
            let of_shards = numbers.par_iter().map(|&number| {
                let range = number * self.samples..images.min((number + 1) * self.samples);
                self.shard(&tree, part, &folder.join(format!("{part}-{number:05}.tar")), range)
            });
            let add = |mut a: Vec<u64>, b: Vec<u64>| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                Ok(a)
            };
            let of_part = of_shards.try_reduce(|| vec![0; self.classes], add)?;
            if part == "train" {
                counts = of_part;
            }
        }
        let images = self.images[0] as f64;
        let frequencies: String =
            counts.iter().map(|&count| format!("{}\n", count as f64 / images)).collect();
        fs::write(folder.join("frequencies.txt"), frequencies).map_err(written)?;
        let Self { images: [train, test], classes, labels, side, samples, seed } = self;
        let parameters = format!(
            "# What `decouple data stand-in` made these shards from.\ntrain = {train}\ntest = {test}\nclasses = \
             {classes}\nlabels = {labels}\nsize = {side}\nsamples = {samples}\nseed = {seed}\n"
        );
        fs::write(folder.join("stand-in.toml"), parameters).map_err(written)?;
        let mean_labels = counts.iter().sum::<u64>() as f64 / images;
        counts.sort_unstable();
        let shares = [counts[self.classes - 1], counts[self.classes / 2]].map(|count| count as f64 / images);
        Ok(StandInWritten { shards, mean_labels, shares })
    }

    fn check(&self) -> Result<(), DataError> {
        let problem = match self {
            Self { images: [0, _] | [_, 0], .. } => "needs images to train on and for testing",
            Self { samples: 0, .. } => "needs images in a shard",
            Self { classes, .. } if !(16..=65_536).contains(classes) => "has from 16 to 65536 classes",
            Self { side, .. } if !(4..=1024).contains(side) => "has images of 4 to 1024 rows",
            Self { labels, classes, .. } if *labels < 1 || labels * 4 > *classes => {
                "has from 1 label per image to a quarter of the classes"
            }
            _ => return Ok(()),
        };
        Err(DataError::StandIn { problem })
    }

    /// Writes a shard. Returns how often each class occurs in it.
    fn shard(
        &self,
        tree: &Tree,
        part: &'static str,
        file: &Path,
        images: std::ops::Range<usize>,
    ) -> Result<Vec<u64>, DataError> {
        let written = |source| DataError::Write { file: file.to_owned(), source };
        let mut tar = tar::Builder::new(BufWriter::new(File::create_new(file).map_err(written)?));
        let mut counts = vec![0; self.classes];
        for index in images {
            let (pixels, labels) = self.image(tree, part, index as u64);
            labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
            let mut png = Cursor::new(Vec::new());
            let side = self.side as u32;
            PngEncoder::new(&mut png)
                .write_image(&pixels, side, side, ExtendedColorType::Rgb8)
                .map_err(|error| written(std::io::Error::other(error)))?;
            let text: Vec<String> = labels.iter().map(u16::to_string).collect();
            append(&mut tar, &format!("{index:09}.png"), png.get_ref()).map_err(written)?;
            append(&mut tar, &format!("{index:09}.cls"), text.join(" ").as_bytes()).map_err(written)?;
        }
        let mut file = tar.into_inner().map_err(written)?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(written)?;
        Ok(counts)
    }

    /// Image `index` of a part, (h, w, 3), and its labels in order.
    fn image(&self, tree: &Tree, part: &'static str, index: u64) -> (Vec<u8>, Vec<u16>) {
        let rng = &mut stream(derive_seed(self.seed, part, 0, index));
        let wanted = self.labels.div_ceil(2) + below(rng, self.labels + 1);
        let (mut leaves, mut labels) = (Vec::new(), Vec::new());
        while labels.len() < wanted {
            let leaf = tree.draw(unit(rng));
            leaves.push(leaf);
            labels.extend(tree.labels(leaf));
            labels.sort_unstable();
            labels.dedup();
        }
        (self.scene(tree, &leaves, rng), labels)
    }

    /// The leaves side by side on a dark ground, each in its own cell.
    fn scene(&self, tree: &Tree, leaves: &[usize], rng: &mut impl rand_chacha::rand_core::Rng) -> Vec<u8> {
        let side = self.side;
        let cells = (1..).find(|cells| cells * cells >= leaves.len()).unwrap_or(1);
        let order = epoch_order(cells * cells, rng.next_u64());
        let mut pixels: Vec<u8> = (0..side * side * 3).map(|_| below(rng, 48) as u8).collect();
        for (&leaf, &cell) in leaves.iter().zip(&order) {
            let cell = [cell as usize / cells, cell as usize % cells];
            let [top, left] = cell.map(|at| at * side / cells);
            let [bottom, right] = cell.map(|at| (at + 1) * side / cells);
            let look = tree.look(leaf);
            let phase = below(rng, 16);
            for y in top..bottom {
                for x in left..right {
                    let shade = look.shade(y - top, x - left, [bottom - top, right - left], phase);
                    if let Some(shade) = shade {
                        for (pixel, hue) in pixels[(y * side + x) * 3..].iter_mut().zip(look.hue) {
                            *pixel += (u32::from(hue) * shade / 256) as u8;
                        }
                    }
                }
            }
        }
        pixels
    }
}

/// The classes: `tops` of the first level, `middles` of the second, and leaves.
struct Tree {
    tops: usize,
    middles: usize,
    /// For each leaf, the cumulative weight up to it, with total 1.
    sums: Vec<f64>,
    /// The class of each node, permuted so that the number of a class carries no information.
    classes: Vec<u16>,
}

impl Tree {
    fn new(classes: usize, seed: u64) -> Self {
        // The cube root, and an eighth.
        let tops = (2..).take_while(|root| root * root * root <= classes).last().unwrap_or(2);
        let middles = classes / 8;
        let weights = (0..classes - tops - middles).map(|place| 1.0 / (place + 2) as f64);
        let mut sums: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let whole = sums.last().copied().unwrap_or(1.0);
        sums.iter_mut().for_each(|sum| *sum /= whole);
        let order = epoch_order(classes, derive_seed(seed, "classes", 0, 0));
        Self { tops, middles, sums, classes: order.into_iter().map(|class| class as u16).collect() }
    }

    /// The leaf at `share`, from 0 to 1, of all.
    fn draw(&self, share: f64) -> usize {
        self.sums.partition_point(|&sum| sum <= share).min(self.sums.len() - 1)
    }

    fn labels(&self, leaf: usize) -> [u16; 3] {
        let middle = leaf % self.middles;
        [middle % self.tops, self.tops + middle, self.tops + self.middles + leaf]
            .map(|node| self.classes[node])
    }

    fn look(&self, leaf: usize) -> Look {
        let middle = leaf % self.middles;
        let (top, kind, own) = (middle % self.tops, middle / self.tops, leaf / self.middles);
        // Six linear pieces around the circle of hues.
        let angle = top * 6 * 192 / self.tops;
        let (piece, rise) = (angle / 192, (angle % 192) as u8);
        let [low, high] = [0, 192];
        let hue = match piece {
            0 => [high, rise, low],
            1 => [high - rise, high, low],
            2 => [low, high, rise],
            3 => [low, high - rise, high],
            4 => [rise, low, high],
            _ => [high, low, high - rise],
        };
        Look { hue, direction: kind % 8, width: 1 + kind / 8 % 3, shape: own % 4, contrast: own / 4 % 2 }
    }
}

/// The appearance of a leaf.
struct Look {
    hue: [u8; 3],
    /// Of the stripes, an eighth of a half turn each.
    direction: usize,
    /// Half of a stripe's distance to the next, in pixels.
    width: usize,
    shape: usize,
    contrast: usize,
}

impl Look {
    /// The shade of a pixel of a cell, of 256; `None` outside the shape.
    fn shade(&self, y: usize, x: usize, [h, w]: [usize; 2], phase: usize) -> Option<u32> {
        // From the middle, in halves of a pixel, so that the shapes are symmetric.
        let (dy, dx) = ((2 * y + 1).abs_diff(h), (2 * x + 1).abs_diff(w));
        let (r2, whole) = (dy * dy + dx * dx, h.min(w));
        let is_inside = match self.shape {
            0 => r2 <= whole * whole,
            1 => dy.max(dx) * 5 <= whole * 4,
            2 => dy + dx <= whole,
            _ => r2 <= whole * whole && r2 * 6 >= whole * whole,
        };
        // Sixteenths along each axis: (cos, sin) of the direction.
        const DIRECTIONS: [(i32, i32); 8] =
            [(16, 0), (15, 6), (11, 11), (6, 15), (0, 16), (-6, 15), (-11, 11), (-15, 6)];
        let (cos, sin) = DIRECTIONS[self.direction];
        let along = (x as i32 * cos + y as i32 * sin + phase as i32).div_euclid(16 * self.width as i32);
        let dark = [40, 130][self.contrast];
        is_inside.then_some(if along.rem_euclid(2) == 0 { 256 } else { dark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Cache;
    use crate::loader::streamed;
    use crate::stream::{BatchOrder, Part, Shards};
    use crate::{Classes, DataSpec, Reading, Source};

    const SMALL: StandIn =
        StandIn { images: [300, 20], classes: 200, labels: 12, side: 24, samples: 128, seed: 5 };

    fn written(stand_in: StandIn) -> (tempfile::TempDir, StandInWritten) {
        let folder = tempfile::tempdir().unwrap();
        let written = stand_in.write(&folder.path().join("x")).unwrap();
        (folder, written)
    }

    #[test]
    fn shards_have_many_labels_and_a_long_tail() {
        let (folder, made) = written(SMALL);
        assert_eq!(made.shards, 4);
        assert!((made.mean_labels - 12.0).abs() < 2.0, "{made:?}");
        assert!(made.shares[0] > 0.5 && made.shares[1] < 0.1, "{made:?}");
        let target = folder.path().join("x");
        let shards = Shards {
            folder: "x".into(),
            classes: Classes {
                count: 200,
                multi_label: true,
                score_weights: Some("frequencies.txt".into()),
                ..Classes::default()
            },
            images: None,
            reading: Reading::of_size([24, 24]),
        };
        let spec = DataSpec { source: Source::Shards(shards.clone()), ..DataSpec::default() };
        let listed = streamed::shards(&shards, Some(folder.path())).unwrap();
        let data = listed.part(&spec, &Cache::at(&folder.path().join("cache"))).unwrap();
        let stream = data.stream.unwrap();
        assert_eq!((stream.len(Part::Train), stream.len(Part::Test)), (300, 20));
        // The frequencies are those of the labels in the shards.
        let mut counts = vec![0.0; 200];
        for batch in stream.batches(Part::Train, BatchOrder::AsStored, 64, &[], 1) {
            let batch = batch.unwrap();
            for image in 0..batch.len() {
                batch.labels.of(image).iter().for_each(|&label| counts[usize::from(label)] += 1.0 / 300.0);
            }
        }
        let frequencies = stream.weights.score.unwrap();
        assert!(counts.iter().zip(&frequencies[..]).all(|(a, b)| (a - b).abs() < 1e-9));
        let parameters = fs::read_to_string(target.join("stand-in.toml")).unwrap();
        assert!(parameters.ends_with(
            "train = 300\ntest = 20\nclasses = 200\nlabels = 12\nsize = 24\nsamples = 128\nseed = 5\n"
        ));
    }

    #[test]
    fn a_seed_makes_the_same_bytes_and_another_others() {
        let bytes = |stand_in| {
            let (folder, _) = written(stand_in);
            fs::read(folder.path().join("x/train-00002.tar")).unwrap()
        };
        assert_eq!(bytes(SMALL), bytes(SMALL));
        assert_ne!(bytes(SMALL), bytes(StandIn { seed: 6, ..SMALL }));
        // The first images are the same in a set of any size.
        assert_eq!(bytes(SMALL)[..1 << 16], bytes(StandIn { images: [350, 20], ..SMALL })[..1 << 16]);
    }

    #[test]
    fn what_is_seen_tells_the_leaves_apart() {
        let tree = Tree::new(200, 0);
        assert_eq!((tree.tops, tree.middles, tree.sums.len()), (5, 25, 170));
        let looks: Vec<Vec<Option<u32>>> = (0..170)
            .map(|leaf| {
                let look = tree.look(leaf);
                let cell = (0..144).map(|at| look.shade(at / 12, at % 12, [12, 12], 0));
                look.hue.map(|hue| Some(u32::from(hue))).into_iter().chain(cell).collect()
            })
            .collect();
        for (leaf, look) in looks.iter().enumerate() {
            assert!(!looks[..leaf].contains(look), "leaf {leaf} looks like one before it");
        }
        assert_eq!([tree.draw(0.0), tree.draw(0.999_999_999)], [0, 169]);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for stand_in in [
            StandIn { images: [0, 1], ..SMALL },
            StandIn { classes: 15, ..SMALL },
            StandIn { labels: 51, ..SMALL },
            StandIn { side: 3, ..SMALL },
            StandIn { samples: 0, ..SMALL },
        ] {
            let error = stand_in.write(&folder.path().join("x")).unwrap_err().to_string();
            assert!(error.starts_with("a stand-in "), "{error}");
            assert!(!folder.path().join("x").exists());
        }
    }
}
