//! [`Heap`]: what the program holds, and [`Inner`]: what mutators, collector and drop thread share.
//!
//! - H1. `Inner` lives as long as anybody has an `Arc` of it: the handle that all `Heap`s and `Root`s share, the two threads.
//! - H2. When the handle goes, no thread is pinned and no root is left, and none can come: everything is dead. The threads end; the last of them
//!   drops what is left (on no mutator, F2 of [`finalize`](super::finalize)).
//! - H3. A `fork` child has no collector: the heaps of its parent refuse to serve it, in words.
//! - H4. A heap without a handle of the program is *abandoned*: roots keep it, and no thread can
//!   enter it. It collects until nothing dies any more, since a root that keeps it may lie in a
//!   dead object. Then it reports what keeps it, once.

#[cfg(not(loom))]
use super::alloc::Mutator;
use super::crew::Crew;
use super::ephemeron::Table;
use super::fault::broken;
use super::finalize::{Dropper, Work};
use super::mutator::Record;
use super::pacer::{Pacer, Plan};
use super::phase::{Protocol, Word};
#[cfg(not(loom))]
use super::process;
#[cfg(not(loom))]
use super::registry::{Lease, is_pinned};
use super::root::RootTable;
use super::space::Spaces;
#[cfg(not(loom))]
use super::stats::GcStats;
use super::stats::{Counters, nanos};
use super::thread::Control;
use super::weak::WeakCell;
use super::wills::Wills;
use crate::sync::blocking::{Arc, OnceLock, Weak};
use crate::sync::lock::Lock;
use crate::sync::tally::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
#[cfg(not(loom))]
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use std::time::{Duration, Instant};

/// This process, by the count of forks; the models have none.
#[inline]
fn current_process() -> usize {
    #[cfg(not(loom))]
    return process::current();
    #[cfg(loom)]
    0
}

/// How long a thread that enters waits for the collector at the most, where the heap is far beyond its goal.
const THROTTLE: Duration = Duration::from_micros(400);

/// Live bytes that are far beyond the goal.
pub(crate) fn far_beyond(goal: usize) -> usize {
    goal.saturating_add(goal / 8)
}

/// Everything of one heap.
pub(crate) struct Inner {
    /// Tells heaps apart; never used twice.
    pub(crate) number: u64,
    /// The process that made the heap, by the count of forks.
    process: usize,
    pub(crate) protocol: Protocol,
    pub(crate) spaces: Spaces,
    pub(crate) roots: RootTable,
    pub(crate) wills: Wills,
    pub(crate) dropper: Dropper,
    pub(crate) crew: Crew,
    pub(crate) counters: Counters,
    /// Weak cells and tables that assisting mutators found, for the collector.
    pub(crate) found: Lock<Found>,
    /// Records of threads that ended.
    idle: Lock<Vec<&'static Record>>,
    /// Bytes of slots that hold objects or are in mutators' caches, and of all that waits for the
    /// drop thread.
    pub(crate) live: AtomicUsize,
    /// Bytes ever counted into `live` or, as more of them, into `external`.
    pub(crate) allocated: AtomicUsize,
    /// Bytes of memory that objects own: among `live` where it is positive. And bytes ever counted
    /// into it, without what objects that stay have given back.
    owned: AtomicIsize,
    owned_ever: AtomicUsize,
    /// `owned_ever` when the last cycle ended.
    owned_before: AtomicUsize,
    /// Bytes of objects with drop glue that the last sweep found alive.
    pub(crate) kept: AtomicUsize,
    /// Bytes of pages.
    pub(crate) mapped: AtomicUsize,
    /// What the program says its objects keep elsewhere.
    pub(crate) external: AtomicIsize,
    /// Live bytes at which a cycle is asked for; the largest number while one runs.
    pub(crate) trigger: AtomicUsize,
    pub(crate) goal: AtomicUsize,
    /// Bytes to allocate between two cycles while something waits for the drop thread: a cycle does
    /// not make that less.
    least: AtomicUsize,
    /// `allocated` when the last cycle began.
    pub(crate) allocated_before: AtomicUsize,
    /// Live bytes from which on mutators assist while a cycle marks, and wait when they enter while one is asked for or runs.
    pub(crate) assist_above: AtomicUsize,
    pub(crate) throttle_above: AtomicUsize,
    pub(crate) pacer: Lock<Pacer>,
    pub(crate) control: Control,
    /// Whether the program has a handle.
    #[cfg(not(loom))]
    pub(crate) used: super::abandoned::Use,
    /// How often destructors and cleanups entered the closed heap.
    #[cfg(not(loom))]
    pub(crate) visits: crate::sync::tally::AtomicU64,
    pub(crate) born: Instant,
    /// One line a cycle on standard error.
    pub(crate) traced: bool,
    handle: OnceLock<Weak<Handle>>,
    me: Weak<Inner>,
}

