#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte says what kind of table it is.
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let _ = decouple_datasets::parsers::manifest(bytes, ["csv", "jsonl", "tsv", "parquet"][usize::from(kind % 4)]);
});
