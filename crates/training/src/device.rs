//! Chooses the device. Nothing else in the project names one.

use std::sync::Arc;

use decouple_spectrum::backend::Backend;

/// The backend that executes networks.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(decouple_core_ops::Engine::best())
}
