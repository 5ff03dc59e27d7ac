//! The only door to the operating system.
//!
//! Address space is in one of four states, after Go's `mem.go`; each call of [`PageSource`] names its transition:
//!
//! ```text
//!            reserve             prepare               ready
//!   None ──────────────► Reserved ────────► Prepared ──────────► Ready
//!    │▲                                      ▲ ▲                   │
//!    │└────────────── free (from any) ───────┼─┼──── release ◄─────┘
//!    └──────────────── claim ────────────────┘
//! ```
//!
//! - *None*: not ours.
//! - *Reserved*: ours; access is a fault; costs no memory and no commitment.
//! - *Prepared*: may be made ready at any time; what it holds is gone. Costs no physical memory.
//! - *Ready*: readable and writable. Reads as zero when it comes from Prepared.
//!
//! A *window* is a range of addresses that the caller means to claim piece by piece. Until a piece
//! is claimed it is *None*: the system may give it to another caller, and limits and core dumps do
//! not see it.
//!
//! For all calls: bases and lengths are multiples of [`PageSource::page_size`], lengths are not
//! zero, and ranges lie inside one reservation or one window. Every call keeps `errno`; none
//! allocates, panics or takes a lock.

pub(crate) mod env;
pub(crate) mod errno;
#[cfg(not(loom))]
pub(crate) mod exit;
#[cfg(feature = "preload")]
pub(crate) mod foreign;
pub(crate) mod fork;
pub(crate) mod futex;
#[cfg(not(loom))]
mod linux;
#[cfg(not(loom))]
pub(crate) mod pin;
pub(crate) mod report;
#[cfg(not(loom))]
pub(crate) mod sandbox;
#[cfg(all(test, not(loom)))]
pub(crate) mod sim;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(not(loom))]
pub(crate) mod thread;
pub(crate) mod tls;

use core::ptr::NonNull;

/// What became of a request for memory at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// The range is Prepared.
    Done,
    /// Another mapping lies in the range, or the system has no such call; nothing changed. Another
    /// place, or `reserve`, may serve.
    Taken,
    /// The system has no more memory or address space to give; nothing changed.
    Refused,
}

/// A source of pages.
///
/// # Safety
/// Implementations keep the transitions above: memory that `reserve` or `claim` returned is nobody
/// else's, and Ready memory is readable and writable.
pub(crate) unsafe trait PageSource: Sync {
    /// Bytes of an OS page: a power of two, read at run time.
    fn page_size(&self) -> usize;

    /// None to Reserved: `bytes` at a multiple of `align`, a power of two. `None`: refused.
    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>>;

    /// Chooses a window at a multiple of `align`, a power of two: a place as random as the system's
    /// own that holds at least `least` bytes, and up to `most`. Returns it with its bytes. No state
    /// changes, so a piece of it may turn out to be taken. `None`: the system has no windows, or
    /// none so large.
    fn window(&self, least: usize, most: usize, align: usize) -> Option<(NonNull<u8>, usize)> {
        let _ = (least, most, align);
        None
    }

    /// None to Prepared, at this very place.
    ///
    /// # Safety
    /// The range lies in a window of the caller's, who has not claimed any of it.
    unsafe fn claim(&self, base: NonNull<u8>, bytes: usize) -> Claim {
        let _ = (base, bytes);
        Claim::Refused
    }

