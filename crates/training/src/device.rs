//! Chooses the device. Nothing else in the project names one.

use std::{env, sync::Arc};

use decouple_core_ops::{Engine, Isa};
use decouple_spectrum::backend::Backend;

/// Names other instructions than the best, to check that they give the same bytes.
const KERNELS: &str = "DECOUPLE_KERNELS";

/// The backend that executes networks: the engine with the best instructions of this processor, or those that
/// `DECOUPLE_KERNELS` names.
pub fn backend() -> Arc<dyn Backend> {
    let isa = env::var(KERNELS).ok().and_then(|name| Isa::available().find(|isa| isa.name() == name));
    Arc::new(Engine::new(isa.unwrap_or_else(Isa::best)))
}

/// Whether `DECOUPLE_KERNELS`, if it is set, names instructions that this processor has.
///
/// # Errors
/// What it names and what it may name.
pub fn check() -> Result<(), String> {
    let Some(named) = env::var_os(KERNELS) else { return Ok(()) };
    let known: Vec<&str> = Isa::available().map(Isa::name).collect();
    if known.iter().any(|name| named == *name) {
        return Ok(());
    }
    let (named, known) = (named.to_string_lossy(), known.join(", "));
    Err(format!("{KERNELS} is `{named}`: expected instructions that this processor has, one of {known}"))
}
