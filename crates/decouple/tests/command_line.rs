//! The program as a user meets it: every command, the mistakes people make, and
//! what is left on disk when it is killed.

use std::{collections::BTreeMap, fs, path::PathBuf};

mod workplace;

use workplace::{TINY, Workplace, wait_until};

#[test]
fn run_trains_reports_and_never_trains_again() {
    let workplace = Workplace::new();
    let (table, talk) = workplace.ends(&["run", "tiny.toml"], 0);
    assert!(talk.contains("4 trials (2 points, 2 seeds), equal parameters"), "{talk}");
    assert!(
        talk.contains("fashion-mnist: 1,000 train, 9,000 held out, 2,000 test, 28x28x1, 10 classes"),
        "{talk}"
    );
    assert!(talk.contains("[4/4] segments = "), "{talk}");
    assert!(table.contains("per-channel"), "{table}");
    assert!(table.contains("results/tiny/figures/accuracy-vs-decoupling.svg"), "{table}");
    assert!(table.contains("results/tiny/report.html"), "{table}");
    for name in
        ["experiment.toml", "plan.csv", "runs.csv", "summary.csv", "figures/accuracy-vs-decoupling.png"]
    {
        assert!(workplace.path("results/tiny").join(name).is_file(), "{name}");
    }
    assert_eq!(workplace.files("results/tiny/runs", "status.json").len(), 4);

    let rows = workplace.files("results/tiny", "metrics.csv");
    let (again, talk, code) = workplace.run(&["run", "tiny.toml"]);
    assert_eq!((code, &again), (0, &table));
    assert!(talk.contains("4 of 4 trials already done, not trained again"), "{talk}");
    assert_eq!(workplace.files("results/tiny", "metrics.csv"), rows);
    report_rebuilds_everything_from_the_runs(&workplace, &table);

    // --fresh trains the selected ones again, and gets the same numbers.
    let talk = workplace.told(&["run", "tiny.toml", "--fresh", "--filter", "seed=1 & segments=1"]);
    assert!(talk.contains("[1/1] segments = 1, seed = 1"), "{talk}");
    assert_eq!(workplace.files("results/tiny", "metrics.csv"), rows);
}

#[test]
fn what_another_experiment_has_finished_is_not_trained_again() {
    let workplace = Workplace::new();
    workplace.succeed(&["run", "tiny.toml", "--filter", "segments = 1"]);
    workplace
        .write("wider.toml", &TINY.replace("\"tiny\"", "\"wider\"").replace("[1, \"per", "[1, 2, \"per"));
    let plan = workplace.succeed(&["plan", "wider.toml"]);
    assert_eq!(plan.matches("elsewhere").count(), 2, "{plan}");
    assert!(plan.contains("6 trials, equal parameters; 4 to train"), "{plan}");
    let talk = workplace.told(&["run", "wider.toml", "--filter", "segments = 1"]);
    assert!(talk.contains("copied    2 runs of the same trials from results/tiny"), "{talk}");
    assert!(talk.contains("2 of 2 trials already done, not trained again"), "{talk}");
    // --fresh trains them here, to the same numbers.
    let rows = workplace.files("results/wider", "metrics.csv");
    let talk = workplace.told(&["run", "wider.toml", "--fresh", "--filter", "segments = 1"]);
    assert!(!talk.contains("copied") && talk.contains("[2/2]"), "{talk}");
    assert_eq!(workplace.files("results/wider", "metrics.csv"), rows);
}

