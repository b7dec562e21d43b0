//! One loop, compiled once for each instruction set.

/// Compiles a loop in plain Rust once for each [`Isa`](crate::isa::Isa), and
/// makes a function of the same name that takes a
/// [`Context`](crate::isa::Context) first and runs the version it asks for.
///
/// Meant for the inner loops that the compiler vectorises by itself. None of
/// them fuses a multiplication with an addition, and Rust never reorders
/// floating-point sums, so all versions give the same bits.
macro_rules! per_isa {
    ($(
        $(#[$attribute:meta])*
        $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block
    )*) => {$(
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments, reason = "the context comes on top of what the loop needs")]
        $vis fn $name(ctx: &$crate::isa::Context, $($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as the function around it")]
            fn portable($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as the function around it")]
            fn avx2($($argument: $type),*) {
                portable($($argument),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
            #[allow(clippy::too_many_arguments, reason = "as the function around it")]
            fn avx512($($argument: $type),*) {
                portable($($argument),*);
            }

            match ctx.isa() {
                // SAFETY: a context for AVX2 exists only where the machine has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: a context for AVX-512 exists only where the machine has all of these.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 => unsafe { avx512($($argument),*) },
                _ => portable($($argument),*),
            }
        }
    )*};
}

pub(crate) use per_isa;
