//! Sets on disk as a user meets them: imported to shards, verified, streamed, trained on.

mod workplace;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use image::{Rgb, RgbImage};

use workplace::{ONE, Workplace, send, wait_until};

const FOLDER: [&str; 3] = ["classes=2", "folder=\"birds\"", "size=[16,16]"];

/// The birds, decoded anew in every epoch.
const STREAMED: &str = r#"set = "image-folder"
folder = "birds"
classes = 2
size = [16, 16]
stream = true
validation = 4
augment = ["random-resized-crop 0.5 1", "flip", "jitter 0.2 0.2 0.2 0.1"]"#;

/// [`ONE`] on other data, with more keys for the training.
fn streamed(data: &str, training: &str) -> String {
    let (head, _) = ONE.split_once("[trial.data]").expect("a section");
    let head = head.replace("\"one\"", "\"streamed\"").replace("[3]", "[\"per-channel\"]");
    format!("{head}[trial.data]\n{data}\n[trial.training]\nepochs = 2\nbatch = 4\n{training}\n")
}

/// A folder with twenty pictures of each of two birds, larger than they are trained on.
impl Workplace {
    fn with_birds() -> Self {
        let workplace = Self::new();
        for (class, shade) in [("owl", 30_u8), ("wren", 200)] {
            fs::create_dir_all(workplace.path("birds").join(class)).expect("a folder");
            for index in 0..20_u8 {
                let picture =
                    RgbImage::from_fn(40, 30, |x, y| Rgb([shade + index, (3 * x) as u8, (5 * y) as u8]));
                picture
                    .save(workplace.path("birds").join(class).join(format!("{index}.png")))
                    .expect("a picture");
            }
        }
        workplace.write("streamed.toml", &streamed(STREAMED, ""));
        workplace
    }

    /// Trains `streamed.toml` into a folder of results.
    fn train(&self, threads: &str, results: &str) -> String {
        self.succeed(&["run", "streamed.toml", "--threads", threads, "--results", results, "--no-progress"])
    }

    /// The only run in a folder of results.
    fn only_run(&self, results: &str) -> Option<PathBuf> {
        let runs = fs::read_dir(self.path(results).join("streamed/runs")).ok()?;
        runs.map(|run| run.expect("a run").path()).find(|run| run.join("environment.json").is_file())
    }

    /// What a run has learnt, without its clocks.
    fn learnt(&self, results: &str) -> [Vec<u8>; 2] {
        let run = self.only_run(results).expect("one run");
        ["metrics.csv", "weights.safetensors"]
            .map(|file| fs::read(run.join(file)).expect("a file of the run"))
    }

    /// `decouple data COMMAND` with keys, which must end with `code`.
    fn data<'a>(&self, command: &[&'a str], keys: &[&'a str], code: i32) -> (String, String) {
        let keys = keys.iter().flat_map(|key| ["--set", key]);
        self.ends(&["data"].into_iter().chain(command.iter().copied()).chain(keys).collect::<Vec<_>>(), code)
    }
}

#[test]
fn a_folder_becomes_shards_and_a_broken_file_is_found() {
    let workplace = Workplace::with_birds();
    let (said, _) = workplace.data(&["import", "shards", "--samples", "10"], &FOLDER, 0);
    assert_eq!(said, "shards: 32 train, 8 test in 5 shards\n");
    let (_, talk) = workplace.data(&["import", "shards"], &FOLDER, 2);
    assert!(talk.contains("shards: expected a new folder"), "{talk}");
    let (_, talk) = workplace.data(&["import", "nowhere/shards"], &FOLDER, 74);
    assert!(talk.contains("cannot write nowhere/shards.part: "), "{talk}");
    let shards = ["classes=2", "folder=\"shards\"", "size=[16,16]", "class-list=\"classes.txt\""];
    let (said, _) = workplace.data(&["info", "shards"], &shards, 0);
    assert!(said.starts_with("images    32 train, 0 validation, 8 test, 16x16x3"), "{said}");
    let (said, _) = workplace.data(&["verify", "shards"], &shards, 0);
    assert!(said.starts_with("40 sound images\nchecksum  "), "{said}");
    let (_, talk) = workplace.data(&["verify", "shards", "--checksum", "0"], &shards, 3);
    assert!(talk.contains("expected the checksum 0, found"), "{talk}");

    workplace.write("birds/owl/7.png", "torn");
    let (_, talk) = workplace.data(&["import", "others"], &FOLDER, 3);
    assert!(talk.contains("birds/owl/7.png: expected a sound"), "{talk}");
    assert!(!workplace.path("others").exists() && !workplace.path("others.part").exists());
    for stream in ["stream=false", "stream=true"] {
        let keys = [&FOLDER[..], &[stream]].concat();
        let (said, _) = workplace.data(&["verify", "image-folder"], &keys, 3);
        assert!(said.starts_with("39 sound images\n"), "{said}");
        assert!(said.contains("1 file skipped\n  ./birds/owl/7.png: "), "{said}");
    }
}

