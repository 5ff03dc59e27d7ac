//! The only door to the operating system.
//!
//! Address space is in one of four states (after Go's `mem.go`). Each call of [`PageSource`] names
//! its transition:
//! ```text
//!            reserve             prepare               ready
//!   None ──────────────► Reserved ────────► Prepared ──────────► Ready
//!    │▲                                      ▲ ▲                   │
//!    │└────────────── free (from any) ───────┼─┼──── release ◄─────┘
//!    └──────────────── claim ────────────────┘
//! ```
//!
//! - *None*: not the heap's.
//! - *Reserved*: the heap's. An access faults. Costs no memory and no commit charge.
//! - *Prepared*: can be made Ready at any time. Its contents are gone. Costs no physical memory.
//! - *Ready*: readable and writable. Reads as zero after Prepared.
//!
//! A *window* is a range of addresses that the caller plans to claim piece by piece. Until a piece
//! is claimed it is *None*: the system may give it to another caller, and it counts neither for
//! limits nor in core dumps.
//!
//! For all calls: bases and lengths are multiples of [`PageSource::page_size`], lengths are not
//! zero, and a range lies inside one reservation or one window. Every call keeps `errno`. No call
//! allocates, panics or takes a lock.

pub(crate) mod barrier;
pub(crate) mod cgroup;
pub(crate) mod env;
pub(crate) mod errno;
pub(crate) mod exit;
mod file;
pub(crate) mod foreign;
pub(crate) mod fork;
pub(crate) mod futex;
mod linux;
pub(crate) mod pin;
pub(crate) mod report;
pub(crate) mod rest;
pub(crate) mod sandbox;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;
pub(crate) mod thread;
pub(crate) mod tls;

use core::ptr::NonNull;

/// The result of a claim for memory at a given place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// The range is Prepared.
    Done,
    /// Another mapping lies in the range, or the system has no such call; nothing changed. Another
    /// place, or `reserve`, may work.
    Taken,
    /// The system is out of memory or address space; nothing changed.
    Refused,
}

/// A source of pages.
///
/// # Safety
/// Implementations keep the transitions above. Memory that `reserve` or `claim` returns is not in
/// use elsewhere, and Ready memory is readable and writable.
pub(crate) unsafe trait PageSource: Sync {
    /// Returns the bytes of an OS page: a power of two, read at run time.
    fn page_size(&self) -> usize;

    /// None to Reserved: `bytes` at a multiple of `align`, a power of two. `None`: refused.
    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>>;

    /// Chooses a window of `least` to `most` bytes, at a multiple of `align`, a power of two. Its
    /// place is as random as the system's own placement. Returns the window and its bytes.
    ///
    /// No state changes, so a piece may later turn out to be taken. `None`: the system has no
    /// windows, or none that large.
    fn window(&self, least: usize, most: usize, align: usize) -> Option<(NonNull<u8>, usize)> {
        let _ = (least, most, align);
        None
    }

    /// None to Prepared, exactly at `base`.
    ///
    /// # Safety
    /// The range lies in the caller's window, and the caller has claimed no part of it.
    unsafe fn claim(&self, base: NonNull<u8>, bytes: usize) -> Claim {
        let _ = (base, bytes);
        Claim::Refused
    }