/// What assists found: weak cells and tables.
pub(crate) struct Found(pub(crate) Vec<NonNull<WeakCell>>, pub(crate) Vec<NonNull<Table>>);

// SAFETY: managed objects are `Send + Sync`.
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
            roots: RootTable::new(),
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
            handle: OnceLock::new(),
            me: me.clone(),
        })
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    /// A handle that keeps the heap, for a root. The models have none.
    pub(crate) fn handle(&self) -> Option<Heap> {
        let keeper = self.handle.get().and_then(Weak::upgrade)?;
        Some(Heap { user: None, keeper })
    }

    /// Whether this is the process that made the heap, and not a child of it.
    #[inline]
    pub(crate) fn is_own_process(&self) -> bool {
        self.process == current_process()
    }

    /// Where a lock may be taken that a forking thread held.
    #[inline]
    pub(crate) fn check_process(&self) {
        assert!(
            self.is_own_process(),
            "greyspan::gc: this heap was made before a fork and has no collector in the child; make a new one there"
        );
    }

    /// A record for a thread that has none.
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

    /// Takes back the record of a thread that ends, or had it for one `enter`.
    pub(crate) fn give_record(&self, record: &'static Record) {
        self.idle.lock().push(record);
    }

    /// So many bytes more are live.
    pub(crate) fn count_live(&self, bytes: usize) {
        self.allocated.fetch_add(bytes, Relaxed);
        self.live.fetch_add(bytes, Relaxed);
        self.consider();
    }

    /// Objects keep so many bytes more elsewhere, or fewer. More of them are a reason for a cycle,
    /// as new objects are.
    pub(crate) fn count_external(&self, bytes: isize) {
        self.external.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes.max(0).unsigned_abs(), Relaxed);
        self.consider();
    }

    /// The live bytes change by so many.
    pub(crate) fn change_live(&self, change: i64) {
        // In two's complement that is a subtraction, too.
        self.live.fetch_add(change as usize, Relaxed);
    }

    /// New objects own so many bytes.
    pub(crate) fn count_owned(&self, bytes: usize) {
        self.owned_ever.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes, Relaxed);
        self.change_owned(bytes as isize);
        self.consider();
    }

    /// Objects that stay own so many bytes less.
    pub(crate) fn own_less(&self, bytes: usize) {
        // As if that had never been added; see `settle_owned`.
        self.owned_ever.fetch_sub(bytes, Relaxed);
        self.disown(bytes);
    }

    /// Objects that are dropped owned so many bytes.
    pub(crate) fn disown(&self, bytes: usize) {
        self.change_owned((bytes as isize).wrapping_neg());
    }

    /// One thread may take away what another one has not told of yet: then `owned` is negative for
    /// a while, and the live bytes include none of it.
    fn change_owned(&self, change: isize) {
        let before = self.owned.fetch_add(change, Relaxed);
        let now = before.wrapping_add(change);
        self.change_live(now.max(0) as i64 - before.max(0) as i64);
    }

    /// Bytes of memory that objects own.
    fn owned(&self) -> usize {
        self.owned.load(Relaxed).max(0).unsigned_abs()
    }

    /// A cycle ends: how much of what objects own is alive. While dead objects wait, that is a
    /// guess: they own as much for their size as those that live. Between two cycles the drop
    /// thread corrects it.
    pub(crate) fn guess_owned(&self) -> usize {
        self.owned_before.store(self.owned_ever.load(Relaxed), Relaxed);
        let (kept, waiting) = (self.kept.load(Relaxed), self.dropper.behind.bytes());
        let alive = self.owned() as u128 * kept as u128 / (kept + waiting).max(1) as u128;
        usize::try_from(alive).unwrap_or(usize::MAX)
    }

    /// The drop thread has nothing to do: what objects own is owned by those that the last cycle
    /// found alive, and by newer ones.
    pub(crate) fn settle_owned(&self) {
        let before = self.owned_before.load(Relaxed);
        let newer = self.owned_ever.load(Relaxed).wrapping_sub(before) as isize;
        // Negative where the older ones have become smaller by more than that.
        let owned = self.owned().saturating_sub(newer.max(0).unsigned_abs());
        if !self.control.is_running() && self.pacer.lock().set_owned(owned) {
            self.replan();
        }
    }

    /// Live bytes, and what they keep elsewhere.
    pub(crate) fn weight(&self) -> usize {
        self.live
            .load(Relaxed)
            .saturating_add_signed(self.external.load(Relaxed))
    }

    /// Asks for a cycle if it is time.
    pub(crate) fn consider(&self) {
        if self.weight() >= self.trigger.load(Relaxed) && (!self.may_wait() || self.has_allocated()) {
            self.ask_for_cycle();
        }
    }

    /// Whether live bytes may wait for their drop.
    fn may_wait(&self) -> bool {
        self.dropper.behind.bytes() != 0 || self.owned() != 0
    }

    /// Whether enough was allocated since the last cycle began that another one may find it dead.
    fn has_allocated(&self) -> bool {
        let since = self
            .allocated
            .load(Relaxed)
            .wrapping_sub(self.allocated_before.load(Relaxed));
        since >= self.least.load(Relaxed)
    }

    /// Gives work to the drop thread.
    pub(crate) fn bequeath(&self, work: impl IntoIterator<Item = Work>) {
        let mut work = work.into_iter().peekable();
        if work.peek().is_some() {
            self.dropper.give(work, &self.live);
            self.start_dropper();
        }
    }

    /// Drops all that is left, and gives all pages back. Everything is dead, and both threads are done (H2).
    pub(crate) fn demolish(&self) {
        self.dropper.give(self.wills.cleanups(|_| true), &self.live);
        self.dropper.drain(self);
        for space in self.spaces.all() {
            for span in space.take_all() {
                if space.dropped {
                    for index in span.allocated() {
                        // SAFETY: allocated, so its header, if any, is written.
                        let object = unsafe { span.object(index) };
                        // SAFETY: everything is dead, and the drop thread's queue is empty.
                        unsafe { self.dropper.bury(object) };
                    }
                }
                // SAFETY: nobody uses anything of the heap any more.
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
            // SAFETY: leaked by `take_record`; threads look at records of heaps only that are there.
            drop(unsafe { Box::from_raw(record) });
        }
        // SAFETY: nothing is left of the heap.
        unsafe { self.spaces.free() };
        // SAFETY: roots keep the handle, which is gone.
        unsafe { self.roots.free() };
    }
}

