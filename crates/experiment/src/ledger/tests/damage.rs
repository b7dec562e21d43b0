//! Faults of files and of the machine: what is damaged is told, and hides nothing.

use super::*;

/// A run that may have no checksums, since an early version has computed it.
fn early(ledger: &Ledger, trial: &Trial, outcome: Outcome) -> PathBuf {
    let mut writer = claim(ledger, trial);
    writer.write_environment(&Environment { numerics_version: 0, ..environment("images") }).unwrap();
    writer.append(&row(1), &timing(1)).unwrap();
    let dir = writer.dir().to_owned();
    writer.finish(&status(outcome)).unwrap();
    dir
}

#[test]
fn a_torn_row_in_a_run_that_is_over_is_a_problem() {
    let (_dir, ledger) = scratch();
    let path = early(&ledger, &trial(0), Outcome::Finished).join("metrics.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    let [problem] = ledger.read().unwrap().problems.try_into().unwrap();
    assert!(problem.message.contains("metrics.csv: it has changed since the run wrote it"), "{problem:?}");
    fs::remove_file(path.with_file_name("checksums.txt")).unwrap();
    let contents = ledger.read().unwrap();
    assert!(contents.runs.is_empty());
    assert!(contents.problems[0].message.ends_with("metrics.csv: ends in the middle of a row"));
}

#[test]
fn a_file_that_somebody_put_into_a_run_is_no_part_of_it() {
    let (_dir, ledger) = scratch();
    let writer = claim(&ledger, &trial(0));
    fs::write(writer.dir().join("notes.txt"), "mine").unwrap();
    let dir = fill(writer);
    let list = dir.join("checksums.txt");
    let text = fs::read_to_string(&list).unwrap();
    assert!(!text.contains("notes.txt"), "{text}");
    // Earlier versions listed it.
    fs::write(&list, format!("{}  notes.txt\n{text}", "0".repeat(64))).unwrap();
    fs::write(dir.join("notes.txt"), "changed").unwrap();
    assert_eq!(ledger.verify().unwrap().problems, []);
}

#[test]
fn a_run_is_opened_under_any_name() {
    let (folder, ledger) = scratch();
    let dir = finished(&ledger, &trial(0));
    let link = folder.path().join("best");
    symlink(&dir, &link).unwrap();
    assert_eq!(Run::open(&link).unwrap().dir, link);
    assert!(Run::open(&dir.join(".")).is_ok());
}

#[test]
fn what_was_to_be_trained_again_and_is_asked_for_no_more_is_found_and_removed() {
    let (_dir, ledger) = scratch();
    let (asked, other, begun) = (trial(0), trial(1), trial(2));
    ledger.ask_again([&asked, &other]).unwrap();
    let writer = claim_again(&ledger, &begun);
    let asked = [asked];
    let abandoned = ledger.abandoned(&asked).unwrap();
    assert_eq!(abandoned.len(), 2);
    let busy = abandoned.iter().filter(|dir| !ledger.discard_abandoned(dir).unwrap()).count();
    assert_eq!(busy, 1, "it is being trained");
    drop(writer);
    // One that ended while its record was written.
    let torn = ledger.abandoned(&asked).unwrap()[0].with_file_name("torn-0123456789abcdef");
    fs::create_dir(&torn).unwrap();
    fs::write(torn.join(".decouple-999999999-4.tmp"), "for").unwrap();
    assert!(ledger.abandoned(&asked).unwrap().iter().all(|dir| ledger.discard_abandoned(dir).unwrap()));
    assert!(ledger.abandoned(&asked).unwrap().is_empty());
    assert_eq!(ledger.abandoned(&[]).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_read_is_told_and_hides_nothing() {
    let (_dir, ledger) = scratch();
    let trials = [0, 1, 2, 3].map(trial);
    for trial in &trials {
        early(&ledger, trial, Outcome::Diverged { step: 12 });
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
        "it is not a folder",
    ] {
        assert!(messages.contains(part), "{part:?} is not in: {messages}");
    }
    for damaged in &trials[1..] {
        let claim = ledger.claim(damaged, &here()).unwrap();
        let Claim::Damaged(problem) = claim else { panic!("{claim:?}") };
        assert_eq!(ledger.state(damaged).unwrap(), RunState::Damaged(problem.clone()));
        let advice = problem.advice("decouple run question.toml");
        let command = format!("decouple run question.toml --fresh --filter id={}", damaged.id.short());
        let expected = if damaged.id == trials[1].id { "use a newer version" } else { command.as_str() };
        assert!(advice.contains(expected), "{advice}");
        // The command that mends it.
        let writer = claim_again(&ledger, damaged);
        fill(writer);
        assert!(matches!(ledger.state(damaged).unwrap(), RunState::Done(_)));
    }
    assert_eq!(ledger.read().unwrap().runs.len(), 4);
}

#[test]
fn a_run_that_has_ended_has_all_its_files() {
    for missing in ["environment.json", "metrics.csv", "timing.csv"] {
        let (_dir, ledger) = scratch();
        let trial = trial(0);
        let dir = early(&ledger, &trial, Outcome::Finished);
        fs::remove_file(dir.join("checksums.txt")).unwrap();
        assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)));
        fs::remove_file(dir.join(missing)).unwrap();
        assert!(matches!(ledger.state(&trial).unwrap(), RunState::Damaged(_)), "{missing}");
        assert_eq!(ledger.read().unwrap().problems.len(), 1, "{missing}");
    }
}

