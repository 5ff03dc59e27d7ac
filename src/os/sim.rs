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
//! Invariants:
//! 1. A range in `runs` is this system's and in that state; runs do not overlap. Pages in no run
//!    are None. A mapping without access keeps a window from other callers.
//! 2. Pages that are Reserved or Prepared have no access; pages that are Ready have full access.
//! 3. A call that breaks the contract is recorded in `violations`, refused, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;

use super::errno::KeepErrno;
use super::{Claim, NATIVE, PageSource};
use crate::base::geometry::HUGE;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::lock::{Guard, Lock};

mod tests;

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

/// The state of a page that is not None.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reserved,
    Prepared,
    Ready,
}

/// The calls that are refused.
#[derive(Clone, Copy, Debug)]
enum Plan {
    Nothing,
    At(usize),
    From(usize),
    Every(Kind),
    /// Every release of a page among these addresses.
    ReleaseIn(usize, usize),
}

struct Books {
    /// Bytes of a page: at least the machine's.
    page: usize,
    /// Start of each run of pages in one state -> its end and state (invariant 1).
    runs: BTreeMap<usize, (usize, State)>,
    /// Base and bytes of all reservations ever made.
    reservations: Vec<(NonNull<u8>, usize)>,
    /// Base and bytes of every window. The next field holds the other mappings in them.
    windows: Vec<(NonNull<u8>, usize)>,
    occupied: Vec<(usize, usize)>,
    calls: usize,
    refusals: usize,
    plan: Plan,
    violations: Vec<String>,
    /// Addresses of the huge pages that were asked for and not revoked.
    advised: BTreeSet<usize>,
}

// SAFETY: the pointers are addresses to hand to the system, used under the lock.
unsafe impl Send for Books {}

/// Most bytes of a window.
const WINDOW_BYTES: usize = 64 << 30;

