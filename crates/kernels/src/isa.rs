//! Which instructions a kernel may use, and what every kernel call is given.

use crate::{buffer::BufferPool, numerics::Numerics};

/// A family of vector instructions, from the least to the most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, vectorised by the compiler for the baseline of the target.
    Portable,
    /// Plain Rust in the shape of AVX-512.
    #[cfg(test)]
    Wide,
    /// AVX2 with FMA: eight lanes, sixteen registers.
    Avx2,
    /// AVX-512 (F, VL, DQ, BW): sixteen lanes, thirty-two registers, masks.
    Avx512,
}

impl Isa {
    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(test)]
            Self::Wide => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Every family this machine has, the best first. Tests run each of them.
    pub fn available() -> impl Iterator<Item = Self> {
        let all = [
            Self::Avx512,
            Self::Avx2,
            #[cfg(test)]
            Self::Wide,
            Self::Portable,
        ];
        all.into_iter().filter(|isa| isa.is_available())
    }

    /// The best family this machine has.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// The name that records and tables carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(test)]
            Self::Wide => "wide",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// What every kernel call is given: the instructions it may use, how exact it
/// has to be, and the pool that its scratch comes from. Threads are rayon's
/// current pool.
#[derive(Clone, Debug)]
pub struct Context {
    isa: Isa,
    numerics: Numerics,
    multiplies_pairs: bool,
    /// Scratch and results.
    pub pool: BufferPool,
}

impl Context {
    /// A context for `isa` with a pool of its own; `None` if this machine
    /// lacks the instructions. That check is what makes the kernels' calls of
    /// vector instructions sound, so there is no other way to choose a family.
    pub fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then(|| Self::of(isa))
    }

    /// A context for the best instructions of this machine.
    pub fn best() -> Self {
        Self::of(Isa::best())
    }

    /// `isa` must be available.
    fn of(isa: Isa) -> Self {
        Self { isa, numerics: Numerics::default(), multiplies_pairs: false, pool: BufferPool::default() }
    }

    /// The same context with another trade of exactness for speed.
    pub fn with(self, numerics: Numerics) -> Self {
        Self { numerics, ..self }
    }

    /// The instructions in use; this machine has them.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The same context for products of pairs of bf16; `None` if this machine
    /// lacks the instructions.
    pub(crate) fn of_pairs(&self) -> Option<Self> {
        let has_instructions = match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512bf16"),
            // Plain Rust in its place, so that all around it is tested everywhere.
            #[cfg(test)]
            Isa::Wide => true,
            _ => false,
        };
        has_instructions.then(|| Self { multiplies_pairs: true, ..self.clone() })
    }

    /// Whether the factors of products are pairs of bf16.
    pub(crate) fn multiplies_pairs(&self) -> bool {
        self.multiplies_pairs
    }

    /// The trade of exactness for speed in use.
    pub fn numerics(&self) -> Numerics {
        self.numerics
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::best()
    }
}
