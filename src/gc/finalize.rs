//! The end of objects: drop glue and cleanups on the heap's drop thread, and guardians, which bring
//! objects back.
//!
//! After a cycle has closed, this happens in order:
//!
//! 1. The collector clears the weak cells of dead objects.
//! 2. It revives dead objects that guardians watch, and all objects that they lead to, before any
//!    thread can see them.
//! 3. It removes table entries whose keys are still dead.
//! 4. It queues the cleanups of objects that are still dead.
//! 5. Handshake H3 and the sweep follow. The sweep queues dead objects that have drop glue.
//!
//! - FINALIZE-1. The slot of a dead object with drop glue becomes free only after the glue has run.
//! - FINALIZE-2. The death of an object runs no code of the program on a mutator or on the
//!   collector's thread.
//! - FINALIZE-3. A panic in a drop or a cleanup is counted, and the next one runs.
//! - FINALIZE-4. Queued work counts as live bytes of the heap until it is done, and a thread that
//!   enters waits if there is too much of it.

use super::alloc::Mutator;
use super::behind::{Behind, DROPPING};
use super::desc::Object;
use super::handle::Gc;
use super::heap::Inner;
use super::root::Root;
use super::rootable::{Rootable, rebrand};
use super::roots::RootTable;
use super::span::{Index, Span};
use super::wills::Fate;
use crate::sync::blocking::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use crate::sync::tally::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::fmt;
use core::ptr::NonNull;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work for the drop thread.
pub(crate) enum Work {
    /// Dead objects of one word of a span.
    Bury(&'static Span, usize, u64),
    /// A cleanup.
    Run(Box<dyn FnOnce() + Send>),
}

impl Work {
    /// Returns the bytes that the work keeps.
    fn bytes(&self) -> usize {
        match self {
            Self::Bury(span, _, mask) => mask.count_ones() as usize * span.slot_bytes(),
            Self::Run(cleanup) => size_of::<Self>() + size_of_val(&**cleanup),
        }
    }
}

/// Waits on `condvar` until `deadline` at the latest. Returns `false` if the deadline has passed.
pub(crate) fn wait_by<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> (MutexGuard<'a, T>, bool) {
    let Some(deadline) = deadline else {
        return (condvar.wait(guard).unwrap_or_else(PoisonError::into_inner), true);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return (guard, false);
    }
    let woken = condvar.wait_timeout(guard, left);
    (woken.unwrap_or_else(PoisonError::into_inner).0, true)
}

#[derive(Default)]
struct Line {
    work: VecDeque<Work>,
    /// Threads that run work taken from the line.
    busy: usize,
    /// Number of work items ever taken off the line.
    taken: u64,
}

/// The drop thread's queue.
pub(crate) struct Dropper {
    /// The heap's number.
    heap: u64,
    line: Mutex<Line>,
    changed: Condvar,
    /// Signalled when the line is empty and no work runs, and when there is no drop thread.
    rested: Condvar,
    started: AtomicBool,
    pub(crate) behind: Behind,
    pub(crate) cleanups: AtomicU64,
    pub(crate) panicked: AtomicU64,
}

impl Dropper {
    pub(crate) fn new(heap: u64) -> Self {
        Self {
            heap,
            line: Mutex::new(Line::default()),
            changed: Condvar::new(),
            rested: Condvar::new(),
            started: AtomicBool::new(false),
            behind: Behind::new(),
            cleanups: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        }
    }

    /// Queues work of a heap and adds the bytes of cleanups to its `live` bytes (FINALIZE-4). They
    /// still include the dead objects that the sweep has queued.
    pub(crate) fn give(&self, work: impl IntoIterator<Item = Work>, live: &AtomicUsize) {
        let counted = work.into_iter().inspect(|work| {
            self.behind.add(work.bytes());
            if let Work::Run(_) = work {
                live.fetch_add(work.bytes(), Relaxed);
            }
        });
        guard(&self.line).work.extend(counted);
        self.changed.notify_one();
    }

