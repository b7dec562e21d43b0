use super::*;
use crate::{Claim, FORMAT, Identity, Overrides, RunWriter, Scores, parse};

fn trials() -> Vec<Trial> {
    let text = "[axes]\nsegments = [1, 'per-channel']\nseed = [0, 1, 2]\n[trial.training]\nepochs = 4\n";
    parse(text, "watched.toml", &Overrides::default()).unwrap().trials
}

fn claim(ledger: &Ledger, trial: &Trial) -> RunWriter {
    match ledger.claim(trial, &Identity::of(trial, None)).unwrap() {
        Claim::Mine(writer) => *writer,
        other => panic!("expected the trial to be free, found {other:?}"),
    }
}

/// Four epochs of 10,000 images in 8 seconds.
fn status(outcome: Outcome, accuracy: f64) -> Status {
    Status {
        format: FORMAT,
        outcome,
        test: Some(Scores { accuracy, ..Scores::default() }),
        steps: 625,
        train_secs: 8.0,
        images_per_sec: 5_000.0,
        ..Status::default()
    }
}

/// An epoch of 10,000 images in 2 seconds.
fn epoch(writer: &mut RunWriter, epoch: u64) {
    let metrics = MetricsRow {
        epoch,
        step: 156 * epoch,
        samples: 10_000 * epoch,
        learning_rate: 0.1,
        train_loss: 1.0,
        train_accuracy: 0.25 * epoch as f64,
        ..MetricsRow::default()
    };
    writer.append(&metrics, &TimingRow { epoch, wall_secs: 2.0, images_per_sec: 5_000.0 }).unwrap();
}

#[test]
fn every_trial_is_counted_once_and_the_rest_is_timed_by_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let trials = trials();
    let trials: Vec<&Trial> = trials.iter().collect();
    let mut onlooker = Onlooker::default();
    let standing = onlooker.look(&trials, &ledger).unwrap();
    assert_eq!((standing.trials, standing.new, standing.secs_left), (6, 6, None));

    claim(&ledger, trials[0]).finish(&status(Outcome::Finished, 0.5)).unwrap();
    claim(&ledger, trials[1]).finish(&status(Outcome::Diverged { step: 7 }, 0.9)).unwrap();
    let mut running = claim(&ledger, trials[2]);
    epoch(&mut running, 1);
    drop(claim(&ledger, trials[3]));
    let standing = onlooker.look(&trials, &ledger).unwrap();
    assert_eq!((standing.finished, standing.diverged, standing.over()), (1, 1, 2));
    assert_eq!((standing.cut_off, standing.new, standing.left()), (1, 2, 3));
    let [now] = standing.running.as_slice() else { panic!("{:?}", standing.running) };
    assert_eq!((now.id, now.epochs_done, now.epochs), (trials[2].id, 1, 4));
    assert_eq!((now.score, now.secs_left), (Some(0.25), Some(6.0)));
    // The diverged run's accuracy is not a result.
    assert_eq!(standing.best.as_ref().map(|best| (best.id, best.score)), Some((trials[0].id, 0.5)));
    // Two seconds an epoch and so many multiply-adds: three epochs of one run, four of
    // the three others, of two kinds of network.
    let macs = |index: usize, epochs: f64| epochs * trials[index].cost.macs as f64;
    let expected = (macs(2, 3.0) + macs(3, 4.0) + macs(4, 4.0) + macs(5, 4.0)) / macs(0, 4.0) * 8.0;
    let ratio = standing.secs_left.unwrap() / expected;
    // The run in progress and the finished one are of two networks: the median is one of them.
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
    drop(running);
}

#[test]
fn tries_of_a_point_that_take_turns_are_not_at_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let trials = trials();
    // Two of each point.
    let trials: Vec<&Trial> = trials.iter().filter(|trial| trial.seed() < 2).collect();
    let mut writers: Vec<RunWriter> = trials.iter().map(|trial| claim(&ledger, trial)).collect();
    writers.iter_mut().for_each(|writer| epoch(writer, 1));
    let secs = |halving| Onlooker::of_tries(halving).look(&trials, &ledger).unwrap().secs_left.unwrap();
    assert_eq!(secs(true), 2.0 * secs(false));
    let standing = Onlooker::of_tries(true).look(&trials, &ledger).unwrap();
    assert!(
        standing.running[0].label.ends_with("seed = 0, learning rate 0.1, weight decay 0.0001"),
        "{standing:?}"
    );
}

#[test]
fn a_stopped_try_is_left_where_nothing_halves() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let trials = trials();
    let trials: Vec<&Trial> = trials.iter().collect();
    claim(&ledger, trials[0]).finish(&status(Outcome::Stopped { epoch: 2 }, 0.5)).unwrap();
    let left = |mut onlooker: Onlooker| onlooker.look(&trials, &ledger).unwrap().left();
    assert_eq!((left(Onlooker::of_tries(true)), left(Onlooker::of_tries(false))), (5, 6));
    assert_eq!((left(Onlooker::of_finals(true)), left(Onlooker::of_finals(false))), (5, 6));
}

#[test]
fn a_run_that_cannot_be_read_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path());
    let trials = trials();
    let trials: Vec<&Trial> = trials.iter().collect();
    for trial in &trials[..2] {
        claim(&ledger, trial).finish(&status(Outcome::Finished, 0.5)).unwrap();
    }
    std::fs::write(ledger.run_dir(trials[0]).join("status.json"), "{").unwrap();
    let standing = Onlooker::default().look(&trials, &ledger).unwrap();
    assert_eq!((standing.finished, standing.new, standing.unreadable.len()), (1, 4, 1));
}
