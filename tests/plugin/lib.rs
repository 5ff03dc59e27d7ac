//! A plug-in with its own instance of the heap, for the test of `dlclose` in
//! `tests/process/plugin.rs`.

use greyspan::Greyspan;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// A pointer to [`work`] under a name that the test looks up.
#[unsafe(no_mangle)]
pub static PLUGIN_WORK: extern "C" fn() -> usize = work;

/// Fills and frees so much that the heap starts a background thread. Returns the sum of the bytes
/// that it wrote.
extern "C" fn work() -> usize {
    let blocks: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1 << 20]).collect();
    blocks.iter().map(|block| usize::from(block[0])).sum()
}