#[test]
fn photographs_of_telephones_and_traps_are_told() {
    let workplace = Workplace::with_birds();
    let info = |keys: &[&'static str], code| {
        workplace.data(&["info", "image-folder"], &[&FOLDER[..], keys].concat(), code)
    };
    let picture = workplace.path("birds/owl/40.jpg");
    RgbImage::from_fn(40, 30, |x, _| Rgb([(6 * x) as u8; 3])).save(&picture).expect("a picture");
    let plain = fs::read(&picture).expect("its bytes");
    // Orientation 6: a quarter turn clockwise shows it upright.
    let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    fs::write(&picture, [&plain[..2], exif, &plain[2..], b"a video"].concat()).expect("a file");
    let (said, _) = info(&[], 0);
    assert!(said.contains("1 image has an EXIF orientation and was rotated upright"), "{said}");

    // A header of 65,535 x 65,535, which decoders believe.
    let mut huge = plain;
    let frame = huge.windows(2).position(|marker| marker == b"\xff\xc0").expect("the start of its frame");
    huge[frame + 5..frame + 9].fill(0xff);
    fs::write(&picture, huge).expect("a file");
    let expected =
        "65535 x 65535 pixels are 4294836225, and at most 134217728 are read, as `most-pixels` says";
    let (_, talk) = info(&[], 3);
    assert!(talk.contains(expected) && talk.contains("`data.corrupt = \"skip\"`"), "{talk}");
    fs::remove_file(&picture).expect("it goes");
    std::os::unix::fs::symlink("/dev/zero", &picture).expect("a link");
    let (_, talk) = info(&[], 3);
    assert!(talk.contains("it is a device; only regular files are read"), "{talk}");
    let (said, _) = info(&["corrupt=\"skip\""], 0);
    assert!(said.contains("1 file skipped\n  ./birds/owl/40.jpg: it is a device"), "{said}");
}

#[test]
fn a_streamed_set_is_trained_on_alike_by_one_worker_and_two() {
    let workplace = Workplace::with_birds();
    for (threads, results) in [("1", "one"), ("2", "two")] {
        workplace.train(threads, results);
    }
    assert!(workplace.learnt("one") == workplace.learnt("two"));
    assert_eq!(workplace.learnt("one")[0].split(|&byte| byte == b'\n').count(), 4);
}

#[test]
fn mixed_images_are_trained_on_alike_by_one_worker_and_two() {
    let workplace = Workplace::with_birds();
    workplace.train("1", "plain");
    for stream in ["true", "false"] {
        let keys = ["--set", "data.augment=[\"flip\", \"mixup 0.4\", \"cutmix 1\"]", "--set"];
        let learnt = ["1", "2"].map(|threads| {
            let (results, stream) = (format!("{stream}{threads}"), format!("data.stream={stream}"));
            let run = ["run", "streamed.toml", "--threads", threads, "--results", &results, "--no-progress"];
            workplace.succeed(&[&run[..], &keys, &[&stream]].concat());
            workplace.learnt(&results)
        });
        assert!(learnt[0] == learnt[1] && learnt[0] != workplace.learnt("plain"), "stream = {stream}");
    }
}

