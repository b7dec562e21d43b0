use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use decouple_kernels::geometry::MapShape;

use super::*;
use crate::{FORMAT, Record};

mod damage;
mod takeover;

fn trial(seed: u64) -> Trial {
    let record = Record { seed, ..Record::default() };
    let graph = record.network.graph(MapShape::new(28, 28, 1), 10).unwrap();
    Trial::new(vec![("segments".to_owned(), "per-channel".to_owned())], record, &graph, None)
}

fn row(epoch: u64) -> MetricsRow {
    MetricsRow {
        epoch,
        step: 10 * epoch,
        samples: 640 * epoch,
        learning_rate: 0.1 / 3.0,
        train_loss: 1.0 / epoch as f64 + f64::EPSILON,
        train_accuracy: 0.1 + 0.2,
        validation_loss: Some(1e-300),
        validation_accuracy: None,
        averaged_validation_loss: None,
        averaged_validation_accuracy: Some(2.0 / 3.0),
        validation_map_at_100: None,
        averaged_validation_map_at_100: None,
    }
}

fn timing(epoch: u64) -> TimingRow {
    TimingRow { epoch, wall_secs: 1.0 / 7.0, images_per_sec: 1e4 / 7.0 }
}

fn status(outcome: Outcome) -> Status {
    Status {
        format: FORMAT,
        outcome,
        test: Some(Scores { images: 2_000, loss: 0.1 + 0.2, accuracy: 0.8755, ..Scores::default() }),
        steps: 20,
        train_secs: 1.5,
        images_per_sec: 1e4,
        threads: 2,
        finished_at: timestamp(UNIX_EPOCH),
        ..Status::default()
    }
}

fn here() -> Identity {
    Identity::of(&trial(0), Some("images"))
}

fn environment(data_checksum: &str) -> Environment {
    Environment {
        data_checksum: data_checksum.to_owned(),
        numerics_version: here().numerics,
        ..Environment::default()
    }
}

/// A run with a row, weights and an environment, over.
fn finished(ledger: &Ledger, trial: &Trial) -> PathBuf {
    fill(claim(ledger, trial))
}

fn fill(mut writer: RunWriter) -> PathBuf {
    writer.write_environment(&environment("images")).unwrap();
    writer.append(&row(1), &timing(1)).unwrap();
    fs::write(writer.dir().join("weights.safetensors"), b"weights").unwrap();
    let dir = writer.dir().to_owned();
    writer.finish(&status(Outcome::Finished)).unwrap();
    dir
}

fn names(folder: &Path) -> Vec<String> {
    let paths = Disk::default().list(folder).unwrap();
    paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn claim(ledger: &Ledger, trial: &Trial) -> RunWriter {
    match ledger.claim(trial, &here()).unwrap() {
        Claim::Mine(writer) => *writer,
        other => panic!("expected the trial to be free, found {other:?}"),
    }
}

fn claim_again(ledger: &Ledger, trial: &Trial) -> RunWriter {
    ledger.ask_again([trial]).unwrap();
    claim(ledger, trial)
}

/// A ledger in a folder that is removed at the end of the test.
fn scratch() -> (tempfile::TempDir, Ledger) {
    // In memory where there is such a folder: these tests sync files by the thousand.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let ledger = Ledger::open(dir.path().join("results/question"));
    (dir, ledger)
}

#[test]
fn a_run_goes_from_new_to_done() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    assert_eq!(ledger.state(&trial).unwrap(), RunState::New);
    assert!(ledger.read().unwrap().runs.is_empty());
    assert!(!ledger.root().exists(), "looking creates nothing");

    let mut writer = claim(&ledger, &trial);
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Running);
    writer.append(&row(1), &timing(1)).unwrap();
    assert_eq!(ledger.read().unwrap().runs[0].metrics, [row(1)], "rows are on disk at once");
    writer.append(&row(2), &timing(2)).unwrap();
    let done = status(Outcome::Finished);
    writer.finish(&done).unwrap();

    assert_eq!(ledger.state(&trial).unwrap(), RunState::Done(Box::new(done.clone())));
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(found) if *found == done));
    let contents = ledger.read().unwrap();
    assert_eq!(contents.problems, []);
    let run = &contents.runs[0];
    assert_eq!(run.dir, ledger.run_dir(&trial));
    assert_eq!(
        (run.metrics.as_slice(), run.timing.as_slice()),
        (&[row(1), row(2)][..], &[timing(1), timing(2)][..])
    );
    assert_eq!(run.status, Some(done));
    assert_eq!((&run.point, run.level, run.cost), (&trial.point, trial.level, trial.cost));
}

