//! TensorBoard event files, written by hand: an envelope of records, each a protobuf message.
//!
//! A record is its length (u64), the masked CRC-32C of those eight bytes (u32), the message, and the masked
//! CRC-32C of the message (u32), all little-endian (TensorFlow, `core/lib/io/record_writer.cc`). A message is
//! `tensorflow.Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }`
//! with `Summary { repeated Value value = 1; }` and `Value { string tag = 1; float simple_value = 2; }`.
//! `tools/tensorboard-check.py` reads such files with the `tensorboard` package.

use decouple_experiment::Run;

/// Name of the event file in a run's folder. TensorBoard takes every file with `tfevents` in its name.
pub const FILE_NAME: &str = "events.out.tfevents.decouple";

/// The event file of a run: its rows and, once it is over, its test scores; `None` for a run without a row.
///
/// Tags: `train/loss`, `train/accuracy`, `train/learning_rate`, `train/images_per_sec`, `validation/loss`,
/// `validation/accuracy`, `validation/map_at_100` of a set with many labels per image and, of averaged
/// weights, `validation/averaged_loss` and the like, by step; `test/accuracy`, `test/loss`,
/// `test/averaged_accuracy` and, as above, `test/map_at_100` at the last one. Wall time is the training time
/// so far, since 1970: the same run gives the same bytes.
pub fn event_file(run: &Run) -> Option<Vec<u8>> {
    let first = run.metrics.first()?;
    let mut file = EventFile::new();
    let mut secs = 0.0;
    for (k, row) in run.metrics.iter().enumerate() {
        let timing = run.timing.get(k);
        secs += timing.map_or(0.0, |timing| timing.wall_secs);
        let scalars = [
            ("train/loss", Some(row.train_loss)),
            ("train/accuracy", Some(row.train_accuracy)),
            ("train/learning_rate", Some(row.learning_rate)),
            ("train/images_per_sec", timing.map(|timing| timing.images_per_sec)),
            ("validation/loss", row.validation_loss),
            ("validation/accuracy", row.validation_accuracy),
            ("validation/averaged_loss", row.averaged_validation_loss),
            ("validation/averaged_accuracy", row.averaged_validation_accuracy),
            ("validation/map_at_100", row.validation_map_at_100),
            ("validation/averaged_map_at_100", row.averaged_validation_map_at_100),
        ];
        file.scalars(secs, row.step, &scalars);
    }
    if let Some(status) = &run.status {
        let (raw, averaged) = (status.test.as_ref(), status.averaged_test.as_ref());
        let test = [
            ("test/accuracy", raw.map(|scores| scores.accuracy)),
            ("test/loss", raw.map(|scores| scores.loss)),
            ("test/averaged_accuracy", averaged.map(|scores| scores.accuracy)),
            ("test/map_at_100", raw.and_then(|scores| scores.map_at_100)),
            ("test/averaged_map_at_100", averaged.and_then(|scores| scores.map_at_100)),
        ];
        file.scalars(secs, status.steps.max(first.step), &test);
    }
    Some(file.bytes)
}

/// An event file as it grows.
struct EventFile {
    bytes: Vec<u8>,
}

impl EventFile {
    /// An empty file with the version, which every event file must begin with.
    fn new() -> Self {
        let mut message = Message::default();
        message.double(1, 0.0);
        message.bytes(3, b"brain.Event:2");
        let mut file = Self { bytes: Vec::new() };
        file.record(&message.0);
        file
    }

    /// One event with the scalars that exist; nothing if none does.
    fn scalars(&mut self, wall_secs: f64, step: u64, scalars: &[(&str, Option<f64>)]) {
        let mut summary = Message::default();
        for (tag, value) in scalars.iter().filter_map(|(tag, value)| Some((tag, (*value)?))) {
            let mut scalar = Message::default();
            scalar.bytes(1, tag.as_bytes());
            scalar.float(2, value as f32);
            summary.bytes(1, &scalar.0);
        }
        if summary.0.is_empty() {
            return;
        }
        let mut event = Message::default();
        event.double(1, wall_secs);
        event.integer(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0);
    }

    fn record(&mut self, message: &[u8]) {
        let length = (message.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked_crc(&length).to_le_bytes());
        self.bytes.extend(message);
        self.bytes.extend(masked_crc(message).to_le_bytes());
    }
}

/// A protobuf message as it grows: fields, each a key (number and wire type) and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u8, value: u64) {
        self.0.push(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u8, value: f32) {
        self.0.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Seven bits per byte, the lowest first; the eighth says that another byte follows.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The checksum of a record: a CRC of data that holds CRCs is weak, so it is rotated and shifted.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bits reflected: RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// The effect of each byte on the checksum.
const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// The fixture was written by the `tensorboard` package (`tools/tensorboard-check.py`).
    #[test]
    fn bytes_are_those_of_tensorboard() {
        let mut file = EventFile::new();
        file.scalars(0.0, 0, &[("nothing", None)]);
        file.scalars(1.5, 140, &[("train/loss", Some(0.25)), ("train/accuracy", Some(0.875)), ("x", None)]);
        file.scalars(1e9, 1 << 40, &[("test/accuracy", Some(0.1))]);
        assert_eq!(file.bytes, include_bytes!("../tests/fixtures/events.tfevents"));
    }
}
