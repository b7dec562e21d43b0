//! The instruction sets that kernels may use.

/// Instruction sets, from the least to the most capable. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Family {
    Portable,
    Avx2,
    Avx512,
    /// The same with products of bf16.
    Avx512Bf16,
}

/// An instruction set that this machine has; a value of this type is the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Family);

impl Isa {
    /// Plain Rust, vectorised by the compiler for the baseline of the target.
    pub const PORTABLE: Self = Self(Family::Portable);

    /// Every instruction set that this machine has, the best first. Tests run each of them.
    pub fn available() -> impl Iterator<Item = Self> {
        [Family::Avx512Bf16, Family::Avx512, Family::Avx2, Family::Portable]
            .into_iter()
            .filter(|family| family.is_here())
            .map(Self)
    }

    /// The best instruction set that this machine has.
    pub fn best() -> Self {
        Self::available().next().unwrap_or(Self::PORTABLE)
    }

    /// The name used in records and tables.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Family::Portable => "portable",
            Family::Avx2 => "avx2",
            Family::Avx512 | Family::Avx512Bf16 => "avx512",
        }
    }

    /// Whether it is AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn is_avx2(self) -> bool {
        matches!(self.0, Family::Avx2)
    }

    /// Whether it is AVX-512 (F, VL, DQ, BW).
    pub(crate) const fn is_avx512(self) -> bool {
        matches!(self.0, Family::Avx512 | Family::Avx512Bf16)
    }

    /// Whether it has an instruction for products of bf16 as well.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn has_bf16(self) -> bool {
        matches!(self.0, Family::Avx512Bf16)
    }
}

impl Family {
    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Avx512 => {
                Self::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            Self::Avx512Bf16 => Self::Avx512.is_here() && is_x86_feature_detected!("avx512bf16"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        self == Self::Portable
    }
}
