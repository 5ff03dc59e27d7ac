//! Pages from Linux, by `libc`.

use super::errno::KeepErrno;
use super::{Claim, PageSource};
use crate::base::addr::{align_up, place};
use crate::sync::tally::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

/// `MADV_DONTNEED_LOCKED`, which `libc` does not name.
const DONTNEED_LOCKED: i32 = 24;

/// Linux.
pub(crate) struct Linux {
    /// Read once; 0 before.
    page_size: AtomicUsize,
    /// The kernel refuses every move by page tables (before 5.7, or under a filter); it is not
    /// asked again.
    no_remap: AtomicBool,
    /// The kernel cannot bring memory ahead of touches (before 5.14, or under a filter); it is not
    /// asked again.
    no_populate: AtomicBool,
    /// The random number from which the next window's place follows; 0 before the first window.
    next_window: AtomicUsize,
}

impl Linux {
    /// Returns the state in which the kernel was not asked for anything yet.
    pub(crate) const fn new() -> Self {
        Self {
            page_size: AtomicUsize::new(0),
            no_remap: AtomicBool::new(false),
            no_populate: AtomicBool::new(false),
            next_window: AtomicUsize::new(0),
        }
    }

    /// Returns a random number. Asks the kernel only for the first one, so that a filter that is
    /// installed later cannot stop the program here.
    fn draw(&self) -> usize {
        let last = match self.next_window.load(Relaxed) {
            0 => super::random() | 1,
            last => last,
        };
        // Weyl's sequence, mixed. If two threads draw at once, they may get the same number; then
        // `claim` finds the place taken.
        let next = last.wrapping_add(0x9e37_79b9_7f4a_7c15) | 1;
        self.next_window.store(next, Relaxed);
        let mixed = (next ^ next >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}

/// Returns an upper bound of the program's addresses: the stack's address, rounded up to a power of
/// two. The kernel puts the first stack right below the end.
fn address_space_end() -> Option<usize> {
    // SAFETY: always callable.
    let on_the_stack = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    (on_the_stack > 0).then(|| on_the_stack.checked_next_power_of_two())?
}

fn unmap(base: *mut u8, bytes: usize) {
    if bytes > 0 && !super::sandbox::is_strict() {
        // SAFETY: callers pass whole pages of a mapping that is theirs, with nothing in use.
        unsafe { libc::munmap(base.cast(), bytes) };
    }
}

fn map(at: *mut c_void, bytes: usize, protection: i32, flags: i32) -> Option<NonNull<u8>> {
    if super::sandbox::is_strict() {
        return None;
    }
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping; with MAP_FIXED, over a range that callers own.
    let base = unsafe { libc::mmap(at, bytes, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        None
    } else {
        NonNull::new(base.cast())
    }
}

// SAFETY: `mmap` returns memory that is not in use elsewhere, and `mprotect` makes it readable and
// writable.
unsafe impl PageSource for Linux {
    fn page_size(&self) -> usize {
        match self.page_size.load(Relaxed) {
            0 => {
                // SAFETY: always callable.
                let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
                let size = usize::try_from(size).unwrap_or(4096);
                self.page_size.store(size, Relaxed);
                size
            }
            size => size,
        }
    }

    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let _errno = KeepErrno::new();
        let slack = align.saturating_sub(self.page_size());
        let base = map(null_mut(), bytes.checked_add(slack)?, libc::PROT_NONE, 0)?.as_ptr();
        let skip = align_up(base.addr(), align) - base.addr();
        unmap(base, skip);
        let start = base.wrapping_add(skip);
        unmap(start.wrapping_add(bytes), slack - skip);
        NonNull::new(start)
    }

    /// Chooses the window in the wide, empty middle of the address space: between 1/8 and 5/16 of
    /// it. The program, `brk` and sanitizers lie outside. So do libraries and mappings, whether the
    /// kernel places them from the top down or from one third up.
    fn window(&self, least: usize, most: usize, align: usize) -> Option<(NonNull<u8>, usize)> {
        let end = address_space_end()?;
        let (low, high) = (align_up(end / 8, align), end / 16 * 5);
        let bytes = most.min((high - low) / 4).max(least) & !(align - 1);
        let places = high.checked_sub(low)?.checked_sub(bytes)?.checked_div(align)?;
        let base = low + self.draw().checked_rem(places)? * align;
        Some((NonNull::new(place(base))?, bytes))
    }

    unsafe fn claim(&self, base: NonNull<u8>, bytes: usize) -> Claim {
        if super::sandbox::is_strict() {
            return Claim::Refused;
        }
        let errno = KeepErrno::new();
        // The place is a hint: the kernel follows it if the place is free, and replaces no mapping.
        // With `MAP_FIXED_NOREPLACE`, the sanitizers of threads and of memory would replace the
        // place by null and keep the flag, so a privileged program would get page 0.
        match map(base.as_ptr().cast(), bytes, libc::PROT_READ | libc::PROT_WRITE, 0) {
            Some(at) if at == base => Claim::Done,
            Some(at) => {
                unmap(at.as_ptr(), bytes);
                Claim::Taken
            }
            None if matches!(errno.now(), libc::ENOMEM | libc::EAGAIN) => Claim::Refused,
            None => Claim::Taken,
        }
    }

    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool {
        if super::sandbox::is_strict() {
            return false;
        }
        let _errno = KeepErrno::new();
        let base = base.as_ptr().cast();
        // SAFETY: the caller's range.
        if unsafe { libc::mprotect(base, bytes, libc::PROT_READ | libc::PROT_WRITE) } == 0 {
            return true;
        }
        // A range of several mappings may have been changed in part.
        // SAFETY: the caller's range, which was Reserved, so no code uses it.
        unsafe { libc::mprotect(base, bytes, libc::PROT_NONE) };
        false
    }

    unsafe fn ready(&self, _: NonNull<u8>, _: usize) -> bool {
        // The first touch brings a zero page.
        true
    }

    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool {
        if super::sandbox::is_strict() {
            return false;
        }
        let errno = KeepErrno::new();
        let base = base.as_ptr().cast();
        // SAFETY: the caller's range, whose contents are not needed.
        if unsafe { libc::madvise(base, bytes, libc::MADV_DONTNEED) } == 0 {
            return true;
        }
        // Pages that the program has locked (for example by `mlockall`) need a special request,
        // since Linux 5.18. SAFETY: the caller's range, whose contents are not needed.
        errno.now() == libc::EINVAL && unsafe { libc::madvise(base, bytes, DONTNEED_LOCKED) } == 0
    }

    unsafe fn discard(&self, base: NonNull<u8>, bytes: usize) -> bool {
        // The first touch brings a zero page.
        // SAFETY: the caller's range, whose contents are not needed (contract of this function).
        unsafe { self.release(base, bytes) }
    }

    /// Moves in two steps: to a place that the kernel picks, then onto `to`. The kernel raises its
    /// objections, such as a range of several mappings, in the first step, before anything changed.
    /// A single move onto `to` could be refused after `to` was unmapped, and another thread's
    /// mapping could land in the hole.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool {
        if self.no_remap.load(Relaxed) || super::sandbox::is_strict() {
            return false;
        }
        let errno = KeepErrno::new();
        let (from, to) = (from.as_ptr().cast::<c_void>(), to.as_ptr().cast::<c_void>());
        let lift = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // SAFETY: `from` is the caller's and stays mapped, reading as zero. The null address means
        // that the kernel picks the place.
        let lifted = unsafe { libc::mremap(from, bytes, bytes, lift, null_mut::<c_void>()) };
        if lifted == libc::MAP_FAILED {
            if matches!(errno.now(), libc::ENOSYS | libc::EINVAL | libc::EPERM) {
                self.no_remap.store(true, Relaxed);
            }
            return false;
        }
        let place = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: `lifted` was made above, and `to` is the caller's to replace.
        if unsafe { libc::mremap(lifted, bytes, bytes, place, to) } == to {
            return true;
        }
        // The kernel lacks memory for its own records: copy the contents back.
        // SAFETY: both ranges are ours, mapped and disjoint.
        unsafe { lifted.cast::<u8>().copy_to_nonoverlapping(from.cast(), bytes) };
        unmap(lifted.cast(), bytes);
        // If `to` was unmapped before the refusal, this closes the hole. If not, the call is
        // refused, and `to` is whole.
        map(to, bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED_NOREPLACE);
        false
    }

    unsafe fn free(&self, base: NonNull<u8>, bytes: usize) {
        let _errno = KeepErrno::new();
        unmap(base.as_ptr(), bytes);
    }

    fn advise_huge(&self, base: NonNull<u8>, bytes: usize, huge: bool) -> bool {
        // A program's own filter often lists the advice that it allows.
        if super::sandbox::is_announced() {
            return false;
        }
        let _errno = KeepErrno::new();
        let advice = if huge {
            libc::MADV_HUGEPAGE
        } else {
            libc::MADV_NOHUGEPAGE
        };
        // SAFETY: advice that changes nothing that a program can observe.
        unsafe { libc::madvise(base.as_ptr().cast(), bytes, advice) == 0 }
    }

    unsafe fn touch(&self, base: NonNull<u8>) -> u64 {
        let began = super::nanos();
        // SAFETY: the page is Ready and the caller's (contract of this function).
        unsafe { base.write_volatile(0) };
        super::nanos().saturating_sub(began)
    }

    unsafe fn populate(&self, base: NonNull<u8>, bytes: usize) {
        // A program's own filter often lists the advice that it allows.
        if self.no_populate.load(Relaxed) || super::sandbox::is_announced() {
            return;
        }
        let errno = KeepErrno::new();
        // SAFETY: the caller's range, which is Ready. The call changes no contents.
        let done = unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_POPULATE_WRITE) } == 0;
        if !done && matches!(errno.now(), libc::EINVAL | libc::ENOSYS | libc::EPERM) {
            self.no_populate.store(true, Relaxed);
        }
    }

    fn resident(&self, base: NonNull<u8>, bytes: usize) -> Option<usize> {
        if !super::sandbox::allows_looks() {
            return None;
        }
        let _errno = KeepErrno::new();
        let page = self.page_size();
        let mut there = [0u8; 256];
        let (mut at, mut pages, mut total) = (base.as_ptr(), bytes.checked_div(page).unwrap_or(0), 0);
        while pages > 0 {
            let now = pages.min(there.len());
            // SAFETY: `there` has a byte for each page asked for. An address that is not mapped is
            // an error, not a fault.
            if unsafe { libc::mincore(at.cast(), now * page, there.as_mut_ptr()) } != 0 {
                return None;
            }
            total += there.iter().take(now).filter(|byte| **byte & 1 == 1).count();
            at = at.wrapping_add(now * page);
            pages -= now;
        }
        Some(total * page)
    }

    fn address_space_left(&self) -> Option<usize> {
        let _errno = KeepErrno::new();
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` is a valid place for the answer.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
        if !known || limit.rlim_cur == libc::RLIM_INFINITY {
            return None;
        }
        let limit = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
        Some(limit.saturating_sub(mapped_bytes(self.page_size()).unwrap_or(0)))
    }
}

/// Returns the bytes of address space that the process has mapped: the first number of
/// `/proc/self/statm`.
fn mapped_bytes(page_size: usize) -> Option<usize> {
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let mut text = [0u8; 32];
    // SAFETY: the buffer is as long as stated.
    let got = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    let digits = text
        .iter()
        .take(usize::try_from(got).ok()?)
        .take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0usize, |pages, digit| pages * 10 + usize::from(digit - b'0')) * page_size)
}

#[cfg(test)]
mod tests;
