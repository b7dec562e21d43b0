//! The machine's speed at the moment: multiply-adds and bytes per second.

use std::time::{Duration, Instant};

use decouple_kernels::{isa::Isa, peak};
use rayon::prelude::*;

use super::worker::{Prepared, Request};

/// Far larger than any cache.
const DRAM_LEN: usize = 1 << 26;
/// Values that a task moves at a time.
const CHUNK: usize = 1 << 16;

/// The rates, as facts: there is nothing to repeat.
pub(crate) fn prepare(request: &Request) -> Prepared {
    let limit = Duration::from_secs_f64(request.seconds);
    let map_len = request.batch * request.side * request.side * request.channels;
    let dram = vec![1.0; DRAM_LEN];
    let facts = [
        ("macs_per_sec", peak::macs_per_sec(Isa::best())),
        ("map_copy_bytes_per_sec", copy_bytes_per_sec(&vec![1.0; map_len], limit)),
        ("dram_copy_bytes_per_sec", copy_bytes_per_sec(&dram, limit)),
        ("dram_read_bytes_per_sec", read_bytes_per_sec(&dram, limit)),
    ];
    Prepared { parts: Vec::new(), facts: facts.into() }
}

/// Bytes read and written a second when `from` is copied.
fn copy_bytes_per_sec(from: &[f32], limit: Duration) -> f64 {
    let mut to = vec![0.0; from.len()];
    let copy = || {
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from))
    };
    2.0 * size_of_val(from) as f64 / least_secs(copy, limit)
}

/// Bytes read a second when `values` are summed.
fn read_bytes_per_sec(values: &[f32], limit: Duration) -> f64 {
    let sum = || {
        let sums = values.par_chunks(CHUNK).map(|chunk| {
            let (blocks, _) = chunk.as_chunks::<64>();
            let mut lanes = [0.0_f32; 64];
            for block in blocks {
                lanes.iter_mut().zip(block).for_each(|(lane, value)| *lane += value);
            }
            lanes[0]
        });
        std::hint::black_box(sums.sum::<f32>());
    };
    size_of_val(values) as f64 / least_secs(sum, limit)
}

/// The shortest of the runs that fit into `limit`, at least three.
fn least_secs(mut run: impl FnMut(), limit: Duration) -> f64 {
    let (begin, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 3 || begin.elapsed() < limit {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    least
}
