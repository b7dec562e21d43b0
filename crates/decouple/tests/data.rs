//! Sets on disk as a user meets them: imported to shards, verified, streamed, trained on.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use image::{Rgb, RgbImage};
use tempfile::TempDir;

const FOLDER: [&str; 3] = ["classes=2", "folder=\"birds\"", "size=[16,16]"];

const QUESTION: &str = r#"# Is a streamed set trained on?

[experiment]
name = "streamed"
budget = "none"

[axes]
segments = ["per-channel"]
seed = [0]

[trial.network]
stem = 4
entry = [6, 8]
middle = 1
modules = 1
exit = 8

[trial.data]
set = "image-folder"
folder = "birds"
classes = 2
size = [16, 16]
stream = true
validation = 4
augment = ["random-resized-crop 0.5 1", "flip", "jitter 0.2 0.2 0.2 0.1"]

[trial.training]
epochs = 2
batch = 4
"#;

/// A folder with twenty pictures of each of two birds, larger than they are trained on.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let workplace = Self(TempDir::new().expect("a folder"));
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
        fs::write(workplace.path("streamed.toml"), QUESTION).expect("a file");
        workplace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Standard output, standard error and exit code.
    fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let mut command = Command::cargo_bin("decouple").expect("the program is built");
        command.env("XDG_CACHE_HOME", self.path("cache")).current_dir(self.0.path());
        let output = command.args(arguments).output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (text(output.stdout), text(output.stderr), output.status.code().expect("it was not killed"))
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let (out, talk, code) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {talk}");
        out
    }

    /// `decouple data COMMAND` with keys.
    fn data<'a>(&self, command: &[&'a str], keys: &[&'a str]) -> (String, String, i32) {
        let keys = keys.iter().flat_map(|key| ["--set", key]);
        self.run(&["data"].into_iter().chain(command.iter().copied()).chain(keys).collect::<Vec<_>>())
    }
}

#[test]
fn a_folder_becomes_shards_and_a_broken_file_is_found() {
    let workplace = Workplace::new();
    let (said, talk, code) = workplace.data(&["import", "shards", "--samples", "10"], &FOLDER);
    assert_eq!((said.as_str(), code), ("shards: 32 train, 8 test in 5 shards\n", 0), "{talk}");
    let shards = ["classes=2", "folder=\"shards\"", "size=[16,16]", "class-list=\"classes.txt\""];
    let (said, talk, code) = workplace.data(&["info", "shards"], &shards);
    assert!(
        code == 0 && said.starts_with("images    32 train, 0 validation, 8 test, 16x16x3"),
        "{said}{talk}"
    );
    let (said, talk, code) = workplace.data(&["verify", "shards"], &shards);
    assert!(code == 0 && said.starts_with("40 sound images\nchecksum  "), "{said}{talk}");
    let (_, talk, code) = workplace.data(&["verify", "shards", "--checksum", "0"], &shards);
    assert!(code == 3 && talk.contains("expected the checksum 0, found"), "{talk}");

    fs::write(workplace.path("birds/owl/7.png"), "torn").expect("a file");
    for stream in ["stream=false", "stream=true"] {
        let keys = [&FOLDER[..], &[stream]].concat();
        let (said, talk, code) = workplace.data(&["verify", "image-folder"], &keys);
        assert!(code == 3 && said.starts_with("39 sound images\n"), "{said}{talk}");
        assert!(said.contains("1 file left out\n  ./birds/owl/7.png: "), "{said}");
    }
}

#[test]
fn a_streamed_set_is_trained_on_alike_by_one_worker_and_two() {
    let workplace = Workplace::new();
    for (threads, results) in [("1", "one"), ("2", "two")] {
        workplace.succeed(&[
            "run",
            "streamed.toml",
            "--threads",
            threads,
            "--results",
            results,
            "--no-progress",
        ]);
    }
    let metrics = |results: &str| {
        let runs = fs::read_dir(workplace.path(results).join("streamed/runs")).expect("the runs");
        let run = runs.map(|run| run.expect("a run").path()).next().expect("one run");
        fs::read_to_string(run.join("metrics.csv")).expect("its metrics")
    };
    assert_eq!(metrics("one"), metrics("two"));
    assert_eq!(metrics("one").lines().count(), 3);
}

#[test]
fn known_sets_are_listed_and_others_refused() {
    let workplace = Workplace::new();
    let listed = workplace.succeed(&["data", "list"]);
    for name in ["cifar-10 ", "cifar-100 ", "fashion-mnist ", "cifar10-jpeg "] {
        assert!(listed.contains(name), "{listed}");
    }
    let (_, talk, code) = workplace.run(&["data", "fetch", "imagenet"]);
    assert!(code == 2 && talk.contains("no known set is called `imagenet`: expected cifar-10, "), "{talk}");
}
