//! [`Portable`]: the page source for systems without a backend of their own, by memmap2's anonymous mappings.
//!
//! - Owns: the page size, asked once.
//! - Callers: through [`PageSource`], as `os::NATIVE` where no other backend exists.
//! - Locks and ordering: none.
//!
//! How the states are made: a mapping is readable and writable from the start, so Reserved, Prepared and Ready differ
//! only in what the caller may do. Memory goes back by `MADV_DONTNEED` on Linux; on other unix systems, where that does
//! not promise zeroes, by mapping fresh pages over it; elsewhere `release` refuses and the pages stay Ready.
//!
//! Invariants:
//! 1. A mapping's `MmapMut` is never dropped: the range belongs to the caller of `reserve`, piece by piece.
//! 2. Every call keeps `errno`.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use memmap2::MmapOptions;

use super::PageSource;
use super::errno::KeepErrno;
use crate::sync::atomic::{AtomicUsize, Ordering};

#[cfg(test)]
mod tests;

/// The page source of systems without a backend of their own.
pub(crate) struct Portable {
    /// Bytes of a page, or 0 until asked. Every thread that asks stores the same value.
    page: AtomicUsize,
}

impl Portable {
    /// A source that has not asked for the page size yet.
    pub(crate) const fn new() -> Self {
        Self {
            page: AtomicUsize::new(0),
        }
    }

    #[cold]
    fn ask_page_size(&self) -> usize {
        #[cfg(unix)]
        // SAFETY: `sysconf` takes any name and touches no memory of ours.
        let answer = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
        // The unit in which Windows hands out address space, a multiple of its pages.
        #[cfg(not(unix))]
        let answer = Ok::<usize, core::num::TryFromIntError>(65_536);
        let page = answer.ok().filter(|page| page.is_power_of_two()).unwrap_or(65_536);
        self.page.store(page, Ordering::Relaxed);
        page
    }
}

// SAFETY: memmap2's anonymous mappings are private, zero when first touched, and live as long as nobody drops them
// (invariant 1); `release` either maps fresh zero pages or refuses.
unsafe impl PageSource for Portable {
    fn page_size(&self) -> usize {
        match self.page.load(Ordering::Relaxed) {
            0 => self.ask_page_size(),
            page => page,
        }
    }

    /// None -> Reserved. What is mapped beside the aligned range goes back on unix and stays unused elsewhere.
    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let _keep = KeepErrno::new();
        let page = self.page_size();
        if bytes == 0 || !bytes.is_multiple_of(page) || !align.is_power_of_two() {
            return None;
        }
        let slack = align.max(page) - page;
        // memmap2 allocates its error for a length beyond isize::MAX.
        let total = bytes
            .checked_add(slack)
            .filter(|&total| isize::try_from(total).is_ok())?;
        let mapping = MmapOptions::new().len(total).no_reserve_swap().map_anon().ok()?;
        let start = ManuallyDrop::new(mapping).as_mut_ptr();
        let lead = start.align_offset(align.max(page));
        let base = NonNull::new(start.wrapping_add(lead))?;
        if lead > 0 {
            // SAFETY: these bytes lie before the range that is handed out, and nobody knows them.
            unsafe { unmap(start, lead) };
        }
        if slack > lead {
            // SAFETY: these bytes lie behind the range that is handed out, and nobody knows them.
            unsafe { unmap(base.as_ptr().wrapping_add(bytes), slack - lead) };
        }
        Some(base)
    }

    /// Reserved -> Prepared: nothing to do.
    unsafe fn prepare(&self, _base: NonNull<u8>, _bytes: usize) -> bool {
        true
    }

    /// Prepared -> Ready: nothing to do.
    unsafe fn ready(&self, _base: NonNull<u8>, _bytes: usize) -> bool {
        true
    }

    /// Ready -> Prepared.
    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        // SAFETY: the range is the caller's, and nobody refers into it (contract of `release`).
        unsafe { renew(base.as_ptr(), bytes) }
    }

    /// Not supported.
    unsafe fn remap(&self, _from: NonNull<u8>, _to: NonNull<u8>, _bytes: usize) -> bool {
        false
    }

    /// Any -> None.
    unsafe fn free(&self, base: NonNull<u8>, bytes: usize) {
        let _keep = KeepErrno::new();
        // SAFETY: the range is the caller's, who does not use it any more (contract of `free`).
        unsafe { unmap(base.as_ptr(), bytes) };
    }

    /// Unknown here, so nothing is known to limit it.
    fn address_space_left(&self) -> Option<usize> {
        None
    }
}

/// Gives a range back to the system.
///
/// # Safety
/// The range is ours and nobody uses it any more.
#[cfg(unix)]
unsafe fn unmap(start: *mut u8, bytes: usize) {
    // SAFETY: the contract of this function.
    unsafe { libc::munmap(start.cast(), bytes) };
}

/// Nothing: a part of a mapping cannot be given back here.
///
/// # Safety
/// None needed.
#[cfg(not(unix))]
unsafe fn unmap(_start: *mut u8, _bytes: usize) {}

/// Puts zero pages in the place of a range's. False: the range is still mapped, with unknown contents.
///
/// # Safety
/// The range is ours and nobody refers into it.
#[cfg(unix)]
unsafe fn renew(start: *mut u8, bytes: usize) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the range is ours, and its contents may be dropped (contract of this function).
    return unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) == 0 };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
        // SAFETY: the range is ours, so the new mapping replaces nobody else's.
        let fresh = unsafe { libc::mmap(start.cast(), bytes, protection, flags, -1, 0) };
        fresh != libc::MAP_FAILED
    }
}

/// Refuses: memory inside a mapping cannot be given back here.
///
/// # Safety
/// None needed.
#[cfg(not(unix))]
unsafe fn renew(_start: *mut u8, _bytes: usize) -> bool {
    false
}
