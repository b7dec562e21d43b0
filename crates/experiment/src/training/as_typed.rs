//! `[trial.training]` as a person types it: a `kind` and the keys of that kind.
//!
//! Every key is optional here and resolved into the enums of the parent module,
//! where a key that its kind does not have is refused. The same structs write
//! the resolved record, then with every key of the kind spelt out.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use decouple_keys::{InvalidKey, check};

use super::{
    Average, DecayKind, DecayOn, Every, Loss, Optimizer, Precision, RmspropForm, Schedule, TrainingSpec,
    Winograd,
};

/// The section.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TrainingTable {
    epochs: Option<usize>,
    batch: Option<usize>,
    optimizer: Option<OptimizerTable>,
    schedule: Option<ScheduleTable>,
    weight_decay: Option<f64>,
    weight_decay_kind: Option<DecayKind>,
    weight_decay_on: Option<DecayOn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<Loss>,
    label_smoothing: Option<f64>,
    average: Option<AverageTable>,
    winograd: Option<Winograd>,
    precision: Option<Precision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_seed: Option<u64>,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OptimizerKind {
    #[default]
    Sgd,
    Rmsprop,
    Adamw,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct OptimizerTable {
    kind: OptimizerKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<RmspropForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nesterov: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beta1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beta2: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon: Option<f64>,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ScheduleKind {
    Constant,
    Step,
    Exponential,
    #[default]
    Cosine,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct ScheduleTable {
    kind: ScheduleKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup_epochs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_epochs: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    every_samples: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staircase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
}

/// `"none"`, `"polyak"`, or a table with the kind and its keys.
#[derive(Default)]
struct AverageTable {
    kind: AverageKind,
    decay: Option<f64>,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AverageKind {
    #[default]
    None,
    Polyak,
}

impl<'de> Deserialize<'de> for AverageTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = AverageTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"polyak\" or { kind = \"polyak\", decay = ... }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AverageTable, E> {
                let kind = AverageKind::deserialize(de::value::StrDeserializer::new(text))?;
                Ok(AverageTable { kind, decay: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<AverageTable, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields, rename_all = "kebab-case")]
                struct Table {
                    kind: Option<AverageKind>,
                    decay: Option<f64>,
                }
                let Table { kind, decay } = Table::deserialize(MapAccessDeserializer::new(map))?;
                // The only kind with keys, so a table without a kind means it.
                Ok(AverageTable { kind: kind.unwrap_or(AverageKind::Polyak), decay })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for AverageTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        match self.decay {
            None => self.kind.serialize(serializer),
            Some(decay) => {
                let mut table = serializer.serialize_struct("Average", 2)?;
                table.serialize_field("kind", &self.kind)?;
                table.serialize_field("decay", &decay)?;
                table.end()
            }
        }
    }
}

impl TryFrom<TrainingTable> for TrainingSpec {
    type Error = InvalidKey;

    fn try_from(typed: TrainingTable) -> Result<Self, InvalidKey> {
        let default = Self::default();
        let optimizer = resolve_optimizer(typed.optimizer.unwrap_or_default())?;
        // AdamW is Adam with decoupled decay; with coupled decay it would be Adam.
        let decay_kind = match optimizer {
            Optimizer::Adamw { .. } => DecayKind::Decoupled,
            Optimizer::Sgd { .. } | Optimizer::Rmsprop { .. } => default.weight_decay_kind,
        };
        let spec = Self {
            epochs: typed.epochs.unwrap_or(default.epochs),
            batch: typed.batch.unwrap_or(default.batch),
            optimizer,
            schedule: resolve_schedule(typed.schedule.unwrap_or_default())?,
            weight_decay: typed.weight_decay.unwrap_or(default.weight_decay),
            weight_decay_kind: typed.weight_decay_kind.unwrap_or(decay_kind),
            weight_decay_on: typed.weight_decay_on.unwrap_or(default.weight_decay_on),
            loss: typed.loss.unwrap_or(default.loss),
            label_smoothing: typed.label_smoothing.unwrap_or(default.label_smoothing),
            average: resolve_average(typed.average.unwrap_or_default())?,
            winograd: typed.winograd.unwrap_or(default.winograd),
            precision: typed.precision.unwrap_or(default.precision),
            weights_seed: typed.weights_seed,
            order_seed: typed.order_seed,
        };
        spec.validate()?;
        Ok(spec)
    }
}

/// Refuses the first key of `keys` that was typed although `kind` lacks it.
fn refuse(section: &str, kind: &str, keys: &[(&str, bool)]) -> Result<(), InvalidKey> {
    match keys.iter().find(|(_, typed)| *typed) {
        Some((key, _)) => {
            Err(InvalidKey::new(format!("{section}.{key}"), format!("is not a key of kind `{kind}`")))
        }
        None => Ok(()),
    }
}

fn resolve_optimizer(t: OptimizerTable) -> Result<Optimizer, InvalidKey> {
    let (form, decay, nesterov) =
        (("form", t.form.is_some()), ("decay", t.decay.is_some()), ("nesterov", t.nesterov.is_some()));
    let (momentum, epsilon) = (("momentum", t.momentum.is_some()), ("epsilon", t.epsilon.is_some()));
    let (beta1, beta2) = (("beta1", t.beta1.is_some()), ("beta2", t.beta2.is_some()));
    match t.kind {
        OptimizerKind::Sgd => {
            refuse("optimizer", "sgd", &[form, decay, beta1, beta2, epsilon])?;
            Ok(Optimizer::Sgd { momentum: t.momentum.unwrap_or(0.9), nesterov: t.nesterov.unwrap_or(true) })
        }
        OptimizerKind::Rmsprop => {
            refuse("optimizer", "rmsprop", &[nesterov, beta1, beta2])?;
            Ok(Optimizer::Rmsprop {
                form: t.form.unwrap_or(RmspropForm::Tensorflow),
                decay: t.decay.unwrap_or(0.9),
                momentum: t.momentum.unwrap_or(0.9),
                epsilon: t.epsilon.unwrap_or(1.0),
            })
        }
        OptimizerKind::Adamw => {
            refuse("optimizer", "adamw", &[form, decay, momentum, nesterov])?;
            Ok(Optimizer::Adamw {
                beta1: t.beta1.unwrap_or(0.9),
                beta2: t.beta2.unwrap_or(0.999),
                epsilon: t.epsilon.unwrap_or(1e-8),
            })
        }
    }
}

fn resolve_schedule(t: ScheduleTable) -> Result<Schedule, InvalidKey> {
    let peak = t.peak.unwrap_or(0.1);
    let warmup_epochs = t.warmup_epochs.unwrap_or(1.0);
    let factor = t.factor.unwrap_or(0.94);
    let (has_factor, has_epochs) =
        (("factor", t.factor.is_some()), ("every-epochs", t.every_epochs.is_some()));
    let (has_samples, has_stairs) =
        (("every-samples", t.every_samples.is_some()), ("staircase", t.staircase.is_some()));
    let has_floor = ("floor", t.floor.is_some());
    match t.kind {
        ScheduleKind::Constant => {
            refuse("schedule", "constant", &[has_factor, has_epochs, has_samples, has_stairs, has_floor])?;
            Ok(Schedule::Constant { peak, warmup_epochs })
        }
        ScheduleKind::Step => {
            refuse("schedule", "step", &[has_samples, has_stairs, has_floor])?;
            Ok(Schedule::Step { peak, warmup_epochs, factor, every_epochs: t.every_epochs.unwrap_or(2.0) })
        }
        ScheduleKind::Exponential => {
            refuse("schedule", "exponential", &[has_floor])?;
            let every = match (t.every_epochs, t.every_samples) {
                (Some(_), Some(_)) => {
                    let message = "conflicts with `every-epochs`; set only one of the two";
                    return Err(InvalidKey::new("schedule.every-samples", message));
                }
                (epochs, None) => Every::Epochs(epochs.unwrap_or(2.0)),
                (None, Some(samples)) => Every::Samples(samples),
            };
            let staircase = t.staircase.unwrap_or(true);
            Ok(Schedule::Exponential { peak, warmup_epochs, factor, every, staircase })
        }
        ScheduleKind::Cosine => {
            refuse("schedule", "cosine", &[has_factor, has_epochs, has_samples, has_stairs])?;
            Ok(Schedule::Cosine { peak, warmup_epochs, floor: t.floor.unwrap_or(0.0) })
        }
    }
}

fn resolve_average(t: AverageTable) -> Result<Average, InvalidKey> {
    match t.kind {
        AverageKind::None => {
            refuse("average", "none", &[("decay", t.decay.is_some())])?;
            Ok(Average::None)
        }
        AverageKind::Polyak => Ok(Average::Polyak { decay: t.decay.unwrap_or(0.999) }),
    }
}

/// The checks behind [`TrainingSpec::validate`]: every number against the declaration of its key.
pub(crate) fn validate(spec: &TrainingSpec) -> Result<(), InvalidKey> {
    let check = |key: &str, number: f64| check("training", key, number);
    check("epochs", spec.epochs as f64)?;
    check("batch", spec.batch as f64)?;
    match spec.optimizer {
        Optimizer::Sgd { momentum, .. } => check("optimizer.momentum", momentum)?,
        Optimizer::Rmsprop { decay, momentum, epsilon, .. } => {
            check("optimizer.decay", decay)?;
            check("optimizer.momentum", momentum)?;
            check("optimizer.epsilon", epsilon)?;
        }
        Optimizer::Adamw { beta1, beta2, epsilon } => {
            check("optimizer.beta1", beta1)?;
            check("optimizer.beta2", beta2)?;
            check("optimizer.epsilon", epsilon)?;
        }
    }
    check("schedule.peak", spec.schedule.peak())?;
    check("schedule.warmup-epochs", spec.schedule.warmup_epochs())?;
    match spec.schedule {
        Schedule::Constant { .. } => {}
        Schedule::Step { factor, every_epochs, .. } => {
            check("schedule.factor", factor)?;
            check("schedule.every-epochs", every_epochs)?;
        }
        Schedule::Exponential { factor, every, .. } => {
            check("schedule.factor", factor)?;
            match every {
                Every::Epochs(epochs) => check("schedule.every-epochs", epochs)?,
                Every::Samples(samples) => check("schedule.every-samples", samples as f64)?,
            }
        }
        Schedule::Cosine { peak, floor, .. } => {
            check("schedule.floor", floor)?;
            if floor > peak {
                return Err(InvalidKey::new("schedule.floor", format!("must be at most the peak, {peak}")));
            }
        }
    }
    check("weight-decay", spec.weight_decay)?;
    check("label-smoothing", spec.label_smoothing)?;
    if spec.loss == Loss::Sigmoid && spec.label_smoothing > 0.0 {
        return Err(InvalidKey::new("label-smoothing", "is for the softmax loss with one label per image"));
    }
    match spec.average {
        Average::None => Ok(()),
        Average::Polyak { decay } => check("average.decay", decay),
    }
}

impl From<TrainingSpec> for TrainingTable {
    fn from(spec: TrainingSpec) -> Self {
        Self {
            epochs: Some(spec.epochs),
            batch: Some(spec.batch),
            optimizer: Some(spec.optimizer.into()),
            schedule: Some(spec.schedule.into()),
            weight_decay: Some(spec.weight_decay),
            weight_decay_kind: Some(spec.weight_decay_kind),
            weight_decay_on: Some(spec.weight_decay_on),
            // Records from before this key existed stay the same.
            loss: (spec.loss != Loss::default()).then_some(spec.loss),
            label_smoothing: Some(spec.label_smoothing),
            average: Some(match spec.average {
                Average::None => AverageTable { kind: AverageKind::None, decay: None },
                Average::Polyak { decay } => AverageTable { kind: AverageKind::Polyak, decay: Some(decay) },
            }),
            winograd: Some(spec.winograd),
            precision: Some(spec.precision),
            weights_seed: spec.weights_seed,
            order_seed: spec.order_seed,
        }
    }
}

impl From<Optimizer> for OptimizerTable {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Sgd { momentum, nesterov } => Self {
                kind: OptimizerKind::Sgd,
                momentum: Some(momentum),
                nesterov: Some(nesterov),
                ..Self::default()
            },
            Optimizer::Rmsprop { form, decay, momentum, epsilon } => Self {
                kind: OptimizerKind::Rmsprop,
                form: Some(form),
                decay: Some(decay),
                momentum: Some(momentum),
                epsilon: Some(epsilon),
                ..Self::default()
            },
            Optimizer::Adamw { beta1, beta2, epsilon } => Self {
                kind: OptimizerKind::Adamw,
                beta1: Some(beta1),
                beta2: Some(beta2),
                epsilon: Some(epsilon),
                ..Self::default()
            },
        }
    }
}

impl From<Schedule> for ScheduleTable {
    fn from(schedule: Schedule) -> Self {
        let table = Self {
            peak: Some(schedule.peak()),
            warmup_epochs: Some(schedule.warmup_epochs()),
            ..Self::default()
        };
        match schedule {
            Schedule::Constant { .. } => Self { kind: ScheduleKind::Constant, ..table },
            Schedule::Step { factor, every_epochs, .. } => Self {
                kind: ScheduleKind::Step,
                factor: Some(factor),
                every_epochs: Some(every_epochs),
                ..table
            },
            Schedule::Exponential { factor, every, staircase, .. } => {
                let (every_epochs, every_samples) = match every {
                    Every::Epochs(epochs) => (Some(epochs), None),
                    Every::Samples(samples) => (None, Some(samples)),
                };
                Self {
                    kind: ScheduleKind::Exponential,
                    factor: Some(factor),
                    every_epochs,
                    every_samples,
                    staircase: Some(staircase),
                    ..table
                }
            }
            Schedule::Cosine { floor, .. } => {
                Self { kind: ScheduleKind::Cosine, floor: Some(floor), ..table }
            }
        }
    }
}
