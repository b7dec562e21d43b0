#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte says where the labels begin.
    let Some((&split, bytes)) = bytes.split_first() else { return };
    let (labels, images) = bytes.split_at(usize::from(split).min(bytes.len()));
    let _ = decouple_datasets::parsers::idx(images, labels);
});
