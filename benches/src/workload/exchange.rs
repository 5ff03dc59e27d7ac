//! [`Exchange`]: where threads swap batches of blocks, so that one frees what another has made.
//!
//! Called by the workloads of this folder. Which batch a thread receives depends on the others' speed, so a checksum is
//! taken over what a thread makes and the batches received are only looked at. A place holds one batch at most: what
//! waits here is bounded.

#![forbid(unsafe_code)]

use super::block::Bytes;
use std::sync::{Mutex, MutexGuard};

type Batch = Vec<Bytes>;

/// Places for one batch each; a lock a place, held for a swap of pointers.
#[derive(Debug)]
pub(super) struct Exchange(Vec<Mutex<Batch>>);

impl Exchange {
    pub(super) fn new(places: usize) -> Self {
        Self((0..places).map(|_| Mutex::default()).collect())
    }

    pub(super) fn places(&self) -> usize {
        self.0.len()
    }

    /// Leaves `batch` in a place and takes what was there: nothing, or a batch of this or another thread.
    pub(super) fn swap(&self, place: usize, batch: Batch) -> Batch {
        let mut held: MutexGuard<'_, Batch> = self.0[place].lock().expect("no holder panics");
        std::mem::replace(&mut held, batch)
    }
}
