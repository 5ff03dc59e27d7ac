//! [`Linux`]: the page source on Linux, by `mmap`, `mprotect`, `madvise` and `mremap` through libc.
//!
//! - Owns: the page size, asked once.
//! - Callers: through [`PageSource`], as `os::NATIVE`.
//! - Locks and ordering: none; the kernel serialises changes of the address space.
//!
//! How the states are made:
//! - Reserved is `PROT_NONE`: it faults, and with `MAP_NORESERVE` it counts against no commit limit.
//! - Prepared and Ready are both readable and writable: a page that was never touched, or was dropped by
//!   `MADV_DONTNEED`, costs nothing and reads as zero when touched, so `ready` has nothing to do.
//!
//! Invariants:
//! 1. Every mapping made here is private, anonymous and `MAP_NORESERVE`, so neighbours in the same state merge in the
//!    kernel, and `MADV_DONTNEED` gives zero pages.
//! 2. Every call keeps `errno`.

use core::ffi::c_int;
use core::ptr::{self, NonNull};

use super::PageSource;
use super::errno::KeepErrno;
use crate::sync::unmodeled::{AtomicUsize, Ordering};

#[cfg(test)]
mod tests;

/// The page source of Linux.
pub(crate) struct Linux {
    /// Bytes of a page, or 0 until asked. Every thread that asks stores the same value.
    page: AtomicUsize,
}

impl Linux {
    /// A source that has not asked for the page size yet.
    pub(crate) const fn new() -> Self {
        Self {
            page: AtomicUsize::new(0),
        }
    }

    #[cold]
    fn ask_page_size(&self) -> usize {
        // SAFETY: `sysconf` takes any name and touches no memory of ours.
        let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(answer)
            .ok()
            .filter(|page| page.is_power_of_two())
            .unwrap_or(4096);
        self.page.store(page, Ordering::Relaxed);
        page
    }
}

// SAFETY: the contract is kept by the kernel's: an anonymous private mapping is nobody else's, reads as zero when first
// touched and after MADV_DONTNEED, and stays where it is until it is unmapped.
unsafe impl PageSource for Linux {
    #[inline]
    fn page_size(&self) -> usize {
        match self.page.load(Ordering::Relaxed) {
            0 => self.ask_page_size(),
            page => page,
        }
    }

    /// None -> Reserved.
    fn reserve(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let _keep = KeepErrno::new();
        let page = self.page_size();
        if bytes == 0 || !bytes.is_multiple_of(page) || !align.is_power_of_two() {
            return None;
        }
        // With `align - page` bytes more, some multiple of `align` has `bytes` bytes behind it; the rest is trimmed.
        let slack = align.max(page) - page;
        let total = bytes
            .checked_add(slack)
            .filter(|&total| isize::try_from(total).is_ok())?;
        let start = map(ptr::null_mut(), total, libc::PROT_NONE, 0)?;
        let lead = start.align_offset(align.max(page));
        let base = start.wrapping_add(lead);
        if lead > 0 {
            // SAFETY: these bytes lie before the range that is handed out, and nobody knows them.
            unsafe { unmap(start, lead) };
        }
        if slack > lead {
            // SAFETY: these bytes lie behind the range that is handed out, and nobody knows them.
            unsafe { unmap(base.wrapping_add(bytes), slack - lead) };
        }
        NonNull::new(base)
    }

    /// Reserved -> Prepared.
    unsafe fn prepare(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        // SAFETY: the range is the caller's and Reserved.
        if unsafe { protect(base, bytes, libc::PROT_READ | libc::PROT_WRITE) } {
            return true;
        }
        // The kernel changes one mapping after the other and may have changed some before it refused.
        // SAFETY: the range is the caller's and was Reserved, so nobody reads or writes there.
        unsafe { protect(base, bytes, libc::PROT_NONE) };
        false
    }

    /// Prepared -> Ready: nothing to do, see the module's header.
    #[inline]
    unsafe fn ready(&self, _base: NonNull<u8>, _bytes: usize) -> bool {
        true
    }

    /// Ready -> Prepared. The kernel refuses where pages are locked in memory (`mlockall`).
    unsafe fn release(&self, base: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        // SAFETY: the range is the caller's, who drops its contents (contract of `release`).
        unsafe { advise(base, bytes, libc::MADV_DONTNEED) }
    }

