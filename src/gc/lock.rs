//! [`GcLock`]: a value of more than one word, with edges in it, that changes as a whole.
//!
//! - K1. What a thread in MARK may have in hand from a lock is shaded before it is removed. In
//!   MARK: the first writer of a cycle shades all edges when it takes the lock, unless a tracer has
//!   seen all of them (`stamp`). In PRE: while no thread has pinned in MARK (`Protocol::in_mark`),
//!   none has anything in hand from the lock, and a writer shades nothing when it takes it. Later a
//!   writer shades all edges when it takes the lock, once (`shown`), and again only after a read.
//!   Each read counts, whichever thread it is on: a thread in MARK lets others read for it, also
//!   threads that are in no phase or in PRE. That a thread reads for one in MARK it has from that
//!   thread's pin, and a writer takes the lock after the reader released it; so the writer sees the
//!   pin and the read. A writer that took the lock before the first pin in MARK and releases it
//!   after removes nothing that such a thread has from the lock, as it keeps readers out. What
//!   writers in PRE have added by the end is found by another scan of the object that the lock lies
//!   in, after their unpin and so before T2; a lock that lies in no object itself, but in a box, is
//!   shaded at the end of each guard instead. What is added in MARK is protected by where the
//!   writer has it from.
//! - K2. No request is acknowledged while a guard for writing is held, so a writer's phase is the same at both ends.
//! - K3. A tracer does not wait. It passes over a lock that a writer holds or waits for: that
//!   writer has shaded what K1 asks for or will when it has the lock, if it is in PRE the lock is
//!   scanned again or shaded at the end, and marking cannot end before it has acknowledged a wave.

use super::alloc::Mutator;
use super::fault::broken;
use super::held::{Held, Number};
use super::mark::Tracing;
use super::meter::{Meter, Share};
use super::phase::Phase;
use super::stats::Stint;
use super::trace::{Trace, Visitor};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use crate::sync::blocking::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// A lock around a value with edges: an enum, a `Vec<Gc<..>>`, a map. Many read or one writes. For large arrays use a slice of
/// [`GcCell`](super::GcCell)s: while a cycle marks, the first writer shows the collector every edge of the value.
///
/// Hold a guard for writing only for a short time: its thread acknowledges nothing meanwhile. A guard that is leaked keeps the value locked for
/// ever.
///
/// A field of an object is the place for a lock. While a cycle begins, a lock behind a `Box` or a
/// `Vec` shows all its edges at each write. And if an [`enter`](super::Heap::enter) lasts into a
/// cycle in which other threads have entered again, the first write in it after each read, by
/// whichever thread, shows all edges; so such an `enter` should not read and write by turns.
///
/// ```
/// use greyspan::gc::{Gc, GcLock, Heap, Trace};
///
/// #[derive(Trace)]
/// struct Folder<'gc> {
///     name: String,
///     inside: GcLock<Vec<Gc<'gc, Folder<'gc>>>>,
/// }
///
/// let heap = Heap::new();
/// heap.enter(|m| {
///     let folder = |name: &str| m.alloc(Folder { name: name.into(), inside: GcLock::default() });
///     let (home, notes) = (folder("home"), folder("notes"));
///     home.inside.write(m).push(notes);
///     // Back to its parent: a cycle of edges is nothing special.
///     notes.inside.write(m).push(home);
///     assert_eq!(home.inside.read()[0].name, "notes");
/// });
/// ```
///
/// # Deadlocks
/// A thread that holds a guard and asks for one of the same lock waits for itself: `write` after
/// `read` or `write`, and `read` after `write`. Debug builds panic and say so; release builds hang.
/// A guard that stands in the head of a `match` or an `if let` lives to the end of it. `read` after
/// `read` works unless a writer waits. [`try_write`](Self::try_write) and
/// [`try_read`](Self::try_read) never wait. In a `fork` child a lock stays locked for ever if
/// another thread held it at the fork; the collector's, which looks at values, is such a thread
/// too.
///
/// # Variance
/// Invariant in `T`, and so in the `'gc` of the edges in it. The guard for reading is covariant in
/// `T`, the one for writing invariant.
pub struct GcLock<T> {
    value: RwLock<T>,
    /// The cycle whose tracing has seen all edges; guarded by the lock.
    stamp: AtomicU64,
    share: Share,
    /// The cycle in whose PRE all edges were shaded that a thread may have read for one in MARK;
    /// guarded by the lock, and made 0 by each reader.
    shown: AtomicU64,
    number: Number,
}

