//! What a machine and other people's files do to the program: signals, kills, full disks, damage, strange names.

mod workplace;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    process::Command as Process,
    time::{Duration, Instant},
};

use workplace::{Workplace, send, wait_until};

/// Two trials of about two seconds, on images that are made.
const SMALL: &str = r#"
[experiment]
name = "small"
question = "Does it survive?"

[axes]
segments = [1, "per-channel"]
seed = [0]

[trial.network]
stem = 4
entry = [6]
middle = 1
modules = 1
exit = 8

[trial.data]
set = "planted"
images = 400
validation = 100
augment = ["pad-crop 2"]

[trial.training]
epochs = 240
batch = 16
schedule = { kind = "constant", peak = 0.05 }
average = { kind = "polyak", decay = 0.9 }
"#;

fn small() -> Workplace {
    let workplace = Workplace::new();
    workplace.write("small.toml", SMALL);
    workplace
}

/// The same with one epoch.
const QUICK: [&str; 4] = ["run", "small.toml", "--set", "training.epochs=1"];

fn checkpoints(workplace: &Workplace) -> usize {
    let files = workplace.files("results/small/runs", "");
    files.keys().filter(|path| path.to_string_lossy().contains("checkpoint-")).count()
}

/// What is left of a run but clocks, by path below the workplace.
fn results(workplace: &Workplace) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = workplace.files("results/small/runs", "metrics.csv");
    files.extend(workplace.files("results/small/runs", "weights.safetensors"));
    let root = workplace.path("");
    files.into_iter().map(|(path, bytes)| (path.strip_prefix(&root).expect("inside").into(), bytes)).collect()
}

/// Files that should not be there.
fn left_lying(workplace: &Workplace) -> Vec<PathBuf> {
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with('.') || name.starts_with("checkpoint-")
    };
    workplace.files("results", "").into_keys().filter(is_left).collect()
}

#[test]
fn a_signal_saves_the_run_and_the_next_call_goes_on() {
    let (cut, whole) = (small(), small());
    for (signal, expected) in [("TERM", 75), ("USR1", 75), ("INT", 130)] {
        let child = cut.start(&["run", "small.toml", "--jobs", "1"]);
        wait_until("a run begins", || !cut.files("results/small/runs", "environment.json").is_empty());
        // Another moment each time.
        std::thread::sleep(Duration::from_millis(150));
        send(signal, &child);
        let output = child.wait_with_output().expect("it ends");
        let talk = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(expected), "{signal}: {talk}");
        assert!(
            talk.contains("left; trials in progress are saved, and `decouple run small.toml` continues"),
            "{talk}"
        );
        assert!(checkpoints(&cut) >= 1, "{signal}: {talk}");
        assert_eq!(
            cut.path("results/small/report.html").exists(),
            signal == "INT",
            "a report on Ctrl-C alone"
        );
    }
    let talk = cut.told(&["run", "small.toml"]);
    assert!(talk.contains("continues from its checkpoint at step"), "{talk}");
    whole.succeed(&["run", "small.toml"]);
    assert!(results(&cut) == results(&whole), "a stopped sweep differs from one that was not");
    assert_eq!(left_lying(&cut), Vec::<PathBuf>::new());
}

#[test]
fn a_second_ctrl_c_ends_it_now_and_nothing_is_lost() {
    let workplace = small();
    let child = workplace.start(&["run", "small.toml", "--jobs", "1"]);
    wait_until("a run begins", || !workplace.files("results/small/runs", "environment.json").is_empty());
    send("INT", &child);
    send("INT", &child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    workplace.succeed(&QUICK);
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 2);
}

