//! [`Block`]: a box of constant size. Only its first word is written, so that a workload measures
//! the allocator alone.
//!
//! The workloads of this folder and the instruction ruler use it.

use std::mem::MaybeUninit;

/// A box of `WORDS` words.
///
/// Invariant 1: the first word is initialised. Invariant 2: a first word exists.
#[derive(Debug)]
pub(crate) struct Block<const WORDS: usize>(Box<MaybeUninit<[u64; WORDS]>>);

impl<const WORDS: usize> Block<WORDS> {
    /// Returns a block whose first word is `word`.
    #[inline(always)]
    pub(crate) fn new(word: u64) -> Self {
        const { assert!(WORDS > 0) };
        let mut block = Box::<[u64; WORDS]>::new_uninit();
        let first = block.as_mut_ptr().cast::<u64>();
        // SAFETY: `first` points to the first of at least one words (asserted above) of a box that
        // this function owns.
        unsafe { first.write(word) };
        Self(block)
    }

    /// Returns the first word.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        let first = self.0.as_ptr().cast::<u64>();
        // SAFETY: invariants 1 and 2. The shared borrow of `self` keeps the box alive and
        // unchanged.
        unsafe { first.read() }
    }
}

/// A block of a size known at run time only. Its first and last byte are written, the rest is not.
///
/// Invariant 1: the block has at least one byte. Invariant 2: the first and the last byte are
/// initialised.
#[derive(Debug)]
pub(crate) struct Bytes(Box<[MaybeUninit<u8>]>);

impl Bytes {
    /// Makes a block of `size` bytes, but at least 1.
    #[inline(always)]
    pub(crate) fn new(size: usize) -> Self {
        let mut block = Self(Box::new_uninit_slice(size.max(1)));
        block.renew();
        block
    }

    /// Returns its size in bytes, without reading the block.
    #[inline(always)]
    pub(crate) fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Writes both ends again.
    #[inline(always)]
    pub(crate) fn renew(&mut self) {
        let size = self.0.len();
        self.0[size - 1].write(!(size as u8));
        self.0[0].write(size as u8);
    }

    /// Writes every byte between the ends.
    #[inline(always)]
    pub(crate) fn fill(&mut self, byte: u8) {
        if let [_, middle @ .., _] = &mut *self.0 {
            middle.fill(MaybeUninit::new(byte));
        }
    }

    /// Writes one byte in every 4096 between the ends, so that each page of the block is written.
    #[inline(always)]
    pub(crate) fn touch(&mut self) {
        if let [_, middle @ .., _] = &mut *self.0 {
            for page in middle.chunks_mut(4096) {
                page[page.len() - 1].write(1);
            }
        }
    }

    /// Returns the first byte.
    #[inline(always)]
    pub(crate) fn first(&self) -> u8 {
        // SAFETY: invariants 1 and 2: the first byte exists and is initialised.
        unsafe { self.0[0].assume_init() }
    }

    /// Returns the last byte.
    #[inline(always)]
    pub(crate) fn last(&self) -> u8 {
        // SAFETY: invariants 1 and 2: the last byte exists and is initialised.
        unsafe { self.0[self.0.len() - 1].assume_init() }
    }

    /// Returns its size in bytes, after reading both ends back.
    ///
    /// # Panics
    /// If another owner has written to the block.
    #[inline(always)]
    pub(crate) fn intact(&self) -> u64 {
        let size = self.size();
        assert!(
            self.first() == size as u8 && (size == 1 || self.last() == !(size as u8)),
            "a block changed while its owner held it"
        );
        size
    }
}
