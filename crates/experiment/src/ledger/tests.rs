use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use decouple_kernels::geometry::MapShape;

use super::*;
use crate::{FORMAT, Record};

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
        test: Some(Scores {
            images: 2_000,
            loss: 0.1 + 0.2,
            accuracy: 0.8755,
            top5_accuracy: None,
            map_at_100: None,
        }),
        averaged_test: None,
        steps: 20,
        train_secs: 1.5,
        images_per_sec: 1e4,
        peak_bytes: None,
        threads: 2,
        finished_at: timestamp(UNIX_EPOCH),
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
fn a_torn_row_in_a_run_that_is_over_is_a_problem() {
    let (_dir, ledger) = scratch();
    let mut writer = claim(&ledger, &trial(0));
    writer.append(&row(1), &timing(1)).unwrap();
    let path = writer.dir().join("metrics.csv");
    writer.finish(&status(Outcome::Finished)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    let [problem] = ledger.read().unwrap().problems.try_into().unwrap();
    assert!(problem.message.contains("metrics.csv: its bytes are not those"), "{problem:?}");
    fs::remove_file(path.with_file_name("checksums.txt")).unwrap();
    let contents = ledger.read().unwrap();
    assert!(contents.runs.is_empty());
    assert!(contents.problems[0].message.ends_with("metrics.csv: ends in the middle of a row"));
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
    assert!(matches!(ledger.claim_fresh(&trial).unwrap(), Claim::Taken));
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
fn what_cannot_be_read_is_told_and_hides_nothing() {
    let (_dir, ledger) = scratch();
    let trials = [0, 1, 2, 3].map(trial);
    for trial in &trials {
        claim(&ledger, trial).finish(&status(Outcome::Diverged { step: 12 })).unwrap();
    }
    let dirs = trials.each_ref().map(|trial| ledger.run_dir(trial));
    // Without checksums, as runs of earlier versions.
    dirs.iter().for_each(|dir| fs::remove_file(dir.join("checksums.txt")).unwrap());
    let newer = dirs[1].join("status.json");
    fs::write(&newer, r#"{ "format": 99, "outcome": "ascended" }"#).unwrap();
    let edited = dirs[2].join("trial.toml");
    let text = fs::read_to_string(&edited).unwrap();
    fs::write(&edited, text.replace("epochs = 10", "epochs = 11")).unwrap();
    fs::remove_file(dirs[3].join("trial.toml")).unwrap();
    fs::write(ledger.root().join("runs/notes.txt"), "mine").unwrap();

    let contents = ledger.read().unwrap();
    assert_eq!(contents.runs.len(), 1);
    assert_eq!(contents.runs[0].id, trials[0].id);
    let messages = contents.problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("\n");
    assert_eq!(contents.problems.len(), 4, "{messages}");
    for part in [
        "format 99 is unknown to this version, which reads 1",
        "it was edited by hand",
        "has no record",
        "no run's folder",
    ] {
        assert!(messages.contains(part), "{part:?} is not in: {messages}");
    }
    for damaged in &trials[1..] {
        let claim = ledger.claim(damaged, &here()).unwrap();
        let Claim::Damaged(problem) = claim else { panic!("{claim:?}") };
        assert_eq!(ledger.state(damaged).unwrap(), RunState::Damaged(problem.clone()));
        let advice = problem.advice("decouple run question.toml");
        let command = format!("decouple run question.toml --fresh --filter id={}", damaged.id.short());
        assert!(advice.contains(&command), "{advice}");
        // The command that mends it.
        let Claim::Mine(writer) = ledger.claim_fresh(damaged).unwrap() else { panic!("it is free") };
        fill(*writer);
        assert!(matches!(ledger.state(damaged).unwrap(), RunState::Done(_)));
    }
    assert_eq!(ledger.read().unwrap().runs.len(), 4);
}

#[test]
fn the_headline_is_the_averaged_accuracy_of_a_finished_run() {
    let scores = |accuracy| {
        Some(Scores { images: 10, loss: f64::INFINITY, accuracy, top5_accuracy: Some(1.0), map_at_100: None })
    };
    let mut done = Status { averaged_test: scores(0.9), ..status(Outcome::Finished) };
    assert_eq!(done.headline(), Some(0.9));
    done.averaged_test = None;
    assert_eq!(done.headline(), Some(0.8755));
    done.outcome = Outcome::Diverged { step: 3 };
    assert_eq!(done.headline(), None);
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
fn a_trial_that_another_experiment_has_finished_is_taken_over_whole() {
    let (_dir, ledger) = scratch();
    let beside = |name: &str| Ledger::open(ledger.root().with_file_name(name));
    let (trial, failed, under_way) = (trial(0), trial(1), trial(2));
    let mut other = trial.clone();
    other.point = vec![("order".to_owned(), "pointwise-first".to_owned())];
    let source_dir = finished(&beside("order"), &other);
    claim(&beside("order"), &failed)
        .finish(&status(Outcome::Failed { message: "a bug".to_owned() }))
        .unwrap();
    let held = claim(&beside("order"), &under_way);

    let elsewhere = ledger.elsewhere();
    let source = elsewhere.find(&trial, &here()).expect("it is finished there");
    assert!(source.ends_with(other.dir_name()));
    assert_eq!((elsewhere.find(&failed, &here()), elsewhere.find(&under_way, &here())), (None, None));
    assert!(!ledger.root().exists(), "looking creates nothing");
    assert!(ledger.adopt(&trial, source, &here()).unwrap());
    drop(held);

    let Contents { runs, problems, .. } = ledger.read().unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let [run] = runs.as_slice() else { panic!("one run was taken over: {runs:?}") };
    assert_eq!(run.point, trial.point, "the point keeps the name that it has here");
    assert_eq!(run.metrics, [row(1)]);
    assert_eq!(run.status, Some(status(Outcome::Finished)));
    for name in ["environment.json", "metrics.csv", "status.json", "timing.csv", "weights.safetensors"] {
        assert_eq!(fs::read(run.dir.join(name)).unwrap(), fs::read(source_dir.join(name)).unwrap(), "{name}");
    }
    assert!(run.has_checksums);
    assert!(!ledger.adopt(&trial, source, &here()).unwrap(), "what is done here stays as it is");
}

#[test]
fn a_copy_is_of_a_run_of_the_same_data_and_numerics_that_is_whole() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let source = finished(&Ledger::open(ledger.root().with_file_name("order")), &trial);
    let elsewhere = ledger.elsewhere();
    let others =
        [Identity::of(&trial, Some("other images")), Identity { numerics: trial.numerics + 1, ..here() }];
    for other in &others {
        assert_eq!(elsewhere.find(&trial, other), None);
        assert_eq!(elsewhere.others(&trial, other).len(), 1);
    }
    fs::write(source.join("weights.safetensors"), b"weighty").unwrap();
    let error = ledger.adopt(&trial, &source, &here()).unwrap_err().to_string();
    assert!(error.contains("weights.safetensors: its bytes are not those that the run wrote"), "{error}");
    assert_eq!(ledger.state(&trial).unwrap(), RunState::New, "it is still to be done");
}

#[test]
fn a_run_of_other_data_is_shown_and_not_taken_for_done() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    finished(&ledger, &trial);
    let claim = ledger.claim(&trial, &Identity::of(&trial, Some("other images"))).unwrap();
    let Claim::Differs(difference) = claim else { panic!("{claim:?}") };
    assert!(difference.to_string().contains("data checksum images, here other images"), "{difference}");
    let newer = Identity { numerics: trial.numerics + 1, ..here() };
    assert!(matches!(ledger.claim(&trial, &newer).unwrap(), Claim::Done(_)), "it is a result all the same");
    let differences = ledger.differences([(&trial, newer)]).unwrap();
    assert_eq!(differences[0].1.numerics, Some((trial.numerics, trial.numerics + 1)));
    assert!(ledger.differences([(&trial, here())]).unwrap().is_empty());
}

#[test]
fn a_fault_of_the_machine_that_was_recorded_as_a_failure_is_no_result() {
    let (_dir, ledger) = scratch();
    for (seed, message, is_result) in [
        (0, "cannot write results/a/runs/b/metrics.csv: No space left on device (os error 28)", false),
        (1, "bug: index out of bounds", false),
        (2, "x.safetensors: failed to write whole buffer", false),
        (3, "expected images of 28x28x1, found 8x8x1", true),
    ] {
        let trial = trial(seed);
        claim(&ledger, &trial).finish(&status(Outcome::Failed { message: message.to_owned() })).unwrap();
        let is_done = matches!(ledger.state(&trial).unwrap(), RunState::Done(_));
        assert_eq!(is_done, is_result, "{message}");
        assert_eq!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(_)), is_result);
    }
}

