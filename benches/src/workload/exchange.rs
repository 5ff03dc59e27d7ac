//! [`Exchange`]: threads swap batches of blocks here, so that one frees the blocks of another.
//!
//! The workloads of this folder use it. The batch that a thread receives depends on the others'
//! speed. So a checksum covers only the blocks that a thread makes; received batches are only read.
//! A place holds at most one batch, so the number of waiting blocks is bounded.

#![forbid(unsafe_code)]

use super::block::Bytes;
use std::sync::{Mutex, MutexGuard};

type Batch = Vec<Bytes>;

/// Places for one batch each, each with a lock that is held for a swap of pointers.
#[derive(Debug)]
pub(super) struct Exchange(Vec<Mutex<Batch>>);

impl Exchange {
    pub(super) fn new(places: usize) -> Self {
        Self((0..places).map(|_| Mutex::default()).collect())
    }

    pub(super) fn places(&self) -> usize {
        self.0.len()
    }

    /// Leaves `batch` in a place and returns its previous content: nothing, or a batch of this or
    /// another thread.
    pub(super) fn swap(&self, place: usize, batch: Batch) -> Batch {
        let mut held: MutexGuard<'_, Batch> = self.0[place].lock().expect("no holder panics");
        std::mem::replace(&mut held, batch)
    }
}