    pub(crate) fn is_idle(&self) -> bool {
        guard(&self.line).work.is_empty()
    }

    /// Claims the start of the thread. Returns `true` if the caller must start it.
    pub(crate) fn claim(&self) -> bool {
        !self.started.swap(true, Relaxed)
    }

    /// Takes the claim back, because the system refused a thread. The next thread with work tries
    /// again.
    pub(crate) fn unclaim(&self) {
        // Under the lock: a thread in `rest` either sees the change or already sleeps.
        let line = guard(&self.line);
        self.started.store(false, Relaxed);
        drop(line);
        self.rested.notify_all();
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// Wakes the drop thread, because the heap ends.
    pub(crate) fn wake(&self) {
        // Under the lock: the drop thread either sees the change or already sleeps.
        drop(guard(&self.line));
        self.changed.notify_one();
    }

    /// Does all queued work, in order. The program's code runs without the lock.
    pub(crate) fn drain(&self, heap: &Inner) {
        let mut line = guard(&self.line);
        while let Some(work) = line.work.pop_front() {
            line.busy += 1;
            line.taken += 1;
            drop(line);
            self.perform(work, heap);
            line = guard(&self.line);
            line.busy -= 1;
        }
        drop(line);
        self.rested.notify_all();
    }

    /// Waits until no work is queued or runs. Returns the number of items ever done, or `None` if
    /// `deadline` passes first. If there is no drop thread, the caller does its work.
    pub(crate) fn rest(&self, heap: &Inner, deadline: Option<Instant>) -> Option<u64> {
        let mut line = guard(&self.line);
        loop {
            if !line.work.is_empty() && !self.is_started() {
                drop(line);
                self.drain(heap);
                heap.settle_owned();
                line = guard(&self.line);
            }
            if line.work.is_empty() && line.busy == 0 {
                return Some(line.taken);
            }
            let in_time;
            (line, in_time) = wait_by(&self.rested, line, deadline);
            if !in_time {
                return None;
            }
        }
    }

    /// Returns the number of work items ever taken off the queue.
    pub(crate) fn taken(&self) -> u64 {
        guard(&self.line).taken
    }

    /// Whether no work is queued or runs.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.unfinished() == 0
    }

    /// Returns the number of work items that are queued or run.
    pub(crate) fn unfinished(&self) -> usize {
        let line = guard(&self.line);
        line.work.len() + line.busy
    }

    /// Waits until there is work or `over` returns `true`.
    pub(crate) fn wait(&self, over: impl Fn() -> bool) {
        let mut line = guard(&self.line);
        while line.work.is_empty() && !over() {
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, work: Work, heap: &Inner) {
        let bytes = work.bytes();
        match work {
            Work::Bury(span, word, mut mask) => {
                let (all, slot) = (mask, span.slot_bytes());
                while mask != 0 {
                    let index = Index(word as u32 * 64 + mask.trailing_zeros());
                    mask &= mask - 1;
                    // SAFETY: FINALIZE-1: the sweep leaves a dead object with drop glue intact.
                    let object = unsafe { span.object(index) };
                    // SAFETY: the object is dead, and `mask` names each object once.
                    heap.disown(unsafe { self.bury(object) });
                    span.poison(index);
                    self.behind.advance();
                }
                // From here on the span may be gone.
                heap.live.fetch_sub(span.buried(word, all) as usize * slot, Relaxed);
            }
            Work::Run(cleanup) => {
                self.cleanups.fetch_add(1, Relaxed);
                self.survive(cleanup);
                self.behind.advance();
                heap.live.fetch_sub(bytes, Relaxed);
            }
        }
        self.behind.remove(bytes);
    }

    /// Runs an object's drop glue. Returns the bytes that the object owned.
    ///
    /// # Safety
    /// The object is dead and not dropped yet.
    pub(crate) unsafe fn bury(&self, object: Object) -> usize {
        let mut owned = 0;
        if let Some(glue) = object.desc.drop {
            // SAFETY: the object is dead and not dropped yet (contract of this function).
            self.survive(|| owned = unsafe { (object.desc.measure)(object.first, object.len) });
            // SAFETY: the object is dead and is dropped here only (contract of this function).
            self.survive(|| unsafe { glue(object.first, object.len) });
        }
        owned
    }

    fn survive(&self, act: impl FnOnce()) {
        let before = DROPPING.replace(self.heap);
        let end = catch_unwind(AssertUnwindSafe(act));
        DROPPING.set(before);
        if let Err(payload) = end {
            self.panicked.fetch_add(1, Relaxed);
            // A payload may panic in its own drop.
            core::mem::forget(payload);
        }
    }
}

/// A cleanup that [`Mutator::on_dead`] has arranged. Dropping the value does not cancel the
/// cleanup.
///
/// Needs the feature `gc`.
#[derive(Clone)]
pub struct Cleanup {
    heap: Weak<Inner>,
    number: u64,
}

impl Cleanup {
    /// Cancels the cleanup. Returns `false` if its object has already died or the cleanup was
    /// cancelled before.
    pub fn cancel(&self) -> bool {
        self.heap.upgrade().is_some_and(|heap| heap.wills.cancel(self.number))
    }
}

impl fmt::Debug for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cleanup").field(&self.number).finish()
    }
}