/// The simulated system.
pub(crate) struct Sim {
    /// Bytes of a page, for callers without the lock.
    page: usize,
    books: Lock<Books>,
    /// Nanoseconds that a first touch takes. The next field counts first touches.
    touch_nanos: AtomicU64,
    touches: AtomicUsize,
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
        let books = Books {
            page,
            runs: BTreeMap::new(),
            reservations: Vec::new(),
            windows: Vec::new(),
            occupied: Vec::new(),
            calls: 0,
            refusals: 0,
            plan: Plan::Nothing,
            violations: Vec::new(),
            advised: BTreeSet::new(),
        };
        Box::leak(Box::new(Self {
            page,
            books: Lock::new(books),
            touch_nanos: AtomicU64::new(0),
            touches: AtomicUsize::new(0),
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

impl Books {
    fn bytes(&self, wanted: impl Fn(State) -> bool) -> usize {
        self.runs
            .iter()
            .filter(|(_, (_, state))| wanted(*state))
            .map(|(start, (end, _))| end - start)
            .sum()
    }

    /// Counts a call, and returns whether the plan lets it pass.
    fn admit(&mut self, kind: Kind) -> bool {
        self.calls += 1;
        let refused = match self.plan {
            Plan::Nothing => false,
            Plan::At(k) => self.calls == k,
            Plan::From(k) => self.calls >= k,
            Plan::Every(refused) => refused == kind,
            // The caller of `release` knows the range and applies this plan.
            Plan::ReleaseIn(..) => false,
        };
        self.refusals += usize::from(refused);
        !refused
    }

    /// Returns whether `bytes` from `base` are whole pages in an `allowed` state. If not, records a
    /// violation.
    fn check(&mut self, call: &dyn fmt::Debug, base: NonNull<u8>, bytes: usize, allowed: &[State]) -> bool {
        let (start, page) = (base.addr().get(), self.page);
        let whole = bytes > 0 && bytes.is_multiple_of(page) && start.is_multiple_of(page);
        let mut at = start;
        let end = start.saturating_add(bytes);
        while whole && at < end {
            match self.runs.range(..=at).next_back() {
                Some((_, &(run_end, state))) if at < run_end && allowed.contains(&state) => at = run_end,
                Some((_, &(run_end, state))) if at < run_end => {
                    self.violations
                        .push(format!("{call:?} of {start:#x}+{bytes:#x}: {at:#x} is {state:?}"));
                    return false;
                }
                _ => {
                    self.violations
                        .push(format!("{call:?} of {start:#x}+{bytes:#x}: {at:#x} is None"));
                    return false;
                }
            }
        }
        if !whole {
            self.violations
                .push(format!("{call:?} of {start:#x}+{bytes:#x}: not whole pages"));
        }
        whole
    }

    /// Puts a range into a state; `None` removes it from the records.
    fn set(&mut self, base: NonNull<u8>, bytes: usize, state: Option<State>) {
        let (start, end) = (base.addr().get(), base.addr().get() + bytes);
        let cut: Vec<_> = self
            .runs
            .range(..end)
            .rev()
            .take_while(|(_, run)| run.0 > start)
            .map(|(k, v)| (*k, *v))
            .collect();
        for (run_start, (run_end, run_state)) in cut {
            self.runs.remove(&run_start);
            if run_start < start {
                self.runs.insert(run_start, (start, run_state));
            }
            if run_end > end {
                self.runs.insert(end, (run_end, run_state));
            }
        }
        if let Some(state) = state {
            self.runs.insert(start, (end, state));
        }
    }
}

/// Returns whether `bytes` bytes from `start` on lie in the range.
fn lies_in(start: usize, bytes: usize, (base, room): (NonNull<u8>, usize)) -> bool {
    let offset = start.wrapping_sub(base.addr().get());
    offset < room && bytes <= room - offset
}

/// Gives a range full access or none (invariant 2). A refusal is a failure of the test machine.
///
/// # Safety
/// The range is the simulated system's, and no code uses it in a way that the new protection
/// forbids.
unsafe fn protect(base: NonNull<u8>, bytes: usize, access: bool) {
    let protection = if access {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_NONE
    };
    // SAFETY: no code uses the range in a way that the new protection forbids (contract of this
    // function).
    let refused = unsafe { libc::mprotect(base.as_ptr().cast(), bytes, protection) };
    assert_eq!(refused, 0, "the real system refused a change of protection");
}

// SAFETY: memory and its transitions are the real backend's, without the access that invariant 2
// takes away.
unsafe impl PageSource for Sim {
    fn page_size(&self) -> usize {
        self.page
    }

    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if bytes == 0 || !bytes.is_multiple_of(self.page) || !align.is_power_of_two() {
            books
                .violations
                .push(format!("Reserve of {bytes:#x} aligned to {align:#x}: not whole pages"));
            return None;
        }
        if !books.admit(Kind::Reserve) {
            return None;
        }
        let base = NATIVE.reserve(bytes, align.max(self.page))?;
        // SAFETY: the range is new, and no other code knows it.
        unsafe { protect(base, bytes, false) };
        books.set(base, bytes, Some(State::Reserved));
        books.reservations.push((base, bytes));
        Some(base)
    }

    fn window(&self, least: usize, most: usize, align: usize) -> Option<(NonNull<u8>, usize)> {
        let _keep = KeepErrno::new();
        if !self.windows.load(Ordering::Relaxed) {
            return None;
        }
        // Many tests have one system each in one address space.
        let bytes = most.min(WINDOW_BYTES).max(least);
        let base = NATIVE.reserve(bytes, align.max(self.page))?;
        self.books().windows.push((base, bytes));
        Some((base, bytes))
    }

    unsafe fn claim(&self, base: NonNull<u8>, bytes: usize) -> Claim {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        let (start, end) = (base.addr().get(), base.addr().get() + bytes);
        let whole = bytes > 0 && bytes.is_multiple_of(self.page) && start.is_multiple_of(self.page);
        let inside = books.windows.iter().any(|&window| lies_in(start, bytes, window));
        let ours = books
            .runs
            .range(..end)
            .next_back()
            .is_some_and(|(_, run)| run.0 > start);
        if !whole || !inside || ours {
            books.violations.push(format!(
                "Claim of {start:#x}+{bytes:#x}: whole {whole}, in a window {inside}, ours {ours}"
            ));
            return Claim::Refused;
        }
        if !books.admit(Kind::Claim) {
            return Claim::Refused;
        }
        if books.occupied.iter().any(|&(from, to)| from < end && start < to) {
            return Claim::Taken;
        }
        books.set(base, bytes, Some(State::Prepared));
        Claim::Done
    }

    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(&Kind::Prepare, base, bytes, &[State::Reserved]) || !books.admit(Kind::Prepare) {
            return false;
        }
        // SAFETY: the range is Reserved (checked) and the caller's.
        if !unsafe { NATIVE.prepare(base, bytes) } {
            return false;
        }
        // SAFETY: the range is Prepared, so no code uses it.
        unsafe { protect(base, bytes, false) };
        books.set(base, bytes, Some(State::Prepared));
        true
    }

    unsafe fn ready(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(&Kind::Ready, base, bytes, &[State::Prepared, State::Ready]) || !books.admit(Kind::Ready) {
            return false;
        }
        // SAFETY: all access forbids nothing.
        unsafe { protect(base, bytes, true) };
        // SAFETY: the range is Prepared or Ready (checked) and the caller's.
        let ready = unsafe { NATIVE.ready(base, bytes) };
        assert!(ready, "the real system has nothing to refuse here");
        books.set(base, bytes, Some(State::Ready));
        true
    }

    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(&Kind::Release, base, bytes, &[State::Ready, State::Prepared]) {
            return false;
        }
        let start = base.addr().get();
        let mut admitted = books.admit(Kind::Release);
        if let Plan::ReleaseIn(from, to) = books.plan
            && start < to
            && from < start + bytes
        {
            admitted = false;
            books.refusals += 1;
        }
        // SAFETY: all access forbids nothing.
        unsafe { protect(base, bytes, true) };
        // SAFETY: the range is Ready or Prepared (checked) and the caller's, and no reference
        // points into it.
        if !admitted || !unsafe { NATIVE.release(base, bytes) } {
            // The contents are undefined by the contract. The pattern exposes a caller that expects
            // zeros or the old contents.
            // SAFETY: the range is Ready and the caller's, and no reference points into it.
            unsafe { base.write_bytes(0xDB, bytes) };
            books.set(base, bytes, Some(State::Ready));
            return false;
        }
        // SAFETY: the range is Prepared now, so no code uses it.
        unsafe { protect(base, bytes, false) };
        books.set(base, bytes, Some(State::Prepared));
        true
    }

    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(&Kind::Remap, from, bytes, &[State::Ready])
            || !books.check(&Kind::Remap, to, bytes, &[State::Ready, State::Prepared])
        {
            return false;
        }
        if from.addr().get().abs_diff(to.addr().get()) < bytes {
            books
                .violations
                .push(format!("Remap of {from:?} to {to:?}: {bytes:#x} bytes overlap"));
            return false;
        }
        if !books.admit(Kind::Remap) {
            return false;
        }
        // SAFETY: the ranges are in the states that the contract requires (checked), disjoint, and
        // the caller's.
        if !unsafe { NATIVE.remap(from, to, bytes) } {
            return false;
        }
        // SAFETY: all access forbids nothing.
        unsafe { protect(to, bytes, true) };
        // SAFETY: `from` is Prepared now, so no code uses it.
        unsafe { protect(from, bytes, false) };
        books.set(to, bytes, Some(State::Ready));
        books.set(from, bytes, Some(State::Prepared));
        true
    }

