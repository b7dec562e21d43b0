//! Weights and photographs as a user meets them: convert, inspect, predict,
//! evaluate, and the mistakes people make.

mod workplace;

use std::fs;

use decouple_kernels::arithmetic::Arithmetic;
use decouple_spectrum::{
    network::{Family, NetworkSpec, Numerics},
    weights::{Description, names::Naming},
};
use decouple_training::{device::backend, start_values, stored_network::save};
use image::{Rgb, RgbImage};

use workplace::Workplace;

/// What tells the program which network [`Workplace`] has weights of.
const MODEL: [&str; 8] =
    ["--model", "resnet-18", "--set", "width=0.06", "--set", "small-stem=true", "--input", "32x32x3"];

/// A folder with `timm.safetensors` and a few pictures.
impl Workplace {
    fn with_weights() -> Self {
        let workplace = Self::new();
        let own = NetworkSpec::of(Family::Resnet18, Numerics::Timm);
        let network = NetworkSpec { width: 0.06, small_stem: true, ..own };
        let description = Description { network, input: [32, 32, 3], classes: 1000 };
        let graph = description.graph().expect("a network");
        let network =
            start_values::start(&graph, 7, &*backend(), Arithmetic::default()).expect("values that fit");
        save(&*network, &workplace.path("timm.safetensors"), Naming::Timm, &description, None)
            .expect("a file");
        // The same without a note of what network it is, as timm writes it.
        let bytes = fs::read(workplace.path("timm.safetensors")).expect("the file");
        fs::write(workplace.path("foreign.safetensors"), without_metadata(&bytes)).expect("a file");
        for (class, shade) in [("n01440764", 40), ("n01443537", 200)] {
            fs::create_dir_all(workplace.path(class)).expect("a folder");
            let picture = RgbImage::from_fn(60, 40, |x, y| Rgb([shade, (4 * x) as u8, (6 * y) as u8]));
            picture.save(workplace.path(&format!("{class}/picture.png"))).expect("a picture");
        }
        workplace
    }
}

type Header = serde_json::Map<String, serde_json::Value>;

/// A safetensors file with another header or other values.
fn edited(bytes: &[u8], edit: impl FnOnce(&mut Header, &mut [u8])) -> Vec<u8> {
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let (header, values) = rest.split_at(length);
    let (mut header, mut values) = (serde_json::from_slice(header).expect("a header"), values.to_vec());
    edit(&mut header, &mut values);
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &values].concat()
}

/// Without the notes in its header.
fn without_metadata(bytes: &[u8]) -> Vec<u8> {
    edited(bytes, |header, _| drop(header.remove("__metadata__")))
}

#[test]
fn weights_go_out_and_come_back() {
    let workplace = Workplace::with_weights();
    let convert = |arguments: &[&str]| workplace.succeed(&[&["weights"], arguments].concat());
    convert(&[&["import", "foreign.safetensors", "ours.safetensors"][..], &MODEL].concat());
    convert(&["export", "ours.safetensors", "back.safetensors", "--to", "timm"]);
    let [timm, back] = ["timm", "back"].map(|name| fs::read(workplace.path(&format!("{name}.safetensors"))));
    assert!(timm.unwrap() == back.unwrap(), "the same file comes back");

    let listed = convert(&["inspect", "ours.safetensors"]);
    assert!(listed.starts_with("network {\"family\":\"resnet-18\",\"numerics\":\"timm\""), "{listed}");
    assert!(listed.contains("\nstage1.block0.conv1.weight        F32   [4, 4, 3, 3]\n"), "{listed}");
    assert!(listed.ends_with("102 tensors, 73764 values\n"), "{listed}");
}

#[test]
fn a_head_of_another_size_starts_anew() {
    let workplace = Workplace::with_weights();
    let headless =
        edited(&fs::read(workplace.path("foreign.safetensors")).expect("the file"), |header, _| {
            // The last in the file, so that no gap is left.
            header.retain(|name, _| !name.starts_with("fc."));
        });
    let arguments = ["--new-head", "3", "--classes", "10"];
    let import = |source: &str, target: &str| {
        let command = [&["weights", "import", source, target][..], &MODEL, &arguments].concat();
        let talk = workplace.told(&command);
        assert!(talk.contains("initialised a new head of 10 classes"), "{talk}");
        assert!(!talk.contains("another network"), "{talk}");
        fs::read(workplace.path(target)).expect("the file")
    };
    let imported = import("timm.safetensors", "ours.safetensors");
    assert!(imported == import("foreign.safetensors", "again.safetensors"));
    let cut = headless.len() - 4 * (1000 * 31 + 1000);
    fs::write(workplace.path("headless.safetensors"), &headless[..cut]).expect("a file");
    assert!(imported == import("headless.safetensors", "third.safetensors"));
    let other = [&MODEL[..], &["--set", "norm-epsilon=0.01"]].concat();
    let talk = workplace
        .told(&[&["weights", "import", "timm.safetensors", "other.safetensors"], &other[..]].concat());
    assert!(talk.contains("of another network than the one asked for"), "{talk}");
}

