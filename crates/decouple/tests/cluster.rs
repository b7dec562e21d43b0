//! Many trials, many workers, one machine or many: `status`, `submit`, `doctor`, claims
//! by leases, and what is refused before it starts.

mod workplace;

use std::{
    fs,
    process::{Command as Process, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use workplace::Workplace;

/// Two points, two seeds, a moment each.
const TINY: &str = r#"# Does the smallest sweep run?
[experiment]
name = "tiny"
budget = "none"
[axes]
segments = [1, "per-channel"]
seed = [0, 1]
[trial.network]
stem = 4
entry = [6, 8]
middle = 1
modules = 1
exit = 8
[trial.data]
set = "planted"
images = 400
[trial.training]
epochs = 2
"#;

fn tiny() -> Workplace {
    let workplace = Workplace::new();
    workplace.write("tiny.toml", TINY);
    workplace
}

fn standing(workplace: &Workplace) -> Value {
    let json = workplace.succeed(&["status", "tiny.toml", "--format", "json"]);
    serde_json::from_str(&json).expect("JSON")
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

    let (_, talk, code) = workplace.run(&["run", "tiny.toml", "--filter", "seed = 0"]);
    assert_eq!(code, 0, "{talk}");
    let status = standing(&workplace);
    assert_eq!((&status["finished"], &status["left"]), (&2.into(), &2.into()));
    assert!(status["secs_left"].as_f64().is_some_and(|secs| secs > 0.0), "{status}");
    assert!(status["best"]["trial"].as_str().is_some_and(|trial| trial.ends_with("seed = 0")), "{status}");
    let (text, _, code) = workplace.run(&["status", "tiny.toml"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("tiny: 2 of 4 trials done, 0 running, 2 left; about "), "{text}");

    // Watched, it ends when all is over.
    let watch = workplace
        .process(&["status", "tiny.toml", "--watch", "--interval", "0.2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    assert_eq!(workplace.run(&["run", "tiny.toml"]).2, 0);
    let watched = watch.wait_with_output().expect("it ends");
    let text = String::from_utf8(watched.stdout).expect("text");
    assert!(watched.status.success());
    assert!(text.contains("tiny: 4 of 4 trials done, 0 running, 0 left\n  4 finished, 0 failed\n"), "{text}");
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
        (&["--jobs", "many"], "expected a number from 1, or auto"),
        (&["--claims", "leases:0"], "expected auto, locks, leases, or leases:SECONDS"),
    ] {
        let (_, talk, code) = workplace.run(&[&["run", "tiny.toml"], flags].concat());
        assert_eq!(code, 2, "{talk}");
        assert!(talk.contains(expected), "{expected}\nnot in\n{talk}");
        assert!(!workplace.path("results/tiny/runs").exists(), "nothing has begun");
    }
    // The plan of it is shown, and says so.
    let (_, talk, code) = workplace.run(&[&["plan", "tiny.toml"], &wide[..]].concat());
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("warning: 4 of 4 trials need more memory than"), "{talk}");
}

#[test]
fn trials_that_fit_only_one_at_a_time_take_turns() {
    let workplace = tiny();
    let (plan, _, _) = workplace.run(&["plan", "tiny.toml", "--format", "json"]);
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let bytes = plan.as_array().expect("rows").iter().filter_map(|row| row["estimated_bytes"].as_u64());
    let most = bytes.max().expect("a row").to_string();
    // The images are held beside it.
    let images = 400 * 5 / 4 * 16 * 16 * 8;
    let memory = (most.parse::<u64>().expect("a number") + images).to_string();
    let (_, talk, code) = workplace.run(&["run", "tiny.toml", "--jobs", "4", "--max-memory", &memory]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(standing(&workplace)["finished"], 4);
}

#[test]
fn the_longest_trials_start_first() {
    let workplace = tiny();
    let text = TINY
        .replace("[1, \"per-channel\"]", "[1]")
        .replace("seed = [0, 1]", "training.epochs = [1, 4, 2]\nseed = [0]")
        .replace("epochs = 2\n", "");
    workplace.write("tiny.toml", &text);
    let (_, talk, code) = workplace.run(&["run", "tiny.toml", "--jobs", "1"]);
    assert_eq!(code, 0, "{talk}");
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
    let (_, talk, code) = workplace.run(&[&flags[..], &["seed = 0"]].concat());
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("jobs      auto: ") && talk.contains("(measured)"), "{talk}");
    assert!(workplace.path("results/throughput.json").is_file());
    let (_, talk, code) = workplace.run(&[&flags[..], &["seed = 1"]].concat());
    assert_eq!(code, 0, "{talk}");
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
    let (script, talk, code) = workplace.run(&[&["submit", "tiny.toml"], &flags[..]].concat());
    assert_eq!(code, 0, "{talk}");
    assert!(talk.contains("4 trials in ") && talk.contains("nothing is submitted"), "{talk}");
    for line in ["#SBATCH --requeue", "#SBATCH --partition=cpu", "#SBATCH --time=120", "#SBATCH --mem=2048M"]
    {
        assert!(script.lines().any(|own| own == line), "no {line} in\n{script}");
    }
    assert!(script.contains("%3\n") && script.contains("\nsrun "), "{script}");
    assert!(!workplace.path("results").exists());

    let (_, talk, code) = workplace.run(&["submit", "tiny.toml", "--partition", "a;b", "--dry-run"]);
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("launcher.partition must be a name"), "{talk}");
    let (_, talk, code) = workplace.run(&["submit", "tiny.toml", "--set", "launcher.cpu=2", "--dry-run"]);
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("unknown key `cpu` in [launcher]"), "{talk}");
}

#[test]
fn local_tasks_train_every_trial_once_in_the_background() {
    let workplace = tiny();
    let submit = ["submit", "tiny.toml", "--launcher", "local", "--task-time", "1s", "--at-once", "2"];
    let (id, talk, code) = workplace.run(&submit);
    assert_eq!(code, 0, "{talk}");
    assert!(id.trim().parse::<u32>().is_ok(), "{id}");
    assert!(talk.contains("progress  decouple status tiny.toml --watch"), "{talk}");
    let (_, _, code) = workplace.run(&["status", "tiny.toml", "--watch", "--interval", "0.2"]);
    assert_eq!(code, 0);
    assert_eq!((standing(&workplace)["finished"].as_u64(), runs(&workplace)), (Some(4), 4));
    let report = workplace.path("results/tiny/report.html");
    let began = Instant::now();
    while !report.is_file() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(report.is_file(), "the last task reports");
    let (_, talk, code) = workplace.run(&submit);
    assert_eq!(code, 0, "{talk}");
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
    workplace.write("tiny.toml", &TINY.replace("epochs = 2", "epochs = 12").replace("= 400", "= 1200"));
    let flags = ["run", "tiny.toml", "--claims", "leases:2", "--jobs", "1"];
    let start = |name| {
        let mut host = on_host(&workplace, name, &flags);
        host.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs")
    };
    let wait_for_runs = |number| {
        let began = Instant::now();
        while runs(&workplace) < number {
            assert!(began.elapsed() < Duration::from_secs(120), "there never are {number} runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let mut dies = start("dies");
    wait_for_runs(1);
    let lives = start("lives");
    wait_for_runs(2);
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
    let (json, talk, code) = workplace.run(&["doctor", "--format", "json"]);
    assert_eq!(code, 0, "{talk}{json}");
    let document: Value = serde_json::from_str(&json).expect("JSON");
    let checks = document["checks"].as_array().expect("checks");
    let found = |name: &str| {
        checks.iter().find(|check| check["check"] == name).map(|check| check["found"].to_string())
    };
    for name in ["program", "processor", "kernels", "results", "locks", "file system", "slurm"] {
        assert!(found(name).is_some(), "no {name} in {json}");
    }
    assert!(found("data").is_some_and(|data| data.contains("fashion-mnist: 12000 images")), "{json}");
    assert!(!workplace.path("results").exists(), "it leaves nothing behind");

    // A file where the folder should be.
    workplace.write("results", "no folder");
    let (text, _, code) = workplace.run(&["doctor"]);
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("not writable"), "{text}");
}
