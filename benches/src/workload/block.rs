//! [`Block`]: a box of constant size of which only the first word is written, so that its cost is the allocator's alone.
//!
//! Called by the workloads of this folder and by the instruction ruler.

use std::mem::MaybeUninit;

/// A box of `WORDS` words.
///
/// Invariant 1: the first word is initialised. Invariant 2: there is a first word.
#[derive(Debug)]
pub(crate) struct Block<const WORDS: usize>(Box<MaybeUninit<[u64; WORDS]>>);

impl<const WORDS: usize> Block<WORDS> {
    /// Makes a block whose first word is `word`.
    #[inline(always)]
    pub(crate) fn new(word: u64) -> Self {
        const { assert!(WORDS > 0) };
        let mut block = Box::<[u64; WORDS]>::new_uninit();
        let first = block.as_mut_ptr().cast::<u64>();
        // SAFETY: `first` points to the first of at least one words (asserted above) of a box that is ours alone.
        unsafe { first.write(word) };
        Self(block)
    }

    /// The first word.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        let first = self.0.as_ptr().cast::<u64>();
        // SAFETY: invariants 1 and 2; the shared borrow of `self` keeps the box alive and unchanged.
        unsafe { first.read() }
    }
}
