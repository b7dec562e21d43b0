//! The safetensors format: what others write is read, what is written others
//! read, and no file, however mutilated or hostile, does worse than an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Result as IoResult, Seek, SeekFrom};
use std::path::Path;

use decouple_spectrum::weights::MAX_HEADER_BYTES;
use decouple_spectrum::weights::error::WeightError;
use decouple_spectrum::weights::file::{WeightFile, write_tensors};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn open(bytes: &[u8]) -> Result<WeightFile<Cursor<&[u8]>>, WeightError> {
    WeightFile::new(Cursor::new(bytes), Path::new("weights.safetensors"))
}

/// A file with the header `json` and `data_bytes` zeros.
fn file(json: &str, data_bytes: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![0; data_bytes]].concat()
}

#[test]
fn a_file_of_pytorch_is_read() {
    // Written by safetensors.torch.save_file of safetensors 0.8.0.
    let mut file = open(include_bytes!("fixtures/pytorch.safetensors")).expect("a file of PyTorch");
    assert_eq!(file.header().metadata["format"], "pt");
    assert_eq!(file.header().tensors["f32"].shape, [1, 3]);
    let mut read = |name| file.read(name).expect("its values");
    assert_eq!(read("f32"), Some(vec![0.5, -2.0, 3.25]));
    let half =
        [0.0, -0.0, 1.0, 65504.0, 2f32.powi(-24), 1023.0 * 2f32.powi(-24), f32::INFINITY, -0.333_251_95];
    let found = read("f16").expect("half precision");
    assert_eq!(found.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), half.map(f32::to_bits));
    assert_eq!(read("bf16"), Some(vec![1.0, -3.140625, 9.969_21e37]));
    assert_eq!((read("scalar"), read("empty")), (Some(vec![7.0]), Some(vec![])));
    // A counter has no place in a network, and there is no such tensor.
    assert_eq!((read("count"), read("f65")), (None, None));
}

#[test]
fn double_precision_is_rounded() {
    let values = [0.1, -2.0, 1e300_f64];
    let json = r#"{"x": {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}}"#;
    let mut bytes = file(json, 24);
    let begin = bytes.len() - 24;
    for (place, value) in bytes[begin..].chunks_exact_mut(8).zip(values) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    let found = open(&bytes).and_then(|mut file| file.read("x")).expect("its values");
    assert_eq!(found, Some(vec![0.1_f32, -2.0, f32::INFINITY]));
}

#[test]
fn what_is_written_the_reference_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    let metadata = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "ä\"\n".to_owned())]);
    // More values than are converted at a time.
    let tensors =
        [("z".to_owned(), vec![3, 20_001]), ("a\"\\é".to_owned(), vec![]), ("n".to_owned(), vec![0, 4])];
    let values: [Vec<f32>; 3] =
        [(0..60_003).map(|i| i as f32 * 0.37).collect(), vec![f32::MIN_POSITIVE], vec![]];
    let write = || write_tensors(&path, &metadata, &tensors, |index| Ok(values[index].as_slice().into()));
    write().expect("a file");
    let bytes = std::fs::read(&path).expect("the file");
    let reference = SafeTensors::deserialize(&bytes).expect("a file for the reference");
    let mut file = WeightFile::open(&path).expect("a file for us");
    for ((name, shape), values) in tensors.iter().zip(&values) {
        let view = reference.tensor(name).expect("the tensor");
        assert_eq!(view.shape(), shape);
        assert_eq!(view.data(), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        assert_eq!(file.read(name).expect("its values").as_ref(), Some(values));
    }
    assert_eq!(file.header().metadata, metadata);
    write().expect("the same file");
    assert_eq!(std::fs::read(&path).expect("the file"), bytes, "equal arguments give equal bytes");
}