#[test]
fn shards_without_a_sample_are_named() {
    let workplace = Workplace::with_birds();
    workplace.data(&["import", "shards", "--samples", "7"], &FOLDER, 0);
    let shards = workplace
        .files("shards", ".tar")
        .into_keys()
        .filter(|shard| shard.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train")));
    shards.for_each(|shard| fs::write(shard, [0; 1024]).expect("it can be written"));
    let keys =
        ["--set", "data.set=\"shards\"", "--set", "data.folder=\"shards\"", "--set", "data.validation=0"];
    workplace.fail(&[&["run", "streamed.toml", "--no-progress"], &keys[..]].concat(), "no sample here", 3);
    assert!(workplace.only_run("results").is_none(), "nothing is recorded");
}

#[test]
fn shards_are_trained_on_alike_if_a_run_is_stopped_in_the_middle() {
    let workplace = Workplace::with_birds();
    workplace.data(&["import", "shards", "--samples", "7"], &FOLDER, 0);
    let shards = ["data.set=\"shards\"", "data.folder=\"shards\"", "data.validation=4", "training.epochs=60"];
    let keys: Vec<&str> = shards.iter().flat_map(|key| ["--set", key]).collect();
    let run = |threads: &'static str, results: &'static str| {
        [&["run", "streamed.toml", "--no-progress", "--threads", threads, "--results", results], &keys[..]]
            .concat()
    };
    // Six of seven steps are in the middle of an epoch, and so is one of two stops, but for one of 49 times.
    for threads in ["1", "2"] {
        let mut child = workplace.start(&run(threads, "cut"));
        wait_until("a run begins", || workplace.only_run("cut").is_some());
        std::thread::sleep(Duration::from_millis(100));
        send("TERM", &child);
        assert!([75, 0].map(Some).contains(&child.wait().expect("it ends").code()));
    }
    workplace.succeed(&run("2", "cut"));
    workplace.succeed(&run("1", "whole"));
    assert!(workplace.learnt("cut") == workplace.learnt("whole"));
}

/// The bytes of a file of the only run in `results`.
fn of_run(workplace: &Workplace, results: &str, file: &str) -> String {
    fs::read_to_string(workplace.only_run(results).expect("one run").join(file)).expect(file)
}

#[test]
fn a_stand_in_is_made_trained_on_and_reported_by_its_score() {
    let workplace = Workplace::with_birds();
    let sizes = ["--train", "96", "--test", "32", "--classes", "40", "--labels", "6", "--size", "16"];
    let made = workplace.succeed(&[&["data", "stand-in", "jft", "--samples", "40"][..], &sizes].concat());
    assert!(made.starts_with("jft: 96 train, 32 test in 4 shards\n"), "{made}");
    let data = "set = \"shards\"\nfolder = \"jft\"\nclasses = 40\nsize = [16, 16]\nmulti-label = true\n\
                score-weights = \"frequencies.txt\"";
    workplace.write("streamed.toml", &streamed(data, "loss = \"sigmoid\"\nschedule = { peak = 0.01 }"));
    let mut scores = Vec::new();
    for threads in ["1", "2"] {
        let said = workplace.train(threads, threads);
        assert!(said.contains("test MAP@100"), "{said}");
        let status: serde_json::Value =
            serde_json::from_str(&of_run(&workplace, threads, "status.json")).expect("JSON");
        scores.push(status["test"].clone());
    }
    assert_eq!(scores[0], scores[1]);
    let score = scores[0]["map_at_100"].as_f64().expect("a score");
    assert!((0.05..1.0).contains(&score), "{score}");
    let report = fs::read_to_string(workplace.path("1/streamed/report.md")).expect("a report");
    assert!(report.contains("MAP@100 in percent") && !report.contains("ccuracy in percent"), "{report}");
    for table in ["runs.csv", "summary.csv", "epochs.csv"] {
        let rows = fs::read_to_string(workplace.path(&format!("1/streamed/{table}"))).expect(table);
        let ends = rows.lines().map(|row| row.rsplit(',').next().unwrap_or_default());
        assert!(
            ends.eq(std::iter::once("metric").chain(vec!["MAP@100"; rows.lines().count() - 1])),
            "{rows}"
        );
    }
    let figure = workplace.path("1/streamed/figures/accuracy-vs-decoupling.svg");
    assert!(fs::read_to_string(figure).expect("a figure").contains("test MAP@100 (%)"));
    // Its own test images once more, from the weights that it has kept.
    let run = workplace.only_run("1").expect("one run");
    let per_image = fs::metadata(run.join("per-image.bin")).expect("what it says of each image");
    assert_eq!(per_image.len(), 24 + 32 / 8 + 2 * 32);
    let said: serde_json::Value =
        workplace.json(&["evaluate", "--run", &run.to_string_lossy(), "--format", "json"]);
    assert_eq!(said["map_at_100"].as_f64(), Some(score));
}

#[test]
fn a_table_of_images_is_verified_and_trained_on() {
    let workplace = Workplace::with_birds();
    let row = |class: &str, index: u8, label: &str| format!("{class}/{index}.png,{label}\n");
    let rows: String =
        (0..20).flat_map(|index| [row("owl", index, "0"), row("wren", index, "1 2")]).collect();
    workplace.write("birds/all.csv", &format!("path,labels\n{rows}"));
    let data = ["manifest=\"birds/all.csv\"", "classes=3", "size=[16,16]", "multi-label=true"];
    let (said, _) = workplace.data(&["verify", "manifest"], &data, 0);
    assert!(said.starts_with("40 sound images\nchecksum  "), "{said}");
    let data = format!("set = \"manifest\"\n{}\nvalidation = 4", data.join("\n"));
    workplace.write("streamed.toml", &streamed(&data, ""));
    workplace.succeed(&["run", "streamed.toml", "--no-progress"]);
    let metrics = of_run(&workplace, "results", "metrics.csv");
    assert!(metrics.lines().next().expect("a head").ends_with(",validation_map_at_100"), "{metrics}");
    workplace.write("birds/all.csv", &format!("path,labels\n{rows}owl/99.png,0\n"));
    workplace.fail(&["run", "streamed.toml", "--no-progress"], "birds/all.csv:42: no file", 3);
}

#[test]
fn known_sets_are_listed_and_others_refused() {
    let workplace = Workplace::with_birds();
    let listed = workplace.succeed(&["data", "list"]);
    for name in ["cifar-10 ", "cifar-100 ", "fashion-mnist ", "cifar10-jpeg "] {
        assert!(listed.contains(name), "{listed}");
    }
    for option in ["--classes", "--size", "--samples", "--train"] {
        workplace.fail(&["data", "stand-in", "none", option, "0"], option, 2);
    }
    workplace.fail(&["data", "stand-in", "none", "--classes", "20", "--labels", "6"], "a quarter of the", 2);
    let expected = "there is no known set `imagenet`: expected one of cifar-10, ";
    workplace.fail(&["data", "fetch", "imagenet"], expected, 2);
}

#[test]
fn a_broken_image_of_a_streamed_set_is_no_result() {
    let workplace = Workplace::with_birds();
    fs::create_dir(workplace.path("birds/owl/more")).expect("a folder");
    fs::write(workplace.path("birds/owl/more/notes.doc"), "").expect("a file");
    let (picture, torn) = (workplace.path("birds/owl/7.png"), workplace.path("birds/owl/more/7.png"));
    fs::write(&torn, "torn").expect("a file");
    let run = |results: &str, more: &[&str], code| {
        workplace.ends(&[&["run", "streamed.toml", "--results", results][..], more].concat(), code).1
    };
    let talk = run("refused", &[], 3);
    assert!(talk.contains("more/7.png") && talk.contains("nothing is recorded"), "{talk}");
    assert!(workplace.files("refused", "status.json").is_empty());

    let talk = run("skipped", &["--set", "data.corrupt=\"skip\""], 0);
    assert!(talk.contains("1 file left out of image-folder, such as "), "{talk}");
    let report = fs::read_to_string(workplace.path("skipped/streamed/report.md")).expect("a report");
    assert!(report.contains("ignored, by extension: 1 .doc"), "{report}");

    // Mended: it is trained, as if nothing had been.
    fs::copy(picture, torn).expect("a picture");
    run("refused", &[], 0);
}
