//! [`Heap`]: the program's handle of a collected heap, and [`Inner`]: the data that mutators,
//! collector and drop thread share.
//!
//! - GCHEAP-1. `Inner` lives as long as an `Arc` of it exists. The handle that all `Heap`s and
//!   `Root`s share holds one. The collector's threads and the drop thread each hold one while they
//!   work for the heap.
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

#[cfg(not(loom))]
use super::alloc::Mutator;
use super::crew::Crew;
use super::fault::broken;
use super::finalize::{Dropper, Work};
use super::mutator::Record;
use super::pacer::{Pacer, Plan};
use super::phase::{Protocol, Word};
#[cfg(not(loom))]
use super::process;
#[cfg(not(loom))]
use super::registry::{Lease, is_pinned};
use super::roots::{Keeper, RootSlot, RootTable};
use super::space::Spaces;
#[cfg(not(loom))]
use super::stats::GcStats;
use super::stats::{Counters, nanos};
use super::table::Table;
use super::thread::Control;
use super::weak_cell::WeakCell;
use super::wills::Wills;
use crate::sync::blocking::{Arc, Weak};
use crate::sync::lock::Lock;
use crate::sync::tally::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
#[cfg(not(loom))]
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use std::time::{Duration, Instant};

/// Returns the number of this process: the count of forks. The models have one process, number 0.
#[inline]
fn current_process() -> usize {
    #[cfg(not(loom))]
    return process::current();
    #[cfg(loom)]
    0
}

/// The longest time that an entering thread waits for the collector if the heap is far beyond its
/// goal.
const THROTTLE: Duration = Duration::from_micros(400);

/// Returns the live bytes above which a heap counts as far beyond `goal`: an eighth more.
pub(crate) fn far_beyond(goal: usize) -> usize {
    goal.saturating_add(goal / 8)
}

/// All data of one heap.
pub(crate) struct Inner {
    /// Identifies the heap. No number is used twice.
    pub(crate) number: u64,
    /// The number of the process that made the heap; see `current_process`.
    process: usize,
    pub(crate) protocol: Protocol,
    pub(crate) spaces: Spaces,
    pub(crate) roots: RootTable,
    pub(crate) wills: Wills,
    pub(crate) dropper: Dropper,
    pub(crate) crew: Crew,
    pub(crate) counters: Counters,
    /// Weak cells and tables that helpers and assisting mutators found, for the collector.
    pub(crate) found: Lock<Found>,
    /// Records of threads that ended, for the next threads.
    idle: Lock<Vec<&'static Record>>,
    /// Bytes of slots that hold objects, of free slots in mutators' caches, of owned memory, and of
    /// all work that waits for the drop thread.
    pub(crate) live: AtomicUsize,
    /// Total bytes ever added to `live`, and ever added to `external`.
    pub(crate) allocated: AtomicUsize,
    /// Bytes of memory that objects own. `live` includes them if the number is positive.
    owned: AtomicIsize,
    /// Total bytes ever added to `owned`, without the bytes that living objects gave back.
    owned_ever: AtomicUsize,
    /// The value of `owned_ever` at the end of the last cycle.
    owned_before: AtomicUsize,
    /// Bytes of objects with drop glue that the last sweep found alive.
    pub(crate) kept: AtomicUsize,
    /// Bytes of the pages of all spans.
    pub(crate) mapped: AtomicUsize,
    /// Bytes that the objects keep elsewhere, as the program reports them.
    pub(crate) external: AtomicIsize,
    /// Live bytes at which a thread asks for a cycle. `usize::MAX` while a cycle is asked for or
    /// runs.
    pub(crate) trigger: AtomicUsize,
    pub(crate) goal: AtomicUsize,
    /// Bytes to allocate between two cycles while dead objects wait for their drop: a cycle does
    /// not make the waiting bytes fewer.
    least: AtomicUsize,
    /// The value of `allocated` when the last cycle began.
    pub(crate) allocated_before: AtomicUsize,
    /// Live bytes from which on mutators assist while a cycle marks.
    pub(crate) assist_above: AtomicUsize,
    /// Live bytes from which on an entering thread waits: for a cycle that is asked for or runs,
    /// and for drops.
    pub(crate) throttle_above: AtomicUsize,
    pub(crate) pacer: Lock<Pacer>,
    pub(crate) control: Control,
    /// Whether the program has a handle of the heap.
    #[cfg(not(loom))]
    pub(crate) used: super::abandoned::Use,
    /// How often destructors and cleanups entered the closed heap.
    #[cfg(not(loom))]
    pub(crate) visits: crate::sync::tally::AtomicU64,
    pub(crate) born: Instant,
    /// Whether each cycle writes one line to standard error.
    pub(crate) traced: bool,
    me: Weak<Inner>,
}

