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

/// A block of a size known at run time only, of which the first and the last byte are written and the rest is not.
///
/// Invariant 1: there is a byte. Invariant 2: the first and the last byte are initialised.
#[derive(Debug)]
pub(crate) struct Bytes(Box<[MaybeUninit<u8>]>);

impl Bytes {
    /// Makes a block of `size` bytes; no block has fewer than 1.
    #[inline(always)]
    pub(crate) fn new(size: usize) -> Self {
        let mut block = Self(Box::new_uninit_slice(size.max(1)));
        block.renew();
        block
    }

    /// Its size in bytes, by its pointer alone.
    #[inline(always)]
    pub(crate) fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Writes both ends anew.
    #[inline(always)]
    pub(crate) fn renew(&mut self) {
        let size = self.0.len();
        self.0[size - 1].write(!(size as u8));
        self.0[0].write(size as u8);
    }

    /// Writes all bytes between the ends.
    #[inline(always)]
    pub(crate) fn fill(&mut self, byte: u8) {
        if let [_, middle @ .., _] = &mut *self.0 {
            middle.fill(MaybeUninit::new(byte));
        }
    }

    /// Writes a byte between the ends every 4096, so that each of its pages has been written.
    #[inline(always)]
    pub(crate) fn touch(&mut self) {
        if let [_, middle @ .., _] = &mut *self.0 {
            for page in middle.chunks_mut(4096) {
                page[page.len() - 1].write(1);
            }
        }
    }

    /// The byte at the front.
    #[inline(always)]
    pub(crate) fn first(&self) -> u8 {
        // SAFETY: invariants 1 and 2.
        unsafe { self.0[0].assume_init() }
    }

    /// The byte at the back.
    #[inline(always)]
    pub(crate) fn last(&self) -> u8 {
        // SAFETY: invariants 1 and 2.
        unsafe { self.0[self.0.len() - 1].assume_init() }
    }

    /// Its size in bytes, with both ends read back.
    ///
    /// # Panics
    /// If somebody else has written there.
    #[inline(always)]
    pub(crate) fn intact(&self) -> u64 {
        let size = self.size();
        assert!(
            self.first() == size as u8 && (size == 1 || self.last() == !(size as u8)),
            "a block changed under its owner's hands"
        );
        size
    }
}