#[test]
fn hostile_headers_are_refused_by_name() {
    let two =
        |a: &str, b: &str| file(&format!(r#"{{"a":{{"dtype":"F32",{a}}},"b":{{"dtype":"F32",{b}}}}}"#), 8);
    let long_name = "n".repeat(100_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![1, 2, 3], "it has 3 bytes: expected at least 8"),
        (u64::MAX.to_le_bytes().to_vec(), "header of 18446744073709551615 bytes: expected at most 0"),
        (file("{}", 0)[..9].to_vec(), "header of 2 bytes: expected at most 1"),
        ([&(1u64 << 30).to_le_bytes()[..], &[32; 64]].concat(), "expected at most 64 of this file's bytes"),
        ([&2u64.to_le_bytes()[..], b"\xff{"].concat(), "not UTF-8 after 0 bytes"),
        (file("[1]", 0), "expected a tensor's type, shape and place"),
        (file(&"[".repeat(5_000), 0), "its header"),
        (file(r#"{"a":1}"#, 0), "its header"),
        (
            file(r#"{"a":{"dtype":"F99","shape":[],"data_offsets":[0,4]}}"#, 4),
            r#"tensor "a": its type "F99""#,
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
            "invalid value: integer `-1`",
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#, 4),
            "takes too many bytes, but it lies at 0..4",
        ),
        (file(r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4), "9 extents"),
        (file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,0]}}"#, 8), "lies at 4..0"),
        (
            file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4),
            "4 bytes of values: expected 8",
        ),
        (
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5),
            "5 bytes of values: expected 4",
        ),
        (
            two(r#""shape":[1],"data_offsets":[0,4]"#, r#""shape":[1],"data_offsets":[0,4]"#),
            r#"tensor "b" begins at byte 0 of the values: expected 4"#,
        ),
        (
            two(r#""shape":[1],"data_offsets":[0,4]"#, r#""shape":[0],"data_offsets":[8,8]"#),
            r#"tensor "b" begins at byte 8 of the values: expected 4"#,
        ),
        (
            file(
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                    "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
                4,
            ),
            r#""a" stands there twice"#,
        ),
        (file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), r#""__metadata__" stands there twice"#),
        (file(r#"{"__metadata__":{"a":1}}"#, 0), "expected a string"),
        (file(&format!(r#"{{"{long_name}":{{}}}}"#), 0), "a name of 100000 bytes: expected at most 256"),
    ];
    for (bytes, expected) in cases {
        let message = open(&bytes).expect_err(expected).to_string();
        assert!(message.starts_with("weights.safetensors: not a safetensors file: "), "{message}");
        assert!(message.contains(expected), "{message}\nexpected {expected}");
        assert!(message.len() < 400, "{message}");
    }
}

/// A file that claims to be of `bytes` bytes and counts those that are read.
#[derive(Debug)]
struct Claim<'a> {
    bytes: u64,
    position: u64,
    read: &'a Cell<u64>,
}

impl Read for Claim<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        // The length of the header, then spaces.
        let length = MAX_HEADER_BYTES.to_le_bytes();
        for byte in buffer.iter_mut() {
            *byte = length.get(self.position as usize).copied().unwrap_or(b' ');
            self.position += 1;
        }
        self.read.set(self.read.get() + buffer.len() as u64);
        Ok(buffer.len())
    }
}

impl Seek for Claim<'_> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::End(_) => self.bytes,
            SeekFrom::Current(by) => self.position.saturating_add_signed(by),
        };
        Ok(self.position)
    }
}

#[test]
fn of_an_endless_file_only_the_header_is_read() {
    let read = Cell::new(0);
    let source = Claim { bytes: u64::MAX, position: 0, read: &read };
    let error = WeightFile::new(source, Path::new("endless")).expect_err("no header");
    assert!(error.to_string().contains("EOF while parsing"), "{error}");
    assert_eq!(read.get(), 8 + MAX_HEADER_BYTES);
}

/// A small valid file, as pieces that mutations may cut between.
fn valid() -> Vec<u8> {
    let json = r#"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},"c":{"dtype":"BF16","shape":[],"data_offsets":[28,30]}}"#;
    let mut bytes = file(json, 30);
    let data = bytes.len() - 30;
    bytes[data..].iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
    bytes
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip(usize, u8),
    Truncate(usize),
    Append(Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    HeaderLength(u64),
    /// The digit at or after a place becomes other digits.
    Number(usize, u64),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = 0..260usize;
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        place.clone().prop_map(Mutation::Truncate),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Mutation::Append),
        (place.clone(), 1..40usize).prop_map(|(at, n)| Mutation::Remove(at, n)),
        (place.clone(), 1..90usize).prop_map(|(at, n)| Mutation::Repeat(at, n)),
        prop_oneof![any::<u64>(), 0..300u64].prop_map(Mutation::HeaderLength),
        (place, prop_oneof![any::<u64>(), 0..40u64]).prop_map(|(at, n)| Mutation::Number(at, n)),
    ]
}

fn apply(mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
    let clip = |at: usize| at.min(bytes.len());
    match *mutation {
        Mutation::Flip(at, byte) => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= byte),
        Mutation::Truncate(at) => bytes.truncate(at),
        Mutation::Append(ref more) => bytes.extend(more),
        Mutation::Remove(at, count) => drop(bytes.drain(clip(at)..clip(at + count))),
        Mutation::Repeat(at, count) => {
            let copy = bytes[clip(at)..clip(at + count)].to_vec();
            bytes.splice(clip(at)..clip(at), copy);
        }
        Mutation::HeaderLength(length) => {
            bytes.iter_mut().zip(length.to_le_bytes()).for_each(|(byte, new)| *byte = new);
        }
        Mutation::Number(at, number) => {
            if let Some(at) = (at.max(8)..bytes.len()).find(|&at| bytes[at].is_ascii_digit()) {
                bytes.splice(at..=at, number.to_string().into_bytes());
            }
        }
    }
    bytes
}

/// The length of the header follows what has become of the header.
fn mend_length(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().rposition(|&byte| byte == b'}').filter(|&end| end >= 8) {
        bytes[..8].copy_from_slice(&(end as u64 - 7).to_le_bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever is accepted, the reference accepts with the same contents.
    #[test]
    fn mutated_files_are_refused_or_read_as_the_reference_does(
        mutations in prop::collection::vec(mutation(), 0..4),
        mend in any::<bool>(),
    ) {
        let bytes = mutations.iter().fold(valid(), apply);
        let bytes = if mend { mend_length(bytes) } else { bytes };
        match open(&bytes) {
            Ok(mut file) => {
                let reference = SafeTensors::deserialize(&bytes).expect("the reference accepts it");
                let tensors = file.header().tensors.clone();
                prop_assert_eq!(reference.len(), tensors.len());
                for (name, info) in tensors {
                    let view = reference.tensor(&name).expect("the tensor");
                    prop_assert_eq!(view.shape(), &info.shape);
                    prop_assert_eq!(view.dtype().to_string(), info.data_type.name);
                    let values = file.read(&name).expect("its values");
                    prop_assert_eq!(values.is_some(), info.data_type.is_readable());
                    if info.data_type.name == "F32" {
                        let expected = view.data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()));
                        prop_assert!(values.iter().flatten().map(|v| v.to_bits()).eq(expected));
                    }
                }
            }
            Err(WeightError::File { problem, .. }) => prop_assert!(problem.to_string().len() < 2_000),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
