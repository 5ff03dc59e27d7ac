//! The only door to the kernel: pages of memory in four states, time, and what a process tells its allocator.
//!
//! - Owns: nothing that lasts; the address space it hands out belongs to the caller until [`PageSource::free`].
//! - Callers: `options`, `meta` and `mheap`; `heap` for the hooks on fork and thread exit; anybody for [`report`].
//! - Locks and ordering: none. Calls on disjoint ranges may run at the same time. No call allocates, panics or changes
//!   `errno`.
//!
//! # The contract
//!
//! Every page is in one of four states (after the Go runtime's `mem.go`), and every call is one transition:
//!
//! ```text
//!              reserve            prepare              ready
//!     None ─────────────► Reserved ────────► Prepared ◄───────► Ready
//!       ▲                    │                   │     release    │
//!       └────────────────────┴───────free────────┴────────────────┘
//! ```
//!
//! | state | address space | access | physical memory |
//! |---|---|---|---|
//! | None | not ours | a fault, or another's memory | none of ours |
//! | Reserved | ours | a fault | none |
//! | Prepared | ours | forbidden; need not fault | none, up to what the system keeps lazily |
//! | Ready | ours | reads and writes; zero when it comes from Prepared | on first touch |
//!
//! | call | before | after `true` / `Some` | after `false` / `None` |
//! |---|---|---|---|
//! | `reserve(n, align)` | none | `n` bytes Reserved, base a multiple of `align` | nothing changed |
//! | `prepare(p, n)` | Reserved | Prepared | nothing changed |
//! | `ready(p, n)` | Prepared | Ready and zero | nothing changed |
//! | `release(p, n)` | Ready | Prepared, contents dropped | Ready, contents unknown: some, all or none dropped |
//! | `remap(f, t, n)` | `f` Ready; `t` Ready or Prepared; disjoint | `t` Ready with `f`'s contents; `f` Prepared | `f` unchanged; `t` in its state, contents unknown |
//! | `free(p, n)` | any but None | None, or ours but lost: never touch it again | cannot report failure |
//!
//! Invariants:
//! 1. Every base and length is a non-zero multiple of [`PageSource::page_size`]; `reserve` answers anything else with
//!    `None`.
//! 2. A range may cover parts of one reservation or of several, but every page of it is in the state that the call
//!    wants.
//! 3. No call fails because of the state of pages outside its range.

pub(crate) mod env;
pub(crate) mod errno;
pub(crate) mod fork;
#[cfg(not(loom))]
pub(crate) mod futex;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(any(test, not(target_os = "linux")))]
pub(crate) mod portable;
pub(crate) mod report;
#[cfg(all(test, unix))]
pub(crate) mod sim;
pub(crate) mod tls;

use core::ptr::NonNull;

#[cfg(all(test, unix))]
mod tests;

/// Where pages come from: see the contract in the module's header.
///
/// # Safety
/// An implementation keeps the contract: memory that it calls Ready is readable, writable, zero when it comes from
/// Prepared, and used by nobody else until it is released or freed.
pub(crate) unsafe trait PageSource: Sync {
    /// Bytes of one page of the operating system: a power of two, read at run time, always the same.
    fn page_size(&self) -> usize;

    /// None -> Reserved: `bytes` of address space whose base is a multiple of `align`, a power of two (less than a page
    /// counts as a page).
    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>>;

    /// Reserved -> Prepared. False: nothing changed.
    ///
    /// # Safety
    /// The range is Reserved and the caller's.
    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Prepared -> Ready: the range reads as zero. False: nothing changed.
    ///
    /// # Safety
    /// The range is Prepared and the caller's.
    unsafe fn ready(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Ready -> Prepared: the contents are dropped, and after the next `ready` the range reads as zero. False: the
    /// range is still Ready and the caller's, with unknown contents.
    ///
    /// # Safety
    /// The range is Ready and the caller's, and nobody holds a reference into it.
    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool;

    /// Moves the contents of the Ready range `from` onto `to`, Ready or Prepared, without copying. Afterwards `to` is
    /// Ready and `from` is Prepared. False: not supported or refused; `from` is as before, `to` is in the state that it
    /// had, with unknown contents if that is Ready.
    ///
    /// # Safety
    /// Both ranges are the caller's, in those states and disjoint, and nobody holds a reference into either.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool;

    /// Reserved, Prepared or Ready -> None. A refusal is ignored: the range is lost to the process.
    ///
    /// # Safety
    /// The range is the caller's, and nobody uses it afterwards.
    unsafe fn free(&self, base: NonNull<u8>, bytes: usize);

    /// Bytes of address space that the process may still reserve; `None` if nothing limits them.
    fn address_space_left(&self) -> Option<usize>;

    /// Advice whether huge pages may back the range; it changes no state and may do nothing.
    fn huge_pages(&self, base: NonNull<u8>, bytes: usize, allow: bool);
}

/// The backend of this target.
#[cfg(target_os = "linux")]
pub(crate) type Native = linux::Linux;
/// The backend of this target.
#[cfg(not(target_os = "linux"))]
pub(crate) type Native = portable::Portable;

/// The page source of the process.
pub(crate) static NATIVE: Native = Native::new();

/// Milliseconds of a monotonic clock with an arbitrary start and the resolution of a scheduler tick; cheap to ask.
#[cfg(unix)]
pub(crate) fn coarse_millis() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let _keep = errno::KeepErrno::new();
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec that the call fills; a refusal leaves it zero.
    unsafe { libc::clock_gettime(CLOCK, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// Milliseconds of a monotonic clock that starts with the first call.
#[cfg(not(unix))]
pub(crate) fn coarse_millis() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
