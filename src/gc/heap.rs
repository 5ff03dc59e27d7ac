//! [`Heap`]: the program's handle of a collected heap.
//!
//! - GCHEAP-1. The [`Collector`] lives as long as an `Arc` of it exists. The handle that all
//!   `Heap`s and `Root`s share holds one. The collector's threads and the drop thread each hold one
//!   while they work for the heap.
//! - GCHEAP-2. When that handle is dropped, no thread is pinned, no root is left, and neither can
//!   come back: every object is dead. The collector's threads finish first. Then the drop thread,
//!   or a thread started for it, drops the remaining objects (FINALIZE-2 of
//!   [`finalize`](super::finalize)). If the system refuses that thread, the current thread drops
//!   them.
//! - GCHEAP-3. A `fork` child has no collector. The parent's heaps refuse to serve it, with a
//!   message.
//! - GCHEAP-4. A heap is *abandoned* if the program has dropped its last `Heap` and only roots keep
//!   the heap. No thread can enter an abandoned heap. It collects until a cycle drops nothing,
//!   because a root that keeps it may lie in a dead object. Then it reports the roots that keep it,
//!   once.

use super::alloc::Mutator;
use super::collector::Collector;
use super::collector::refuse;
use super::end::end;
use super::leaves::leaf;
#[cfg(not(greyspan_loom))]
use super::registry::{Lease, is_pinned};
use super::roots::{Keeper, RootSlot};
use super::stats::GcStats;
use crate::sync::blocking::{Arc, Weak};
use crate::sync::tally::Ordering::Relaxed;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// Keeps a heap alive. Dropping it ends the heap.
pub(crate) struct Handle {
    inner: Option<Arc<Collector>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            end(inner);
        }
    }
}

impl Keeper for Handle {
    fn release(&self, slot: &'static RootSlot) {
        if let Some(inner) = &self.inner
            && inner.is_own_process()
        {
            inner.roots.give(slot);
        }
    }
}

/// A garbage-collected heap.
///
/// Clones are handles of the same heap. The heap lives as long as a clone, or a
/// [`Root`](super::Root) into it, does. Needs the feature `gc`.
///
/// When the last handle and root are dropped, the heap ends: a thread runs the destructors of all
/// its objects, and its cleanups. If the process exits meanwhile, its exit waits for them, up to
/// one second for all heaps together. So a heap that ends as the last act of `main` still runs
/// them.
///
/// This is a best effort. Destructors and cleanups do not run
///
/// - if they take longer than that second,
/// - after an abort, a signal or `_exit`,
/// - for a heap that does not end because a `static` or a thread keeps a handle or a root.
///
/// [`close`](Self::close) waits as long as they take, and reports the objects that are left.
///
/// A managed object may hold a heap. An object that holds its own heap keeps it until the object
/// dies or the heap is closed.
///
/// ```
/// use greyspan::gc::Heap;
///
/// let heap = Heap::new();
/// let length = heap.enter(|m| m.alloc_str("managed").len());
/// assert_eq!(length, 7);
/// heap.collect();
/// ```
#[derive(Clone)]
pub struct Heap {
    /// Dropped before `keeper`.
    #[expect(dead_code, reason = "its drop is what it is for")]
    user: Arc<User>,
    keeper: Arc<Handle>,
}

/// The part that all of the program's handles share. When it is dropped, no thread can enter the
/// heap any more.
struct User(Weak<Collector>);

#[cfg(not(greyspan_loom))]
impl Drop for User {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade()
            && let Some(keeper) = inner.roots.keeper()
        {
            // Two of these are this `keeper` and that of the `Heap` that is dropped now. The others
            // belong to roots.
            if inner.is_own_process() && Arc::strong_count(&keeper) > 2 {
                inner.abandon();
            }
        }
    }
}

leaf! {
    [] Heap;
}

// A panic inside `enter` unpins the thread. It leaves the heap as it is between two operations.
impl UnwindSafe for Heap {}
impl RefUnwindSafe for Heap {}

impl Heap {
    /// Returns the shared data.
    #[inline]
    pub(crate) fn inner(&self) -> &Collector {
        match &self.keeper.inner {
            Some(inner) => inner,
            None => unreachable!("the handle has it until it is dropped"),
        }
    }

    /// Makes the first handle of `inner`.
    pub(crate) fn around(inner: Arc<Collector>) -> Self {
        let user = Arc::new(User(inner.weak()));
        let keeper = Arc::new(Handle { inner: Some(inner) });
        let weak: Weak<Handle> = Arc::downgrade(&keeper);
        let heap = Self { user, keeper };
        heap.inner().roots.set_keeper(weak);
        heap
    }
}

