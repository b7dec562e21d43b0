//! Many trials, many workers, one machine or many: `status`, `submit`, `doctor`, claims
//! by leases, and what is refused before it starts.

mod workplace;

use std::{
    fs,
    process::{Command as Process, Stdio},
};

use serde_json::Value;

use workplace::{TINY, Workplace, wait_until};

/// [`TINY`] on images that are made, a moment each.
fn moments() -> String {
    let planted = TINY.replace("validation = 9000", "set = \"planted\"\nimages = 400");
    planted.replace("budget = \"parameters\"", "budget = \"none\"")
}

fn tiny() -> Workplace {
    let workplace = Workplace::new();
    workplace.write("tiny.toml", &moments());
    workplace
}

fn standing(workplace: &Workplace) -> Value {
    workplace.json(&["status", "tiny.toml", "--format", "json"])
}

fn runs(workplace: &Workplace) -> usize {
    fs::read_dir(workplace.path("results/tiny/runs")).map_or(0, Iterator::count)
}

#[test]
fn status_tells_how_far_an_experiment_is() {
    let workplace = tiny();
    let status = standing(&workplace);
    assert_eq!((&status["trials"], &status["new"]), (&4.into(), &4.into()));
    assert!(status["secs_left"].is_null() && status["best"].is_null(), "{status}");
    assert!(!workplace.path("results").exists(), "to look changes nothing");

    workplace.succeed(&["run", "tiny.toml", "--filter", "seed = 0"]);
    let status = standing(&workplace);
    assert_eq!((&status["finished"], &status["left"]), (&2.into(), &2.into()));
    assert!(status["secs_left"].as_f64().is_some_and(|secs| secs > 0.0), "{status}");
    assert!(status["best"]["trial"].as_str().is_some_and(|trial| trial.ends_with("seed = 0")), "{status}");
    let text = workplace.succeed(&["status", "tiny.toml"]);
    assert!(text.starts_with("tiny: 2 of 4 trials done, 0 running, 2 left; about "), "{text}");

    // Watched, it ends when all is over.
    let watch = workplace
        .process(&["status", "tiny.toml", "--watch", "--interval", "0.2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    workplace.succeed(&["run", "tiny.toml"]);
    let watched = watch.wait_with_output().expect("it ends");
    let text = String::from_utf8(watched.stdout).expect("text");
    assert!(watched.status.success());
    assert!(text.contains("tiny: 4 of 4 trials done, 0 running, 0 left\n  4 finished, 0 failed\n"), "{text}");
}

#[test]
fn status_watches_no_longer_than_somebody_reads() {
    let workplace = tiny();
    let mut watch = workplace.process(&["status", "tiny.toml", "--watch", "--format", "json"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().expect("the program runs");
    drop(watch.stdout.take());
    // Nobody trains these trials, so they never end.
    wait_until("it ends", || watch.try_wait().expect("it can be asked").is_some());
    assert!(watch.wait().expect("it has ended").success());
}

#[test]
fn a_filter_is_read_before_recipes_are_chosen() {
    let workplace = tiny();
    workplace.write("tiny.toml", &format!("{}\n[tune]\nlearning-rate = [0.1, 0.2]\n", moments()));
    for command in ["status", "run", "plan"] {
        workplace.fail(&[command, "tiny.toml", "--filter", "nonsense ???"], "is not a condition", 2);
        workplace.fail(&[command, "tiny.toml", "--filter", "segmnets=1"], "is not an axis", 2);
    }
    assert!(!workplace.path("results").exists(), "nothing has begun");
    assert_eq!(standing(&workplace)["trials"], 4);
    let status: Value =
        workplace.json(&["status", "tiny.toml", "--filter", "segments=1", "--format", "json"]);
    assert_eq!(status["trials"], 2);
    workplace.fail(&["status", "tiny.toml", "--filter", "recipe=tuned"], "leaves no try of [tune]", 4);
}

#[test]
fn what_cannot_fit_is_refused_with_the_number_before_it_starts() {
    let workplace = tiny();
    let wide =
        ["--set", "network.width=60", "--set", "training.batch=1000000", "--set", "data.images=1000000"];
    for (flags, expected) in [
        (&wide[..], "of memory, and 3 others too much"),
        (&["--max-memory", "64K"], "--max-memory leaves"),
        (&["--threads", "1000000"], "--threads 1,000,000 is too many: expected at most 1,024"),
        (&["--jobs", "99999999"], "--jobs 99,999,999 is too many: expected at most 1,024"),
        (&["--max-memory", "8Q"], "expected a size such as 500M or 8G"),
        (&["--threads", "0"], "expected a whole number, 1 or above"),
        (&["--jobs", "many"], "expected a number from 1, or auto"),
        (&["--claims", "leases:0"], "expected auto, locks, leases, or leases:SECONDS"),
    ] {
        workplace.fail(&[&["run", "tiny.toml"], flags].concat(), expected, 2);
        assert!(!workplace.path("results/tiny/runs").exists(), "nothing has begun");
    }
    // The plan of it is shown, and says so.
    let talk = workplace.told(&[&["plan", "tiny.toml"], &wide[..]].concat());
    assert!(talk.contains("warning: 4 of 4 trials need more memory than"), "{talk}");
}

#[test]
fn trials_that_fit_only_one_at_a_time_take_turns() {
    let workplace = tiny();
    let plan: Value = workplace.json(&["plan", "tiny.toml", "--format", "json"]);
    let bytes =
        plan["trials"].as_array().into_iter().flatten().filter_map(|row| row["estimated_bytes"].as_u64());
    // The images are held beside it.
    let images = 400 * 5 / 4 * 16 * 16 * 8;
    let memory = (bytes.max().expect("a row") + images).to_string();
    workplace.succeed(&["run", "tiny.toml", "--jobs", "4", "--max-memory", &memory]);
    assert_eq!(standing(&workplace)["finished"], 4);
}

#[test]
fn the_longest_trials_start_first() {
    let workplace = tiny();
    let text = moments()
        .replace("[1, \"per-channel\"]", "[1]")
        .replace("seed = [0, 1]", "training.epochs = [1, 4, 2]\nseed = [0]")
        .replace("epochs = 2\n", "");
    workplace.write("tiny.toml", &text);
    let talk = workplace.told(&["run", "tiny.toml", "--jobs", "1"]);
    let epochs: Vec<char> = talk
        .lines()
        .filter(|line| line.contains("test accuracy"))
        .filter_map(|line| line.split("training.epochs = ").nth(1)?.chars().next())
        .collect();
    assert_eq!(epochs, ['4', '2', '1'], "{talk}");
}

#[test]
fn jobs_auto_measures_once() {
    let workplace = tiny();
    let flags = ["run", "tiny.toml", "--jobs", "auto", "--threads", "2", "--filter"];
    let talk = workplace.told(&[&flags[..], &["seed = 0"]].concat());
    assert!(talk.contains("jobs      auto: ") && talk.contains("(measured)"), "{talk}");
    assert!(workplace.path("results/throughput.json").is_file());
    let talk = workplace.told(&[&flags[..], &["seed = 1"]].concat());
    assert!(talk.contains("(remembered)"), "{talk}");
}

#[test]
fn a_dry_run_prints_the_script_and_does_nothing() {
    let workplace = tiny();
    let flags = [
        "--dry-run",
        "--task-time",
        "1s",
        "--at-once",
        "3",
        "--partition",
        "cpu",
        "--time",
        "2h",
        "--memory",
        "2G",
    ];
    let (script, talk) = workplace.ends(&[&["submit", "tiny.toml"], &flags[..]].concat(), 0);
    assert!(talk.contains("4 trials in ") && talk.contains("nothing is submitted"), "{talk}");
    for line in ["#SBATCH --requeue", "#SBATCH --partition=cpu", "#SBATCH --time=120", "#SBATCH --mem=2048M"]
    {
        assert!(script.lines().any(|own| own == line), "no {line} in\n{script}");
    }
    assert!(script.contains("%3\n") && script.contains("\nsrun "), "{script}");
    assert!(!workplace.path("results").exists());

    let submit = ["submit", "tiny.toml", "--dry-run"];
    for (flags, expected) in [
        (
            ["--partition", "a;b"],
            "launcher.partition must be a name of letters, digits and `._,:@+-`, found \"a;b\" in --partition",
        ),
        (["--cpus", "2000"], "launcher.cpus must be a whole number from 1 to 1024, found 2000 in --cpus"),
        (["--set", "launcher.cpus=0"], "`launcher.cpus` must be a whole number from 1 to 1024, found 0"),
        (["--set", "launcher.cpu=2"], "unknown key `cpu` in [launcher]"),
    ] {
        workplace.fail(&[&submit[..], &flags].concat(), expected, 2);
    }
}

#[test]
fn settings_that_do_nothing_or_too_little_are_told() {
    let workplace = tiny();
    let told = |flags: &[&str]| workplace.told(&[&["submit", "tiny.toml", "--dry-run"], flags].concat());
    let talk = told(&["--launcher", "local", "--partition", "cpu", "--time", "1h"]);
    assert!(talk.contains("note: without effect on processes of this machine: partition, time\n"), "{talk}");
    assert!(!told(&["--partition", "cpu", "--memory", "8G"]).contains("without effect"));
    let talk = told(&["--memory", "8"]);
    assert!(talk.contains("warning: launcher.memory (--memory) is less than a task needs"), "{talk}");
}

#[test]
fn local_tasks_train_every_trial_once_in_the_background() {
    let workplace = tiny();
    let submit = ["submit", "tiny.toml", "--launcher", "local", "--task-time", "1s", "--at-once", "2"];
    let (id, talk) = workplace.ends(&submit, 0);
    assert!(id.trim().parse::<u32>().is_ok(), "{id}");
    assert!(talk.contains("progress  decouple status tiny.toml --watch"), "{talk}");
    workplace.succeed(&["status", "tiny.toml", "--watch", "--interval", "0.2"]);
    assert_eq!((standing(&workplace)["finished"].as_u64(), runs(&workplace)), (Some(4), 4));
    let report = workplace.path("results/tiny/report.html");
    wait_until("the last task reports", || report.is_file());
    let talk = workplace.told(&submit);
    assert!(talk.contains("nothing to submit: 4 trials done or being trained"), "{talk}");
}

/// What makes a process one of another host, with `NAME` for its name: a network, process ids and a mount of the
/// folder of its own. Killed, all of it is gone at once, as a host is.
const OTHER_HOST: [&str; 9] =
    ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"];

/// The program on a host of that name, where root may make one; else just another process: with leases no
/// process takes a lock, so two of them share no more than two hosts do.
fn on_host(workplace: &Workplace, name: &str, arguments: &[&str]) -> Process {
    let plain = workplace.process(arguments);
    let [unshare, flags @ ..] = OTHER_HOST;
    let can = Process::new(unshare).args(flags).arg("true").stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("no hosts can be made here: two processes share the folder instead");
        return plain;
    }
    let mount = workplace.path(name);
    fs::create_dir(&mount).expect("a folder");
    let script = "hostname \"$1\" && mount --bind . \"$2\" && cd \"$2\" && shift 2 && exec \"$@\"";
    let mut host = Process::new(unshare);
    host.args(flags).args([script, "sh", name]).arg(mount).arg(plain.get_program()).args(plain.get_args());
    host.current_dir(workplace.path("")).env_remove("DECOUPLE_RESULTS").env_remove("DECOUPLE_CLAIMS");
    host
}

#[test]
fn two_hosts_share_a_folder_by_leases_and_one_survives_the_other() {
    let workplace = Workplace::new();
    workplace.write("tiny.toml", &moments().replace("epochs = 2", "epochs = 12").replace("= 400", "= 1200"));
    let flags = ["run", "tiny.toml", "--claims", "leases:2", "--jobs", "1"];
    let start = |name| {
        let mut host = on_host(&workplace, name, &flags);
        host.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs")
    };
    let mut dies = start("dies");
    wait_until("there is a run", || runs(&workplace) >= 1);
    let lives = start("lives");
    wait_until("there are two runs", || runs(&workplace) >= 2);
    dies.kill().expect("it is still running");
    let done = [dies, lives].map(|host| host.wait_with_output().expect("it ends"));
    let talk = done.each_ref().map(|output| String::from_utf8_lossy(&output.stderr));
    // It waited until the dead one's lease had expired.
    assert_eq!(done[1].status.code(), Some(0), "{}", talk[1]);
    assert_eq!((standing(&workplace)["finished"].as_u64(), runs(&workplace)), (Some(4), 4));
    let trained = |talk: &str| talk.lines().filter(|line| line.contains("test accuracy")).count();
    assert!(talk.iter().map(|talk| trained(talk)).sum::<usize>() <= 4, "none is trained twice: {talk:?}");
}

#[test]
fn the_doctor_finds_what_a_run_needs() {
    let workplace = tiny();
    let document: Value = workplace.json(&["doctor", "--format", "json"]);
    let checks = document["checks"].as_array().expect("checks");
    let found = |name: &str| {
        checks.iter().find(|check| check["check"] == name).map(|check| check["found"].to_string())
    };
    for name in ["program", "processor", "kernels", "results", "locks", "file system", "slurm"] {
        assert!(found(name).is_some(), "no {name} in {document}");
    }
    assert!(found("data").is_some_and(|data| data.contains("fashion-mnist: 12000 images")), "{document}");
    assert!(!workplace.path("results").exists(), "it leaves nothing behind");

    // A file where the folder should be.
    workplace.write("results", "no folder");
    let (text, _) = workplace.ends(&["doctor"], 74);
    assert!(text.contains("not writable"), "{text}");
}