#[test]
fn two_checksums_of_one_file_are_refused() {
    let (_dir, ledger) = scratch();
    let path = finished(&ledger, &trial(0)).join("checksums.txt");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.ends_with("metrics.csv")).unwrap();
    fs::write(&path, format!("{}  metrics.csv\n{text}", "0".repeat(64))).unwrap();
    let [problem] = ledger.read().unwrap().problems.try_into().unwrap();
    assert!(problem.message.ends_with("it has two checksums of metrics.csv"), "{problem}");
    fs::write(&path, format!("{line}\n{text}")).unwrap();
    assert_eq!(ledger.read().unwrap().problems, [], "the same one twice does no harm");
}

#[test]
fn a_folder_in_an_interrupted_run_stays_and_stops_nothing() {
    let (_dir, ledger) = scratch();
    let trial = trial(0);
    let dir = claim(&ledger, &trial).dir().to_owned();
    fs::create_dir(dir.join("notes")).unwrap();
    fill(claim(&ledger, &trial));
    assert!(dir.join("notes").is_dir());
    assert!(matches!(ledger.state(&trial).unwrap(), RunState::Done(_)));
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
            // Without a status that can be read it is not a run that is over.
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
fn what_may_be_sound_is_not_to_be_trained_again() {
    let (_dir, ledger) = scratch();
    let dir = finished(&ledger, &trial(0));
    // As a newer program writes it: with another key, and the checksum of it.
    let path = dir.join("trial.toml");
    let newer = format!("future = 1\n{}", fs::read_to_string(&path).unwrap());
    fs::write(&path, &newer).unwrap();
    let advice = || {
        let [problem] = ledger.read().unwrap().problems.try_into().unwrap();
        problem.advice("decouple run question.toml")
    };
    assert!(advice().contains("--fresh"), "it was edited by hand: {}", advice());
    let sums = dir.join("checksums.txt");
    let text = fs::read_to_string(&sums).unwrap();
    let others = text.lines().filter(|line| !line.ends_with("trial.toml")).map(|line| format!("{line}\n"));
    let own = format!("{}  trial.toml\n", checksums::of_bytes(newer.as_bytes()));
    fs::write(&sums, own + &others.collect::<String>()).unwrap();
    assert_eq!(advice(), "use a newer version of this program, which can read it");

    let denied = LedgerError::io("read", &path)(io::ErrorKind::PermissionDenied.into());
    let advice = Problem::of_run(dir, &denied).advice("decouple run question.toml");
    assert!(advice.ends_with("readable, and try again"), "{advice}");
}

#[test]
fn a_run_that_has_just_begun_is_not_damaged() {
    let (_dir, ledger) = scratch();
    fs::create_dir_all(ledger.runs_dir().join(trial(0).dir_name())).unwrap();
    fs::write(ledger.runs_dir().join(".DS_Store"), "of the system").unwrap();
    assert_eq!(ledger.verify().unwrap().problems, []);
    assert_eq!(ledger.state(&trial(0)).unwrap(), RunState::Partial);
    fs::create_dir(ledger.runs_dir().join("photographs")).unwrap();
    assert_eq!(ledger.verify().unwrap().problems.len(), 1, "its name is no run's");
}