/// Three kills here; `just test-slow` and `just torture` ask for more.
#[test]
fn a_sweep_killed_at_random_moments_ends_byte_for_byte_as_one_that_was_not() {
    let wanted: u32 = std::env::var("DECOUPLE_KILLS").map_or(3, |kills| kills.parse().expect("a number"));
    let whole = small();
    whole.succeed(&["run", "small.toml"]);
    let expected = results(&whole);
    let (mut kills, mut resumed, mut lost, mut doubled, mut other) = (0, 0, 0, 0, 0);
    let mut random = std::process::id();
    while kills < wanted {
        let cut = small();
        for round in 1.. {
            let mut child = cut.start(&["run", "small.toml", "--jobs", "1"]);
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let patience = Duration::from_millis(200 + u64::from(random >> 16) % 2500);
            let began = Instant::now();
            let is_killed = loop {
                if child.try_wait().expect("it can be asked").is_some() {
                    break false;
                }
                // In the end it is left alone.
                if began.elapsed() > patience && round <= 6 {
                    child.kill().expect("it can be killed");
                    break true;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            kills += u32::from(is_killed);
            let output = child.wait_with_output().expect("it ends");
            let talk = String::from_utf8_lossy(&output.stderr).into_owned();
            resumed += talk.matches("continues from its checkpoint").count();
            if !is_killed {
                assert!(output.status.success(), "{talk}");
                break;
            }
        }
        let found = results(&cut);
        let runs = cut.files("results/small/runs", "status.json").len();
        lost += 2usize.saturating_sub(runs);
        doubled += runs.saturating_sub(2);
        other += usize::from(found != expected);
        assert_eq!(left_lying(&cut), Vec::<PathBuf>::new());
        cut.succeed(&["verify"]);
    }
    println!(
        "{kills} kills, {resumed} resumes from a checkpoint: {lost} runs lost, {doubled} doubled, {other} sweeps with other bytes"
    );
    assert_eq!((lost, doubled, other), (0, 0, 0));
}

#[test]
fn a_dead_runners_trial_is_taken_over() {
    let workplace = small();
    // Long enough that the second comes while the first is at it.
    let long = ["run", "small.toml", "--jobs", "1", "--filter", "segments=1", "--set", "training.epochs=800"];
    let mut first = workplace.start(&long);
    wait_until("the first has its trial", || {
        !workplace.files("results/small/runs", "environment.json").is_empty()
    });
    workplace.ends(&[&long[..], &["--no-wait"]].concat(), 5);
    let mut second = workplace.start(&long);
    let mut lines = BufReader::new(second.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("is being trained by another process")));
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    assert_eq!(second.wait().expect("it ends").code(), Some(0));
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 1);
}

#[test]
fn output_that_nobody_reads_ends_no_work() {
    let workplace = small();
    let mut child = workplace.start(&QUICK);
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(workplace.path("results/small/report.html").is_file());

    let workplace = small();
    let mut child = workplace.start(&QUICK);
    let mut first = [0; 1];
    child.stderr.take().expect("a pipe").read_exact(&mut first).expect("a letter");
    // The terminal is closed.
    send("HUP", &child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(workplace.path("results/small/report.html").is_file());
}

#[test]
fn bytes_of_a_name_need_not_be_utf8() {
    let workplace = small();
    let mut process = workplace.process(&QUICK);
    let output = process.arg("--data").arg(OsStr::from_bytes(b"caf\xe9")).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 2);
}

#[test]
fn one_damaged_run_is_named_once_with_the_command_that_mends_it() {
    let workplace = small();
    workplace.succeed(&QUICK);
    let statuses: Vec<PathBuf> = workplace.files("results/small/runs", "status.json").into_keys().collect();
    let set = ["--set", "training.epochs=1"];
    for (file, damage) in [
        ("status.json", "{"),
        ("trial.toml", "format = 1\n"),
        ("metrics.csv", "epoch\n"),
        ("weights.safetensors", "x"),
    ] {
        fs::write(statuses[0].with_file_name(file), damage).expect("it can be written");
        let dir = statuses[0].parent().expect("a folder");
        let id = dir.to_string_lossy().rsplit_once('-').expect("an id").1.to_owned();
        for command in ["plan", "status", "submit", "report", "run"] {
            let (out, talk, code) = workplace.run(&[&[command, "small.toml"], &set[..]].concat());
            // Of the weights only those tell that read them.
            if file == "weights.safetensors" && ["plan", "status", "submit"].contains(&command) {
                continue;
            }
            // What `status` is asked for is how things stand.
            let talk = if command == "status" { &out } else { &talk };
            assert_eq!(code, 3, "{command} with {file}: {talk}");
            assert_eq!(talk.matches(file).count(), 1, "{command} with {file}: {talk}");
            let mend = format!("decouple run small.toml --set training.epochs=1 --fresh --filter id={id}");
            assert!(talk.contains(&mend), "{command} with {file}: {talk}");
            assert!(command == "submit" || out.contains("per-channel"), "the others are shown: {out}");
        }
        workplace.ends(&["verify"], 3);
        let filter = format!("id={id}");
        let mend = [&QUICK[..], &["--fresh", "--filter", &filter]].concat();
        workplace.succeed(&mend);
    }
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 2);
}