impl<T> GcLock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: RwLock::new(value),
            stamp: AtomicU64::new(0),
            share: Share::new(),
            shown: AtomicU64::new(0),
            number: Number::new(),
        }
    }

    /// Waits for the writer, if there is one, and reads. A lock does not poison: a writer that panics leaves the value as it is.
    ///
    /// # Panics
    /// In debug builds, if the calling thread holds a guard of this lock and would wait for itself.
    pub fn read(&self) -> GcReadGuard<'_, T> {
        self.try_read().unwrap_or_else(|| {
            Held::before_waiting(&self.number, "read");
            self.reading(self.value.read().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Reads, or `None` where a writer holds the lock or waits for it.
    pub fn try_read(&self) -> Option<GcReadGuard<'_, T>> {
        match self.value.try_read() {
            Ok(value) => Some(self.reading(value)),
            Err(TryLockError::Poisoned(value)) => Some(self.reading(value.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn reading<'a>(&self, value: RwLockReadGuard<'a, T>) -> GcReadGuard<'a, T> {
        // Relaxed: guarded by the lock, as the writers' looks at it are.
        if self.shown.load(Relaxed) != 0 && !broken("lock_look_unseen") {
            self.shown.store(0, Relaxed);
        }
        let held = Held::new(&self.number, false);
        GcReadGuard { value, _held: held }
    }

    /// Waits for all others and writes.
    ///
    /// # Panics
    /// In debug builds, if the calling thread holds a guard of this lock and would wait for itself.
    pub fn write<'a, 'gc>(&'a self, m: &'a Mutator<'gc>) -> GcWriteGuard<'a, 'gc, T>
    where
        T: Trace<'gc>,
    {
        self.try_write(m).unwrap_or_else(|| {
            Held::before_waiting(&self.number, "write");
            self.writing(self.value.write().unwrap_or_else(PoisonError::into_inner), m)
        })
    }

    /// Writes, or `None` where a thread holds a guard, this one too, or where the collector looks
    /// at the value in this moment.
    pub fn try_write<'a, 'gc>(&'a self, m: &'a Mutator<'gc>) -> Option<GcWriteGuard<'a, 'gc, T>>
    where
        T: Trace<'gc>,
    {
        m.poll();
        match self.value.try_write() {
            Ok(value) => Some(self.writing(value, m)),
            Err(TryLockError::Poisoned(value)) => Some(self.writing(value.into_inner(), m)),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn writing<'a, 'gc>(&'a self, value: RwLockWriteGuard<'a, T>, m: &'a Mutator<'gc>) -> GcWriteGuard<'a, 'gc, T>
    where
        T: Trace<'gc>,
    {
        let record = &m.record;
        record.guards.set(record.guards.get() + 1);
        let mut guard = GcWriteGuard {
            value,
            m,
            share: &self.share,
            shades_at_end: false,
            _held: Held::new(&self.number, true),
        };
        if T::NEEDS_TRACE && record.phase() != Phase::Idle {
            self.show(&mut guard);
        }
        guard
    }

    /// A writer has the lock while a cycle runs (K1).
    #[cold]
    fn show<'gc>(&self, guard: &mut GcWriteGuard<'_, 'gc, T>)
    where
        T: Trace<'gc>,
    {
        let record = &guard.m.record;
        let cycle = record.current().cycle();
        if record.phase() == Phase::Pre {
            guard.shades_at_end = !record.scan_again(NonNull::from(self).cast());
            if !broken("lock_keeps_stamp") {
                self.stamp.store(0, Relaxed);
            }
            if record.protocol().in_mark() == cycle && self.shown.load(Relaxed) != cycle {
                if !broken("lock_unshown") {
                    guard.shade_all();
                }
                self.shown.store(cycle, Relaxed);
            }
        } else if self.stamp.load(Relaxed) != cycle {
            if !broken("lock_without_snapshot") {
                guard.shade_all();
            }
            self.stamp.store(cycle, Relaxed);
        }
    }
}

impl<T: Default> Default for GcLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for GcLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcLock(..)")
    }
}

// SAFETY: all edges are shown, or a writer shows them to the collector (K3).
unsafe impl<'gc, T: Trace<'gc>> Trace<'gc> for GcLock<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    fn trace(&self, visitor: &mut Visitor<'gc>) {
        let mut value = self.value.try_read();
        if let Err(TryLockError::WouldBlock) = value {
            // Pairs with the fence in `Record::give_again`: either the writer finds the object's
            // mark then, or the lock is free now.
            fence(SeqCst);
            value = self.value.try_read();
        }
        let value = match value {
            Ok(value) => value,
            Err(TryLockError::Poisoned(value)) => value.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        value.trace(visitor);
        let cycle = visitor.cycle();
        if cycle != 0 {
            self.stamp.store(cycle, Relaxed);
        }
    }

    fn measure(&self, meter: &mut Meter) {
        meter.add_share(&self.share, |meter| match self.value.try_read() {
            Ok(value) => value.measure(meter),
            Err(TryLockError::Poisoned(value)) => value.into_inner().measure(meter),
            Err(TryLockError::WouldBlock) => {}
        });
    }
}

/// Reads the value of a [`GcLock`].
pub struct GcReadGuard<'a, T> {
    value: RwLockReadGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for GcReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Writes the value of a [`GcLock`].
pub struct GcWriteGuard<'a, 'gc, T: Trace<'gc>> {
    value: RwLockWriteGuard<'a, T>,
    m: &'a Mutator<'gc>,
    share: &'a Share,
    /// The lock was taken in PRE, and no scan of an object will find what is added.
    shades_at_end: bool,
    _held: Held,
}

impl<'gc, T: Trace<'gc>> GcWriteGuard<'_, 'gc, T> {
    fn shade_all(&self) {
        let since = Stint::begin();
        let mut visitor = Visitor::new(0);
        let tracing = Tracing(core::any::type_name::<T>);
        self.value.trace(&mut visitor);
        core::mem::forget(tracing);
        for &edge in visitor.edges().iter() {
            self.m.record.shade(edge.as_ptr());
        }
        self.m.record.count_shown(since);
    }
}

impl<'gc, T: Trace<'gc>> Deref for GcWriteGuard<'_, 'gc, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'gc, T: Trace<'gc>> DerefMut for GcWriteGuard<'_, 'gc, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<'gc, T: Trace<'gc>> Drop for GcWriteGuard<'_, 'gc, T> {
    fn drop(&mut self) {
        if self.shades_at_end && !broken("lock_release_unshaded") {
            self.shade_all();
        }
        if core::mem::needs_drop::<T>()
            && let Some((before, now)) = self.share.change(&*self.value, self.m.record.heap().number)
        {
            self.m.record.own_instead(before, now);
        }
        let guards = &self.m.record.guards;
        guards.set(guards.get() - 1);
    }
}
