#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = decouple_datasets::parsers::cifar(bytes);
});
