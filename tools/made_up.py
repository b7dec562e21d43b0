"""Values that tests in Rust make alike, bit for bit: those of crates/made-up."""
import numpy as np

# Values at a time, so that no copy of a large tensor is made.
CHUNK = 1 << 22


def uniform(name, count):
    """`count` multiples of 2^-23 in [-1, 1), a function of `name`: its FNV-1a
    hash, continued by splitmix64 (Steele, Lea and Flood 2014)."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    values = np.empty(count)
    with np.errstate(over="ignore"):
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            z = np.uint64(seed) + np.arange(start + 1, stop + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            values[start:stop] = (z >> np.uint64(40)) * 2.0**-23 - 1.0
    return values
