//! Ground rules shared by every tier: addresses, geometry, bit runs and intrusive lists. Uses `core` and [`crate::sync`] only.

pub(crate) mod addr;
pub(crate) mod bitmap;
pub(crate) mod geometry;
pub(crate) mod list;
pub(crate) mod prefetch;
