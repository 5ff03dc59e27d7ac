//! The public surface: what a user of the crate can call.

pub(crate) mod global;
pub(crate) mod stats;
mod text;

/// TEMPORARY
pub fn stats() -> stats::Stats {
    stats::Stats::default()
}
/// TEMPORARY
pub fn purge() -> usize {
    0
}
/// TEMPORARY
pub fn thread_idle() {}
/// The crate's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