#[test]
fn two_folders_of_one_run_are_named_and_none_is_chosen() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = finished(&ledger, &trial);
    let copy = dir.with_file_name(format!("a-copy-{}", trial.id.short()));
    fs::create_dir(&copy).unwrap();
    for name in names(&dir) {
        fs::copy(dir.join(&name), copy.join(&name)).unwrap();
    }
    let RunState::Damaged(problem) = ledger.state(&trial).unwrap() else { panic!("it cannot be told") };
    assert!(problem.message.contains("two folders are of run"), "{problem:?}");
    let contents = ledger.read().unwrap();
    assert!(contents.runs.is_empty());
    assert_eq!(contents.problems, [problem]);
    fs::remove_dir_all(copy).unwrap();
    assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)));
}

#[test]
fn fresh_destroys_nothing_before_its_successor_stands() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = finished(&ledger, &trial);
    fs::write(dir.join("mark"), "old").unwrap();
    let Claim::Mine(mut writer) = ledger.claim_fresh(&trial).unwrap() else { panic!("it is free") };
    writer.append(&row(1), &timing(1)).unwrap();
    fs::write(writer.dir().join("checkpoint-10"), "x").unwrap();
    drop(writer);
    assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)), "interrupted, the old run stands");
    assert!(dir.join("mark").exists());

    let Claim::Mine(writer) = ledger.claim_fresh(&trial).unwrap() else { panic!("it is free") };
    assert!(writer.dir().join("checkpoint-10").exists(), "it goes on where it was");
    fill(*writer);
    assert!(!dir.join("mark").exists() && dir.join("status.json").exists());
    assert_eq!(names(ledger.root()), ["locks", "runs"], "nothing is left lying");
    assert_eq!(ledger.verify().unwrap().runs.len(), 1);
}

