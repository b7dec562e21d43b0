//! Signals: each stores its number, which training checks between two steps.

use std::sync::{Arc, atomic::AtomicBool};

use decouple_training::keeper::Stop;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
};

use crate::failure::{Failure, INTERRUPTED, IO, STOPPED};

/// From now on SIGTERM, SIGUSR1 and the first Ctrl-C ask the training to stop; the second Ctrl-C ends the
/// program at once. A terminal that is closed (SIGHUP) ends nothing.
pub(crate) fn watch() -> Result<Stop, Failure> {
    let stop = Stop::default();
    let pressed = Arc::new(AtomicBool::new(false));
    let register = || {
        // In this order, so that the first Ctrl-C finds the flag unset.
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), Arc::clone(&pressed))?;
        flag::register(SIGINT, Arc::clone(&pressed))?;
        for signal in [SIGINT, SIGTERM, SIGUSR1] {
            flag::register_usize(signal, stop.flag(), signal as usize)?;
        }
        flag::register(SIGHUP, Arc::new(AtomicBool::new(false)))
    };
    register().map_err(|error| Failure::new(IO, format!("cannot watch for signals: {error}")))?;
    Ok(stop)
}

/// The exit code of a program that a signal has stopped.
pub(crate) fn code(signal: usize) -> u8 {
    if signal == SIGINT as usize { INTERRUPTED } else { STOPPED }
}