/// Weak cells and tables that helpers and assisting mutators found.
pub(crate) struct Found(pub(crate) Vec<NonNull<WeakCell>>, pub(crate) Vec<NonNull<Table>>);

// SAFETY: the pointers lead to managed objects, which are `Send + Sync`.
unsafe impl Send for Found {}

impl Inner {
    pub(crate) fn new(number: u64, percent: Option<u32>, limit: Option<usize>, traced: bool) -> Arc<Self> {
        let pacer = Pacer::new(percent, limit);
        let Plan { trigger, goal, least } = pacer.plan();
        Arc::new_cyclic(|me| Self {
            number,
            process: current_process(),
            protocol: Protocol::new(),
            spaces: Spaces::new(),
            roots: RootTable::new(number),
            wills: Wills::new(),
            dropper: Dropper::new(number),
            crew: Crew::new(),
            counters: Counters::new(),
            found: Lock::new(Found(Vec::new(), Vec::new())),
            idle: Lock::new(Vec::new()),
            live: AtomicUsize::new(0),
            allocated: AtomicUsize::new(0),
            owned: AtomicIsize::new(0),
            owned_ever: AtomicUsize::new(0),
            owned_before: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            mapped: AtomicUsize::new(0),
            external: AtomicIsize::new(0),
            trigger: AtomicUsize::new(trigger),
            goal: AtomicUsize::new(goal),
            least: AtomicUsize::new(least),
            allocated_before: AtomicUsize::new(0),
            assist_above: AtomicUsize::new(usize::MAX),
            throttle_above: AtomicUsize::new(far_beyond(goal)),
            pacer: Lock::new(pacer),
            control: Control::new(),
            #[cfg(not(loom))]
            used: super::abandoned::Use::new(),
            #[cfg(not(loom))]
            visits: crate::sync::tally::AtomicU64::new(0),
            born: Instant::now(),
            traced,
            me: me.clone(),
        })
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    /// Returns whether this process made the heap. A `fork` child did not.
    #[inline]
    pub(crate) fn is_own_process(&self) -> bool {
        self.process == current_process()
    }

    /// Panics unless this process made the heap. Callers check this before they take a lock that a
    /// thread of the parent may have held at the fork.
    #[inline]
    pub(crate) fn check_process(&self) {
        assert!(
            self.is_own_process(),
            "greyspan::gc: this heap was made before a fork and has no collector in the child; make a new one there"
        );
    }

    /// Returns a record for a thread that has none.
    pub(crate) fn take_record(&self) -> &'static Record {
        if let Some(record) = self.idle.lock().pop() {
            return record;
        }
        let record: &'static Record = Box::leak(Box::new(Record::new(NonNull::from(self))));
        if !broken("never_enlisted") {
            self.protocol.enlist(record);
        }
        record
    }

    /// Takes back the record of a thread that ends, or of a thread that had it for one `enter`.
    pub(crate) fn give_record(&self, record: &'static Record) {
        self.idle.lock().push(record);
    }

