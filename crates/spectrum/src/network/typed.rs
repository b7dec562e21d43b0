//! A network as typed: every key may be left out, and which value that means
//! depends on the family.

use serde::{Deserialize, Serialize};

use super::{Dense, Family, NetworkSpec, Numerics};
use crate::module::{Intermediate, ModuleKind, NormPlacement, Order};
use crate::segments::Schedule;

/// [`NetworkSpec`] in files. Records hold every key that the family reads, in
/// this order; ids of runs are hashes of it. `dense` came later than the first
/// records and stands there only where it is not `none`, so that their ids hold; so did `module` and `inner`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Typed {
    family: Family,
    #[serde(skip_serializing_if = "Option::is_none")]
    numerics: Option<Numerics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<ModuleKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intermediate: Option<Intermediate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    norm: Option<NormPlacement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    norm_epsilon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    norm_momentum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    residual: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<Dense>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stem: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stem_kernel: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modules: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    small_stem: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fully_connected: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
}

impl From<Typed> for NetworkSpec {
    fn from(typed: Typed) -> Self {
        let own = Self::of(typed.family, typed.numerics.unwrap_or_default());
        Self {
            family: own.family,
            numerics: own.numerics,
            segments: typed.segments.unwrap_or(own.segments),
            module: typed.module.unwrap_or(own.module),
            order: typed.order.unwrap_or(own.order),
            intermediate: typed.intermediate.unwrap_or(own.intermediate),
            norm: typed.norm.unwrap_or(own.norm),
            norm_epsilon: typed.norm_epsilon.unwrap_or(own.norm_epsilon),
            norm_momentum: typed.norm_momentum.unwrap_or(own.norm_momentum),
            residual: typed.residual.unwrap_or(own.residual),
            dense: typed.dense.unwrap_or(own.dense),
            kernel: typed.kernel.unwrap_or(own.kernel),
            stem: typed.stem.unwrap_or(own.stem),
            stem_kernel: typed.stem_kernel.unwrap_or(own.stem_kernel),
            entry: typed.entry.unwrap_or(own.entry),
            middle: typed.middle.unwrap_or(own.middle),
            modules: typed.modules.unwrap_or(own.modules),
            exit: typed.exit.unwrap_or(own.exit),
            inner: typed.inner.unwrap_or(own.inner),
            small_stem: typed.small_stem.unwrap_or(own.small_stem),
            channels: typed.channels.unwrap_or(own.channels),
            fully_connected: typed.fully_connected.unwrap_or(own.fully_connected),
            width: typed.width.unwrap_or(own.width),
            dropout: typed.dropout.unwrap_or(own.dropout),
        }
    }
}

impl From<NetworkSpec> for Typed {
    fn from(spec: NetworkSpec) -> Self {
        let family = spec.family;
        let reads = |key| family.reads(key);
        Self {
            family,
            numerics: reads("numerics").then_some(spec.numerics),
            segments: reads("segments").then_some(spec.segments),
            module: (spec.module != ModuleKind::Spectrum).then_some(spec.module),
            order: reads("order").then_some(spec.order),
            intermediate: reads("intermediate").then_some(spec.intermediate),
            norm: reads("norm").then_some(spec.norm),
            norm_epsilon: reads("norm-epsilon").then_some(spec.norm_epsilon),
            norm_momentum: reads("norm-momentum").then_some(spec.norm_momentum),
            residual: reads("residual").then_some(spec.residual),
            dense: (spec.dense != Dense::None).then_some(spec.dense),
            kernel: reads("kernel").then_some(spec.kernel),
            stem: reads("stem").then_some(spec.stem),
            stem_kernel: (spec.stem_kernel != 3).then_some(spec.stem_kernel),
            entry: reads("entry").then_some(spec.entry),
            middle: reads("middle").then_some(spec.middle),
            modules: reads("modules").then_some(spec.modules),
            exit: reads("exit").then_some(spec.exit),
            inner: (!spec.inner.is_empty()).then_some(spec.inner),
            small_stem: reads("small-stem").then_some(spec.small_stem),
            channels: reads("channels").then_some(spec.channels),
            fully_connected: reads("fully-connected").then_some(spec.fully_connected),
            width: reads("width").then_some(spec.width),
            dropout: reads("dropout").then_some(spec.dropout),
        }
    }
}
