//! A plug-in with the heap as its own allocator, for the test of `dlclose` in
//! `tests/process/plugin.rs`.

use greyspan::Greyspan;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// [`work`], where the test finds it.
#[unsafe(no_mangle)]
pub static PLUGIN_WORK: extern "C" fn() -> usize = work;

/// Fills and frees enough that the heap has a background thread. Returns the sum of what it wrote.
extern "C" fn work() -> usize {
    let blocks: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1 << 20]).collect();
    blocks.iter().map(|block| usize::from(block[0])).sum()
}