#[test]
fn what_stands_in_the_place_of_a_file_is_neither_read_nor_replaced() {
    let workplace = small();
    workplace.succeed(&QUICK);
    let status = workplace.files("results/small/runs", "status.json").into_keys().next().expect("a run");
    fs::remove_file(&status).expect("it can be removed");
    assert!(Process::new("mkfifo").arg(&status).status().expect("there is mkfifo").success());
    let (_, talk) = workplace.ends(&["report", "small.toml", "--set", "training.epochs=1"], 3);
    assert!(talk.contains("it is a pipe; only regular files are read"), "{talk}");

    // An event file that is a link out of the results.
    let outside = workplace.path("outside");
    fs::write(&outside, "mine").expect("it can be written");
    let events = workplace.files("results/small/runs", "events.out.tfevents.decouple");
    let events = events.keys().next_back().expect("an event file");
    fs::remove_file(events).expect("it can be removed");
    symlink(&outside, events).expect("a link can be made");
    let (_, talk) = workplace.ends(&["report", "small.toml", "--set", "training.epochs=1"], 74);
    assert!(talk.contains("symbolic link"), "{talk}");
    assert_eq!(fs::read(&outside).expect("it can be read"), b"mine");
}

#[test]
fn other_images_under_the_same_name_are_another_run() {
    let workplace = small();
    for (place, seed) in [("grey", 1), ("coloured", 7)] {
        for class in ["a", "b"] {
            for image in 0..6 {
                let folder = format!("{place}/images/{class}");
                fs::create_dir_all(workplace.path(&folder)).expect("a folder");
                let (file, seed) = (format!("{folder}/{image}.png"), format!("seed={}", 100 * seed + image));
                let show = ["data", "show", "planted", "--set", "images=8", "--set", &seed, "-o", &file];
                workplace.succeed(&show);
            }
        }
    }
    let (before, after) =
        SMALL.split_once("set = \"planted\"\nimages = 400\nvalidation = 100\n").expect("the keys");
    let set = "set = \"image-folder\"\nfolder = \"images\"\nclasses = 2\nsize = [24, 24]\n";
    workplace.write("small.toml", &format!("{before}{set}{after}"));
    let run = |more: &[&str], code| workplace.ends(&[&QUICK[..], more].concat(), code).1;
    run(&["--data", "grey"], 0);
    let kept = results(&workplace);
    for more in [&["--data", "coloured"][..], &["--data", "coloured", "--set", "seed=[0,1]"]] {
        let talk = run(more, 3);
        assert!(talk.contains("trained on other images") && talk.contains("data checksum"), "{talk}");
        assert!(talk.contains("decouple run small.toml --set training.epochs=1"), "{talk}");
        assert_eq!(results(&workplace), kept);
    }
    // Nor does a network show a score on other images as that of the run.
    let dir =
        kept.keys().next().and_then(|file| file.parent()).expect("a run").to_string_lossy().into_owned();
    workplace.succeed(&["evaluate", "--run", &dir, "--data", "grey"]);
    let (out, talk) = workplace.ends(&["evaluate", "--run", &dir, "--data", "coloured"], 3);
    assert!(talk.contains("trained on other images") && out.is_empty(), "{talk}");
    let diagnose = ["diagnose", "small.toml", "--set", "training.epochs=1"];
    workplace.succeed(&[&diagnose[..], &["--data", "grey"]].concat());
    workplace.ends(&[&diagnose[..], &["--data", "coloured"]].concat(), 3);
    // One of the two would stand beside the other.
    run(&["--data", "coloured", "--fresh", "--filter", "segments=1"], 3);
    run(&["--data", "coloured", "--fresh"], 0);
    assert!(results(&workplace) != kept, "they are trained on the coloured ones");

    // So would they however the images are split.
    let set = format!("{set}validation = 2\nsplit = \"seed\"\n");
    let both = format!("{before}{set}{after}")
        .replace("\"small\"", "\"both\"")
        .replace("seed = [0]", "seed = [0, 1]");
    workplace.write("both.toml", &both);
    let both = |data: &str, filter: &str, code| {
        let run = ["run", "both.toml", "--set", "training.epochs=1", "--data", data, "--filter", filter];
        workplace.ends(&run, code).1
    };
    both("grey", "seed = 0", 0);
    let talk = both("coloured", "seed = 1", 3);
    assert!(talk.contains("trained on other images"), "{talk}");
    // The command is recorded as a shell reads it.
    let environments = workplace.files("results/both/runs", "environment.json");
    let recorded = |text: &Vec<u8>| String::from_utf8_lossy(text).contains("--filter 'seed = 0'");
    assert!(environments.len() == 2 && environments.values().all(recorded));

    // Runs that were mixed by hand are never averaged.
    let other = small();
    fs::copy(workplace.path("small.toml"), other.path("small.toml")).expect("it can be copied");
    fs::rename(workplace.path("grey"), other.path("grey")).expect("it can be moved");
    other.succeed(&[&QUICK[..], &["--data", "grey", "--set", "seed=[0,1,2]"]].concat());
    for entry in fs::read_dir(workplace.path("results/small/runs")).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = other.path("results/small/runs").join(entry.file_name());
        fs::remove_dir_all(&target).expect("the same run");
        fs::rename(entry.path(), target).expect("it can be moved");
    }
    let (table, talk) =
        other.ends(&["report", "small.toml", "--set", "training.epochs=1", "--set", "seed=[0,1,2]"], 3);
    assert!(talk.contains("2 runs are left out of every mean: trained on other images"), "{talk}");
    assert_eq!(table.matches("2 finished, 1 unusable").count(), 2, "{table}");
}

