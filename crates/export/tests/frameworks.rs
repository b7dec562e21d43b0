//! onnxruntime and PyTorch compute what this program computes: tools/check-export.py
//! compares the exported networks of `networks` with our logits. It needs a Python
//! with these packages: `just check-export` makes one, DECOUPLE_PYTHON names
//! another; without, this test says that nothing was compared.

mod networks;

use std::{fs, path::Path, path::PathBuf, process::Command};

use decouple_export::{Notes, onnx, pytorch};
use decouple_kernels::{arithmetic::Arithmetic, geometry::MapShape};
use decouple_made_up::values;
use decouple_spectrum::weights::{Description, names::Naming, write};
use decouple_training::{device::backend, inference::logits};
use networks::{CLASSES, Case, cases};

/// Images of each network: more than one, since some errors only show then.
const IMAGES: usize = 2;

/// The least difference between the logits of two images, a share of the largest:
/// logits that hardly depend on the image would prove nothing of the first layers.
const SENSITIVITY: f32 = 0.01;

/// The largest difference between the logits of the two images, a share of the
/// largest logit.
fn sensitivity(logits: &[f32]) -> f32 {
    let (first, second) = logits.split_at(CLASSES);
    let largest = logits.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
    first.iter().zip(second).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The Python that is named, or else the one of `just check-export` if it is there.
fn python() -> Option<PathBuf> {
    let own = root().join("target/export-check/bin/python");
    std::env::var_os("DECOUPLE_PYTHON").map(PathBuf::from).or_else(|| own.is_file().then_some(own))
}

/// The images as other programs want them, (n, c, h, w).
fn channels_first(images: &[f32], MapShape { h, w, c }: MapShape) -> Vec<f32> {
    let of = |image: &[f32]| {
        (0..c)
            .flat_map(|channel| (0..h * w).map(move |pixel| pixel * c + channel))
            .map(|i| image[i])
            .collect()
    };
    images.chunks_exact(h * w * c).flat_map(|image| -> Vec<f32> { of(image) }).collect()
}

fn write_f32(path: &Path, values: &[f32]) {
    fs::write(path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}

/// `count` numbers within a quarter of `centre`.
fn wave(count: usize, centre: f32) -> Vec<f32> {
    (0..count).map(|index| centre + 0.25 * (1.0 + 0.7 * index as f32).sin()).collect()
}

/// Writes the network, its images and its logits into a folder of its own.
fn export(case: &Case, folder: &Path) {
    let (graph, folder) = (case.graph(), folder.join(&case.name));
    fs::create_dir(&folder).unwrap();
    let values = values(&graph);
    let notes = Notes { title: case.name.clone(), ..Notes::default() };
    fs::write(folder.join("model.onnx"), onnx(&graph, &values, &notes).unwrap()).unwrap();
    fs::write(folder.join("network.py"), pytorch(&graph, &notes, "weights.safetensors").unwrap()).unwrap();
    let MapShape { h, w, c } = case.input;
    let description = Description { network: case.network.clone(), input: [h, w, c], classes: CLASSES };
    let weights = folder.join("weights.safetensors");
    write(&weights, Naming::Decouple, &description, None, |id| values[id.0].as_slice().into()).unwrap();

    // The second image is not the first shifted: a wave of another length.
    let mut images = wave(case.input.len(), 0.1);
    images.extend(wave(case.input.len() * 3, -0.2).iter().step_by(3).map(|value| 4.0 * value));
    let mut network =
        backend().network(graph, Arithmetic::default(), &mut |id| values[id.0].clone()).unwrap();
    write_f32(&folder.join("images.f32"), &channels_first(&images, case.input));
    let logits = logits(&mut *network, &images).unwrap();
    assert!(sensitivity(&logits) > SENSITIVITY, "{}: {}", case.name, sensitivity(&logits));
    write_f32(&folder.join("logits.f32"), &logits);
    fs::write(folder.join("shape.txt"), format!("{IMAGES} {c} {h} {w}\n")).unwrap();
}

#[test]
fn other_programs_compute_the_same_logits() {
    let Some(python) = python() else {
        eprintln!("nothing was compared: no Python with onnxruntime or PyTorch (just check-export)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    cases().iter().for_each(|case| export(case, folder.path()));
    let check = Command::new(python).arg(root().join("tools/check-export.py")).arg(folder.path()).output();
    let check = check.unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(check.status.success(), "{text}");
    eprintln!("{text}");
}