/// Keeps a heap: its drop is the end of it.
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

/// A garbage-collected heap. Clones are the same heap; it lives as long as a clone, or a [`Root`](super::Root) into it, does.
///
/// When the last of these goes, the heap ends: a thread of its own runs the destructors of all its
/// objects, and the cleanups. If the process exits meanwhile, its exit waits for them, up to one
/// second for all heaps together: so those of a heap that ends as the last act of `main` run. That
/// is a best effort. They do not run where they take longer, at an abort, a signal or `_exit`, and
/// for heaps that do not end, because a `static` or a thread keeps a handle or a root.
/// [`close`](Self::close) waits as long as it takes, and says what is left.
#[derive(Clone)]
pub struct Heap {
    /// The handle of a program; that of a root has none, and enters nothing. Dropped first.
    #[expect(dead_code, reason = "its drop is what it is for")]
    user: Option<Arc<User>>,
    keeper: Arc<Handle>,
}

/// What the handles of the program share: its drop says that no thread can enter the heap any more.
struct User(Weak<Inner>);

#[cfg(not(loom))]
impl Drop for User {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade()
            && let Some(handle) = inner.handle.get().and_then(Weak::upgrade)
        {
            // This one, that of the handle which goes, and those of roots.
            if inner.is_own_process() && Arc::strong_count(&handle) > 2 {
                inner.abandon();
            }
        }
    }
}

// A panic inside `enter` unpins, and leaves the heap as it was between two operations.
impl UnwindSafe for Heap {}
impl RefUnwindSafe for Heap {}

