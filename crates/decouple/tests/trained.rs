//! A network that a run has trained, used afterwards: named images, its own test
//! images, other programs.

mod workplace;

use std::fs;

use image::RgbImage;
use workplace::{ONE, Workplace};

#[test]
fn a_run_s_network_names_scores_and_leaves() {
    let workplace = Workplace::new();
    workplace.write("one.toml", ONE);
    workplace.succeed(&["run", "one.toml"]);
    let runs = fs::read_dir(workplace.path("results/one/runs")).expect("runs");
    let names = runs.map(|entry| entry.expect("a run").file_name().into_string().expect("a name"));
    let run = names.map(|name| format!("results/one/runs/{name}")).next().expect("a run");
    let weights = format!("{run}/weights.safetensors");

    // Its own test images, to the accuracy that the run has noted.
    let status = fs::read_to_string(workplace.path(&run).join("status.json")).expect("a status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let scored: serde_json::Value = workplace.json(&["evaluate", "--run", &run, "--format", "json"]);
    assert_eq!(scored["top_1"], status["test"]["accuracy"]);
    assert_eq!(scored["images"], 2000);

    // A photograph of another size and in colour, and folders called after classes.
    let photograph = RgbImage::from_fn(90, 60, |x, y| image::Rgb([(2 * x) as u8, (3 * y) as u8, 90]));
    for folder in ["Bag", "Sneaker"] {
        fs::create_dir_all(workplace.path("photographs").join(folder)).expect("a folder");
        let path = workplace.path("photographs").join(folder).join("one.png");
        photograph.save(path).expect("a photograph");
    }
    let named = workplace.succeed(&["predict", "--run", &run, "photographs/Bag/one.png", "--top", "10"]);
    assert!(named.contains(" %  Ankle boot\n") && named.lines().count() == 11, "{named}");
    // The weights alone know the classes and the normalisation as well.
    let alone =
        workplace.succeed(&["predict", "--weights", &weights, "photographs/Bag/one.png", "--top", "10"]);
    assert_eq!(alone, named);
    let scored = workplace.succeed(&["evaluate", "--run", &run, "photographs"]);
    assert!(scored.contains("of 2\n") && scored.starts_with("top-1  "), "{scored}");

    workplace.succeed(&["export", "--run", &run, "model.onnx"]);
    workplace.succeed(&["export", "--run", &run, "--format", "pytorch", "net.py"]);
    let model = fs::read(workplace.path("model.onnx")).expect("a model");
    assert!(model.windows(11).any(|bytes| bytes == b"Ankle boot\x12" || bytes == b"\nAnkle boot"));
    let module = fs::read_to_string(workplace.path("net.py")).expect("a module");
    assert!(module.contains("Segments([") && module.contains("load(\"net.safetensors\")"), "{module}");
    // Weights of ours come out as they went in.
    assert!(
        fs::read(workplace.path("net.safetensors")).unwrap() == fs::read(workplace.path(&weights)).unwrap()
    );

    workplace.fail(&["predict", "--run", "results/one", "x.png"], "the folder of one of them, such as", 4);
    workplace.fail(&["predict", "--run", "nowhere", "x.png"], "no trial.toml", 4);
    workplace.fail(&["export", "--run", &run, "model.txt"], "ends in .onnx or .py", 2);
    workplace.fail(&["export", "--run", &run, "--format", "pytorch", "model"], "ends in .py", 2);
    workplace.fail(&["evaluate", "--weights", &weights], "required", 2);
    for option in [&["--as-stored"][..], &["--corrupt", "skip"], &["--most-pixels", "9"]] {
        let arguments = [&["evaluate", "--run", &run], option].concat();
        workplace.fail(&arguments, "are about photographs", 2);
    }
    workplace.write("mine.py", "print('mine')");
    workplace.fail(&["export", "--run", &run, "mine.py"], "no export has written", 2);
    workplace.fail(&["predict", "--run", &run, "--most-pixels", "0", "x.png"], "not in 1..", 2);
    fs::remove_file(workplace.path(&weights)).expect("it is there");
    workplace.fail(&["export", "--run", &run, "other.onnx"], "no weights.safetensors", 3);
}

#[test]
fn changed_weights_are_refused_and_read_ones_never_replaced() {
    let workplace = Workplace::new();
    // Eight channels, which no photograph has.
    let planted = ONE.replace("validation = 9000", "set = \"planted\"\nimages = 64");
    let planted = planted.replace("epochs = 1", "epochs = 1\nprecision = \"bf16\"");
    workplace.write("one.toml", &planted);
    workplace.succeed(&["run", "one.toml"]);
    let weights =
        workplace.files("results/one/runs", "weights.safetensors").into_keys().next().expect("a run");
    let run = weights.parent().expect("a folder").to_string_lossy().into_owned();
    let (weights, status) = (weights.to_string_lossy().into_owned(), format!("{run}/status.json"));
    let status: serde_json::Value =
        serde_json::from_slice(&fs::read(status).expect("a status")).expect("JSON");
    let scored: serde_json::Value = workplace.json(&["evaluate", "--run", &run, "--format", "json"]);
    assert_eq!(scored["top_1"], status["test"]["accuracy"]);

    // What would be written is what is read, or something that nobody named.
    fs::copy(&weights, workplace.path("mine.safetensors")).expect("it can be copied");
    let mine = fs::read(workplace.path("mine.safetensors")).expect("it can be read");
    for arguments in [
        ["export", "--weights", "mine.safetensors", "mine.py"],
        ["weights", "import", "mine.safetensors", "./mine.safetensors"],
    ] {
        workplace.fail(&arguments, "would be replaced", 2);
    }
    workplace.fail(&["export", "--run", &run, "mine.py"], "there is such a file already", 2);
    workplace.write("notes.onnx", "mine");
    workplace.fail(&["export", "--run", &run, "notes.onnx"], "no export has written", 2);
    workplace.write("notes.safetensors", "mine");
    let foreign = ["weights", "import", "mine.safetensors", "notes.safetensors"];
    workplace.fail(&foreign, "no export has written", 2);
    let of_run = ["weights", "import", "mine.safetensors", &weights];
    workplace.fail(&of_run, "no export has written", 2);
    for _ in 0..2 {
        let talk = workplace.told(&["export", "--run", &run, "again.onnx"]);
        assert!(talk.contains("what is written computes in f32"), "{talk}");
        workplace.succeed(&["weights", "import", "mine.safetensors", "again.safetensors"]);
    }
    assert_eq!(fs::read(workplace.path("mine.safetensors")).expect("it can be read"), mine);
    for _ in 0..2 {
        workplace.succeed(&["export", "--run", &run, "other.py"]);
    }

    let mut changed = mine;
    *changed.last_mut().expect("a value") ^= 1;
    fs::write(&weights, changed).expect("it can be written");
    for arguments in [
        &["evaluate", "--run", &run][..],
        &["predict", "--run", &run, "x.png"],
        &["export", "--run", &run, "third.py"],
    ] {
        workplace.fail(arguments, "weights.safetensors", 3);
        workplace.fail(arguments, "--fresh --filter id=", 3);
    }
}

#[test]
fn other_instructions_are_named_or_refused() {
    let workplace = Workplace::new();
    let with = |kernels: &str| {
        let mut process = workplace.process(&["doctor"]);
        process.env("DECOUPLE_KERNELS", kernels);
        process.output().expect("the program runs")
    };
    let refused = with("sse2");
    let talk = String::from_utf8_lossy(&refused.stderr);
    assert!(talk.contains("DECOUPLE_KERNELS is `sse2`: expected instructions"), "{talk}");
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&with("portable").stdout).into_owned();
    assert!(said.contains("portable"), "{said}");
}
