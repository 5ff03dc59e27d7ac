//! [`Sim`]: a page source for tests. It refuses calls on demand and checks every transition of the
//! contract.
//!
//! - It owns the state of every page that it handed out. The memory comes from the real backend.
//! - Its callers are unit tests, with heaps that are not the global allocator: its records
//!   allocate.
//! - One lock covers the records and each call, so that records and memory never disagree.
//!
//! A heap that is correct on this source is correct on a system stricter than the real one: pages
//! that are not Ready fault, and a refused `release` overwrites the contents. Its pages may be
//! larger than the machine's.
//!
//! Tests control it by the methods here. The records, the plan of refusals and the check of each
//! call are in `books`; the calls themselves are in `source`.
//!
//! Invariants:
//! 1. A range in `runs` is this system's and in that state; runs do not overlap. Pages in no run
//!    are None. A mapping without access keeps a window from other callers.
//! 2. Pages that are Reserved or Prepared have no access; pages that are Ready have full access.
//! 3. A call that breaks the contract is recorded in `violations`, refused, and changes nothing.

mod books;
mod source;
mod tests;

use std::ops::Range;
use std::ptr::NonNull;

use super::{NATIVE, PageSource};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::lock::{Guard, Lock};
use books::{Books, Plan, State, lies_in};

/// The calls that are counted and can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`PageSource::reserve`].
    Reserve,
    /// [`PageSource::claim`].
    Claim,
    /// [`PageSource::prepare`].
    Prepare,
    /// [`PageSource::ready`].
    Ready,
    /// [`PageSource::release`].
    Release,
    /// [`PageSource::remap`].
    Remap,
    /// [`PageSource::free`]. If it is refused, the range is lost: no longer this system's, and
    /// never mapped again.
    Free,
}

/// The simulated system.
pub(crate) struct Sim {
    /// Bytes of a page, for callers without the lock.
    page: usize,
    books: Lock<Books>,
    /// Nanoseconds that a first touch takes. The next field counts first touches.
    touch_nanos: AtomicU64,
    touches: AtomicUsize,
    /// Bytes that callers asked memory for ahead of touches.
    populated: AtomicUsize,
    /// Whether `resident` tells the truth instead of a made-up number.
    honest: AtomicBool,
    /// Whether there are windows.
    windows: AtomicBool,
}

impl Sim {
    /// Returns a system that refuses nothing. It is leaked, because heaps hold it for ever.
    pub(crate) fn new() -> &'static Self {
        Self::with_page_size(NATIVE.page_size())
    }

    /// Returns a system with pages of `page` bytes, a power of two that is not below the machine's.
    pub(crate) fn with_page_size(page: usize) -> &'static Self {
        assert!(page.is_power_of_two() && page >= NATIVE.page_size());
        Box::leak(Box::new(Self {
            page,
            books: Lock::new(Books::new(page)),
            touch_nanos: AtomicU64::new(0),
            touches: AtomicUsize::new(0),
            populated: AtomicUsize::new(0),
            honest: AtomicBool::new(false),
            windows: AtomicBool::new(true),
        }))
    }

    /// Makes each first touch from now on take `nanos` nanoseconds.
    pub(crate) fn set_touch_nanos(&self, nanos: u64) {
        // Relaxed: a test's own thread reads it.
        self.touch_nanos.store(nanos, Ordering::Relaxed);
    }

    /// Makes [`PageSource::resident`] tell the truth from now on.
    pub(crate) fn be_honest(&self) {
        // Relaxed: a test's own thread reads it.
        self.honest.store(true, Ordering::Relaxed);
    }

    /// Removes all windows from now on.
    pub(crate) fn board_up_windows(&self) {
        // Relaxed: a test's own thread reads it.
        self.windows.store(false, Ordering::Relaxed);
    }

    /// Puts another mapping at `base` from now on.
    pub(crate) fn occupy(&self, base: usize, bytes: usize) {
        self.books().occupied.push((base, base + bytes));
    }

    /// Returns the number of windows chosen so far.
    pub(crate) fn windows(&self) -> usize {
        self.books().windows.len()
    }

    /// Returns the bytes for which callers asked for memory ahead of touches.
    pub(crate) fn populated(&self) -> usize {
        // Relaxed: a test's own thread wrote it.
        self.populated.load(Ordering::Relaxed)
    }

    /// Returns the number of first touches so far.
    pub(crate) fn touches(&self) -> usize {
        // Relaxed: a test's own thread writes it.
        self.touches.load(Ordering::Relaxed)
    }

    /// Refuses the `k`-th call, counted as [`calls`](Self::calls) counts: the next one is `calls()
    /// + 1`.
    pub(crate) fn fail_at(&self, k: usize) {
        self.books().plan = Plan::At(k);
    }

    /// Refuses the `k`-th call and all after it.
    pub(crate) fn fail_from(&self, k: usize) {
        self.books().plan = Plan::From(k);
    }

    /// Refuses every call of one kind.
    pub(crate) fn fail_kind(&self, kind: Kind) {
        self.books().plan = Plan::Every(kind);
    }

    /// Refuses every release that covers a page at one of these addresses.
    pub(crate) fn fail_release_in(&self, addresses: Range<usize>) {
        self.books().plan = Plan::ReleaseIn(addresses.start, addresses.end);
    }

    /// Refuses no call any more.
    pub(crate) fn heal(&self) {
        self.books().plan = Plan::Nothing;
    }

    /// Returns the number of calls, since the system was made, that could be refused.
    pub(crate) fn calls(&self) -> usize {
        self.books().calls
    }

    /// Returns the number of calls refused by plan.
    pub(crate) fn refusals(&self) -> usize {
        self.books().refusals
    }

    /// Returns every call that broke the contract.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.books().violations.clone()
    }

    /// Returns the number of huge pages that were asked for and not revoked.
    pub(crate) fn advised(&self) -> usize {
        self.books().advised.len()
    }

    /// Returns the bytes in Ready pages.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.books().bytes(|state| state == State::Ready)
    }

    /// Returns the bytes of address space that are this system's, in any state.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.books().bytes(|_| true)
    }

    /// Gives everything back to the real system. The heaps that used this one are gone.
    ///
    /// # Safety
    /// No code touches any memory of this system any more.
    pub(crate) unsafe fn tear_down(&self) {
        let mut books = self.books();
        let reservations = std::mem::take(&mut books.reservations);
        let windows = std::mem::take(&mut books.windows);
        for (start, (end, _)) in std::mem::take(&mut books.runs) {
            if windows.iter().any(|&window| lies_in(start, end - start, window)) {
                continue;
            }
            let inside = |&&(base, bytes): &&(NonNull<u8>, usize)| start.wrapping_sub(base.addr().get()) < bytes;
            let (base, _) = reservations.iter().rfind(inside).expect("runs lie in reservations");
            let base = base.map_addr(|_| start.try_into().expect("no run begins at null"));
            // SAFETY: the range is this system's, and unused by the contract of this function.
            unsafe { NATIVE.free(base, end - start) };
        }
        for (base, bytes) in windows {
            // SAFETY: the window is this system's, and unused by the contract of this function.
            unsafe { NATIVE.free(base, bytes) };
        }
    }

    fn books(&self) -> Guard<'_, Books> {
        self.books.lock()
    }
}
