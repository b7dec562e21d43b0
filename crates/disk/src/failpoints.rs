//! Steps that fail on purpose, for tests.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The device fails: EIO.
    Broken,
    /// No room is left: ENOSPC.
    Full,
    /// A write takes half of its bytes and the next one finds no room. Any other step finds no room.
    ShortWrite,
}

/// The step that fails, from 1, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Opens, reads, writes, fsyncs, renames and removals are counted together.
    pub step: u64,
    /// What goes wrong.
    pub kind: FaultKind,
    /// Whether every later step fails too, as on a disk that stays full.
    pub lasts: bool,
}

#[derive(Debug)]
pub(crate) struct Faults {
    fault: Fault,
    steps: AtomicU64,
    /// After half of a write was taken.
    next_write_fails: AtomicBool,
}

impl Faults {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, steps: AtomicU64::new(0), next_write_fails: AtomicBool::new(false) }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    pub(crate) fn step(&self) -> io::Result<()> {
        if self.is_due() { Err(self.error()) } else { Ok(()) }
    }

    /// How many of `bytes` a write takes.
    pub(crate) fn write(&self, bytes: usize) -> io::Result<usize> {
        if self.next_write_fails.swap(false, Ordering::SeqCst) {
            return Err(self.error());
        }
        match (self.is_due(), self.fault.kind) {
            (false, _) => Ok(bytes),
            (true, FaultKind::ShortWrite) if bytes > 1 => {
                self.next_write_fails.store(true, Ordering::SeqCst);
                Ok(bytes / 2)
            }
            (true, _) => Err(self.error()),
        }
    }

    fn is_due(&self) -> bool {
        let step = 1 + self.steps.fetch_add(1, Ordering::SeqCst);
        step == self.fault.step || (self.fault.lasts && step > self.fault.step)
    }

    fn error(&self) -> io::Error {
        // The numbers of Linux and of every other Unix that this runs on.
        io::Error::from_raw_os_error(if self.fault.kind == FaultKind::Broken { 5 } else { 28 })
    }
}