    /// Adds `bytes` to the live bytes.
    pub(crate) fn count_live(&self, bytes: usize) {
        self.allocated.fetch_add(bytes, Relaxed);
        self.live.fetch_add(bytes, Relaxed);
        self.consider();
    }

    /// Changes the bytes that objects keep elsewhere. An increase counts as allocation, so it can
    /// start a cycle.
    pub(crate) fn count_external(&self, bytes: isize) {
        self.external.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes.max(0).unsigned_abs(), Relaxed);
        self.consider();
    }

    /// Changes the live bytes by `change`.
    pub(crate) fn change_live(&self, change: i64) {
        // Two's complement: adding the cast of a negative number subtracts.
        self.live.fetch_add(change as usize, Relaxed);
    }

    /// Counts `bytes` that new objects own.
    pub(crate) fn count_owned(&self, bytes: usize) {
        self.owned_ever.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes, Relaxed);
        self.change_owned(bytes as isize);
        self.consider();
    }

    /// Subtracts `bytes` that living objects have given back.
    pub(crate) fn own_less(&self, bytes: usize) {
        // Undoes the earlier addition, which `settle_owned` relies on.
        self.owned_ever.fetch_sub(bytes, Relaxed);
        self.disown(bytes);
    }

    /// Subtracts `bytes` that dropped objects owned.
    pub(crate) fn disown(&self, bytes: usize) {
        self.change_owned((bytes as isize).wrapping_neg());
    }

    /// Adds `change` to `owned` and corrects the live bytes. One thread may subtract bytes that
    /// another thread has not reported yet. Then `owned` is negative for a while, and the live
    /// bytes include none of it.
    fn change_owned(&self, change: isize) {
        let before = self.owned.fetch_add(change, Relaxed);
        let now = before.wrapping_add(change);
        self.change_live(now.max(0) as i64 - before.max(0) as i64);
    }

    /// Returns the bytes of memory that objects own.
    fn owned(&self) -> usize {
        self.owned.load(Relaxed).max(0).unsigned_abs()
    }

    /// Estimates at the end of a cycle how many owned bytes are alive. If dead objects wait for
    /// their drop, dead and living objects are assumed to own the same share of their size.
    /// `settle_owned` corrects the estimate between two cycles.
    pub(crate) fn guess_owned(&self) -> usize {
        self.owned_before.store(self.owned_ever.load(Relaxed), Relaxed);
        let (kept, waiting) = (self.kept.load(Relaxed), self.dropper.behind.bytes());
        let alive = self.owned() as u128 * kept as u128 / (kept + waiting).max(1) as u128;
        usize::try_from(alive).unwrap_or(usize::MAX)
    }

    /// Tells the pacer how much memory the last cycle's survivors own. Called when the drop thread
    /// has no work: then only survivors and newer objects own memory.
    pub(crate) fn settle_owned(&self) {
        let before = self.owned_before.load(Relaxed);
        let newer = self.owned_ever.load(Relaxed).wrapping_sub(before) as isize;
        // Negative if the survivors gave back more than the newer objects own.
        let owned = self.owned().saturating_sub(newer.max(0).unsigned_abs());
        if !self.control.is_running() && self.pacer.lock().set_owned(owned) {
            self.replan();
        }
    }

    /// Returns the live bytes plus the bytes that objects keep elsewhere.
    pub(crate) fn weight(&self) -> usize {
        self.live
            .load(Relaxed)
            .saturating_add_signed(self.external.load(Relaxed))
    }

    /// Asks for a cycle if the trigger is reached and a cycle can help.
    pub(crate) fn consider(&self) {
        if self.weight() >= self.trigger.load(Relaxed) && (!self.may_wait() || self.has_allocated()) {
            self.ask_for_cycle();
        }
    }

    /// Returns whether some live bytes may belong to dead objects that wait for their drop.
    fn may_wait(&self) -> bool {
        self.dropper.behind.bytes() != 0 || self.owned() != 0
    }

    /// Returns whether the program has allocated enough since the last cycle began for another
    /// cycle to find dead objects.
    fn has_allocated(&self) -> bool {
        let since = self
            .allocated
            .load(Relaxed)
            .wrapping_sub(self.allocated_before.load(Relaxed));
        since >= self.least.load(Relaxed)
    }

    /// Gives work to the drop thread, and starts that thread if it does not run.
    pub(crate) fn bequeath(&self, work: impl IntoIterator<Item = Work>) {
        let mut work = work.into_iter().peekable();
        if work.peek().is_some() {
            self.dropper.give(work, &self.live);
            self.start_dropper();
        }
    }

    /// Drops all remaining objects and gives all pages back. Every object is dead, and the
    /// collector's threads and the drop thread's queue are done (GCHEAP-2).
    pub(crate) fn demolish(&self) {
        self.dropper.give(self.wills.cleanups(|_| true), &self.live);
        self.dropper.drain(self);
        for space in self.spaces.all() {
            for span in space.take_all() {
                if space.dropped {
                    for index in span.allocated() {
                        // SAFETY: the slot is allocated, so its header, if the span has headers, is
                        // written.
                        let object = unsafe { span.object(index) };
                        // SAFETY: every object is dead. This one has not been dropped: the drop
                        // thread's queue is empty, and dropped objects are not allocated.
                        unsafe { self.dropper.bury(object) };
                    }
                }
                // SAFETY: the span's objects are dead and dropped, and no thread uses the heap any
                // more (GCHEAP-2).
                unsafe { span.give() };
            }
        }
        self.end_is_over();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for record in self.protocol.dismiss_all() {
            let record = core::ptr::from_ref(record).cast_mut();
            // SAFETY: `take_record` leaked the record. Threads use a record only while its heap
            // exists.
            drop(unsafe { Box::from_raw(record) });
        }
        // SAFETY: no `Arc` of the heap is left, so no thread uses its spaces; `demolish` gave the
        // spans back.
        unsafe { self.spaces.free() };
        // SAFETY: each root keeps the handle, which is gone, so no root is left.
        unsafe { self.roots.free() };
    }
}

