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
use super::handle::Gc;
use super::leaves::leaf;
use super::root::Root;
use super::rootable::{Rootable, rebrand};
use super::roots::RootTable;
use super::waiting::guard;
use super::wills::Fate;
use super::world::Host;
use crate::sync::blocking::{Arc, Mutex, Weak};
use core::fmt;
use core::ptr::NonNull;
use std::collections::VecDeque;

/// A cleanup that [`Mutator::on_dead`] has arranged. Dropping the value does not cancel the
/// cleanup.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Heap, Root, Rootable};
///
/// let heap = Heap::new();
/// let (file, cleanup) = heap.enter(|m| {
///     let file: Root<Rootable![u64]> = Root::new(m, m.alloc(7));
///     let cleanup = m.on_dead(file.get(m), || println!("closes file 7"));
///     (file, cleanup)
/// });
/// // The program closes the file itself.
/// assert!(cleanup.cancel());
/// assert!(!cleanup.cancel(), "it was cancelled before");
/// drop(file);
/// ```
#[derive(Clone)]
pub struct Cleanup {
    heap: Weak<dyn Host>,
    number: u64,
}

impl Cleanup {
    /// Cancels the cleanup. Returns `false` if its object has already died or the cleanup was
    /// cancelled before. See the example of [`Cleanup`].
    pub fn cancel(&self) -> bool {
        self.heap
            .upgrade()
            .is_some_and(|heap| heap.world().wills.cancel(self.number))
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
/// ```
/// use greyspan::gc::{Guardian, Heap, Rootable};
///
/// // Buffers that are dear to make come back to a pool, wherever the program loses them.
/// let heap = Heap::new();
/// let pool: Guardian<Rootable![[u8]]> = Guardian::new();
/// heap.enter(|m| pool.watch(m, m.alloc_slice(1000, |_| 0)));
/// heap.collect();
///
/// let buffer = pool.next().expect("only the pool could reach it");
/// heap.enter(|m| assert_eq!(buffer.get(m).len(), 1000));
/// assert!(pool.next().is_none());
/// ```
///
/// A managed object may hold a guardian. The roots in the guardian's queue keep their objects, as
/// [roots in managed objects](Root#roots-in-managed-objects) do.
///
/// # Variance
/// Invariant in `R`, as the [`Root`]s that it returns are.
pub struct Guardian<R: Rootable + ?Sized> {
    ready: Arc<Ready<R>>,
}

impl<R: Rootable + ?Sized> Guardian<R> {
    /// Makes a guardian that watches no object. See the example of [`Guardian`].
    pub fn new() -> Self {
        Self {
            ready: Arc::new(Ready(Mutex::new(VecDeque::new()))),
        }
    }

    /// Watches `gc`: when only guardians can still reach it, it enters the queue, once. Weak
    /// references to it stay dead. See the example of [`Guardian`].
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
    /// See the example of [`Guardian`].
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

leaf! {
    [] Cleanup;
    [R: Rootable + ?Sized] Guardian<R>;
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
    /// - If the cleanup captures a [`Root`] of `gc` and nothing else.
    /// - In a `fork` child, if the heap belongs to its parent.
    ///
    /// ```
    /// let heap = greyspan::gc::Heap::new();
    /// let (sender, closed) = std::sync::mpsc::channel();
    /// heap.enter(|m| {
    ///     let connection = m.alloc(7u64);
    ///     let number = *connection;
    ///     m.on_dead(connection, move || sender.send(number).expect("the channel is open"));
    /// });
    /// heap.collect();
    /// assert_eq!(closed.recv(), Ok(7));
    /// ```
    ///
    /// This cleanup would never run:
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
        #[cfg(not(greyspan_loom))]
        let holds = super::inside::look(&cleanup, &heap.roots, gc.address());
        #[cfg(not(greyspan_loom))]
        assert!(
            holds != super::inside::Holds::Root,
            "greyspan::gc: this cleanup holds a Root of the object that it waits for, and would never run"
        );
        #[cfg(not(greyspan_loom))]
        let is_suspect = holds == super::inside::Holds::Suspect;
        #[cfg(greyspan_loom)]
        let is_suspect = false;
        Cleanup {
            heap: heap.host(),
            number: heap
                .wills
                .add(gc.address(), Fate::Cleanup(Box::new(cleanup)), is_suspect),
        }
    }

    /// Makes a guardian for objects of this type, as [`Guardian::new`] does. See the example of
    /// [`Guardian`].
    pub fn guardian<R: Rootable + ?Sized>(&self) -> Guardian<R> {
        Guardian::new()
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::super::collector::Collector;
    use super::super::dropper::Work;
    use super::super::{GcCell, Rootable};
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_that_waits_for_a_drop_thread_which_the_system_refuses_does_its_work() {
        let heap = Collector::new(u64::MAX, None, None, false);
        assert!(heap.dropper.claim());
        heap.dropper.give([Work::Run(Box::new(|| ()))], &heap.bytes.live);
        let own = Arc::clone(&heap);
        let rests = std::thread::spawn(move || own.rest(None));
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
        let heap = Collector::new(u64::MAX, None, None, false);
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
