//! [`Greyspan`] over the heap: each request reads the calling thread's slot and passes the cache
//! that it finds to the heap.
//!
//! The slot is thread-local: one pointer to the thread's cache, or to the sentinel in its place. It
//! starts at `EMPTY`, so the fast path initialises and tests nothing. The thread writes to it in
//! `thread` and `c::nested`. The keeper may write to it too ([`Seat`](crate::mcache::Seat)), so
//! each operation reads it anew, and the compiler must not keep its value in a register.
//!
//! In a Rust program the slot is a `thread_local!` that is const-initialised and has no destructor.
//! It never allocates and never fails. In a shared library, access to it would call
//! `__tls_get_addr`, which may allocate. So there the slot is defined in assembly, and code reaches
//! it by its offset from the thread pointer. The loader writes that offset once into the library's
//! table (the initial-exec model). The slot takes 8 bytes of the room that the loader reserves for
//! such slots, so a late `dlopen` finds room too.

use super::HEAP;
use super::global::Greyspan;
pub(crate) use fixed::{current, place, set_current};
use std::alloc::{GlobalAlloc, Layout};

// SAFETY: a block is handed out once, holds at least `layout.size()` bytes at a multiple of
// `layout.align()`, and stays until `dealloc` or `realloc` takes it. Nothing unwinds.
#[cfg(not(feature = "passthrough"))]
unsafe impl GlobalAlloc for Greyspan {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc::<false>(current(), layout)
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.dealloc(current(), ptr, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HEAP.alloc::<true>(current(), layout)
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc`'s contract.
        unsafe { HEAP.realloc(current(), ptr, layout, new_size) }
    }
}

#[cfg(all(
    feature = "preload",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod fixed {
    use crate::mcache::{EMPTY, MCache};
    use crate::sync::atomic::AtomicPtr;
    use core::arch::{asm, global_asm};

    global_asm!(
        ".pushsection .tdata.greyspan_cache,\"awT\",@progbits",
        ".p2align 3",
        ".globl greyspan_cache",
        ".hidden greyspan_cache",
        ".type greyspan_cache,@tls_object",
        ".size greyspan_cache, 8",
        "greyspan_cache: .quad {empty}",
        ".popsection",
        empty = sym EMPTY,
    );

    /// Returns the calling thread's cache, or the sentinel in its place.
    #[inline(always)]
    pub(crate) fn current() -> &'static MCache {
        let cache: *const MCache;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads the slot, which the loader made for this thread.
        unsafe {
            asm!(
                "mov {0}, qword ptr [rip + greyspan_cache@GOTTPOFF]",
                "mov {0}, qword ptr fs:[{0}]",
                out(reg) cache,
                options(readonly, nostack, preserves_flags),
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: reads the slot, which the loader made for this thread.
        unsafe {
            asm!(
                "adrp {0}, :gottprel:greyspan_cache",
                "ldr {0}, [{0}, :gottprel_lo12:greyspan_cache]",
                "mrs {1}, tpidr_el0",
                "ldr {0}, [{1}, {0}]",
                out(reg) cache,
                out(reg) _,
                options(readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: the slot holds `EMPTY` or a cache that `set_current` wrote; neither is ever
        // freed.
        unsafe { &*cache }
    }

    /// Returns the address of the calling thread's slot.
    pub(crate) fn place() -> *mut AtomicPtr<MCache> {
        let place: *mut AtomicPtr<MCache>;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads the thread pointer, which lies in the word that it points to.
        unsafe {
            asm!(
                "mov {0}, qword ptr fs:[0]",
                "add {0}, qword ptr [rip + greyspan_cache@GOTTPOFF]",
                out(reg) place,
                options(readonly, nostack),
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: reads the thread pointer.
        unsafe {
            asm!(
                "adrp {0}, :gottprel:greyspan_cache",
                "ldr {0}, [{0}, :gottprel_lo12:greyspan_cache]",
                "mrs {1}, tpidr_el0",
                "add {0}, {0}, {1}",
                out(reg) place,
                out(reg) _,
                options(readonly, nostack, preserves_flags),
            );
        }
        place
    }

    /// Sets the calling thread's cache.
    pub(crate) fn set_current(cache: &'static MCache) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: writes the calling thread's slot.
        unsafe {
            asm!(
                "mov {0}, qword ptr [rip + greyspan_cache@GOTTPOFF]",
                "mov qword ptr fs:[{0}], {1}",
                out(reg) _,
                in(reg) core::ptr::from_ref(cache),
                options(nostack, preserves_flags),
            );
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: writes the calling thread's slot.
        unsafe {
            asm!(
                "adrp {0}, :gottprel:greyspan_cache",
                "ldr {0}, [{0}, :gottprel_lo12:greyspan_cache]",
                "mrs {1}, tpidr_el0",
                "str {2}, [{1}, {0}]",
                out(reg) _,
                out(reg) _,
                in(reg) core::ptr::from_ref(cache),
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(all(
    feature = "preload",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod fixed {
    use crate::mcache::{EMPTY, MCache};
    use crate::sync::atomic::{AtomicPtr, Ordering::Relaxed};

    thread_local! {
        static CACHE: AtomicPtr<MCache> = const { AtomicPtr::new(core::ptr::from_ref(EMPTY.cache()).cast_mut()) };
    }

    /// Returns the calling thread's cache, or the sentinel in its place.
    #[inline(always)]
    pub(crate) fn current() -> &'static MCache {
        // `try_with` instead of `with`: std marks only `try_with` for inlining across crates, and
        // builds without LTO need that.
        // Relaxed: the keeper's fence orders its writes (HANDOVER-2).
        let cache = CACHE.try_with(|slot| slot.load(Relaxed));
        // SAFETY: the slot holds a sentinel or a cache; neither is ever freed.
        cache.map_or(EMPTY.cache(), |cache| unsafe { &*cache })
    }

    /// Returns the address of the calling thread's slot.
    pub(crate) fn place() -> *mut AtomicPtr<MCache> {
        CACHE.with(core::ptr::from_ref).cast_mut()
    }

    /// Sets the calling thread's cache.
    pub(crate) fn set_current(cache: &'static MCache) {
        CACHE.with(|slot| slot.store(core::ptr::from_ref(cache).cast_mut(), Relaxed));
    }
}