    /// `from` Ready -> Prepared, `to` Prepared or Ready -> Ready, in two moves of page tables:
    ///
    /// 1. `from` to a fresh place that the kernel chooses, its old pages left mapped and empty (`MREMAP_DONTUNMAP`,
    ///    Linux 5.7). Whatever the kernel can object to, such as a range of several mappings, it says now, when nothing
    ///    has changed.
    /// 2. From there onto `to`.
    ///
    /// A single move onto `to` could be refused after the kernel unmapped `to`, and another thread's `mmap` could land
    /// in the hole before it is closed.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool {
        let _keep = KeepErrno::new();
        let lift = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        // The kernel reads the new address with MREMAP_DONTUNMAP too, as a wish: null is none.
        let anywhere: *mut libc::c_void = ptr::null_mut();
        // SAFETY: the range is the caller's and nobody refers into it; without MREMAP_FIXED nothing else is unmapped.
        let lifted = unsafe { libc::mremap(from.as_ptr().cast(), bytes, bytes, lift, anywhere) };
        if lifted == libc::MAP_FAILED {
            return false;
        }
        let drop = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let target: *mut libc::c_void = to.as_ptr().cast();
        // SAFETY: `lifted` is the mapping made above; `to` is the caller's, so replacing it takes nobody else's memory.
        let placed = unsafe { libc::mremap(lifted, bytes, bytes, drop, target) };
        if placed != libc::MAP_FAILED {
            return true;
        }
        // The kernel is out of memory for its own records. `from` is mapped and zero, so the contents go back by copy.
        // SAFETY: both ranges are mapped readable and writable, are ours, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(lifted.cast::<u8>(), from.as_ptr(), bytes) };
        // SAFETY: the mapping was made above, and its contents were copied out.
        unsafe { unmap(lifted.cast(), bytes) };
        // If the refusal came after `to` was unmapped, this closes the hole; if before, this is refused and `to` is
        // whole.
        map(
            to.as_ptr(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_FIXED_NOREPLACE,
        );
        false
    }

    /// Any -> None.
    unsafe fn free(&self, base: NonNull<u8>, bytes: usize) {
        let _keep = KeepErrno::new();
        // SAFETY: the range is the caller's, who does not use it any more (contract of `free`).
        if !unsafe { unmap(base.as_ptr(), bytes) } {
            // Cutting a mapping in two is refused at the limit of mappings; the memory at least goes back.
            // SAFETY: as above, and the refusal left the range mapped.
            unsafe { advise(base, bytes, libc::MADV_DONTNEED) };
        }
    }

    fn address_space_left(&self) -> Option<usize> {
        let _keep = KeepErrno::new();
        let mut limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is a live rlimit that the call fills.
        let asked = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
        if asked != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
            return None;
        }
        let limit = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
        let used = mapped_pages().saturating_mul(self.page_size());
        Some(limit.saturating_sub(used))
    }

    fn huge_pages(&self, base: NonNull<u8>, bytes: usize, allow: bool) {
        let _keep = KeepErrno::new();
        let advice = if allow {
            libc::MADV_HUGEPAGE
        } else {
            libc::MADV_NOHUGEPAGE
        };
        // SAFETY: this advice changes no contents, wherever it points.
        unsafe { advise(base, bytes, advice) };
    }
}

/// A new private anonymous mapping (invariant 1), or `None`. `flags` may hold `MAP_FIXED_NOREPLACE`, never `MAP_FIXED`.
fn map(at: *mut u8, bytes: usize, protection: c_int, flags: c_int) -> Option<*mut u8> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED a new mapping replaces no other.
    let start = unsafe { libc::mmap(at.cast(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        None
    } else {
        Some(start.cast())
    }
}

/// Unmaps a range.
///
/// # Safety
/// The range is ours and nobody uses it any more.
unsafe fn unmap(start: *mut u8, bytes: usize) -> bool {
    // SAFETY: the contract of this function.
    unsafe { libc::munmap(start.cast(), bytes) == 0 }
}

/// Sets the protection of a range.
///
/// # Safety
/// The range is ours, and nobody uses it in a way that the new protection forbids.
unsafe fn protect(base: NonNull<u8>, bytes: usize, protection: c_int) -> bool {
    // SAFETY: the contract of this function.
    unsafe { libc::mprotect(base.as_ptr().cast(), bytes, protection) == 0 }
}

/// Gives the kernel advice on a range.
///
/// # Safety
/// If the advice drops contents, the range is ours and nobody refers into it.
unsafe fn advise(base: NonNull<u8>, bytes: usize, advice: c_int) -> bool {
    // SAFETY: the contract of this function.
    unsafe { libc::madvise(base.as_ptr().cast(), bytes, advice) == 0 }
}

/// Pages that the process has mapped: the first number of `/proc/self/statm`; 0 if that cannot be read.
fn mapped_pages() -> usize {
    // SAFETY: the path is a C string; the call touches no other memory.
    let fd = unsafe { libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return 0;
    }
    let mut text = [0u8; 32];
    // SAFETY: `text` has room for what is asked for, and `fd` is open.
    let got = unsafe { libc::read(fd, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: `fd` was opened above and is not used again.
    unsafe { libc::close(fd) };
    let got = usize::try_from(got).unwrap_or(0);
    let digits = text.iter().take(got).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0usize, |sum, byte| {
        sum.saturating_mul(10).saturating_add(usize::from(byte - b'0'))
    })
}