#[test]
fn a_record_survives_its_file_bit_for_bit() {
    let (_dir, ledger) = scratch();
    let mut record = Record { seed: i64::MAX as u64, ..Record::default() };
    record.training.weight_decay = 5e-324;
    record.training.label_smoothing = 0.1 + 0.2;
    record.network.dropout = 0.9f64.next_down();
    record.network.segments = toml::Value::Array(vec![1.into(), "per-channel".into()]).try_into().unwrap();
    (record.network.entry, record.network.middle) = (vec![8], 0);
    let graph = record.network.graph(MapShape::new(28, 28, 1), 10).unwrap();
    let reference = graph.cost();
    let budget = crate::BudgetOutcome {
        hold: crate::Held::Macs,
        target: 3,
        reached: 4,
        spread: Some(0.1 + 0.2),
        width: 1.0 / 3.0,
        drift: crate::Drift::between(&reference, &reference),
    };
    let trial = Trial::new(Vec::new(), record, &graph, Some(budget));
    drop(claim(&ledger, &trial));
    let contents = ledger.read().unwrap();
    assert_eq!(contents.problems, []);
    let run = &contents.runs[0];
    assert_eq!((&run.record, run.id), (&trial.record, trial.id));
    assert_eq!((&run.budget, run.layers.as_slice()), (&trial.budget, &*trial.layers));
    assert_eq!(run.record.training.weight_decay.to_bits(), 5e-324f64.to_bits());
    assert_eq!(run.level.to_bits(), trial.level.to_bits());
}

#[test]
fn a_run_cut_off_starts_afresh() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let mut writer = claim(&ledger, &trial);
    writer.append(&row(1), &timing(1)).unwrap();
    let dir = writer.dir().to_owned();
    drop(writer);
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Partial);
    // Killed in the middle of a row.
    let metrics = fs::read_to_string(dir.join("metrics.csv")).unwrap() + "2,20,12";
    fs::write(dir.join("metrics.csv"), metrics).unwrap();
    let contents = ledger.read().unwrap();
    assert_eq!(contents.problems, []);
    assert_eq!(contents.runs[0].metrics, [row(1)], "the torn row is dropped");
    assert_eq!(contents.runs[0].status, None);

    let writer = claim(&ledger, &trial);
    assert!(ledger.read().unwrap().runs[0].metrics.is_empty(), "its rows are replaced");
    writer.finish(&status(Outcome::Finished)).unwrap();
    assert_eq!(ledger.read().unwrap().runs.len(), 1);
}

#[test]
fn of_many_claims_one_wins() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let (start, end) = (Barrier::new(8), Barrier::new(8));
    let won = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let claim = ledger.claim(&trial, &here()).unwrap();
                    // Nobody lets go before everybody has tried.
                    end.wait();
                    matches!(claim, Claim::Mine(_))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Partial, "dropping the claim frees the lock");
}

#[test]
fn of_claims_in_both_ways_one_wins_at_most() {
    let (_dir, locks) = scratch();
    let leases = locks.clone().claiming(Claims::Leases { secs: 30 });
    for seed in 0..20 {
        let (trial, start, end) = (trial(seed), Barrier::new(4), Barrier::new(4));
        let is_mine = |ledger: &Ledger| {
            start.wait();
            let claim = ledger.claim(&trial, &here()).unwrap();
            end.wait();
            matches!(claim, Claim::Mine(_))
        };
        let won = thread::scope(|scope| {
            let threads =
                [&locks, &leases, &locks, &leases].map(|ledger| scope.spawn(move || is_mine(ledger)));
            threads.map(|thread| thread.join().unwrap()).iter().filter(|won| **won).count()
        });
        assert!(won <= 1, "{won} runners have one run");
    }
}

/// Runs as a child of the test below, where it holds a claim until it is killed.
#[test]
fn hold_a_claim_for_another_process() {
    let Some(root) = std::env::var_os("DECOUPLE_TEST_LEDGER") else { return };
    let _writer = claim(&Ledger::open(&root), &trial(0));
    fs::write(Path::new(&root).join("claimed"), "").unwrap();
    thread::sleep(Duration::from_secs(30));
}

#[test]
fn a_claim_of_a_killed_process_is_free_again() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["hold_a_claim_for_another_process", "--nocapture"])
        .env("DECOUPLE_TEST_LEDGER", ledger.root())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !ledger.root().join("claimed").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before it claimed the trial");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Running);
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Taken));
    ledger.ask_again([&trial]).unwrap();
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Taken));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Partial);
    drop(claim(&ledger, &trial));
}