#[test]
fn photographs_are_named_and_counted() {
    let workplace = Workplace::with_weights();
    let weights = ["--weights", "foreign.safetensors"];
    let pictures = ["n01440764/picture.png", "n01443537/picture.png"];
    let named = workplace.succeed(&[&["predict"], &weights[..], &MODEL, &pictures].concat());
    let lines: Vec<&str> = named.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[6]), (12, pictures[0], pictures[1]));
    assert!(lines[1].starts_with("   ") && lines[1].contains(" %  "), "{named}");

    let arguments = [&["predict"], &weights[..], &MODEL, &["--top", "1000", "--format", "json"]].concat();
    let document: serde_json::Value = workplace.json(&[&arguments[..], &pictures[..1]].concat());
    let classes = document["classes"].as_array().expect("a list");
    let sum: f64 = classes.iter().filter_map(|class| class["probability"].as_f64()).sum();
    assert!(classes.len() == 1000 && (sum - 1.0).abs() < 1e-9, "{sum}");

    // One that is left out is a document of its own.
    fs::write(workplace.path("torn.png"), "torn").expect("a file");
    let lenient = [&arguments[..], &["--corrupt", "skip", "torn.png"], &pictures[..1]].concat();
    let documents = workplace.succeed(&lenient);
    let documents: Vec<serde_json::Value> =
        documents.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
    assert_eq!((documents.len(), &documents[0]["file"]), (2, &"torn.png".into()));
    assert!(documents[0]["skipped"].is_string() && documents[1]["skipped"].is_null(), "{documents:?}");

    // Each picture's own first guess is right if the folder is called after it.
    let best = classes[0]["label"].as_str().and_then(|label| label.split(' ').next()).expect("a label");
    fs::create_dir_all(workplace.path(&format!("folder/{best}"))).expect("a folder");
    fs::copy(workplace.path(pictures[0]), workplace.path(&format!("folder/{best}/a.png"))).expect("a copy");
    fs::create_dir_all(workplace.path("folder/n15075141")).expect("a folder");
    fs::copy(workplace.path(pictures[0]), workplace.path("folder/n15075141/b.png")).expect("a copy");
    let scored = workplace.succeed(&[&["evaluate"], &weights[..], &MODEL, &["folder"]].concat());
    assert_eq!(scored, "top-1  0.5000  1 of 2\ntop-5  0.5000  1 of 2\n");

    // A broken file can be left out, and is then listed; a folder of no class never is.
    fs::write(workplace.path("folder/n15075141/c.png"), "torn").expect("a file");
    let evaluate = [&["evaluate"], &weights[..], &MODEL, &["folder"]].concat();
    workplace.fail(&evaluate, "--corrupt skip skips such files", 3);
    let lenient = workplace.succeed(&[&evaluate[..], &["--corrupt", "skip"]].concat());
    assert!(
        lenient.starts_with(&scored) && lenient.contains("1 file skipped\n  folder/n15075141/c.png: "),
        "{lenient}"
    );
    fs::rename(workplace.path("folder/n15075141"), workplace.path("folder/7")).expect("another name");
    workplace.fail(&evaluate, "folder: folders that are not classes: 7; expected folders called", 3);
}