    /// Reserved to Prepared. `false`: refused, nothing changed.
    ///
    /// # Safety
    /// The range is Reserved and the caller's.
    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Prepared or Ready to Ready; Ready memory keeps what it holds. `false`: refused, nothing changed.
    ///
    /// # Safety
    /// The range is Prepared or Ready, and the caller's.
    unsafe fn ready(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Ready or Prepared to Prepared: the physical memory goes back, also what came to Prepared pages with the rest of a huge page.
    /// `false`: refused; what was Ready is so still, and what it holds is not known.
    ///
    /// # Safety
    /// The range is Ready or Prepared and the caller's, and nothing in it is needed.
    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Moves what `from` holds to `to` by page tables: `to` is Ready, `from` Prepared. `false`: refused or not supported, and `from` is as
    /// it was; what `to` holds is not known.
    ///
    /// # Safety
    /// `from` is Ready, `to` Prepared or Ready, both are the caller's and do not overlap, and nothing in `to` is needed.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool;

    /// Any state to None. Should the system refuse, the range stays ours and unused.
    ///
    /// # Safety
    /// The range is the caller's, and nothing in it is needed.
    unsafe fn free(&self, base: NonNull<u8>, bytes: usize);

    /// Asks that the range be backed by huge pages, or by small ones only. `false`: refused or not supported. Advice: it changes no state.
    fn advise_huge(&self, base: NonNull<u8>, bytes: usize, huge: bool) -> bool {
        let _ = (base, bytes, huge);
        false
    }

    /// Touches a page that reads as zero, by writing a zero. Returns the nanoseconds it took; 0 where that is not measured.
    ///
    /// # Safety
    /// The page is Ready and the caller's, and nothing in it is needed but that it reads as zero.
    unsafe fn touch(&self, base: NonNull<u8>) -> u64 {
        // SAFETY: as the caller promised.
        unsafe { base.write_volatile(0) };
        0
    }

    /// Bytes of a range, Prepared or Ready, that have physical memory now; `None` where the system
    /// does not tell.
    fn resident(&self, base: NonNull<u8>, bytes: usize) -> Option<usize> {
        let _ = (base, bytes);
        None
    }

    /// Bytes of address space that the process may still map; `None` for no limit.
    fn address_space_left(&self) -> Option<usize>;
}

/// What the tiers take pages from: any source in tests and models, which make heaps over simulated systems; else the one of the process, so
/// that its calls are plain ones.
#[cfg(any(test, loom))]
pub(crate) type Os = dyn PageSource;
/// What the tiers take pages from.
#[cfg(not(any(test, loom)))]
pub(crate) type Os = linux::Linux;

/// The system that the process runs on.
#[cfg(not(loom))]
pub(crate) static NATIVE: linux::Linux = linux::Linux::new();

/// Nanoseconds of processor time that the calling thread has used.
#[cfg(all(feature = "gc", not(loom)))]
pub(crate) fn thread_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A count that grows evenly with time, by a unit of the processor's own; cheaper than any clock. 0
/// where the kernel has taken the counter from the process.
#[cfg(any(feature = "profiling", feature = "preload"))]
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(not(loom))]
    if sandbox::is_strict() {
        return 0;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor with 64 bits has the counter.
    let ticks = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    let ticks = nanos();
    ticks
}

/// Nanoseconds of the monotonic clock; 0 where the kernel has taken the processor's counter from
/// the process.
fn nanos() -> u64 {
    #[cfg(not(loom))]
    if sandbox::is_strict() {
        return 0;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Milliseconds of the monotonic clock, a few milliseconds late, for the price of a function call.
pub(crate) fn coarse_millis() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer. The clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds since 1970; 0 where the kernel has taken the processor's counter from the process.
pub(crate) fn unix_nanos() -> u64 {
    #[cfg(not(loom))]
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

/// A number that others cannot guess, as far as the system has one: it may not be ready early in the system's own start.
#[cfg(any(feature = "preload", all(target_os = "linux", not(loom))))]
pub(crate) fn random() -> usize {
    let _errno = errno::KeepErrno::new();
    let mut number = 0usize;
    // SAFETY: the place is valid for as many bytes.
    let got = unsafe { libc::getrandom((&raw mut number).cast(), size_of::<usize>(), libc::GRND_NONBLOCK) };
    if got == size_of::<usize>() as isize {
        return number;
    }
    // The kernel's gift to each program. Not as it is: its halves guard stacks and jumps.
    // SAFETY: always callable.
    let gift = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
    gift.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ coarse_millis() as usize
}
