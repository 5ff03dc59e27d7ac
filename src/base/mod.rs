//! The ground floor of every tier: addresses, geometry, bit runs and intrusive lists. Uses only
//! `core` and [`crate::sync`].

pub(crate) mod addr;
pub(crate) mod bitmap;
pub(crate) mod geometry;
pub(crate) mod list;
pub(crate) mod prefetch;