/// A pointer that is sent to the collector's thread.
struct Carried<R: Rootable + ?Sized>(NonNull<R::Of<'static>>);

// SAFETY: managed objects are `Send + Sync`.
unsafe impl<R: Rootable + ?Sized> Send for Carried<R> {}

struct Ready<R: Rootable + ?Sized>(Mutex<VecDeque<Root<R>>>);

/// A queue of objects that come back. If only guardians can still reach a watched object, the
/// collector revives it and puts a [`Root`] of it into this queue.
///
/// Guardians come from Scheme. Clones share one queue. Needs the feature `gc`.
///
/// # Variance
/// Invariant in `R`, as the [`Root`]s that it returns are.
pub struct Guardian<R: Rootable + ?Sized> {
    ready: Arc<Ready<R>>,
}

impl<R: Rootable + ?Sized> Guardian<R> {
    /// Makes a guardian that watches no object.
    pub fn new() -> Self {
        Self {
            ready: Arc::new(Ready(Mutex::new(VecDeque::new()))),
        }
    }

    /// Watches `gc`: when only guardians can still reach it, it enters the queue, once. Weak
    /// references to it stay dead.
    ///
    /// # Panics
    /// In a `fork` child, if the heap belongs to its parent.
    pub fn watch<'gc>(&self, m: &Mutator<'gc>, gc: Gc<'gc, R::Of<'gc>>) {
        m.record.heap().check_process();
        let pointer = Carried::<R>(rebrand::<R>(gc.pointer()));
        let (queue, there) = (Arc::downgrade(&self.ready), Arc::downgrade(&self.ready));
        let hand_over = move |roots: &RootTable| {
            // Moves the whole value, which is `Send`, and not its field.
            let pointer = { pointer };
            if let Some(ready) = queue.upgrade()
                && let Some(root) = Root::revived(roots, pointer.0)
            {
                guard(&ready.0).push_back(root);
            }
        };
        let fate = Fate::Guardian(Box::new(hand_over), Box::new(move || there.strong_count() > 0));
        m.record.heap().wills.add(gc.address(), fate, false);
    }

    /// Takes the next object that came back out of the queue. Returns `None` if the queue is empty.
    pub fn next(&self) -> Option<Root<R>> {
        guard(&self.ready.0).pop_front()
    }
}

impl<R: Rootable + ?Sized> Default for Guardian<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rootable + ?Sized> Clone for Guardian<R> {
    fn clone(&self) -> Self {
        Self {
            ready: Arc::clone(&self.ready),
        }
    }
}

impl<R: Rootable + ?Sized> fmt::Debug for Guardian<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guardian(..)")
    }
}

