//! Memory for the allocator's own records. It is taken from the operating system, never returned,
//! and never shared with user objects.
//!
//! This module owns the chunks from which records are cut. Callers hold the lock of the structure
//! that owns the [`Bump`] or [`Pool`].
//!
//! - META-1. A record's memory holds records of its type only, for the life of the process (it is
//!   type-stable). A stale reference reads an old or a new record of that type, never user data.
//! - META-2. Fresh memory is zero. It is touched only when a record is written, so the unused rest
//!   of a chunk costs no physical memory.

use crate::base::addr::align_up;
use crate::base::list::{Linked, List};
use crate::os::Os;
use crate::os::PageSource;
use crate::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use core::ptr::NonNull;

/// Bytes of the first chunk, and of the largest. Each chunk is as large as all before it
/// together.
const CHUNK_MIN: usize = 128 << 10;
const CHUNK_MAX: usize = 1 << 20;
/// Most bytes of a chunk that is asked for ahead.
const AHEAD_MAX: usize = 4 << 20;

/// A bump allocator over chunks from the operating system.
pub(crate) struct Bump {
    at: Option<NonNull<u8>>,
    left: usize,
    /// The next chunk and its bytes, if it was asked for ahead.
    spare: Option<(NonNull<u8>, usize)>,
    mapped: usize,
    used: usize,
}

// SAFETY: the chunk that `at` points into belongs to this value alone, whichever thread holds it.
unsafe impl Send for Bump {}

impl Bump {
    /// Returns an allocator without memory.
    pub(crate) const fn new() -> Self {
        Self {
            at: None,
            left: 0,
            spare: None,
            mapped: 0,
            used: 0,
        }
    }

    /// Returns `bytes` of zeroed memory, aligned to `align` (at most an OS page), for ever. `None`:
    /// the system refuses.
    pub(crate) fn take(&mut self, os: &Os, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let skip = self
            .at
            .map_or(0, |at| align_up(at.addr().get(), align) - at.addr().get());
        if self.at.is_none() || self.left < bytes + skip {
            self.refill(os, bytes)?;
            return self.take(os, bytes, align);
        }
        // SAFETY: `left` bytes follow `at` in the chunk, and `skip + bytes` is not more.
        let start = unsafe { self.at?.add(skip) };
        // SAFETY: `left` bytes follow `at` in the chunk, and `skip + bytes` is not more.
        self.at = Some(unsafe { start.add(bytes) });
        self.left -= skip + bytes;
        self.used += skip + bytes;
        Some(start)
    }

    /// Continues in a chunk with room for `bytes`.
    fn refill(&mut self, os: &Os, bytes: usize) -> Option<()> {
        let chunk = match self.spare.take_if(|(_, room)| *room >= bytes) {
            Some(spare) => spare,
            None => self.next_chunk(os, bytes)?,
        };
        (self.at, self.left) = (Some(chunk.0), chunk.1);
        Some(())
    }

    fn next_chunk(&mut self, os: &Os, bytes: usize) -> Option<(NonNull<u8>, usize)> {
        let page = os.page_size();
        let chunk = self.mapped.clamp(CHUNK_MIN, CHUNK_MAX);
        let want = align_up(bytes.max(chunk), page);
        // If the system refuses a whole chunk, it may still give a smaller one.
        let (least, mut want) = (align_up(bytes, page), want);
        let base = loop {
            match take_chunk(os, want) {
                Some(base) => break base,
                None if want > least => want = align_up(want / 2, page).max(least),
                None => return None,
            }
        };
        self.mapped += want;
        Some((base, want))
    }

    /// Asks for the next chunk ahead if not even half of `bytes` fits, so that chunks grow with
    /// demand. If the system refuses, `take` asks again.
    pub(crate) fn make_room(&mut self, os: &Os, bytes: usize) {
        let (bytes, room) = (bytes.min(AHEAD_MAX), self.spare.map_or(0, |(_, room)| room));
        if self.left + room < bytes / 2
            && let Some(chunk) = self.next_chunk(os, bytes)
            && let Some((base, bytes)) = self.spare.replace(chunk)
        {
            self.mapped -= bytes;
            // SAFETY: the chunk is this value's own, and no record lies in it.
            unsafe { os.free(base, bytes) };
        }
    }