#[test]
fn a_tuned_sweep_halves_its_tries_and_shows_both_recipes() {
    let workplace = Workplace::new();
    let tune = "[tune]\nlearning-rate = [0.02, 0.05, 0.1, 0.2]\nhalving = true\n\n[trial.network]";
    let few = "set = \"planted\"\nimages = 400\nvalidation = 200";
    let tuned = TINY.replace("epochs = 2", "epochs = 8").replace("validation = 9000", few);
    let tuned = tuned.replace("[trial.network]", tune);
    workplace
        .write("tuned.toml", &tuned.replace("\"tiny\"", "\"tuned\"").replace("seed = [0, 1]", "seed = [0]"));
    let planned = workplace.succeed(&["plan", "tuned.toml"]);
    assert!(planned.contains("as [tune] says: 8 tries left, "), "{planned}");
    let (table, talk) = workplace.ends(&["run", "tuned.toml"], 0);
    assert!(talk.contains("8 of 8 tries left to run"), "{talk}");
    // Each with its own recipe; a point whose recipe is the best is no other process.
    assert!(talk.contains("learning rate 0.05, weight decay") && !talk.contains("another process"), "{talk}");
    assert!(!workplace.succeed(&["plan", "tuned.toml"]).contains("[tune]"), "they are chosen");
    assert_eq!(talk.matches("stopped after epoch 7").count(), 2 * 2, "{talk}");
    assert!(talk.contains("chosen at"), "{talk}");
    assert!(table.contains("as written") && table.contains("tuned"), "{table}");
    let tries = workplace.files("results/tuned/tune/runs", "metrics.csv");
    assert_eq!(tries.len(), 8);
    // One that was stopped ends elsewhere if it is trained by itself.
    let id = |status: &PathBuf| {
        let dir = status.parent().expect("a folder").to_string_lossy().into_owned();
        dir.rsplit_once('-').expect("an id").1.to_owned()
    };
    let trials: Vec<String> = workplace.files("results/tuned/runs", "status.json").keys().map(id).collect();
    let mut stopped = workplace.files("results/tuned/tune/runs", "status.json");
    let is_untested = |status: &Vec<u8>| String::from_utf8_lossy(status).contains("\"test\": null");
    assert!(stopped.values().all(is_untested), "tries leave the test images unread");
    stopped.retain(|_, text| String::from_utf8_lossy(text).contains("stopped"));
    let is_finished = |status: &Vec<u8>| String::from_utf8_lossy(status).contains("\"finished\"");
    let tries_done = workplace.files("results/tuned/tune/runs", "status.json");
    let done = tries_done.iter().find(|(dir, status)| is_finished(status) && !trials.contains(&id(dir)));
    let (_, talk) = workplace.ends(&["verify", "--rerun", &id(done.expect("a try to its end").0)], 0);
    assert!(!talk.contains("NaN"), "{talk}");
    // A trial may be the same as a try.
    let id = stopped.keys().map(id).find(|id| !trials.contains(id)).expect("a try that was stopped");
    let (_, talk) = workplace.ends(&["verify", "--rerun", &id], 2);
    assert!(talk.contains("it was not trained to its end"), "{talk}");
    // More tries are more to submit, though every trial as written is done.
    let file = fs::read_to_string(workplace.path("tuned.toml")).expect("the file");
    workplace.write("more.toml", &file.replace("0.1, 0.2]", "0.1, 0.2, 0.4]"));
    let dry_run = ["submit", "more.toml", "--launcher", "local", "--dry-run"];
    assert!(workplace.told(&dry_run).contains("the tries of [tune] must be run"));
    let report = fs::read_to_string(workplace.path("results/tuned/report.html")).expect("a report");
    assert!(report.contains("The tries that chose each point's recipe"));
    assert!(workplace.path("results/tuned/figures/tuning.png").is_file());

    // Cut off in the middle, a point's tries go on to the same end.
    let statuses = workplace.files("results/tuned/tune/runs", "status.json");
    for status in statuses.keys().skip(1).step_by(2) {
        fs::remove_file(status).expect("a file can be removed");
    }
    let (again, talk, code) = workplace.run(&["run", "tuned.toml"]);
    assert_eq!((code, &again), (0, &table), "{talk}");
    assert!(talk.contains("4 of 8 tries left to run"), "{talk}");
    assert_eq!(workplace.files("results/tuned/tune/runs", "metrics.csv"), tries);

    // A damaged one is replaced by the command that the message gives, and by no other.
    let damaged = tries.keys().next().expect("a try").with_file_name("status.json");
    fs::write(&damaged, "{").expect("it can be written");
    let (_, talk) = workplace.ends(&["run", "tuned.toml"], 3);
    let id =
        damaged.parent().expect("a folder").to_string_lossy().rsplit_once('-').expect("an id").1.to_owned();
    let filter = format!("id={id}");
    assert!(talk.contains(&format!("decouple run tuned.toml --fresh --filter {filter}")), "{talk}");
    let talk = workplace.told(&["run", "tuned.toml", "--fresh", "--filter", &filter]);
    assert!(talk.contains("1 of 8 tries left to run"), "{talk}");
    assert_eq!(workplace.files("results/tuned/tune/runs", "metrics.csv"), tries);
    assert_eq!(workplace.succeed(&["run", "tuned.toml"]), table);
    let talk = workplace.told(&["run", "tuned.toml", "--fresh", "--filter", "recipe=tuned"]);
    assert!(!talk.contains("tries left"), "{talk}");

    let rows = workplace.files("results/tuned/runs", "metrics.csv");
    // Stopped while it repeats the tries, it also repeats the rest when it continues.
    let mut child = workplace.start(&["run", "tuned.toml", "--fresh", "--jobs", "1"]);
    wait_until("a try grows again", || {
        !workplace.files("results/tuned/tune/successors", "environment.json").is_empty()
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let talk = workplace.told(&["run", "tuned.toml"]);
    assert_eq!(workplace.files("results/tuned/runs", "metrics.csv"), rows);
    assert!(talk.contains("of 8 tries left to run") && !talk.contains("already done"), "{talk}");
    assert_eq!(workplace.files("results/tuned/tune/runs", "metrics.csv"), tries);
    assert!(!workplace.path("results/tuned/successors").exists());
}

fn report_rebuilds_everything_from_the_runs(workplace: &Workplace, table: &str) {
    let made = |ending| workplace.files("results/tiny", ending);
    let endings = [".svg", ".png", "runs.csv", "summary.csv", "report.html", "report.md", "decouple"];
    let before: Vec<_> = endings.map(made).into();
    assert!(before.iter().all(|files| !files.is_empty()));
    for file in before.iter().flat_map(BTreeMap::keys) {
        fs::remove_file(file).expect("a file can be removed");
    }
    let (again, talk, code) = workplace.run(&["report", "tiny.toml"]);
    assert_eq!((code, again.as_str()), (0, table), "{talk}");
    let after: Vec<_> = endings.map(made).into();
    assert!(before == after, "a rebuilt file differs");

    let latex = workplace.succeed(&["report", "tiny.toml", "--latex"]);
    assert!(latex.ends_with("latex     results/tiny/tables.tex\n"), "{latex}");
    assert!(workplace.path("results/tiny/tables.tex").is_file());
    assert!(workplace.path("results/index.html").is_file());

    let seeds = workplace.succeed(&["power", "tiny.toml", "--difference", "0.5", "--difference", "20"]);
    assert!(seeds.contains("difference, points") && seeds.lines().count() == 6, "{seeds}");
}

#[test]
fn plan_lists_every_trial_and_what_is_done() {
    let workplace = Workplace::new();
    let table = workplace.succeed(&["plan", "tiny.toml"]);
    assert!(table.contains("4 trials, equal parameters; 4 to train"), "{table}");
    assert_eq!(table.matches(" new\n").count(), 4, "{table}");
    assert!(!workplace.path("results").exists(), "a plan leaves nothing behind");

    workplace.succeed(&["run", "tiny.toml", "--filter", "seed = 0"]);
    let document: serde_json::Value =
        workplace.json(&["plan", "tiny.toml", "--nodes", "2", "--format", "json"]);
    let left = &document["left"];
    assert_eq!((&left["trials"], &left["nodes"], &left["at_once"]), (&2.into(), &2.into(), &2.into()));
    assert!(left["estimated_secs"].as_f64().expect("a number") > 0.0);
    let plan = document["trials"].as_array().expect("a list");
    let done = plan.iter().filter(|trial| trial["state"] == "done").count();
    assert_eq!((plan.len(), done), (4, 2));
    let parameters: Vec<f64> = plan.iter().filter_map(|trial| trial["parameters"].as_f64()).collect();
    for count in &parameters {
        assert!((count / parameters[1] - 1.0).abs() < 0.05, "{parameters:?}");
    }
    for trial in plan {
        assert!(trial["estimated_secs"].as_f64().expect("a number") > 0.0);
    }
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let (cut, whole) = (Workplace::new(), Workplace::new());
    let mut child = cut.start(&["run", "tiny.toml", "--jobs", "1", "--set", "training.epochs=4"]);
    wait_until("the first trial ends", || !cut.files("results/tiny/runs", "status.json").is_empty());
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let done = cut.files("results/tiny/runs", "status.json");

    for workplace in [&cut, &whole] {
        workplace.succeed(&["run", "tiny.toml", "--set", "training.epochs=4"]);
    }
    // What was done was not touched, and nothing was lost or doubled.
    for (path, content) in &done {
        assert_eq!(&fs::read(path).expect("it is still there"), content);
    }
    let rows = |workplace: &Workplace| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = workplace.files("results/tiny/runs", "metrics.csv");
        files
            .into_iter()
            .map(|(path, rows)| (path.strip_prefix(workplace.path("")).expect("inside").into(), rows))
            .collect()
    };
    assert_eq!(rows(&cut).len(), 4);
    assert!(rows(&cut) == rows(&whole), "an interrupted sweep differs from an uninterrupted one");
}

#[test]
fn two_processes_share_one_folder() {
    let workplace = Workplace::new();
    let children = [(); 2].map(|()| workplace.start(&["run", "tiny.toml", "--jobs", "1"]));
    let talks = children
        .map(|child| String::from_utf8(child.wait_with_output().expect("it ends").stderr).expect("text"));
    let trained: usize = talks.iter().map(|talk| talk.matches("test accuracy").count()).sum();
    assert_eq!(trained, 4, "{talks:#?}");
}

#[test]
fn mistakes_are_answered_with_place_and_remedy() {
    let workplace = Workplace::new();
    let misspelt = TINY.replace("segments =", "segmnets =");
    workplace.write("misspelt.toml", &misspelt);
    fs::write(workplace.path("utf16.toml"), b"\xff\xfe#\0\n\0").expect("a file can be written");
    let (_, talk) = workplace.ends(&["run", "misspelt.toml"], 2);
    assert!(talk.contains("misspelt.toml:8:1"), "{talk}");
    assert!(talk.contains("did you mean `segments`?"), "{talk}");
    assert!(!workplace.path("results").exists());

    for (arguments, expected, expected_code) in [
        (vec!["run", "absent.toml"], "absent.toml", 2),
        (vec!["run", "tiny.toml", "--set", "training.epoch=3"], "did you mean", 2),
        (vec!["run", "tiny.toml", "--filter", "segments=7"], "no trial of tiny.toml matches `segments=7`", 4),
        (vec!["run", "tiny.toml", "--filter", "segmnets=1"], "segments", 2),
        (vec!["report", "tiny.toml"], "there is no run in results/tiny", 4),
        (vec!["power", "tiny.toml"], "there is no run in results/tiny", 4),
        (vec!["run", "tiny.toml", "--set", "data.subset=\"full\"", "--data", "nowhere"], "nowhere", 3),
        (vec!["run", "tiny.toml", "--jobs", "0"], "--jobs", 2),
        (vec!["plan", "tiny.toml", "--nodes", "0"], "--nodes", 2),
        (vec!["status", "tiny.toml", "--watch", "--interval", "nan"], "--interval must be above 0", 2),
        (vec!["describe", "xception", "--batch", "0"], "--batch", 2),
        (vec!["describe", "xeption"], "--> FAMILY\n", 2),
        (vec!["describe", "--segments", "some"], "--> --segments\n", 2),
        (vec!["describe", "--segments", "4", "--set", "segments=1"], "by --segments and by --set", 2),
        (vec!["describe", "xception", "--set", "family=vgg-16"], "by FAMILY and by --set", 2),
        (vec!["describe", "figure-4", "--segments", "7"], "--segments is about networks", 2),
        (vec!["describe", "figure-4", "--classes", "7"], "--classes is about networks", 2),
        (vec!["describe", "tiny"], "`decouple plan tiny` lists: expected a family", 2),
        (vec!["plan", "utf16.toml"], "line 1: it is UTF-16: save it as UTF-8", 2),
        (vec!["plan", "/dev/zero"], "it is a device; only regular files are read", 2),
        (
            vec!["plan", "tiny.toml", "--set", "data.augment=[\"flip\", \"random-resized-crop 0.1 1\"]"],
            "must come first",
            2,
        ),
        (
            vec!["plan", "tiny.toml", "--set", "data.augment=[\"pad-crop 28\"]"],
            "than it pads, found 28x28x1",
            2,
        ),
        (vec!["data", "info", "mnist"], "unknown value `mnist`", 2),
        (
            vec!["data", "info", "planted", "--set", "coupling=2"],
            "`coupling` must be a number from 0 to 1, found 2",
            2,
        ),
        (vec!["data", "info", "cifar-10", "--data", "nowhere"], "data_batch_1.bin", 3),
        (vec!["data", "show", "--output", "nowhere/sheet.png"], "nowhere/sheet.png", 74),
        (vec!["plan", "tiny.toml", "--set", "data.coupling=1"], "`data.coupling` is not a key of the set", 2),
        (vec!["describe", "--input", "28x28"], "28x28x1", 2),
        (vec!["describe", "--segments", "0"], "segments", 2),
        (vec!["describe", "xception", "--input", "100000000000x100000000000x3"], "of at most 65,536", 2),
        (vec!["describe", "--batch", "18446744073709551615"], "is not in 1..=1000000", 2),
        (vec!["plan", "tinyy"], "did you mean `tiny`?", 2),
        (vec!["walk"], "walk", 2),
    ] {
        workplace.fail(&arguments, expected, expected_code);
    }
    assert!(!workplace.path("results").exists(), "a refused command leaves nothing behind");
}

#[test]
fn a_foreign_or_torn_run_is_told_and_the_rest_shown() {
    let workplace = Workplace::new();
    workplace.succeed(&["run", "tiny.toml", "--filter", "seed=0", "--set", "training.epochs=1"]);
    let statuses = workplace.files("results/tiny/runs", "status.json");
    let (first, text) = statuses.iter().next().expect("a run");
    let newer = String::from_utf8(text.clone()).expect("text").replace("\"format\": 1", "\"format\": 99");
    let newer = newer.replace("\"format\":1", "\"format\":99");
    fs::write(first, newer).expect("a file can be written");
    fs::create_dir_all(workplace.path("results/tiny/runs/stray")).expect("a folder");
    workplace.write("results/tiny/runs/stray/trial.toml", "format = [");
    let (table, talk) = workplace.ends(&["report", "tiny.toml", "--set", "training.epochs=1"], 3);
    assert!(talk.contains("99"), "{talk}");
    assert!(talk.contains("stray"), "{talk}");
    assert!(table.contains("per-channel"), "{table}");

    // Other trials than those on disk: the report of those stays.
    let summary = workplace.files("results/tiny", "summary.csv");
    workplace.fail(
        &["report", "tiny.toml", "--set", "training.epochs=9"],
        "there is no run of these trials in results/tiny",
        4,
    );
    assert_eq!(workplace.files("results/tiny", "summary.csv"), summary);
}

#[test]
fn describe_prints_a_layer_a_line() {
    let workplace = Workplace::new();
    let table = workplace.succeed(&["describe", "--segments", "3", "--budget", "parameters"]);
    insta::assert_snapshot!("describe", table);
    let document: serde_json::Value =
        workplace.json(&["describe", "--segments", "[1, 2, 4, 8, 16]", "--format", "json"]);
    let layers = document["layers"].as_array().expect("layers");
    let sum: u64 = layers.iter().filter_map(|layer| layer["cost"]["macs"].as_u64()).sum();
    assert_eq!(document["cost"]["macs"], sum);
}

#[test]
fn data_is_shown_in_numbers_and_pictures() {
    let workplace = Workplace::new();
    let table = workplace.succeed(&["data", "info", "--set", "validation=1000"]);
    insta::assert_snapshot!("data-info", table);

    let document: serde_json::Value = workplace.json(&["data", "info", "tiny.toml", "--format", "json"]);
    assert_eq!(document["validation"]["images"], 9000);
    assert_eq!(document["data"]["set"], "fashion-mnist");

    let rows = workplace.succeed(&["data", "show", "tiny.toml", "-o", "sheet.png", "--columns", "3"]);
    assert!(rows.starts_with("sheet   sheet.png\nrow 1   T-shirt/top\n"), "{rows}");
    assert!(fs::read(workplace.path("sheet.png")).expect("a file").starts_with(b"\x89PNG"));
    workplace.fail(&["data", "show", "tiny.toml", "-o", "sheet.png"], "there is such a file already", 2);
    workplace.fail(&["data", "show", "tiny.toml", "--columns", "101"], "not in 1..=100", 2);
}

#[test]
fn an_image_folder_is_trained_on_and_its_broken_file_told() {
    let workplace = Workplace::new();
    for class in ["one", "two"] {
        fs::create_dir_all(workplace.path("sheets").join(class)).expect("a folder");
        for image in 0..5 {
            let (file, seed) = (format!("sheets/{class}/{image}.png"), format!("seed={image}"));
            let show = ["data", "show", "planted", "--set", "images=8", "--set", &seed, "-o", &file];
            workplace.succeed(&show);
        }
    }
    workplace.write("sheets/two/torn.jpg", "no image");
    let (before, after) = TINY.split_once("[trial.data]\nvalidation = 9000\n").expect("the section");
    let section = "[trial.data]\nset = \"image-folder\"\nfolder = \"sheets\"\nclasses = 2\nsize = [24, 24]\n";
    workplace.write("folder.toml", &format!("{before}{section}{after}"));

    workplace.fail(
        &["run", "folder.toml", "--filter", "seed=0"],
        "torn.jpg: expected a sound JPEG, PNG or WebP",
        3,
    );
    let skip = ["--set", "data.corrupt=\"skip\"", "--filter", "seed=0"];
    let (table, talk) = workplace.ends(&[&["run", "folder.toml"], &skip[..]].concat(), 0);
    assert!(talk.contains("1 file skipped"), "{talk}");
    assert!(table.contains("per-channel"), "{table}");
}

#[test]
fn completions_are_printed_for_a_shell() {
    assert!(Workplace::new().succeed(&["completions", "bash"]).contains("decouple"));
}

#[test]
fn help_says_nothing_of_the_environment() {
    let workplace = Workplace::new();
    let mut process = workplace.process(&["run", "--help"]);
    let output = process.env("DECOUPLE_RESULTS", "elsewhere").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn step_times_that_cannot_be_kept_are_no_mistake_in_the_file() {
    let workplace = Workplace::new();
    fs::create_dir_all(workplace.path("results/step-times.lock")).unwrap();
    let (_, talk) = workplace.ends(&["plan", "tiny.toml", "--set", "experiment.budget=step-time"], 74);
    assert!(talk.contains("no step can be timed") && talk.contains("step-times.lock"), "{talk}");
    assert!(!talk.contains("tiny.toml:"), "{talk}");
}
