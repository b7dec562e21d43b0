//! A restored run continues bit for bit, from any step.

use decouple_datasets::{DataSpec, derive_seed, epoch_order, load};
use decouple_experiment::{Overrides, parse};

use super::*;
use crate::{checkpoint::Snapshot, device::backend};

const EXPERIMENT: &str = include_str!("../../tests/fixtures/small.toml");

fn trial(optimizer: &str) -> Trial {
    let set = vec![format!("training.optimizer={optimizer}")];
    let mut sweep = parse(EXPERIMENT, "test.toml", &Overrides { set }).expect("the sweep is right");
    sweep.trials.remove(0)
}

fn data(spec: &DataSpec) -> Dataset {
    load(spec, None).expect("planted data are made")
}

fn begin<'a>(trial: &'a Trial, data: &'a Dataset) -> Training<'a> {
    Training::new(trial, data, &*backend()).expect("it can be trained")
}

/// Trains `steps` steps from where `run` is; all of one epoch.
fn train(run: &mut Training<'_>, steps: u64) {
    for _ in 0..steps {
        let epoch = run.step / run.steps_per_epoch;
        let order = epoch_order(run.data.train.len(), derive_seed(run.record.seed, "order", epoch, 0));
        let place = (run.step % run.steps_per_epoch) as usize * run.batch;
        run.train_step(epoch, &order[place..place + run.batch]).expect("a step can be taken");
    }
}

/// Bit patterns, so that NaNs compare equal, too.
fn bits(state: &Snapshot) -> Vec<u32> {
    state.arrays.iter().flat_map(|array| &array.values).map(|value| value.to_bits()).collect()
}

#[test]
fn a_state_that_is_put_back_goes_on_bit_for_bit() {
    for optimizer in [
        "{ kind = \"sgd\", momentum = 0.9 }",
        "{ kind = \"sgd\", momentum = 0.0 }",
        "{ kind = \"rmsprop\" }",
        "{ kind = \"adamw\" }",
    ] {
        let trial = trial(optimizer);
        let data = data(&trial.record.data);
        let mut whole = begin(&trial, &data);
        let steps = 2 * whole.steps_per_epoch;
        let mut states = vec![whole.state(0)];
        for _ in 0..steps {
            train(&mut whole, 1);
            states.push(whole.state(whole.step / whole.steps_per_epoch));
        }
        let end = states.last().expect("a state");
        for state in &states {
            let mut resumed = begin(&trial, &data);
            assert!(resumed.restore(state).expect("the device takes it"));
            train(&mut resumed, steps - state.position.step);
            let found = resumed.state(end.position.epochs);
            assert_eq!(bits(&found), bits(end), "{optimizer} from step {}", state.position.step);
            assert_eq!(found.position.epoch_loss.to_bits(), end.position.epoch_loss.to_bits());
        }
    }
}

#[test]
fn a_state_of_another_network_is_not_taken() {
    let (one, other) = (trial("{ kind = \"sgd\" }"), trial("{ kind = \"adamw\" }"));
    let data = data(&one.record.data);
    let mut run = begin(&one, &data);
    train(&mut run, 1);
    let state = run.state(0);
    let mut run = begin(&other, &data);
    train(&mut run, 1);
    let before = run.state(0);
    assert!(!run.restore(&state).expect("the device is not asked"));
    let mut late = before.clone();
    late.position.step = run.steps_per_epoch + 1;
    assert!(!run.restore(&late).expect("the device is not asked"), "a step that its epochs do not have");
    let mut early = before.clone();
    early.position.step = 0;
    assert!(!run.restore(&early).expect("the device is not asked"), "no step, yet an optimiser's memory");
    assert_eq!(bits(&run.state(0)), bits(&before));
}
