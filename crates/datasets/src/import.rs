//! Packs a folder of images into shards.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::image_folder::{self, ImageFolder};
use crate::labels::Labelling;
use crate::{DataError, Reading, Skipped, derive_seed, epoch_order, new_folder, photograph};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Training and test images.
    pub images: [usize; 2],
    /// Tar files.
    pub shards: usize,
    /// Words on what was not read.
    pub notes: Vec<String>,
    /// Broken files that were left out, if [`Corrupt::Skip`](crate::Corrupt::Skip) says so.
    pub skipped: Vec<Skipped>,
}

/// Writes the images of a folder, unchanged, to shards of `samples` images in `target`, a new
/// folder: `train-00000.tar` and so on, `test-00000.tar` and so on, and `classes.txt`. The
/// images are shuffled once, so that no shard holds a single class. Each is decoded, on rayon's
/// current pool, since only that tells whether its file is broken.
///
/// # Errors
/// The folder cannot be read, a file is broken ([`Corrupt`](crate::Corrupt) says what is done about it), or the
/// shards cannot be written.
pub fn import(
    spec: &ImageFolder,
    data: Option<&Path>,
    target: &Path,
    samples: NonZeroUsize,
) -> Result<Imported, DataError> {
    let listing = image_folder::list(spec, data)?;
    listing.check_classes()?;
    let labelling = Labelling::new(listing.classes.len(), false, &listing.classes);
    let labels = (0u16..).zip(&listing.classes).map(|(label, name)| labelling.text_of(label, name));
    let labels: Vec<String> = labels.collect();
    new_folder::fill(target, |folder| {
        let list = folder.join("classes.txt");
        let names: String = listing.classes.iter().map(|class| format!("{class}\n")).collect();
        fs::write(&list, names).map_err(|source| DataError::Write { file: list, source })?;
        let (mut images, mut shards, mut skipped) = ([0; 2], 0, Vec::new());
        let parts = [("train", "training", &listing.train), ("test", "testing", &listing.test)];
        for ((part, purpose, files), images) in parts.into_iter().zip(&mut images) {
            let mut written = HashSet::new();
            let order = epoch_order(files.len(), derive_seed(0, "import", 0, 0));
            for (number, indices) in order.chunks(samples.get()).enumerate() {
                let shard = folder.join(format!("{part}-{number:05}.tar"));
                let files = indices.iter().map(|&index| (index, &files[index as usize]));
                let found = write_shard(spec, &shard, &files.collect::<Vec<_>>(), &labels, &mut skipped)?;
                *images += found.len();
                written.extend(found);
                shards += 1;
            }
            listing.check_read(purpose, files, written, &skipped)?;
        }
        Ok(Imported { images, shards, notes: listing.notes, skipped })
    })
}

/// Files that are in memory together.
const TOGETHER: usize = 64;