/// Keeps a heap alive. Dropping it ends the heap.
pub(crate) struct Handle {
    inner: Option<Arc<Inner>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            super::thread::end(inner);
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
struct User(Weak<Inner>);

#[cfg(not(loom))]
impl Drop for User {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade()
            && let Some(keeper) = inner.roots.keeper()
        {
            // Two of these are this `keeper` and the `keeper` of the `Heap` that is dropped now. The
            // others belong to roots.
            if inner.is_own_process() && Arc::strong_count(&keeper) > 2 {
                inner.abandon();
            }
        }
    }
}

// A panic inside `enter` unpins the thread. It leaves the heap as it is between two operations.
impl UnwindSafe for Heap {}
impl RefUnwindSafe for Heap {}

impl Heap {
    /// Returns the shared data.
    #[inline]
    pub(crate) fn inner(&self) -> &Inner {
        match &self.keeper.inner {
            Some(inner) => inner,
            None => unreachable!("the handle has it until it is dropped"),
        }
    }

    /// Makes the first handle of `inner`.
    pub(crate) fn around(inner: Arc<Inner>) -> Self {
        let user = Arc::new(User(inner.weak()));
        let keeper = Arc::new(Handle { inner: Some(inner) });
        let weak: Weak<Handle> = Arc::downgrade(&keeper);
        let heap = Self { user, keeper };
        heap.inner().roots.set_keeper(weak);
        heap
    }
}

