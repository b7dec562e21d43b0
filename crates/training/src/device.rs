//! Chooses the device. Nothing else in the project names one.

use std::{env, sync::Arc};

use decouple_core_ops::{Engine, Isa};
use decouple_spectrum::backend::Backend;

/// Names other instructions than the best, to check that they give the same bytes.
const KERNELS: &str = "DECOUPLE_KERNELS";

/// The backend that executes networks: the engine with the best instructions of this processor, or those that
/// `DECOUPLE_KERNELS` names.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(Engine::new(named().ok().flatten().unwrap_or_else(Isa::best)))
}

/// Whether `DECOUPLE_KERNELS`, if it is set, names instructions that this processor has.
///
/// # Errors
/// What it names and what it may name.
pub fn check() -> Result<(), String> {
    named().map(drop)
}

fn named() -> Result<Option<Isa>, String> {
    let Some(named) = env::var_os(KERNELS) else { return Ok(None) };
    Isa::available().find(|isa| named == *isa.name()).map(Some).ok_or_else(|| {
        let mut known: Vec<_> = Isa::available().map(Isa::name).collect();
        known.dedup();
        let known = known.join(", ");
        let named = named.to_string_lossy();
        format!("{KERNELS} is `{named}`: expected instructions that this processor has, one of {known}")
    })
}