    /// Returns the bytes taken from the operating system.
    pub(crate) fn mapped(&self) -> usize {
        self.mapped
    }

    /// Returns the bytes handed out.
    pub(crate) fn used(&self) -> usize {
        self.used
    }
}

/// Returns `bytes` bytes of fresh memory, which is zero. `None`: the system refuses.
pub(crate) fn take_chunk(os: &Os, bytes: usize) -> Option<NonNull<u8>> {
    let base = os.reserve(bytes, os.page_size())?;
    // SAFETY: `base` was just reserved with this length.
    let prepared = unsafe { os.prepare(base, bytes) };
    // SAFETY: the range is Prepared if `prepared` holds; otherwise this is not reached.
    if prepared && unsafe { os.ready(base, bytes) } {
        return Some(base);
    }
    // SAFETY: the reservation is ours, and no part of it is in use.
    unsafe { os.free(base, bytes) };
    None
}

/// A record that can be found again: each knows the one made before it.
pub(crate) trait Record: Sized + 'static {
    /// Returns the record made before this one, or null; written once.
    fn older(&self) -> &AtomicPtr<Self>;
}

/// All records that a pool ever made, in use or not, the newest first.
pub(crate) struct All<R: Record>(*mut R);

impl<R: Record> Iterator for All<R> {
    type Item = &'static R;
    fn next(&mut self) -> Option<&'static R> {
        // SAFETY: null, or a record, which lives for ever.
        let record = unsafe { self.0.as_ref() }?;
        self.0 = record.older().load(Relaxed);
        Some(record)
    }
}

/// Records of one type, recycled through a list.
pub(crate) struct Pool<L: Linked> {
    bump: Bump,
    newest: AtomicPtr<L::Node>,
    free: List<L>,
    in_use: usize,
}

impl<L: Linked<Node: Record>> Pool<L> {
    crate::sync::const_unless_loom! {
        /// Returns a pool without memory.
        pub(crate) fn new() -> Self {
            Self { bump: Bump::new(), newest: AtomicPtr::new(core::ptr::null_mut()), free: List::new(), in_use: 0 }
        }
    }

    /// Returns a record: a recycled one in its last state, or fresh memory written with `new`.
    /// `None`: no memory.
    pub(crate) fn take(&mut self, os: &Os, new: impl FnOnce() -> L::Node) -> Option<&'static L::Node> {
        let record = match self.free.pop() {
            Some(record) => record,
            None => {
                let fresh = self
                    .bump
                    .take(os, size_of::<L::Node>(), align_of::<L::Node>())?
                    .cast::<L::Node>();
                // SAFETY: fresh memory of the right size and alignment, used for this record only
                // (META-1).
                unsafe { fresh.write(new()) };
                // SAFETY: just initialised, never freed, and reached only by shared references from
                // here on.
                let record = unsafe { fresh.as_ref() };
                record.older().store(self.newest.load(Relaxed), Relaxed);
                self.newest.store(fresh.as_ptr(), Relaxed);
                record
            }
        };
        self.in_use += 1;
        Some(record)
    }

    /// Provides room for `count` records in all, used ones included, so that a heap at its limit
    /// has records for all of its pages.
    pub(crate) fn make_room(&mut self, os: &Os, count: usize) {
        let bytes = (count * size_of::<L::Node>()).saturating_sub(self.bump.used());
        self.bump.make_room(os, bytes);
    }

    /// Returns all records. The caller may walk them after it dropped the pool's lock.
    pub(crate) fn all(&self) -> All<L::Node> {
        All(self.newest.load(Relaxed))
    }

    /// Takes back a record that is not in use and is on no list of this kind.
    pub(crate) fn give(&mut self, record: &'static L::Node) {
        self.in_use -= 1;
        self.free.push(record);
    }

    /// Returns the bytes of the records in use.
    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use * size_of::<L::Node>()
    }

    /// Returns the bytes taken from the operating system.
    pub(crate) fn mapped(&self) -> usize {
        self.bump.mapped()
    }

    /// Returns the bytes of memory ever written.
    pub(crate) fn touched(&self) -> usize {
        self.bump.used()
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