    /// Reserved to Prepared. `false`: refused, and nothing changed.
    ///
    /// # Safety
    /// The range is Reserved and the caller's.
    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Prepared or Ready to Ready; Ready memory keeps its contents. `false`: refused, and nothing
    /// changed.
    ///
    /// # Safety
    /// The range is Prepared or Ready, and the caller's.
    unsafe fn ready(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Ready or Prepared to Prepared: returns the physical memory. A Prepared page may hold memory
    /// too, as part of a huge page; this returns it as well. `false`: refused; Ready pages stay
    /// Ready, and their contents are undefined.
    ///
    /// # Safety
    /// The range is Ready or Prepared and the caller's, and its contents are not needed.
    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Ready to Ready: returns the physical memory; the range reads as zero. `false`: refused; the
    /// contents are undefined.
    ///
    /// # Safety
    /// The range is Ready and the caller's, and its contents are not needed.
    unsafe fn discard(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Moves the contents of `from` to `to` by page tables: `to` becomes Ready, `from` Prepared.
    /// `false`: refused or not supported; `from` is unchanged, and the contents of `to` are
    /// undefined.
    ///
    /// # Safety
    /// `from` is Ready, `to` is Prepared or Ready. Both are the caller's and do not overlap, and
    /// the contents of `to` are not needed.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool;

    /// Any state to None. If the system refuses, the range stays mapped and unused.
    ///
    /// # Safety
    /// The range is the caller's, and its contents are not needed.
    unsafe fn free(&self, base: NonNull<u8>, bytes: usize);

    /// Asks for huge pages behind the range, or for small ones only. `false`: refused or not
    /// supported. This is advice: it changes no state.
    fn advise_huge(&self, base: NonNull<u8>, bytes: usize, huge: bool) -> bool {
        let _ = (base, bytes, huge);
        false
    }

    /// Touches a page that reads as zero, by writing a zero. Returns the nanoseconds that it took;
    /// 0 if that is not measured.
    ///
    /// # Safety
    /// The page is Ready, the caller's, and reads as zero.
    unsafe fn touch(&self, base: NonNull<u8>) -> u64 {
        // SAFETY: the page is Ready and the caller's (contract of this function).
        unsafe { base.write_volatile(0) };
        0
    }

    /// Brings memory to a range that is about to be written, in one call. Where the system has no
    /// such call, or refuses it, nothing happens: the first touches bring the memory.
    ///
    /// # Safety
    /// The range is Ready and the caller's.
    unsafe fn populate(&self, base: NonNull<u8>, bytes: usize) {
        let _ = (base, bytes);
    }

    /// Returns the bytes of a Prepared or Ready range that have physical memory now; `None` if the
    /// system does not tell.
    fn resident(&self, base: NonNull<u8>, bytes: usize) -> Option<usize> {
        let _ = (base, bytes);
        None
    }

    /// Returns the bytes of address space that the process may still map; `None` without a limit.
    fn address_space_left(&self) -> Option<usize>;
}

/// The source from which the tiers take pages. In tests and models it is any source, because they
/// make heaps over simulated systems.
#[cfg(any(test, greyspan_loom))]
pub(crate) type Os = dyn PageSource;
/// The source from which the tiers take pages: the process's own system, so that calls are static.
#[cfg(not(any(test, greyspan_loom)))]
pub(crate) type Os = linux::Linux;

/// The system that the process runs on.
pub(crate) static NATIVE: linux::Linux = linux::Linux::new();

/// Returns the nanoseconds of processor time that the calling thread has used.
pub(crate) fn thread_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns a counter that grows evenly with time, in the processor's own unit. Cheaper than any
/// clock. Returns 0 where the kernel has taken the counter from the process.
#[inline]
pub(crate) fn ticks() -> u64 {
    if sandbox::is_strict() {
        return 0;
    }
    crate::base::arch::ticks().unwrap_or_else(nanos)
}

/// Returns the nanoseconds of the monotonic clock; 0 where the kernel has taken the processor's
/// counter from the process.
fn nanos() -> u64 {
    if sandbox::is_strict() {
        return 0;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the milliseconds of the monotonic clock, up to a few milliseconds late, for the price of
/// a function call.
pub(crate) fn coarse_millis() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Returns the nanoseconds since 1970; 0 where the kernel has taken the processor's counter from
/// the process.
pub(crate) fn unix_nanos() -> u64 {
    if sandbox::is_strict() {
        return 0;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists everywhere.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    (now.tv_sec as u64)
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec as u64)
}

/// Returns the bytes of the machine's memory; `None` if the kernel does not tell.
pub(crate) fn machine_memory() -> Option<usize> {
    let _errno = errno::KeepErrno::new();
    let mut info = core::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: a valid place for the answer.
    let told = unsafe { libc::sysinfo(info.as_mut_ptr()) } == 0;
    // SAFETY: all zeroes are a valid value, and so is the kernel's answer.
    let info = unsafe { info.assume_init() };
    let bytes = usize::try_from(info.totalram)
        .ok()?
        .checked_mul(info.mem_unit as usize)?;
    (told && bytes > 0).then_some(bytes)
}

/// Returns a random number that other processes cannot guess. Early in the system's boot the kernel
/// may not have one yet; then the number is weaker.
pub(crate) fn random() -> usize {
    let _errno = errno::KeepErrno::new();
    let mut number = 0usize;
    // SAFETY: the place is valid for that many bytes.
    let got = unsafe { libc::getrandom((&raw mut number).cast(), size_of::<usize>(), libc::GRND_NONBLOCK) };
    if got == size_of::<usize>() as isize {
        return number;
    }
    // AT_RANDOM is the kernel's random number for this process. It is mixed, because its halves
    // guard stacks and jumps. SAFETY: always callable.
    let gift = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    gift.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ coarse_millis() as usize
}