impl<'gc> Mutator<'gc> {
    /// Runs `cleanup` on the heap's drop thread after `gc` has died. If the object is still alive
    /// when the heap ends or is [closed](super::Heap::close), the cleanup runs then.
    ///
    /// The cleanup cannot reach the object, so it must capture the values that it needs. Weak
    /// references to the object are cleared before the cleanup runs.
    ///
    /// A [`Root`] in the cleanup keeps its object alive. If that object is `gc` itself, it never
    /// dies and the cleanup never runs. Capture a [`WeakRoot`](super::WeakRoot) instead, or the
    /// values that the cleanup needs. [`GcStats::cleanups_kept`](super::GcStats::cleanups_kept)
    /// counts such cleanups where the heap can detect them. A [`Heap`](super::Heap) in the cleanup
    /// keeps the heap until the cleanup has run or the heap is closed.
    ///
    /// # Panics
    /// - If the cleanup captures a [`Root`] of `gc`, of the same type, and nothing else.
    /// - In a `fork` child, if the heap belongs to its parent.
    ///
    /// ```should_panic
    /// use greyspan::gc::{Heap, Root, Rootable};
    ///
    /// Heap::new().enter(|m| {
    ///     let gc = m.alloc(7u64);
    ///     let root: Root<Rootable![u64]> = Root::new(m, gc);
    ///     m.on_dead(gc, move || println!("{root:?} is gone"));
    /// });
    /// ```
    pub fn on_dead<T: ?Sized>(&self, gc: Gc<'gc, T>, cleanup: impl FnOnce() + Send + 'static) -> Cleanup {
        let heap = self.record.heap();
        heap.check_process();
        #[cfg(not(loom))]
        let holds = super::inside::look::<_, T>(&cleanup, &heap.roots, gc.address());
        #[cfg(not(loom))]
        assert!(
            holds != super::inside::Holds::Root,
            "greyspan::gc: this cleanup holds a Root of the object that it waits for, and would never run"
        );
        #[cfg(not(loom))]
        let is_suspect = holds == super::inside::Holds::Suspect;
        #[cfg(loom)]
        let is_suspect = false;
        Cleanup {
            heap: heap.weak(),
            number: heap
                .wills
                .add(gc.address(), Fate::Cleanup(Box::new(cleanup)), is_suspect),
        }
    }

    /// Makes a guardian for objects of this type, as [`Guardian::new`] does.
    pub fn guardian<R: Rootable + ?Sized>(&self) -> Guardian<R> {
        Guardian::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{GcCell, Rootable};
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_thread_that_waits_for_a_drop_thread_which_the_system_refuses_does_its_work() {
        let heap = Inner::new(u64::MAX, None, None, false);
        assert!(heap.dropper.claim());
        heap.dropper.give([Work::Run(Box::new(|| ()))], &heap.live);
        let own = Arc::clone(&heap);
        let rests = std::thread::spawn(move || own.dropper.rest(&own, None));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!rests.is_finished(), "a thread is being made");
        heap.dropper.unclaim();
        let since = Instant::now();
        while !rests.is_finished() {
            assert!(since.elapsed() < Duration::from_secs(20), "it waits for ever");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(rests.join().expect("an answer"), Some(1));
        heap.demolish();
    }

    #[test]
    fn what_comes_back_when_its_heap_has_ended_goes_to_nobody() {
        // The case of a cycle that was running when the last handle went: no handle is left that a
        // root could keep.
        let heap = Inner::new(u64::MAX, None, None, false);
        let record = heap.take_record();
        record.enter();
        // SAFETY: the record is pinned until `leave`, and no value of the brand is used after it.
        let m = unsafe { record.as_mutator() };
        let guardian = Guardian::<Rootable![GcCell<'_, u64>]>::new();
        guardian.watch(m, m.alloc(GcCell::null()));
        record.leave();
        heap.run_cycle();
        assert!(guardian.next().is_none(), "a root into a heap that it does not keep");
        heap.demolish();
    }
}