#[cfg(not(greyspan_loom))]
impl Heap {
    /// Pins the calling thread and runs `f` with it as a [`Mutator`].
    ///
    /// No [`Gc`](super::Gc) can leave `f`. To keep an object, put it into a [`Root`](super::Root).
    /// While `f` runs, no object that it can reach is freed. An `enter` inside `f` belongs to the
    /// same pin. If `f` panics, the thread is unpinned.
    ///
    /// A cycle that begins meanwhile cannot end before `f` does. So do not block in `f`. In a long
    /// loop, leave and enter again now and then.
    ///
    /// If the heap is far beyond its goal, an outermost `enter` waits before it pins: under a
    /// millisecond for the collector, and up to two seconds for drops and cleanups, as long as
    /// these end one after the other. [`GcStats::max_stall_ns`] includes these waits.
    ///
    /// ```
    /// let heap = greyspan::gc::Heap::new();
    /// let sum: u64 = heap.enter(|m| m.alloc_slice(10, |i| i as u64).iter().sum());
    /// assert_eq!(sum, 45);
    /// ```
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap. After the heap was [closed](Self::close),
    /// unless one of the heap's destructors or cleanups enters.
    #[inline]
    pub fn enter<R>(&self, f: impl for<'gc> FnOnce(&'gc Mutator<'gc>) -> R) -> R {
        let inner = self.inner();
        inner.check_process();
        let lease = Lease::new(inner);
        if inner.bytes.live.load(Relaxed) > inner.bytes.throttle_above.load(Relaxed) && !is_pinned() {
            inner.throttle();
        }
        let pin = lease.pin();
        if lease.record().is_shut_out() && !inner.admits(lease.record()) {
            // Unpins first: unwinding takes time, and the thread that closes the heap would wait
            // for it.
            drop(pin);
            refuse();
        }
        // SAFETY: the thread is pinned until after the call, and the brand belongs to this call
        // alone.
        f(unsafe { lease.record().as_mutator() })
    }

    /// Runs one full cycle and waits for its end.
    ///
    /// The cycle finds all objects that were dead at the call. Their drops and cleanups may still
    /// run on the drop thread when this returns. See the example of [`GcStats`].
    ///
    /// # Panics
    /// If the thread is inside `enter` of any heap: the cycle would wait for this thread. In a
    /// `fork` child, if the parent made the heap.
    pub fn collect(&self) {
        assert!(
            !is_pinned(),
            "greyspan::gc: `collect` inside `enter` would wait for itself"
        );
        self.inner().check_process();
        self.inner().collect(None);
    }

    /// Returns the heap's statistics. See the example of [`GcStats`].
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap.
    pub fn stats(&self) -> GcStats {
        let inner = self.inner();
        inner.check_process();
        let (waiting, owned) = (inner.dropper.behind.bytes(), inner.bytes.owned());
        GcStats {
            live_bytes: inner.bytes.live.load(Relaxed).saturating_sub(waiting + owned) as u64,
            owned_bytes: owned as u64,
            waiting_bytes: waiting as u64,
            goal_bytes: inner.bytes.goal.load(Relaxed) as u64,
            mapped_bytes: inner.bytes.mapped.load(Relaxed) as u64,
            cleanups: inner.dropper.cleanups.load(Relaxed),
            cleanups_kept: inner.wills.suspects() as u64,
            drops_panicked: inner.dropper.panicked.load(Relaxed),
            roots: inner.roots.count() as u64,
            mutators: inner.mutators() as u64,
            ..inner.counters.snapshot()
        }
    }

    /// Sets by how many percent the heap may grow beyond the bytes that the last cycle found alive.
    /// `None`: no cycle begins by itself, except to keep the memory limit. At 100 percent the heap
    /// may always grow by 4 MiB, at other values by that in proportion. See the example of
    /// [`set_memory_limit`](Self::set_memory_limit).
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap.
    pub fn set_gc_percent(&self, percent: Option<u32>) {
        self.inner().check_process();
        self.inner().pacer.lock().set_percent(percent);
        self.inner().replan();
    }

    /// Sets the number of bytes that the heap should stay below. `None`: no limit. Dead objects
    /// that wait for their drop count, and so do waiting cleanups. The limit is a goal: if the
    /// living objects need more, the heap exceeds it.
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap.
    ///
    /// ```
    /// // As little work of the collector as 64 MiB allow.
    /// let heap = greyspan::gc::Heap::new();
    /// heap.set_gc_percent(None);
    /// heap.set_memory_limit(Some(64 << 20));
    /// assert!(heap.stats().goal_bytes <= 64 << 20);
    /// ```
    pub fn set_memory_limit(&self, bytes: Option<usize>) {
        self.inner().check_process();
        self.inner().pacer.lock().set_limit(bytes);
        self.inner().replan();
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("number", &self.inner().number)
            .finish_non_exhaustive()
    }
}
