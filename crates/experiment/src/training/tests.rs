use super::*;

fn parse(text: &str) -> Result<TrainingSpec, toml::de::Error> {
    toml::from_str(text)
}

#[test]
fn an_empty_section_is_the_default() {
    assert_eq!(parse("").unwrap(), TrainingSpec::default());
}

#[test]
fn every_kind_survives_a_round_trip_bit_for_bit() {
    let optimizers = [
        Optimizer::Sgd { momentum: 0.1 + 0.2, nesterov: false },
        Optimizer::Rmsprop { form: RmspropForm::Pytorch, decay: 0.99, momentum: 0.0, epsilon: 1e-300 },
        Optimizer::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    ];
    let warmup_epochs = 1.0 / 3.0;
    let schedules = [
        Schedule::Constant { peak: 0.1, warmup_epochs },
        Schedule::Step { peak: 0.1, warmup_epochs, factor: 0.1, every_epochs: 2.5 },
        Schedule::Exponential {
            peak: 1e-3,
            warmup_epochs,
            factor: 0.9,
            every: Every::Samples(3_000_000),
            staircase: false,
        },
        Schedule::Exponential {
            peak: 0.045,
            warmup_epochs,
            factor: 0.94,
            every: Every::Epochs(2.0),
            staircase: true,
        },
        Schedule::Cosine { peak: 0.1, warmup_epochs, floor: 1e-5 },
    ];
    for optimizer in optimizers {
        for schedule in schedules {
            for average in [Average::None, Average::Polyak { decay: 0.9999 }] {
                let (winograd, precision) = (Winograd::F4, Precision::Bf16);
                let rest = TrainingSpec { winograd, precision, ..TrainingSpec::default() };
                let spec = TrainingSpec { optimizer, schedule, average, ..rest };
                let text = toml::to_string(&spec).unwrap();
                assert_eq!(parse(&text).unwrap(), spec, "{text}");
            }
        }
    }
}

#[test]
fn adamw_decays_apart_from_the_gradient_unless_told_otherwise() {
    let kind = |text| parse(text).unwrap().weight_decay_kind;
    assert_eq!(kind("optimizer.kind = \"adamw\""), DecayKind::Decoupled);
    assert_eq!(kind("optimizer.kind = \"adamw\"\nweight-decay-kind = \"coupled\""), DecayKind::Coupled);
    assert_eq!(kind("optimizer.kind = \"rmsprop\""), DecayKind::Coupled);
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let error = parse("optimizer = { kind = \"rmsprop\", nesterov = true }").unwrap_err();
    assert_eq!(error.message(), "`optimizer.nesterov` is not a key of kind `rmsprop`");
    let error = parse("schedule = { kind = \"cosine\", factor = 0.9 }").unwrap_err();
    assert_eq!(error.message(), "`schedule.factor` is not a key of kind `cosine`");
    let error = parse("average = { kind = \"none\", decay = 0.9 }").unwrap_err();
    assert_eq!(error.message(), "`average.decay` is not a key of kind `none`");
}

#[test]
fn impossible_values_are_refused_by_key() {
    for (text, key) in [
        ("epochs = 0", "epochs"),
        ("batch = 0", "batch"),
        ("weight-decay = -1e-4", "weight-decay"),
        ("label-smoothing = 1.0", "label-smoothing"),
        ("schedule.peak = 0", "schedule.peak"),
        ("schedule.peak = nan", "schedule.peak"),
        ("schedule.warmup-epochs = inf", "schedule.warmup-epochs"),
        ("schedule = { kind = \"step\", every-epochs = 0 }", "schedule.every-epochs"),
        ("schedule = { kind = \"exponential\", every-samples = 0 }", "schedule.every-samples"),
        ("optimizer.momentum = 1.0", "optimizer.momentum"),
        ("optimizer = { kind = \"adamw\", epsilon = 0.0 }", "optimizer.epsilon"),
        ("average.decay = 1", "average.decay"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message().starts_with(&format!("`{key}` ")), "{text}: {}", error.message());
    }
}

#[test]
fn warm_up_rises_to_the_peak_and_the_cosine_ends_at_the_floor() {
    let schedule = Schedule::Cosine { peak: 0.4, warmup_epochs: 2.0, floor: 0.0 };
    let rate = |step| schedule.rate(step, 10, 32, 12);
    assert_eq!([0, 9, 19].map(rate), [0.4 * 0.05, 0.4 * 0.5, 0.4]);
    assert_eq!(rate(20), 0.4);
    assert!((rate(70) - 0.2).abs() < 1e-15, "half of the way down at half of the fall");
    assert!(rate(119) > 0.0 && rate(119) < 1e-4);
    assert!(rate(120).abs() < 1e-15);
}

#[test]
fn decay_counts_epochs_or_samples() {
    let every_samples = Schedule::Exponential {
        peak: 1.0,
        warmup_epochs: 0.0,
        factor: 0.5,
        every: Every::Samples(640),
        staircase: false,
    };
    assert_eq!(every_samples.rate(10, 999, 64, 1), 0.5);
    assert_eq!(every_samples.rate(5, 999, 64, 1), 0.5f64.sqrt());
    let step = Schedule::Step { peak: 1.0, warmup_epochs: 0.0, factor: 0.1, every_epochs: 2.0 };
    assert_eq!([19, 20, 39, 40].map(|t| step.rate(t, 10, 64, 6)), [1.0, 0.1, 0.1, libm::pow(0.1, 2.0)]);
    let constant = Schedule::Constant { peak: 0.3, warmup_epochs: 0.0 };
    assert_eq!(constant.rate(1_000_000, 10, 64, 6), 0.3);
}