#[cfg(not(loom))]
impl Heap {
    /// Makes a heap that collects as `GREYSPAN_GC` says. Without that variable it collects whenever
    /// it has doubled.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a [`Builder`](super::Builder) with the default options.
    pub fn builder() -> super::Builder {
        super::Builder::default()
    }

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
        if inner.live.load(Relaxed) > inner.throttle_above.load(Relaxed) && !is_pinned() {
            inner.throttle();
        }
        let pin = lease.pin();
        if lease.record().is_shut_out() && !inner.admits(lease.record()) {
            // Unpins first: unwinding takes time, and the thread that closes the heap would wait
            // for it.
            drop(pin);
            super::close::refuse();
        }
        // SAFETY: the thread is pinned until after the call, and the brand belongs to this call
        // alone.
        f(unsafe { lease.record().as_mutator() })
    }

    /// Runs one full cycle and waits for its end.
    ///
    /// The cycle finds all objects that were dead at the call. Their drops and cleanups may still
    /// run on the drop thread when this returns.
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

    /// Returns the heap's statistics.
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap.
    pub fn stats(&self) -> GcStats {
        let inner = self.inner();
        inner.check_process();
        let (waiting, owned) = (inner.dropper.behind.bytes(), inner.owned());
        GcStats {
            live_bytes: inner.live.load(Relaxed).saturating_sub(waiting + owned) as u64,
            owned_bytes: owned as u64,
            waiting_bytes: waiting as u64,
            goal_bytes: inner.goal.load(Relaxed) as u64,
            mapped_bytes: inner.mapped.load(Relaxed) as u64,
            cleanups: inner.dropper.cleanups.load(Relaxed),
            cleanups_kept: inner.wills.suspects() as u64,
            drops_panicked: inner.dropper.panicked.load(Relaxed),
            roots: inner.roots.count() as u64,
            mutators: inner.mutators() as u64,
            ..inner.counters.snapshot()
        }
    }

    /// Sets by how many percent the heap may grow beyond the bytes that the last cycle found alive.
    /// `None`: no cycle begins by itself, except to keep the memory limit.
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
    pub fn set_memory_limit(&self, bytes: Option<usize>) {
        self.inner().check_process();
        self.inner().pacer.lock().set_limit(bytes);
        self.inner().replan();
    }
}

impl Inner {
    /// Returns the number of threads that have a record.
    pub(crate) fn mutators(&self) -> usize {
        // `idle` first: a record is a member before it is idle, so the difference is never
        // negative.
        let idle = self.idle.lock().len();
        self.protocol.members() - idle
    }

    /// Puts the pacer's plan in force. If a cycle runs, only the goal changes; the end of the cycle
    /// calls this again.
    pub(crate) fn replan(&self) {
        let plan = self.pacer.lock().plan();
        self.goal.store(plan.goal, Relaxed);
        if self.protocol.word() == Word::idle(self.protocol.cycle()) && !self.control.is_running() {
            self.least.store(plan.least, Relaxed);
            self.throttle_above.store(far_beyond(plan.goal), Relaxed);
            self.trigger.store(plan.trigger, Relaxed);
            self.consider();
        }
    }

    /// Makes a thread that enters a heap far beyond its goal wait: a moment for the collector, and
    /// for the drop thread while drops end. Both waits are bounded, because a pinned thread may
    /// wait for this one.
    #[cold]
    pub(crate) fn throttle(&self) {
        let since = Instant::now();
        let mut drops = self.dropper.behind.wait();
        // At a shut heap no thread waits: the heap refuses it, or it runs a destructor or cleanup
        // that other threads wait for.
        let is_far = || self.live.load(Relaxed) > self.throttle_above.load(Relaxed) && !self.protocol.is_shut();
        // Whether a cycle is asked for or runs.
        let is_due = || self.trigger.load(Relaxed) == usize::MAX;
        while is_far() && (drops.is_worth_it() || (is_due() && since.elapsed() < THROTTLE)) {
            std::thread::sleep(THROTTLE / 4);
        }
        if !is_far() {
            drops.succeed();
        }
        self.counters.stall_of(nanos(since.elapsed()));
    }
}

#[cfg(not(loom))]
impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("number", &self.inner().number)
            .finish_non_exhaustive()
    }
}
