//! The public surface: what a user of the crate can call.

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

/// One snapshot of the allocator's statistics. From any thread at any time; stops nobody. Not for signal handlers: it takes locks that the
/// code which the signal interrupted may hold.
///
/// ```
/// let stats = greyspan::stats();
/// assert_eq!(stats.heap_sys, stats.heap_inuse + stats.heap_idle);
/// ```
pub fn stats() -> Stats {
    HEAP.stats()
}

/// A map of the heap: what lies where, from page to page. From any thread at any time; stops nobody. Allocates what it returns. Not for
/// signal handlers, as [`stats`].
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

/// Gives all free memory of the process back to the operating system now, and returns how many bytes that was. Other threads give what
/// they keep when they next need memory: their caches are theirs alone.
pub fn purge() -> usize {
    HEAP.purge(current())
}

/// Says that this thread will be idle: what it gathered for others is sent, what it keeps is given up, and its spans are there for other
/// threads at once. It may go on allocating at any time.
pub fn thread_idle() {
    HEAP.thread_idle(current());
}

/// Bytes beyond which the heap gives free memory back at once, over its whole footprint; `None` removes the limit.
pub fn set_memory_limit(bytes: Option<usize>) {
    HEAP.set_soft_limit(bytes);
}

/// Bytes of footprint beyond which allocation returns null; `None` removes the limit.
///
/// The first request that a limit refuses is told on standard error in one line, since a program
/// that ends of it names no limit. A program that goes on, by `try_reserve` say, reads that line
/// too, once: an allocator cannot know. Each limit that is set anew is told of once;
/// [`events`](crate::events) tell of all refusals.
pub fn set_hard_limit(bytes: Option<usize>) {
    HEAP.set_hard_limit(bytes);
}

/// The limit that [`set_memory_limit`] or `GREYSPAN_MEMLIMIT` has set.
///
/// ```
/// greyspan::set_memory_limit(Some(1 << 40));
/// assert_eq!(greyspan::memory_limit(), Some(1 << 40));
/// ```
pub fn memory_limit() -> Option<usize> {
    let [soft, _] = HEAP.limits();
    soft
}

/// The limit that [`set_hard_limit`] or `GREYSPAN_HARD_LIMIT` has set.
pub fn hard_limit() -> Option<usize> {
    let [_, hard] = HEAP.limits();
    hard
}

/// Says that the program is about to confine itself by a seccomp filter. From here on the heap has
/// no background thread, and makes no system calls but `mmap`, `munmap`, `mprotect`, `mremap`,
/// `madvise` and, where threads meet, `futex`. Free memory goes back within the program's own
/// calls.
///
/// The heap asks the kernel for a filter before it starts a thread, by `/proc`, so a filter that
/// the process was started under needs no call. The collector (feature `gc`) has threads of its
/// own, which this does not end.
///
/// ```
/// greyspan::enter_sandbox();
/// // libc::prctl(libc::PR_SET_SECCOMP, ...)
/// ```
pub fn enter_sandbox() {
    HEAP.confine(true);
}

/// Bytes that may be used behind `ptr`, at least `layout.size()`. `ptr` was allocated here with `layout` and is not freed; for any other
/// pointer the answer means nothing.
pub fn usable_size(ptr: NonNull<u8>, layout: Layout) -> usize {
    // A block of the system's is as long as its layout says.
    if Stats::FORWARDS {
        layout.size()
    } else {
        HEAP.usable_size(ptr.as_ptr(), layout)
    }
}

/// The crate's version, as in `Cargo.toml`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
