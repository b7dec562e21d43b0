//! Checkpoints: what a run needs to continue as if it had never stopped.
//!
//! A file is `checkpoint-<step>` in the run's folder:
//!
//! ```text
//! magic     8 bytes, "dcpl-ck1"
//! length    8 bytes, of the header, little-endian
//! header    JSON: owner, position, the tables so far, names and lengths of the arrays
//! arrays    f32, little-endian, one after the other
//! checksum  32 bytes, BLAKE3 of all before
//! ```
//!
//! Randomness is derived from the position (seed, epoch, step, image), so no generator is kept. The tables
//! (`metrics.csv`, `timing.csv`) are included, so that a run continues with exactly the rows up to its
//! position.

use std::{
    io::{self, Write},
    path::Path,
};

use decouple_disk::Disk;
use decouple_experiment::{CHECKPOINT_PREFIX, RunId};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"dcpl-ck1";
const CHECKSUM_BYTES: usize = 32;

/// Values that are converted to bytes at a time.
const VALUES_AT_ONCE: usize = 1 << 14;

/// Checkpoints of a run that are kept. The older one serves if the newer is damaged.
const KEPT: usize = 2;

/// Values of a network or an optimiser, under a unique name.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Such as `first.3`.
    pub name: String,
    /// The values.
    pub values: Vec<f32>,
}

/// The position of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Epochs whose rows are written.
    pub epochs: u64,
    /// Steps done, over all epochs: the optimiser and the averaged weights count the same.
    pub step: u64,
    /// Of the epoch so far: sum of losses.
    pub epoch_loss: f64,
    /// Of the epoch so far: images classified right.
    pub epoch_correct: u64,
    /// Of the epoch so far: seconds of training.
    pub epoch_secs: f64,
    /// Seconds of training in the epochs before.
    pub train_secs: f64,
}

/// The state of a training: plain values and a position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The position.
    pub position: Position,
    /// Weights, running statistics, optimiser, averages.
    pub arrays: Vec<Array>,
}

/// The owner of a checkpoint. All fields must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The run: the hash of its record.
    pub run: RunId,
    /// Checksum of its data.
    pub data: String,
    /// Version of the engine's arithmetic.
    pub numerics: u32,
}

/// A checkpoint as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Whose it is.
    pub owner: Owner,
    /// `metrics.csv` and `timing.csv` so far.
    pub tables: [String; 2],
    /// The training.
    pub state: Snapshot,
}

/// The header of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    owner: Owner,
    position: Position,
    metrics: String,
    timing: String,
    arrays: Vec<(String, usize)>,
}

impl Checkpoint {
    /// Writes the file piece by piece, since a checkpoint is made while the training is in memory.
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = Header {
            owner: self.owner.clone(),
            position: self.state.position.clone(),
            metrics: self.tables[0].clone(),
            timing: self.tables[1].clone(),
            arrays: self.state.arrays.iter().map(|array| (array.name.clone(), array.values.len())).collect(),
        };
        let header = serde_json::to_vec(&header)?;
        let mut hash = blake3::Hasher::new();
        let mut write = |bytes: &[u8]| {
            hash.update(bytes);
            out.write_all(bytes)
        };
        write(MAGIC)?;
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        for values in self.state.arrays.iter().flat_map(|array| array.values.chunks(VALUES_AT_ONCE)) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            write(&bytes)?;
        }
        out.write_all(hash.finalize().as_bytes())
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Why it is damaged, to follow its name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let short = || "it is cut short".to_owned();
        let parts = bytes.split_last_chunk::<CHECKSUM_BYTES>().filter(|(content, _)| content.len() >= 16);
        let (content, checksum) = parts.ok_or_else(short)?;
        if blake3::hash(content).as_bytes() != checksum {
            return Err("its checksum is not that of its bytes".to_owned());
        }
        // From here on the bytes were written by some version of this program.
        let (magic, rest) = content.split_at(8);
        if magic != MAGIC {
            return Err("another version has written it".to_owned());
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let length = u64::from_le_bytes(*length) as usize;
        let (header, mut values) = rest.split_at_checked(length).ok_or_else(short)?;
        let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let mut arrays = Vec::new();
        for (name, length) in header.arrays {
            let parts = length.checked_mul(4).and_then(|bytes| values.split_at_checked(bytes));
            let (own, rest) = parts.ok_or_else(short)?;
            let floats = own.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
            arrays.push(Array { name, values: floats });
            values = rest;
        }
        let state = Snapshot { position: header.position, arrays };
        Ok(Self { owner: header.owner, tables: [header.metrics, header.timing], state })
    }

    /// Writes it into `dir`, and removes all but the last two.
    ///
    /// # Errors
    /// If the disk refuses; those that were there before stay.
    pub fn write(&self, disk: &Disk, dir: &Path) -> io::Result<()> {
        let name = format!("{CHECKPOINT_PREFIX}{:010}", self.state.position.step);
        disk.replace_with(&dir.join(name), |out| self.write_to(out))?;
        let paths = files(disk, dir)?;
        paths.iter().rev().skip(KEPT).try_for_each(|path| disk.remove_file(path))
    }
}