#[test]
fn a_plan_counts_as_it_was_locked() {
    let workplace = small();
    let declared = "margin = 1.0\nhypotheses = [\"one\"]\nanalysis = \"two\"\n[axes]";
    workplace.write("small.toml", &SMALL.replacen("[axes]", declared, 1));
    workplace.fail(&["plan", "small.toml", "--set", "training.epochs=1", "--lock"], "without --set", 2);
    for is_new in [true, false] {
        let locked: serde_json::Value = workplace.json(&["plan", "small.toml", "--lock", "--format", "json"]);
        assert_eq!(locked, serde_json::json!({ "lock": "results/small/lock.json", "is_new": is_new }));
    }
    workplace.succeed(&QUICK);
    let report = ["report", "small.toml", "--set", "training.epochs=1"];
    workplace.succeed(&report);
    workplace.write("small.toml", &SMALL.replacen("[axes]", &declared.replace("1.0", "50"), 1));
    let talk = workplace.told(&report);
    assert!(talk.contains("`margin` has been changed since the plan was locked"), "{talk}");
    assert!(talk.contains("the locked one counts: 1 points"), "{talk}");

    fs::write(workplace.path("results/small/lock.json"), "{").expect("it can be written");
    let (_, talk) = workplace.ends(&report, 3);
    assert!(
        talk.contains("results/small/lock.json: ") && talk.contains("restore it from a backup"),
        "{talk}"
    );
    workplace.fail(&["plan", "small.toml", "--lock"], "results/small/lock.json: ", 3);
    let report = fs::read_to_string(workplace.path("results/small/report.md")).expect("a report");
    assert!(report.contains("locked, but its file cannot be read"), "{report}");
}

#[test]
fn a_run_in_a_folder_of_another_name_is_to_be_renamed() {
    let workplace = small();
    workplace.succeed(&QUICK);
    let status = workplace.files("results/small/runs", "status.json").into_keys().next().expect("a run");
    let dir = status.parent().expect("a folder");
    let id = dir.to_string_lossy().rsplit_once('-').expect("an id").1.to_owned();
    fs::rename(dir, dir.with_file_name("mine")).expect("it can be renamed");
    let (_, talk) = workplace.ends(&["report", "small.toml", "--set", "training.epochs=1"], 3);
    assert!(talk.contains(&format!("runs/mine so that it ends in -{id}")), "{talk}");
}

