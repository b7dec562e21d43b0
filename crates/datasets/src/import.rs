//! Packs a folder of images into shards.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::image_folder::{self, ImageFolder};
use crate::{Corrupt, DataError, Skipped, derive_seed, epoch_order, photograph};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Training and test images.
    pub images: [usize; 2],
    /// Tar files.
    pub shards: usize,
    /// Words on what was not read.
    pub notes: Vec<String>,
    /// Broken files that were left out, if [`Corrupt::Skip`] says so.
    pub skipped: Vec<Skipped>,
}

/// Writes the images of a folder, unchanged, to shards of `samples` images in `target`, a new
/// folder: `train-00000.tar` and so on, `test-00000.tar` and so on, and `classes.txt`. The
/// images are shuffled once, so that no shard holds a single class.
///
/// # Errors
/// The folder cannot be read, or the shards cannot be written.
pub fn import(
    spec: &ImageFolder,
    data: Option<&Path>,
    target: &Path,
    samples: NonZeroUsize,
) -> Result<Imported, DataError> {
    let listing = image_folder::list(spec, data)?;
    let written = |source| DataError::Write { file: target.to_owned(), source };
    fs::create_dir(target).map_err(written)?;
    let names: String = listing.classes.iter().map(|class| format!("{class}\n")).collect();
    fs::write(target.join("classes.txt"), names).map_err(written)?;
    let (mut images, mut shards, mut skipped) = ([0; 2], 0, Vec::new());
    let parts = [("train", &listing.train), ("test", &listing.test)];
    for ((part, files), images) in parts.into_iter().zip(&mut images) {
        let order = epoch_order(files.len(), derive_seed(0, "import", 0, 0));
        for (number, indices) in order.chunks(samples.get()).enumerate() {
            let shard = target.join(format!("{part}-{number:05}.tar"));
            let samples: Vec<_> = indices.iter().map(|&index| (index, &files[index as usize])).collect();
            *images += write_shard(spec, &shard, &samples, &mut skipped)?;
            shards += 1;
        }
    }
    Ok(Imported { images, shards, notes: listing.notes, skipped })
}

/// The number of images that were written.
fn write_shard(
    spec: &ImageFolder,
    shard: &Path,
    samples: &[(u32, &(PathBuf, u16))],
    skipped: &mut Vec<Skipped>,
) -> Result<usize, DataError> {
    let written = |source: io::Error| DataError::Write { file: shard.to_owned(), source };
    let mut tar = tar::Builder::new(BufWriter::new(File::create_new(shard).map_err(written)?));
    let before = skipped.len();
    for &(index, (file, label)) in samples {
        let is_skipping = spec.reading.corrupt == Corrupt::Skip;
        // Which files are broken is only known once they are decoded.
        let sound = photograph::read(file, spec.reading.looking).and_then(|image| {
            if is_skipping { spec.reading.framed(&image).map(|_| image) } else { Ok(image) }
        });
        let image = match sound.map_err(|reason| Skipped { file: file.clone(), reason }) {
            Ok(image) => image,
            Err(broken) if is_skipping => {
                skipped.push(broken);
                continue;
            }
            Err(broken) => return Err(DataError::Image(broken)),
        };
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        append(&mut tar, &format!("{index:09}.{ending}"), &image).map_err(written)?;
        append(&mut tar, &format!("{index:09}.cls"), label.to_string().as_bytes()).map_err(written)?;
    }
    let mut file = tar.into_inner().map_err(written)?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(written)?;
    Ok(samples.len() - (skipped.len() - before))
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
    use crate::{Classes, DataSpec, Reading, Source, load as load_set};

    #[test]
    fn shards_hold_the_images_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for (class, shade) in [("a", 10_u8), ("b", 200)] {
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
        // A broken file is left out and told, where that is asked for.
        let broken = folder.path().join("b/broken.png");
        fs::write(&broken, "not a photograph").unwrap();
        let others = tempfile::tempdir().unwrap();
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
        assert_eq!((data.classes, stream.len(Part::Train)), (vec!["a".to_owned(), "b".to_owned()], 8));
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
    }
}
