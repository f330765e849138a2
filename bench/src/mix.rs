//! `mix`, the hash that generated events and checksums are made of.
//!
//! It is the finaliser of splitmix64: a bijection of the 64-bit integers, the same in every engine the workloads
//! are written for, so that a checksum can be compared across them. It costs about a nanosecond.

/// Mixes the bits of `x`; all arithmetic wraps.
///
/// ```
/// assert_eq!(pelton_bench::mix(0), 0xE220_A839_7B1D_CDAF);
/// ```
#[inline(always)]
pub const fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
