//! The ground floor of every tier: addresses, geometry, bit runs and intrusive lists. Uses only
//! `core` and [`crate::sync`].

pub(crate) mod addr;
#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
pub(crate) mod arch;
pub(crate) mod bitmap;
pub(crate) mod geometry;
pub(crate) mod list;
pub(crate) mod prefetch;