impl Heap {
    /// The shared part.
    #[inline]
    pub(crate) fn inner(&self) -> &Inner {
        match &self.keeper.inner {
            Some(inner) => inner,
            None => unreachable!("the handle has it until it is dropped"),
        }
    }

    /// A heap around `inner`.
    pub(crate) fn around(inner: Arc<Inner>) -> Self {
        let user = Some(Arc::new(User(inner.weak())));
        let keeper = Arc::new(Handle { inner: Some(inner) });
        let heap = Self { user, keeper };
        let first = heap.inner().handle.set(Arc::downgrade(&heap.keeper)).is_ok();
        debug_assert!(first);
        heap
    }
}

#[cfg(not(loom))]
impl Heap {
    /// A heap with what `GREYSPAN_GC` says, or collections whenever it has doubled.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A heap with options.
    pub fn builder() -> super::Builder {
        super::Builder::default()
    }

    /// Pins the calling thread, and runs `f` with it as a [`Mutator`]. No `Gc` leaves `f`; what is to stay goes into a [`Root`](super::Root).
    ///
    /// While `f` runs, nothing that it can reach is freed. A cycle that begins meanwhile ends only after `f` does, so do not block in it, and leave
    /// and enter again now and then in long loops. An `enter` inside `f` is the same pin. A panic in `f` unpins.
    ///
    /// Before it pins, an outermost `enter` of a heap far beyond its goal waits: under a
    /// millisecond for the collector, and up to two seconds for drops and cleanups, as long as
    /// these end one after the other. Such waits are in [`GcStats::max_stall_ns`].
    ///
    /// ```
    /// let heap = greyspan::gc::Heap::new();
    /// let sum: u64 = heap.enter(|m| m.alloc_slice(10, |i| i as u64).iter().sum());
    /// assert_eq!(sum, 45);
    /// ```
    ///
    /// # Panics
    /// In a `fork` child, for a heap that its parent made. Once the heap is [closed](Self::close),
    /// but for its own destructors and cleanups.
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
            // A panic takes its time, and the thread that closes the heap would wait for this one.
            drop(pin);
            super::close::refuse();
        }
        // SAFETY: pinned until after the call, and the brand is this call's own.
        f(unsafe { lease.record().as_mutator() })
    }

    /// Runs one full cycle, and waits for its end: what was dead when it was called is gone then, though drops and cleanups may still run on their
    /// thread.
    ///
    /// # Panics
    /// Inside `enter` of any heap: the cycle would wait for this thread.
    pub fn collect(&self) {
        assert!(
            !is_pinned(),
            "greyspan::gc: `collect` inside `enter` would wait for itself"
        );
        self.inner().check_process();
        self.inner().collect(None);
    }

    /// The heap's figures.
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

    /// By how many percent the heap may grow beyond what the last cycle found alive; `None`: no cycle begins by itself, but for the limit's sake.
    pub fn set_gc_percent(&self, percent: Option<u32>) {
        self.inner().check_process();
        self.inner().pacer.lock().set_percent(percent);
        self.inner().replan();
    }

    /// Bytes that the heap should stay below; `None`: no limit. Dead objects that wait for their
    /// drop count, and so do waiting cleanups.
    pub fn set_memory_limit(&self, bytes: Option<usize>) {
        self.inner().check_process();
        self.inner().pacer.lock().set_limit(bytes);
        self.inner().replan();
    }
}

impl Inner {
    /// Threads that have a record.
    pub(crate) fn mutators(&self) -> usize {
        // In this order: a thread that comes and goes in between is a member before it is idle.
        let idle = self.idle.lock().len();
        self.protocol.members() - idle
    }

    /// Puts the pacer's plan in force, unless a cycle runs: its end does.
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

    /// A thread that enters while the heap is far beyond its goal gives the collector a moment, and
    /// waits for the drop thread while that gets on. Both are bounded: a pinned thread may wait for
    /// this one.
    #[cold]
    pub(crate) fn throttle(&self) {
        let since = Instant::now();
        let mut drops = self.dropper.behind.wait();
        // A shut heap refuses the thread, unless it is the one that the others would wait for.
        let is_far = || self.live.load(Relaxed) > self.throttle_above.load(Relaxed) && !self.protocol.is_shut();
        // A cycle is asked for or runs.
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