/// The newest sound checkpoint of `owner` in `dir`, and a sentence about each newer one that is damaged.
/// Those are removed, since they would otherwise be tried again.
///
/// # Errors
/// If the disk refuses.
pub fn newest(disk: &Disk, dir: &Path, owner: &Owner) -> io::Result<(Option<Checkpoint>, Vec<String>)> {
    let mut warnings = Vec::new();
    for path in files(disk, dir)?.iter().rev() {
        // What cannot be read now may be sound.
        let bytes = disk.read(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{} cannot be read: {error}", path.display()))
        })?;
        let sound = Checkpoint::from_bytes(&bytes).and_then(|found| {
            let same = found.owner == *owner;
            if same { Ok(found) } else { Err(other(&found.owner, owner)) }
        });
        match sound {
            Ok(found) => return Ok((Some(found), warnings)),
            Err(why) => {
                warnings.push(format!("{}: it is not used: {why}", path.display()));
                disk.remove_file(path)?;
            }
        }
    }
    Ok((None, warnings))
}

/// How a checkpoint's owner differs.
fn other(found: &Owner, here: &Owner) -> String {
    if found.run != here.run {
        format!("it is of run {}", found.run)
    } else if found.data != here.data {
        format!("it was trained on other images (data checksum {:.16}, here {:.16})", found.data, here.data)
    } else {
        format!("it is of numerics version {}, this program's is {}", found.numerics, here.numerics)
    }
}

/// The checkpoints in `dir`, the newest last.
fn files(disk: &Disk, dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut paths = disk.list(dir)?;
    paths.retain(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(CHECKPOINT_PREFIX))
    });
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { run: "0123456789abcdef".parse().expect("an id"), data: "images".to_owned(), numerics: 1 }
    }

    fn checkpoint(step: u64) -> Checkpoint {
        let position =
            Position { epochs: 1, step, epoch_loss: 0.1 + 0.2, epoch_correct: 7, ..Position::default() };
        let values = vec![1.5, -0.0, f32::MIN_POSITIVE, f32::NAN];
        let arrays = vec![
            Array { name: "value.0".to_owned(), values },
            Array { name: "first.0".to_owned(), values: Vec::new() },
        ];
        let tables = ["epoch\n1\n".to_owned(), String::new()];
        Checkpoint { owner: owner(), tables, state: Snapshot { position, arrays } }
    }

    fn bytes_of(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        checkpoint.write_to(&mut bytes).expect("memory takes it");
        bytes
    }

    #[test]
    fn it_comes_back_bit_for_bit() {
        let bytes = bytes_of(&checkpoint(9));
        let back = Checkpoint::from_bytes(&bytes).expect("it is sound");
        assert_eq!(bytes_of(&back), bytes);
        assert_eq!(back.state.position.epoch_loss.to_bits(), (0.1f64 + 0.2).to_bits());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = bytes_of(&checkpoint(9));
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << bit;
                assert!(Checkpoint::from_bytes(&bytes).is_err(), "bit {bit} of byte {place}");
            }
            assert!(Checkpoint::from_bytes(&whole[..place]).is_err(), "cut at {place}");
        }
        let longer = [whole.as_slice(), b"x"].concat();
        assert!(Checkpoint::from_bytes(&longer).is_err());
    }

    #[test]
    fn the_newest_sound_one_is_used_and_two_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (disk, dir) = (Disk::within(folder.path()), folder.path());
        for step in [3, 20, 100] {
            checkpoint(step).write(&disk, dir).expect("it is written");
        }
        let names = || files(&disk, dir).expect("they are listed");
        assert_eq!(names().len(), 2);
        let (found, warnings) = newest(&disk, dir, &owner()).expect("they are read");
        assert_eq!((found.map(|found| found.state.position.step), warnings.len()), (Some(100), 0));

        // Independent of the clock: if it went backwards, the newer file has the earlier time.
        let newer = std::fs::File::options().write(true).open(&names()[1]).expect("it is there");
        newer.set_modified(std::time::UNIX_EPOCH).expect("a time can be set");
        let (found, _) = newest(&disk, dir, &owner()).expect("they are read");
        assert_eq!(found.map(|found| found.state.position.step), Some(100));

        std::fs::write(&names()[1], "torn").expect("it is written");
        let (found, warnings) = newest(&disk, dir, &owner()).expect("they are read");
        assert_eq!(found.map(|found| found.state.position.step), Some(20));
        assert!(
            warnings[0].contains("checkpoint-0000000100: it is not used: it is cut short"),
            "{warnings:?}"
        );
        assert_eq!(names().len(), 1);

        let other = Owner { data: "other images".to_owned(), ..owner() };
        let (found, warnings) = newest(&disk, dir, &other).expect("they are read");
        assert!(
            found.is_none() && warnings[0].contains("data checksum images, here other images"),
            "{warnings:?}"
        );
    }

    #[test]
    fn whatever_step_of_writing_fails_the_one_before_stands() {
        use decouple_disk::{Fault, FaultKind};
        for kind in [FaultKind::Broken, FaultKind::Full, FaultKind::ShortWrite] {
            for step in 1.. {
                let folder = tempfile::tempdir().expect("a folder");
                let disk = Disk::within(folder.path());
                checkpoint(3).write(&disk, folder.path()).expect("it is written");
                let failing = disk.clone().failing(Fault { step, kind, lasts: true });
                let written = checkpoint(4).write(&failing, folder.path());
                let (found, warnings) = newest(&disk, folder.path(), &owner()).expect("they are read");
                let found = found.map(|found| found.state.position.step);
                assert!(found == Some(3) || found == Some(4), "{found:?}");
                assert!(warnings.is_empty(), "{warnings:?}");
                if written.is_ok() {
                    assert!(step > 5, "writing takes more steps than {step}");
                    break;
                }
            }
        }
    }
}