#[test]
fn a_run_is_verified_and_trained_again_to_the_same_bytes() {
    let workplace = small();
    workplace.succeed(&QUICK);
    let out = workplace.succeed(&["verify"]);
    assert!(out.starts_with("2 runs agree with their checksums\n"), "{out}");
    let status = workplace.files("results/small/runs", "status.json").into_keys().next().expect("a run");
    let dir = status.parent().expect("a folder").to_string_lossy().into_owned();
    let id = dir.rsplit_once('-').expect("an id").1;
    let out = workplace.succeed(&["verify", "results/small", "--rerun", id]);
    assert_eq!(out.matches("the same bytes").count(), 2, "{out}");
    assert!(out.contains("the same outcome and scores"), "{out}");
    workplace.ends(&["verify", "--rerun", "ffffffff"], 4);
}

#[test]
fn fresh_keeps_the_old_run_until_the_new_one_is_done() {
    let workplace = small();
    workplace.succeed(&["run", "small.toml"]);
    let before = results(&workplace);
    let mut child = workplace.start(&["run", "small.toml", "--fresh", "--jobs", "1"]);
    wait_until("a successor grows", || {
        !workplace.files("results/small/successors", "environment.json").is_empty()
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    assert!(results(&workplace) == before);
    let (status, _) = workplace.ends(&["status", "small.toml"], 0);
    assert!(status.contains("interrupted"), "the rest is still asked for again: {status}");
    workplace.succeed(&["run", "small.toml"]);
    assert!(results(&workplace) == before, "the same numbers again");
    let talk = workplace.told(&["run", "small.toml"]);
    assert!(talk.contains("already done, not trained again"), "once is enough: {talk}");
    assert!(
        !workplace.path("results/small/successors").exists()
            && !workplace.path("results/small/replaced").exists()
    );
}

#[test]
fn names_from_outside_are_shown_and_never_obeyed() {
    let workplace = small();
    let escape = "\u{1b}]0;owned\u{7}";
    let key = format!("training.{escape}=1");
    for arguments in [
        vec!["run", "small.toml", "--set", &key],
        vec!["run", &key],
        vec!["describe", &key],
        vec![&key],
        vec!["weights", "inspect", &key],
        vec!["predict", "--weights", &key, &key],
        vec!["run", "small.toml", "--filter", &key],
        vec!["verify", &key],
        vec!["--results", &key, "report", "small.toml"],
    ] {
        let (out, talk, code) = workplace.run(&arguments);
        assert!(code != 0 && !talk.is_empty(), "{arguments:?}");
        assert!(!format!("{out}{talk}").contains(['\u{1b}', '\u{7}']), "{arguments:?}: {talk:?}");
    }
}

/// A folder with a file system of its own, which only root may make.
struct Mounted(PathBuf);

impl Mounted {
    fn new(folder: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let mounted =
            Process::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn remount(&self, options: &str) {
        let mut mount = Process::new("mount");
        let done = mount.args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(done.expect("there is a mount").success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_and_a_read_only_one_leave_trials_to_be_done() {
    let workplace = small();
    let Some(disk) = Mounted::new(&workplace.path("results"), "size=48k") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let (_, talk) = workplace.ends(&QUICK, 74);
    assert!(talk.contains("No space left on device") && !talk.contains("panicked"), "{talk}");
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 0);
    disk.remount("size=20m");
    let table = workplace.succeed(&QUICK);
    assert!(!table.contains("failed"), "{table}");
    assert_eq!(workplace.files("results/small/runs", "status.json").len(), 2);

    disk.remount("ro");
    let (_, talk) = workplace.ends(&[&QUICK[..], &["--set", "seed=[0,1]"]].concat(), 74);
    assert!(talk.contains("Read-only file system"), "{talk}");
    disk.remount("rw");
}

#[test]
fn weights_go_into_a_pipe() {
    let workplace = small();
    workplace.succeed(&QUICK);
    let weights = workplace.files("results/small/runs", "weights.safetensors");
    let (path, bytes) = weights.iter().next().expect("weights");
    let pipe = workplace.path("pipe");
    assert!(Process::new("mkfifo").arg(&pipe).status().expect("there is mkfifo").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).expect("it can be read")
    });
    let source = path.to_string_lossy();
    workplace.succeed(&["weights", "convert", &source, "pipe", "--to", "decouple"]);
    assert_eq!(&reader.join().expect("it ends"), bytes);
    assert!(!fs::symlink_metadata(&pipe).expect("it is there").is_file());
}
