//! Removing runs that no file asks for any more.

use super::{Ledger, LedgerError, Run, remove};

impl Ledger {
    /// Removes the folder of a run of this ledger.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] while it is being trained, and when the folder cannot
    /// be removed.
    pub fn discard(&self, run: &Run) -> Result<(), LedgerError> {
        match self.lock(run.id)? {
            Some(_lock) => remove(&run.dir),
            None => Err(LedgerError::Locked { id: run.id }),
        }
    }
}
