//! Aligned memory that is used again: the steady state of a training step
//! takes nothing from the system.
//!
//! A fresh page costs more than the arithmetic on it (an 8 MB map: 3 to 4 ms of
//! page faults against 0.3 ms to write it), so buffers go back to their pool
//! when they are dropped and come out of it with whatever they held before.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

/// Values in one cache line, the unit of allocation and of AVX-512.
const LINE: usize = 16;

/// One cache line of values. Its alignment makes every buffer start on a line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// A slice of `f32` that starts on a cache line and returns to its pool when
/// dropped. Its contents are unspecified (but initialised) until written.
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
    pool: Arc<Shelves>,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` owns at least `len` initialised values (checked when
        // the buffer is made), and `Line` is `repr(C)` over `[f32; 16]`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.lines));
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer of {} values", self.len)
    }
}

/// Where buffers come from and return to. Clones share one stock.
#[derive(Clone, Default)]
pub struct BufferPool {
    shelves: Arc<Shelves>,
}

impl BufferPool {
    /// A buffer of `len` values with unspecified contents. Allocates only when
    /// no buffer of this size (in cache lines) is on the shelf.
    pub fn take(&self, len: usize) -> Buffer {
        let lines = self.shelves.take(len.div_ceil(LINE));
        assert!(lines.len() * LINE >= len, "a shelf holds buffers of one size");
        Buffer { lines, len, pool: Arc::clone(&self.shelves) }
    }

    /// A buffer of `len` zeros, for results that are accumulated.
    pub fn take_zeroed(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// A buffer that holds a copy of `values`.
    pub fn take_copy(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// The most bytes that were ever in use and on the shelves together.
    pub fn peak_bytes(&self) -> usize {
        // The stock only grows: what was allocated stays until `clear`.
        self.shelves.lock().allocated_lines * size_of::<Line>()
    }

    /// Gives everything on the shelves back to the system. Buffers in use are
    /// not touched.
    pub fn clear(&self) {
        let mut stock = self.shelves.lock();
        let freed: usize = stock.by_lines.iter().map(|(lines, free)| lines * free.len()).sum();
        stock.allocated_lines -= freed;
        stock.by_lines.clear();
    }
}

impl std::fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufferPool of {} bytes", self.peak_bytes())
    }
}

/// The stock of a pool, one shelf a size.
#[derive(Default)]
struct Shelves(Mutex<Stock>);

#[derive(Default)]
struct Stock {
    by_lines: BTreeMap<usize, Vec<Vec<Line>>>,
    allocated_lines: usize,
}

impl Shelves {
    fn lock(&self) -> std::sync::MutexGuard<'_, Stock> {
        // A panic elsewhere leaves the stock consistent: every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, lines: usize) -> Vec<Line> {
        let mut stock = self.lock();
        if let Some(found) = stock.by_lines.get_mut(&lines).and_then(Vec::pop) {
            return found;
        }
        stock.allocated_lines += lines;
        drop(stock);
        vec![Line([0.0; LINE]); lines]
    }

    fn put(&self, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.lock().by_lines.entry(lines.len()).or_default().push(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_reused() {
        let pool = BufferPool::default();
        let first = pool.take_copy(&[1.0; 100]);
        let address = first.as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop(first);
        let again = pool.take(97);
        assert_eq!((again.as_ptr(), again.len(), again[96]), (address, 97, 1.0));
        assert_eq!(pool.peak_bytes(), 7 * 64);
        assert_eq!(&*pool.take_zeroed(2), [0.0, 0.0]);
    }

    #[test]
    fn clear_forgets_what_is_on_the_shelves_only() {
        let pool = BufferPool::default();
        let held = pool.take(16);
        drop(pool.take(16));
        assert_eq!(pool.peak_bytes(), 128);
        pool.clear();
        drop(held);
        assert_eq!(pool.peak_bytes(), 64);
    }
}
