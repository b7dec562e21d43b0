//! Where the device is chosen. Nothing else in the project names one.

use std::sync::Arc;

use decouple_spectrum::backend::Backend;

/// What networks are executed on.
pub fn backend() -> Arc<dyn Backend> {
    Arc::new(decouple_core_ops::Engine::best())
}