#[test]
fn a_replacement_that_was_killed_is_ended_by_the_next_runner() {
    // After each step of the replacement: the old run set aside; the new one in its place.
    for steps in 1..=2 {
        let (_dir, ledger) = scratch();
        let trial = trial(0);
        let dir = finished(&ledger, &trial);
        let aside = ledger.replaced_dir().join(format!("0.{}", trial.dir_name()));
        let successor = ledger.successors_dir().join(trial.dir_name());
        for folder in [&aside, &successor] {
            fs::create_dir_all(folder.parent().unwrap()).unwrap();
        }
        fs::create_dir(&successor).unwrap();
        for name in names(&dir) {
            fs::copy(dir.join(&name), successor.join(&name)).unwrap();
        }
        fs::rename(&dir, &aside).unwrap();
        assert_eq!(ledger.read().unwrap().runs.len(), 1, "the one set aside is still read");
        assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)));
        if steps == 2 {
            fs::rename(&successor, &dir).unwrap();
        }
        let Claim::Mine(writer) = ledger.claim_fresh(&trial).unwrap() else { panic!("it is free") };
        assert!(dir.join("status.json").exists() && !aside.exists());
        drop(writer);
    }
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_small_file_is_noticed() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = finished(&ledger, &trial);
    let is_noticed = || {
        let contents = ledger.verify().unwrap();
        contents.runs.is_empty() && !contents.problems.is_empty()
    };
    assert!(!is_noticed());
    for name in names(&dir) {
        let path = dir.join(&name);
        let whole = fs::read(&path).unwrap();
        // A sample: a prime's distance apart, so that every kind of place is met.
        for place in (0..whole.len()).step_by(if whole.len() > 500 { 61 } else { 7 }) {
            for bit in [0, 5] {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << bit;
                fs::write(&path, bytes).unwrap();
                assert!(is_noticed(), "{name}: bit {bit} of byte {place}");
            }
            fs::write(&path, &whole[..place]).unwrap();
            // Without a status that can be read it is no run that is over.
            assert!(is_noticed(), "{name}: cut at {place}");
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(!is_noticed());
    fs::remove_file(dir.join("checksums.txt")).unwrap();
    assert!(is_noticed(), "a run of this version has checksums");
}

#[test]
fn weights_may_be_left_out_of_results() {
    let (_dir, ledger) = scratch();
    let dir = finished(&ledger, &trial(0));
    fs::remove_file(dir.join("weights.safetensors")).unwrap();
    assert_eq!(ledger.verify().unwrap().problems, []);
}

#[test]
fn whatever_step_fails_the_run_is_done_or_still_to_be_done() {
    use decouple_disk::{Fault, FaultKind};
    for (kind, lasts) in [(FaultKind::Broken, false), (FaultKind::Full, true), (FaultKind::ShortWrite, false)]
    {
        for step in 1.. {
            let (_dir, ledger) = scratch();
            let trial = trial(0);
            let failing = ledger.clone().on(ledger.disk().clone().failing(Fault { step, kind, lasts }));
            let train = || -> Result<(), LedgerError> {
                let Claim::Mine(mut writer) = failing.claim(&trial, &here())? else { return Ok(()) };
                writer.write_environment(&environment("images"))?;
                writer.append(&row(1), &timing(1))?;
                writer.append(&row(2), &timing(2))?;
                writer.finish(&status(Outcome::Finished))
            };
            let trained = train();
            match ledger.state(&trial).unwrap() {
                RunState::New | RunState::Partial => assert!(trained.is_err(), "step {step}: a run is lost"),
                RunState::Done(_) => {}
                other => panic!("step {step} of {kind:?}: {other:?}"),
            }
            // The disk is mended: the trial is trained, once, and nothing is left lying.
            if let Claim::Mine(writer) = ledger.claim(&trial, &here()).unwrap() {
                fill(*writer);
            }
            let contents = ledger.verify().unwrap();
            assert_eq!((contents.runs.len(), contents.problems.len()), (1, 0), "step {step} of {kind:?}");
            let left = names(&contents.runs[0].dir);
            assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
            if trained.is_ok() && failing.disk().steps() < step {
                break;
            }
        }
    }
}

#[test]
fn a_link_in_a_results_folder_leads_nothing_out_of_it() {
    let (dir, ledger) = scratch();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir_all(ledger.root().join("runs")).unwrap();
    symlink(&outside, ledger.root().join("runs").join(trial(0).dir_name())).unwrap();
    let error = ledger.claim(&trial(0), &here()).unwrap_err().to_string();
    assert!(error.contains("it is a symbolic link"), "{error}");
    symlink(outside.join("lock"), ledger.root().join("locks").join(trial(1).id.to_string())).unwrap();
    let error = ledger.claim(&trial(1), &here()).unwrap_err().to_string();
    assert!(error.contains("it is a symbolic link"), "{error}");
    assert_eq!(names(&outside), Vec::<String>::new());
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