/// The labels of the images that were written; `labels` are the texts for each label.
fn write_shard(
    spec: &ImageFolder,
    shard: &Path,
    samples: &[(u32, &(PathBuf, u16))],
    labels: &[String],
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<u16>, DataError> {
    let written = |source: io::Error| DataError::Write { file: shard.to_owned(), source };
    let mut tar = tar::Builder::new(BufWriter::new(File::create_new(shard).map_err(written)?));
    let mut found = Vec::new();
    for samples in samples.chunks(TOGETHER) {
        let read: Vec<_> = samples.par_iter().map(|(_, (file, _))| sound(&spec.reading, file)).collect();
        for (image, &(index, (file, label))) in read.into_iter().zip(samples) {
            let image = match image {
                Ok(image) => image,
                Err(broken) if spec.reading.corrupt.leaves_out(&broken) => {
                    skipped.push(broken);
                    continue;
                }
                Err(broken) => return Err(DataError::Image(broken)),
            };
            let ending = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            let text = &labels[usize::from(*label)];
            append(&mut tar, &format!("{index:09}.{ending}"), &image).map_err(written)?;
            append(&mut tar, &format!("{index:09}.cls"), text.as_bytes()).map_err(written)?;
            found.push(*label);
        }
    }
    let mut file = tar.into_inner().map_err(written)?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(written)?;
    Ok(found)
}

/// The bytes of a file that can be decoded.
fn sound(reading: &Reading, file: &Path) -> Result<Vec<u8>, Skipped> {
    let bytes = photograph::read(file, reading.looking).map_err(|why| Skipped::new(file, why))?;
    reading.framed(&bytes).map_err(|reason| Skipped::new(file, reason))?;
    Ok(bytes)
}

/// Adds a file with only name and content, so that equal images give equal shards.
pub(crate) fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Cache;
    use crate::loader::streamed;
    use crate::stream::{BatchOrder, Part, Shards};
    use crate::{Classes, Corrupt, DataSpec, Source, load as load_set};

    #[test]
    fn shards_hold_the_images_of_the_folder() {
        hold_the_images(["a", "b"]);
    }

    #[test]
    fn classes_that_are_numbers_keep_their_images() {
        hold_the_images(["1", "2"]);
    }

    fn hold_the_images(names: [&str; 2]) {
        let folder = tempfile::tempdir().unwrap();
        for (class, shade) in names.into_iter().zip([10_u8, 200]) {
            fs::create_dir(folder.path().join(class)).unwrap();
            for index in 0..5_u8 {
                let image = image::RgbImage::from_pixel(6, 6, image::Rgb([shade + index, 0, 0]));
                image.save(folder.path().join(class).join(format!("{index}.png"))).unwrap();
            }
        }
        let images = ImageFolder {
            folder: PathBuf::new(),
            classes: 2,
            class_list: None,
            test_share: 0.2,
            stream: false,
            reading: Reading::of_size([6, 6]),
        };
        let target = folder
            .path()
            .parent()
            .unwrap()
            .join(format!("{}-shards", folder.path().file_name().unwrap().display()));
        let imported = import(&images, Some(folder.path()), &target, NonZeroUsize::new(3).unwrap()).unwrap();
        assert_eq!((imported.images, imported.shards), ([8, 2], 4));
        assert!(
            import(&images, Some(folder.path()), &target, NonZeroUsize::new(3).unwrap()).is_err(),
            "nothing is written over"
        );
        // A broken file is refused, or left out and told, where that is asked for.
        let broken = folder.path().join(names[1]).join("broken.png");
        fs::write(&broken, "not a photograph").unwrap();
        let others = tempfile::tempdir().unwrap();
        let refused =
            import(&images, Some(folder.path()), &others.path().join("x"), NonZeroUsize::new(3).unwrap());
        let message = refused.unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: expected a sound", broken.display())), "{message}");
        assert_eq!(fs::read_dir(others.path()).unwrap().count(), 0, "nothing half is left");
        let mut tolerant = images.clone();
        tolerant.reading.corrupt = Corrupt::Skip;
        let (target_of_sound, samples) = (others.path().join("sound"), NonZeroUsize::new(3).unwrap());
        let imported = import(&tolerant, Some(folder.path()), &target_of_sound, samples).unwrap();
        assert_eq!((imported.images.iter().sum::<usize>(), &imported.skipped[0].file), (10, &broken));
        fs::remove_file(&broken).unwrap();

        let shards = Shards {
            folder: PathBuf::new(),
            classes: Classes { count: 2, list: Some("classes.txt".into()), ..Classes::default() },
            images: None,
            reading: Reading::of_size([6, 6]),
        };
        let cache = Cache::at(&target.join("cache"));
        let data =
            streamed::shards(&shards, Some(&target)).unwrap().part(&DataSpec::default(), &cache).unwrap();
        let stream = data.stream.unwrap();
        assert_eq!((data.classes, stream.len(Part::Train)), (names.map(str::to_owned).to_vec(), 8));
        let whole = load_set(
            &DataSpec { source: Source::ImageFolder(images), ..DataSpec::default() },
            Some(folder.path()),
        );
        let whole = whole.unwrap();
        let sorted = |mut pairs: Vec<(u8, u16)>| {
            pairs.sort_unstable();
            pairs
        };
        let batch = stream.batches(Part::Train, BatchOrder::AsStored, 8, &[], 1).next().unwrap().unwrap();
        let labels = batch.labels.as_single().unwrap().iter().copied();
        let found = batch.pixels.chunks(108).map(|image| image[0]).zip(labels).collect();
        let expected = whole.train.images().map(|image| image[0]).zip(whole.train.labels()).collect();
        assert_eq!(sorted(found), sorted(expected));
        fs::remove_dir_all(target).unwrap();
        // A class must be left.
        let whole = folder.path().join(names[1]);
        for file in fs::read_dir(&whole).unwrap() {
            fs::write(file.unwrap().path(), "not a photograph").unwrap();
        }
        let refused = import(&tolerant, Some(folder.path()), &others.path().join("y"), samples);
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains("all of which were skipped, such as") && message.contains(names[1]),
            "{message}"
        );
        assert!(!others.path().join("y").exists());
    }
}