    unsafe fn free(&self, base: NonNull<u8>, bytes: usize) {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(
            &Kind::Free,
            base,
            bytes,
            &[State::Reserved, State::Prepared, State::Ready],
        ) {
            return;
        }
        books.set(base, bytes, None);
        if books
            .windows
            .iter()
            .any(|&window| lies_in(base.addr().get(), bytes, window))
        {
            books.admit(Kind::Free);
            // SAFETY: all access forbids nothing.
            unsafe { protect(base, bytes, true) };
            // SAFETY: the range is the caller's (checked), and the caller does not use it any more.
            let zero = unsafe { NATIVE.release(base, bytes) };
            assert!(zero, "the real system has nothing to refuse here");
            // SAFETY: the range is None now, so no code uses it.
            unsafe { protect(base, bytes, false) };
            return;
        }
        if books.admit(Kind::Free) {
            // SAFETY: the range is the caller's (checked), and the caller does not use it any more.
            unsafe { NATIVE.free(base, bytes) };
        } else {
            // SAFETY: the range is the caller's, who gives it up; it stays mapped without access.
            unsafe { protect(base, bytes, false) };
        }
    }

    fn address_space_left(&self) -> Option<usize> {
        NATIVE.address_space_left()
    }

    /// Returns a time that differs from place to place, so that sums of it divide evenly into
    /// nothing.
    unsafe fn touch(&self, base: NonNull<u8>) -> u64 {
        self.books().check(&"Touch", base, self.page, &[State::Ready]);
        // SAFETY: the page is Ready and the caller's (contract of this function).
        unsafe { base.write_volatile(0) };
        // Relaxed, both: a test's own thread reads and writes them.
        self.touches.fetch_add(1, Ordering::Relaxed);
        self.touch_nanos.load(Ordering::Relaxed)
    }

    fn resident(&self, base: NonNull<u8>, bytes: usize) -> Option<usize> {
        self.books()
            .check(&"Resident", base, bytes, &[State::Prepared, State::Ready]);
        if self.honest.load(Ordering::Relaxed) {
            return NATIVE.resident(base, bytes);
        }
        Some(bytes / (3 + base.addr().get() / (8 << 10) % 5))
    }

    /// Records the advice and does nothing else, so that tests do not depend on the machine.
    fn advise_huge(&self, base: NonNull<u8>, bytes: usize, huge: bool) -> bool {
        let all = [State::Reserved, State::Prepared, State::Ready];
        let mut books = self.books();
        let known = books.check(&"AdviseHuge", base, bytes, &all);
        let start = base.addr().get();
        for page in (start..start + bytes).step_by(HUGE).filter(|_| known) {
            if huge {
                books.advised.insert(page);
            } else {
                books.advised.remove(&page);
            }
        }
        known
    }
}