#[test]
fn a_finished_run_is_found_after_its_point_is_renamed() {
    let (_dir, ledger) = scratch();
    let mut trial = trial(0);
    claim(&ledger, &trial).finish(&status(Outcome::Finished)).unwrap();
    trial.point.push(("kernel".to_owned(), "3".to_owned()));
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(_)));
}

#[test]
fn the_score_is_that_of_the_averaged_weights_of_a_finished_run() {
    let scores = |accuracy| {
        Some(Scores { images: 10, loss: f64::INFINITY, accuracy, top5_accuracy: Some(1.0), map_at_100: None })
    };
    let mut done = Status { averaged_test: scores(0.9), ..status(Outcome::Finished) };
    assert_eq!(done.score(), Some(0.9));
    done.averaged_test = None;
    assert_eq!(done.score(), Some(0.8755));
    done.outcome = Outcome::Diverged { step: 3 };
    assert_eq!(done.score(), None);
}

#[test]
fn a_loss_that_is_not_finite_survives_as_nan() {
    let scores =
        Scores { images: 10, loss: f64::INFINITY, accuracy: 0.1, top5_accuracy: None, map_at_100: None };
    let text = serde_json::to_string(&scores).unwrap();
    let back: Scores = serde_json::from_str(&text).unwrap();
    assert!(back.loss.is_nan() && back.accuracy == 0.1);
}

#[test]
fn timestamps_are_civil_dates() {
    let at = |secs| timestamp(UNIX_EPOCH + Duration::from_secs(secs));
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(at(1_000_000_000), "2001-09-09T01:46:40Z");
    assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
    assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
}

#[test]
fn a_scan_tells_of_every_trial_what_the_ledger_tells() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let trials: Vec<Trial> = (0..5).map(trial).collect();
    claim(&ledger, &trials[0]).finish(&status(Outcome::Finished)).unwrap();
    drop(claim(&ledger, &trials[1]));
    let running = claim(&ledger, &trials[2]);
    // Renamed, as by an experiment that had other axes: found by its id alone.
    claim(&ledger, &trials[3]).finish(&status(Outcome::Finished)).unwrap();
    let other = folder.path().join("runs").join(format!("order=x-{}", trials[3].id.short()));
    std::fs::rename(ledger.run_dir(&trials[3]), &other).unwrap();
    let scan = ledger.scan().unwrap();
    for trial in &trials {
        assert_eq!(scan.state(trial).unwrap(), ledger.state(trial).unwrap());
    }
    assert!(matches!(scan.state(&trials[2]).unwrap(), RunState::Running));
    assert_eq!(scan.dir(trials[3].id), Some(other));
    assert_eq!(scan.dir(trials[4].id), None);
    drop(running);
}

#[test]
fn two_hosts_without_a_common_lock_share_runs_by_leases() {
    // A ledger that claims by leases takes no lock: two of them are two hosts.
    let (_folder, locks) = scratch();
    let host = || Ledger::open(locks.root()).claiming(Claims::Leases { secs: 30 });
    let (here, there) = (host(), host());
    let trials: Vec<Trial> = (0..6).map(trial).collect();
    let mut writers = Vec::new();
    for (index, trial) in trials.iter().enumerate() {
        let (first, second) = if index % 2 == 0 { (&here, &there) } else { (&there, &here) };
        writers.push(claim(first, trial));
        assert!(matches!(second.claim(trial, &Identity::of(trial, None)).unwrap(), Claim::Taken));
        assert!(
            matches!(locks.claim(trial, &Identity::of(trial, None)).unwrap(), Claim::Taken),
            "who locks respects a lease"
        );
        assert_eq!(locks.state(trial).unwrap(), RunState::Running);
        assert_eq!(locks.scan().unwrap().state(trial).unwrap(), RunState::Running);
    }
    for (writer, trial) in writers.into_iter().zip(&trials) {
        writer.finish(&status(Outcome::Finished)).unwrap();
        assert!(matches!(there.claim(trial, &Identity::of(trial, None)).unwrap(), Claim::Done(_)));
    }
    // And who has a lease respects a lock.
    let last = trial(7);
    let writer = claim(&locks, &last);
    assert!(matches!(here.claim(&last, &Identity::of(&last, None)).unwrap(), Claim::Taken));
    drop(writer);
    drop(claim(&here, &last));
}
