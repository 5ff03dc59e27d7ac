//! The calls of the simulated system. Each call takes the lock, checks the records, asks the plan,
//! and does its work through the real backend. The page heap under test calls this.

use super::books::{Plan, State, lies_in};
use super::{Kind, Sim};
use crate::base::geometry::HUGE;
use crate::os::errno::KeepErrno;
use crate::os::{Claim, NATIVE, PageSource};
use crate::sync::atomic::Ordering;
use std::ptr::NonNull;

/// Most bytes of a window.
const WINDOW_BYTES: usize = 64 << 30;

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

    unsafe fn discard(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let mut books = self.books();
        if !books.check(&Kind::Release, base, bytes, &[State::Ready]) {
            return false;
        }
        // SAFETY: the range is Ready and the caller's, and no reference points into it.
        let done = books.admit(Kind::Release) && unsafe { NATIVE.discard(base, bytes) };
        if !done {
            // As for `release`.
            // SAFETY: the range is Ready and the caller's, and no reference points into it.
            unsafe { base.write_bytes(0xDB, bytes) };
        }
        done
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

    unsafe fn populate(&self, base: NonNull<u8>, bytes: usize) {
        self.books().check(&"Populate", base, bytes, &[State::Ready]);
        // Relaxed: a test's own thread reads it.
        self.populated.fetch_add(bytes, Ordering::Relaxed);
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
