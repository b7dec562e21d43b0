//! Runs taken over from other experiments, and replaced by a successor.

use super::*;

#[test]
fn a_trial_that_another_experiment_has_finished_is_taken_over_whole() {
    let (_dir, ledger) = scratch();
    let beside = |name: &str| Ledger::open(ledger.root().with_file_name(name));
    let (trial, failed, under_way) = (trial(0), trial(1), trial(2));
    let mut other = trial.clone();
    other.point = vec![("order".to_owned(), "pointwise-first".to_owned())];
    let source_dir = finished(&beside("order"), &other);
    fs::write(source_dir.join("notes.txt"), "of a person").unwrap();
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
    assert!(run.has_checksums && !run.dir.join("notes.txt").exists());
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
    assert!(error.contains("weights.safetensors: it has changed since the run wrote it"), "{error}");
    assert_eq!(ledger.state(&trial).unwrap(), RunState::New, "it is still to be done");
}

#[test]
fn a_run_elsewhere_that_cannot_be_read_stops_nothing() {
    let (_dir, ledger) = scratch();
    let beside = Ledger::open(ledger.root().with_file_name("order"));
    let (broken, sound) = (trial(0), trial(1));
    let weights = finished(&beside, &broken).join("weights.safetensors");
    finished(&beside, &sound);
    fs::remove_file(&weights).unwrap();
    symlink("/dev/null", &weights).unwrap();
    // Its copying was cut off.
    drop(claim(&ledger, &sound));
    let adopted = ledger.adopt_finished([(&broken, here()), (&sound, here())].into_iter()).unwrap();
    assert_eq!((adopted.runs_of.values().sum::<usize>(), adopted.damaged.len()), (1, 1), "{adopted:?}");
    assert!(matches!(ledger.state(&sound).unwrap(), RunState::Done(_)));
}

#[test]
fn what_is_asked_for_again_is_trained_once_and_here() {
    let (_dir, ledger) = scratch();
    let trials = [0, 1].map(trial);
    trials.iter().for_each(|trial| drop(finished(&ledger, trial)));
    finished(&Ledger::open(ledger.root().with_file_name("order")), &trials[1]);
    ledger.ask_again(&trials).unwrap();
    fill(claim(&ledger, &trials[0]));
    assert!(matches!(ledger.claim(&trials[0], &here()).unwrap(), Claim::Done(_)));
    let scan = ledger.scan().unwrap();
    assert_eq!(trials.each_ref().map(|trial| scan.is_asked_for_again(trial.id)), [false, true]);
    let adopted = ledger.adopt_finished(trials.iter().map(|trial| (trial, here()))).unwrap();
    assert!(adopted.runs_of.is_empty());
    let writer = claim(&ledger, &trials[1]);
    assert_eq!(ledger.state(&trials[1]).unwrap(), RunState::Running);
    assert!(ledger.run_under_way(&trials[1]).unwrap().dir.starts_with(ledger.successors_dir()));
    fill(writer);
    assert!(matches!(ledger.claim(&trials[1], &here()).unwrap(), Claim::Done(_)));
    // What a killed runner has left to remove is no run that is asked for already.
    let aside = ledger.replaced_dir().join(format!("0.{}", trials[0].dir_name()));
    fs::create_dir_all(&aside).unwrap();
    ledger.ask_again([&trials[0], &trials[0]]).unwrap();
    assert_eq!(names(&ledger.successors_dir()).len(), 1, "a run of two points is asked for once");
    fill(claim(&ledger, &trials[0]));
    assert_eq!(names(ledger.root()), ["locks", "runs"]);
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
fn fresh_destroys_nothing_before_its_successor_stands() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = finished(&ledger, &trial);
    fs::write(dir.join("mark"), "old").unwrap();
    let mut writer = claim_again(&ledger, &trial);
    writer.append(&row(1), &timing(1)).unwrap();
    fs::write(writer.dir().join("checkpoint-10"), "x").unwrap();
    drop(writer);
    assert_eq!(ledger.state(&trial).unwrap(), RunState::Partial, "it is still to be trained again");
    assert!(ledger.read().unwrap().runs[0].status.is_some(), "the old run stands");
    assert!(dir.join("mark").exists());

    let writer = claim(&ledger, &trial);
    assert!(writer.dir().join("checkpoint-10").exists(), "it goes on where it was");
    fill(writer);
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
        if steps == 2 {
            fs::rename(&successor, &dir).unwrap();
        }
        assert_eq!(ledger.state(&trial).unwrap(), RunState::Partial);
        assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(_)));
        assert!(dir.join("status.json").exists() && !aside.exists());
        assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)));
    }
}

#[test]
fn what_a_runner_that_was_killed_at_the_end_has_left_is_removed() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = finished(&ledger, &trial);
    let whole = names(&dir);
    for left in ["checkpoint-0000000010", "checkpoint-0000000020", ".decouple-1-2.tmp"] {
        fs::write(dir.join(left), "x").unwrap();
    }
    let lock = ledger.lock(trial.id).unwrap().expect("it is free");
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(_)));
    assert_eq!(names(&dir).len(), whole.len() + 3, "its runner may still be at it");
    drop(lock);
    assert!(matches!(ledger.claim(&trial, &here()).unwrap(), Claim::Done(_)));
    assert_eq!(names(&dir), whole);
}
