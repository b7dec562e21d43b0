//! Removes runs that no file asks for any more.

use std::io;

use super::{Ledger, LedgerError, Run};

impl Ledger {
    /// Removes the folder of a run of this ledger, and what has been trained to replace it.
    ///
    /// # Errors
    /// If it is being trained, or if the folder cannot be removed.
    pub fn discard(&self, run: &Run) -> Result<(), LedgerError> {
        match self.lock(run.id)? {
            Some(_lock) => {
                for parent in [self.successors_dir(), self.replaced_dir()] {
                    self.of_run(&parent, run.id)?.iter().try_for_each(|dir| self.remove(dir))?;
                }
                self.remove(&run.dir)
            }
            None => Err(LedgerError::io("remove", &run.dir)(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process is training it",
            ))),
        }
    }
}
