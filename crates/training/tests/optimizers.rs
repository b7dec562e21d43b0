//! The optimisers against vectors made by PyTorch and TensorFlow themselves
//! (tools/optimizer-fixtures.py).

use decouple_experiment::TrainingSpec;
use decouple_spectrum::graph::Role;
use decouple_training::optimizer::OptimizerState;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Fixture {
    start: Vec<f32>,
    rates: Vec<f64>,
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    name: String,
    optimizer: Value,
    weight_decay: f64,
    weight_decay_kind: Option<String>,
    /// The values after each step.
    after: Vec<Vec<f32>>,
}

impl Case {
    /// What the case would be in an experiment file.
    fn spec(&self) -> TrainingSpec {
        let kind = self.weight_decay_kind.as_deref().unwrap_or("coupled");
        let typed = serde_json::json!({
            "optimizer": self.optimizer,
            "weight-decay": self.weight_decay,
            "weight-decay-kind": kind,
        });
        serde_json::from_value(typed).expect("the fixture is a training section")
    }
}

#[test]
fn every_rule_follows_its_framework() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/optimizers.json")).expect("the fixture is JSON");
    assert_eq!(fixture.cases.len(), 7);
    for case in &fixture.cases {
        let mut values = fixture.start.clone();
        let mut state = OptimizerState::new(&case.spec(), [values.len()]);
        let steps = fixture.rates.iter().zip(&fixture.gradients).zip(&case.after).enumerate();
        for (step, ((&rate, gradient), after)) in steps {
            state.begin_step();
            state.update(0, Role::ConvWeight, rate, &mut values, gradient);
            for (found, expected) in values.iter().zip(after) {
                let close = (found - expected).abs() <= 2e-6 * expected.abs().max(1.0);
                assert!(close, "{} at step {step}: {found} against {expected}", case.name);
            }
        }
    }
}

#[test]
fn biases_and_batch_norms_are_pulled_only_when_asked() {
    let typed = |on: &str| serde_json::json!({ "weight-decay": 0.5, "weight-decay-on": on });
    for (on, role, pulled) in [
        ("weights", Role::ConvWeight, true),
        ("weights", Role::LinearWeight, true),
        ("weights", Role::Gamma, false),
        ("weights", Role::Beta, false),
        ("weights", Role::Bias, false),
        ("all", Role::Gamma, true),
        ("all", Role::Bias, true),
    ] {
        let spec: TrainingSpec = serde_json::from_value(typed(on)).expect("a training section");
        let mut values = [1.0f32];
        let mut state = OptimizerState::new(&spec, [1]);
        state.begin_step();
        state.update(0, role, 0.1, &mut values, &[0.0]);
        assert_eq!(values[0] < 1.0, pulled, "{role:?} with weight-decay-on = {on}");
    }
}