#[test]
fn mistakes_are_explained() {
    let workplace = Workplace::with_weights();
    fs::write(workplace.path("noise.png"), "no picture").expect("a file");
    fs::write(workplace.path("labels.txt"), "one\ntwo\n").expect("a file");
    let archive = [b"PK\x03\x04".as_slice(), &[0; 26], b"archive/data.pkl", &[0; 600]].concat();
    fs::write(workplace.path("model.pth"), archive).expect("a file");
    fs::create_dir_all(workplace.path("empty")).expect("a folder");
    let foreign = ["--weights", "foreign.safetensors"];
    let picture = "n01440764/picture.png";
    let cases: Vec<(Vec<&str>, &str, i32)> = vec![
        (vec!["weights", "import", "foreign.safetensors", "x"], "as in --model xception", 2),
        (vec!["weights", "export", "timm.safetensors", "x"], "--to timm, keras or decouple", 2),
        (
            vec!["weights", "export", "timm.safetensors", "x", "--to", "keras"],
            "keras.applications has no such",
            2,
        ),
        (vec!["weights", "inspect", "noise.png"], "not a safetensors file", 3),
        (vec!["weights", "inspect", "model.pth"], "it is a file of PyTorch; in Python, `safetensors", 3),
        (
            [&["weights", "import", "foreign.safetensors", "x", "--classes", "10"][..], &MODEL].concat(),
            "all else fits: these are weights for 1000 classes, which --classes 1000 says",
            3,
        ),
        (vec!["weights", "inspect", "nowhere"], "nowhere", 74),
        (
            vec!["weights", "import", "foreign.safetensors", "x", "--model", "resnet-18"],
            "of another shape:\n    conv1.weight: expected [64, 3, 7, 7], found [4, 3, 3, 3]",
            3,
        ),
        (
            [&["predict"], &foreign[..], &MODEL, &["noise.png"]].concat(),
            "noise.png: expected a sound JPEG",
            3,
        ),
        (
            [&["predict"], &foreign[..], &MODEL, &["--labels", "labels.txt", picture]].concat(),
            "labels.txt: 2 lines: expected one for each of 1000 classes",
            3,
        ),
        (
            [&["predict"], &foreign[..], &MODEL, &["error.png"]].concat(),
            "error: error.png: expected an image file",
            3,
        ),
        ([&["evaluate"], &foreign[..], &MODEL, &["empty"]].concat(), "empty: no image", 4),
        (
            [&["evaluate"], &foreign[..], &MODEL, &["absent"]].concat(),
            ": expected a folder of JPEG, PNG or WebP files for each class",
            3,
        ),
        (vec!["describe", "figure-5"], "expected figure-1 to figure-4", 2),
        (vec!["describe", "vgg-16", "--segments", "3"], "vgg-16 does not read it", 2),
    ];
    for (arguments, expected, expected_code) in cases {
        workplace.fail(&arguments, expected, expected_code);
    }
    assert!(!workplace.path("x").exists(), "a refused command leaves nothing behind");
}

#[test]
fn a_prefix_that_all_names_share_is_taken_off() {
    let workplace = Workplace::with_weights();
    let plain = fs::read(workplace.path("foreign.safetensors")).expect("the file");
    let import = |source: &str, target: &str| {
        workplace.told(&[&["weights", "import", source, target][..], &MODEL].concat())
    };
    assert!(!import("foreign.safetensors", "plain").contains("begins with"));
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "backbone."] {
        let named = edited(&plain, |header, _| {
            let tensors = std::mem::take(header).into_iter();
            header.extend(tensors.map(|(name, info)| (format!("{prefix}{name}"), info)));
        });
        fs::write(workplace.path("prefixed"), named).expect("a file");
        let talk = import("prefixed", "ours");
        assert!(talk.contains(&format!("removed the prefix `{prefix}`")), "{talk}");
        let [ours, plain] = ["ours", "plain"].map(|name| fs::read(workplace.path(name)).expect("the file"));
        assert!(ours == plain, "{prefix}");
    }
}

#[test]
fn what_is_no_number_is_never_scored() {
    let workplace = Workplace::with_weights();
    let sound = fs::read(workplace.path("foreign.safetensors")).expect("the file");
    let name = "layer2.0.bn1.weight";
    for value in [f32::NAN, f32::INFINITY] {
        let broken = edited(&sound, |header, values| {
            let begin = header[name]["data_offsets"][0].as_u64().expect("a place") as usize;
            values[begin..begin + 4].copy_from_slice(&value.to_le_bytes());
        });
        fs::write(workplace.path("broken"), broken).expect("a file");
        for command in [
            &["weights", "import", "broken", "x"][..],
            &["predict", "--weights", "broken", "n01440764/picture.png"],
            &["evaluate", "--weights", "broken", "."],
        ] {
            let expected = format!("broken: {name}: {value} among its values (1 of ");
            workplace.fail(&[command, &MODEL].concat(), &expected, 3);
        }
    }
    // Finite, and too large for what is computed with them.
    let huge = edited(&sound, |_, values| {
        values.as_chunks_mut().0.iter_mut().for_each(|value| *value = 1e30_f32.to_le_bytes());
    });
    fs::write(workplace.path("huge"), huge).expect("a file");
    let command = ["predict", "--weights", "huge", "n01440764/picture.png"];
    workplace.fail(&[&command[..], &MODEL].concat(), "the network's answer is not finite", 3);
}

#[test]
fn published_networks_are_described_at_their_own_size() {
    let workplace = Workplace::with_weights();
    let described = workplace.succeed(&["describe", "xception", "--segments", "4", "--budget", "parameters"]);
    assert!(described.contains("width 0.59"), "{described}");
    let total = described.lines().find(|line| line.starts_with("total")).expect("a total");
    insta::assert_snapshot!(total.split_whitespace().collect::<Vec<_>>().join(" "));
    let picture = workplace.succeed(&["describe", "figure-4", "--format", "svg"]);
    assert!(picture.starts_with("<svg") && picture.contains("3x3 per channel"), "{picture}");
}
