//! The public interface: the functions that a user of the crate calls.

#[cfg(feature = "profiling")]
pub mod profile;
#[cfg(all(feature = "preload", greyspan_heap))]
pub mod raw;

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
/// let picture = map.to_svg();
/// assert!(picture.starts_with("<svg"));
/// std::fs::write(std::env::temp_dir().join("heap.svg"), picture)?;
/// # std::io::Result::Ok(())
/// ```
pub fn heap_map() -> HeapMap {
    HEAP.map()
}

/// Returns all free memory of the process to the operating system now. Returns its bytes; 0 if
/// there was none.
///
/// It takes the free memory of other threads too: all of it if they sleep, most of it if they run.
/// A thread that is inside a slow allocation or free at this moment returns its free memory when it
/// next needs memory. So do all threads under a seccomp filter of the program's own, after
/// [`enter_sandbox`], and on a kernel before Linux 4.14.
///
/// Pages that no live object touches go back too if they lie between others in the same span
/// ([`Stats::heap_holes`]).
///
/// ```
/// # #[global_allocator]
/// # static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();
/// // Three quarters of a peak are over. Without the call, their memory goes back in a second.
/// let mut frames: Vec<Vec<u8>> = (0..32).map(|_| vec![1; 1 << 20]).collect();
/// frames.truncate(8);
/// println!("returned {} bytes", greyspan::purge());
/// assert!(greyspan::stats().heap_released >= 16 << 20 || greyspan::Stats::FORWARDS);
/// ```
pub fn purge() -> usize {
    HEAP.purge(current())
}

/// Tells the heap that the calling thread will be idle.
///
/// The thread sends the blocks that it gathered for other threads, empties its cache, and gives its
/// spans up, so that other threads can use them at once. The thread may allocate again at any time.
///
/// No program has to call this: a background thread does the same for a thread that sleeps, after
/// two to three seconds. The call does it at once, and also where there is no background thread,
/// as in a heap below 16 MiB.
///
/// ```
/// let (sender, jobs) = std::sync::mpsc::channel::<Vec<u64>>();
/// let worker = std::thread::spawn(move || {
///     let mut sum = 0;
///     for job in jobs {
///         sum += job.into_iter().sum::<u64>();
///         // The next job may be minutes away.
///         greyspan::thread_idle();
///     }
///     sum
/// });
/// sender.send(vec![1, 2, 3]).expect("the worker waits");
/// drop(sender);
/// assert_eq!(worker.join().expect("no panic"), 6);
/// ```
pub fn thread_idle() {
    HEAP.thread_idle(current());
}

/// Sets the soft limit, in bytes; `None` removes it. While the heap's whole footprint is above the
/// limit, free memory goes back to the system at once. No request fails because of it.
///
/// The footprint is physical memory: pages in use, free pages not yet given back, and the heap's
/// own records. [`Stats::FORWARDS`] tells whether the heap serves the program at all.
///
/// This overrides `GREYSPAN_MEMLIMIT` and the container's limit, even if it is called before the
/// program's first request.
///
/// ```
/// greyspan::set_memory_limit(Some(900 << 20));
/// assert_eq!(greyspan::memory_limit(), Some(900 << 20));
/// greyspan::set_memory_limit(None);
/// assert_eq!(greyspan::memory_limit(), None);
/// ```
pub fn set_memory_limit(bytes: Option<usize>) {
    HEAP.set_soft_limit(bytes);
}

/// Sets the hard limit, in bytes; `None` removes it. If a request would raise the footprint (see
/// [`set_memory_limit`]) above the limit, it returns null. Most Rust programs then abort.
///
/// This overrides `GREYSPAN_HARD_LIMIT`, even if it is called before the program's first request.
///
/// The first request that a limit refuses is reported in one line on standard error, because a
/// program that aborts on it does not name the limit. A program that goes on (for example with
/// `try_reserve`) gets the same line, once per limit set. [`events`](crate::events) report all
/// refusals.
///
/// ```
/// # #[global_allocator]
/// # static GLOBAL: greyspan::Greyspan = greyspan::Greyspan::new();
/// greyspan::set_hard_limit(Some(64 << 20));
/// assert_eq!(greyspan::hard_limit(), Some(64 << 20));
///
/// let mut upload: Vec<u8> = Vec::new();
/// let refused = upload.try_reserve_exact(1 << 30).is_err();
/// assert!(refused || greyspan::Stats::FORWARDS);
/// ```
pub fn set_hard_limit(bytes: Option<usize>) {
    HEAP.set_hard_limit(bytes);
}

/// Returns the soft limit in force, in bytes; `None` without one. It is that of
/// [`set_memory_limit`] or `GREYSPAN_MEMLIMIT`, or else it follows from the container's limit,
/// which the background thread reads. See the example of [`set_memory_limit`].
pub fn memory_limit() -> Option<usize> {
    let [soft, _] = HEAP.limits();
    soft
}

/// Returns the hard limit, in bytes, that [`set_hard_limit`] or `GREYSPAN_HARD_LIMIT` has set;
/// `None` without one. See the example of [`set_hard_limit`].
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
///
/// // The heap serves the program as before.
/// assert_eq!(vec![7u8; 1 << 20].len(), 1 << 20);
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

/// Returns the crate's version, as in `Cargo.toml`: `0.1.0` for example.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests;
