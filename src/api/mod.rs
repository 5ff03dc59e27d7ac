//! The public interface: the functions that a user of the crate calls.

#[cfg(any(feature = "passthrough", not(greyspan_heap)))]
mod forward;
pub(crate) mod global;
#[cfg(feature = "profiling")]
pub mod profile;
#[cfg(all(feature = "preload", greyspan_heap))]
pub mod raw;
#[cfg(not(any(feature = "passthrough", not(greyspan_heap))))]
mod serve;

use crate::heap::HEAP;
use crate::heap::thread::current;
use crate::heap_map::HeapMap;
use crate::stats::Stats;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Returns a snapshot of the allocator's statistics.
///
/// Any thread may call this at any time; it stops no other thread. Do not call it from a signal
/// handler: it takes locks that the interrupted code may hold.
///
/// ```
/// let stats = greyspan::stats();
/// assert_eq!(stats.heap_sys, stats.heap_inuse + stats.heap_idle);
/// ```
pub fn stats() -> Stats {
    HEAP.stats()
}

/// Returns a map of the heap: the contents of each page.
///
/// Any thread may call this at any time; it stops no other thread. The map itself is allocated. Do
/// not call it from a signal handler: it takes locks that the interrupted code may hold.
///
/// ```
/// let map = greyspan::heap_map();
/// println!("{map}");
/// std::fs::write(std::env::temp_dir().join("heap.svg"), map.to_svg())?;
/// # std::io::Result::Ok(())
/// ```
pub fn heap_map() -> HeapMap {
    HEAP.map()
}

/// Returns all free memory of the process to the operating system now. Returns its bytes.
///
/// Other threads' caches are theirs alone: each returns its free memory when it next needs memory.
///
/// ```
/// let block = vec![1u8; 8 << 20];
/// drop(block);
/// println!("returned {} bytes", greyspan::purge());
/// ```
pub fn purge() -> usize {
    HEAP.purge(current())
}

/// Tells the heap that the calling thread will be idle.
///
/// The thread sends the blocks that it gathered for other threads, empties its cache, and gives its
/// spans up, so that other threads can use them at once. The thread may allocate again at any time.
pub fn thread_idle() {
    HEAP.thread_idle(current());
}

/// Sets the soft limit, in bytes; `None` removes it. While the heap's whole footprint is above the
/// limit, free memory goes back to the system at once. No request fails because of it.
///
/// This overrides `GREYSPAN_MEMLIMIT` and the container's limit, even if it is called before the
/// program's first request.
pub fn set_memory_limit(bytes: Option<usize>) {
    HEAP.set_soft_limit(bytes);
}

/// Sets the hard limit, in bytes; `None` removes it. If a request would raise the footprint above
/// the limit, it returns null.
///
/// This overrides `GREYSPAN_HARD_LIMIT`, even if it is called before the program's first request.
///
/// The first request that a limit refuses is reported in one line on standard error, because a
/// program that aborts on it does not name the limit. A program that goes on (for example with
/// `try_reserve`) gets the same line, once per limit set. [`events`](crate::events) report all
/// refusals.
///
/// ```
/// greyspan::set_hard_limit(Some(1 << 40));
/// assert_eq!(greyspan::hard_limit(), Some(1 << 40));
/// ```
pub fn set_hard_limit(bytes: Option<usize>) {
    HEAP.set_hard_limit(bytes);
}

/// Returns the soft limit in force, in bytes; `None` without one. It is that of
/// [`set_memory_limit`] or `GREYSPAN_MEMLIMIT`, or else it follows from the container's limit,
/// which the background thread reads.
///
/// ```
/// greyspan::set_memory_limit(Some(1 << 40));
/// assert_eq!(greyspan::memory_limit(), Some(1 << 40));
/// ```
pub fn memory_limit() -> Option<usize> {
    let [soft, _] = HEAP.limits();
    soft
}

/// Returns the hard limit, in bytes, that [`set_hard_limit`] or `GREYSPAN_HARD_LIMIT` has set;
/// `None` without one.
pub fn hard_limit() -> Option<usize> {
    let [_, hard] = HEAP.limits();
    hard
}

/// Tells the heap that the program is about to install a seccomp filter.
///
/// From here on the heap has no background thread. It makes only these system calls: `mmap`,
/// `munmap`, `mprotect`, `mremap`, `madvise`, and, where threads meet, `futex`. Free memory goes
/// back to the system inside the program's own calls.
///
/// Before the heap starts a thread, it asks the kernel through `/proc` whether there is a filter.
/// So a process started under a filter need not call this. The collector (feature `gc`) has threads
/// of its own, which this call does not end.
///
/// ```
/// greyspan::enter_sandbox();
/// // libc::prctl(libc::PR_SET_SECCOMP, ...)
/// ```
pub fn enter_sandbox() {
    HEAP.confine(true);
}

/// Returns the usable bytes behind `ptr`, at least `layout.size()`.
///
/// `ptr` must be a block that this heap allocated with `layout` and that is not freed. For any
/// other pointer the result has no meaning.
///
/// ```
/// use std::alloc::{GlobalAlloc, Layout};
///
/// let layout = Layout::new::<[u8; 100]>();
/// // SAFETY: the layout is not empty.
/// let block = unsafe { greyspan::Greyspan.alloc(layout) };
/// let block = std::ptr::NonNull::new(block).expect("memory");
/// assert!(greyspan::usable_size(block, layout) >= 100);
/// // SAFETY: allocated above with this layout.
/// unsafe { greyspan::Greyspan.dealloc(block.as_ptr(), layout) };
/// ```
pub fn usable_size(ptr: NonNull<u8>, layout: Layout) -> usize {
    // A block of the system's allocator is as long as its layout says.
    if Stats::FORWARDS {
        layout.size()
    } else {
        HEAP.usable_size(ptr.as_ptr(), layout)
    }
}

/// Returns the crate's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(all(test, not(loom)))]
mod tests;
