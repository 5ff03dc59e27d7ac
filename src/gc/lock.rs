//! [`GcLock`]: a value of more than one word, with edges, that changes as a whole.
//!
//! - GCLOCK-1. An edge that a thread in MARK may have read from a lock is shaded before a writer
//!   removes it.
//!   - In MARK, the first writer of a cycle shades all edges when it takes the lock, unless a
//!     tracer has already seen all of them (`stamp`).
//!   - In PRE, while no thread has pinned in MARK (`Protocol::in_mark`), a writer shades nothing
//!     when it takes the lock: no thread in MARK has read from it.
//!   - In PRE, after the first pin in MARK, a writer shades all edges when it takes the lock. It
//!     does so once (`shown`), and again only after a read.
//!   - A read by any thread counts: a thread in MARK may let a thread in PRE or in no phase read
//!     for it.
//!   - The writer sees the pin and the read. The read comes after the pin of the thread in MARK,
//!     and the writer takes the lock after the reader released it.
//!   - A writer that takes the lock before the first pin in MARK and releases it afterwards keeps
//!     readers out. So it removes no edge that a thread in MARK has read from the lock.
//!   - Edges that writers add in PRE are found by a second scan of the object that holds the lock.
//!     The scan comes after the writer's unpin and so before T2. If the lock lies in a box and not
//!     in an object, the writer shades all edges at the end of each guard instead.
//!   - Edges that writers add in MARK need no shade. The place that the writer has them from
//!     protects them.
//! - GCLOCK-2. A thread acknowledges no request while it holds a guard for writing. So a writer's
//!   phase is the same at both ends of the guard.
//! - GCLOCK-3. A tracer does not wait. It skips a lock that a writer holds or waits for. The writer
//!   shades the edges that GCLOCK-1 asks for when it takes the lock. If the writer is in PRE, the
//!   lock is scanned again, or shaded at the end of the guard. Marking cannot end before the writer
//!   has acknowledged a wave.

use super::alloc::Mutator;
use super::fault::broken;
use super::held::{Held, Number};
use super::mark::Tracing;
use super::meter::{Meter, Share};
use super::phase::Phase;
use super::stats::Stint;
use super::trace::Trace;
use super::visitor::Visitor;
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use crate::sync::blocking::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// A lock around a value with edges: an enum, a `Vec<Gc<..>>`, a map. Many threads read, or one
/// writes. Needs the feature `gc`.
///
/// For large arrays use a slice of [`GcCell`](super::GcCell)s. While a cycle marks, the first
/// writer of a `GcLock` shows every edge of the value to the collector.
///
/// Hold a guard for writing only for a short time: meanwhile its thread acknowledges no request of
/// the collector. A leaked guard keeps the value locked forever.
///
/// Make the lock a field of a managed object. A lock behind a `Box` or a `Vec` costs more: while a
/// cycle begins, each write shows all its edges.
///
/// A long [`enter`](super::Heap::enter) should not alternate between reads and writes. If it lasts
/// into a cycle in which other threads have entered again, its first write after each read, by any
/// thread, shows all edges.
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
///     // Back to its parent: a cycle of edges needs no special care.
///     notes.inside.write(m).push(home);
///     assert_eq!(home.inside.read()[0].name, "notes");
///
///     // The forms that never wait: a guard for reading keeps writers out, and no reader.
///     let reads = home.inside.read();
///     assert!(home.inside.try_write(m).is_none() && home.inside.try_read().is_some());
///     assert_eq!(reads.len(), 1);
/// });
/// ```
///
/// # Deadlocks
/// A thread that holds a guard and asks for another one of the same lock waits for itself. This
/// holds for `write` after `read` or `write`, and for `read` after `write`. Debug builds panic with
/// a message; release builds hang. `read` after `read` works unless a writer waits.
///
/// A guard in the head of a `match` or an `if let` lives to the end of that statement.
///
/// [`try_write`](Self::try_write) and [`try_read`](Self::try_read) never wait.
///
/// In a `fork` child, a lock stays locked forever if another thread held it at the fork. The
/// collector's thread, which reads the values, counts as another thread too.
///
/// # Variance
/// Invariant in `T`, and so in the `'gc` of the edges in it. The guard for reading is covariant in
/// `T`; the guard for writing is invariant.
pub struct GcLock<T> {
    value: RwLock<T>,
    /// The cycle whose tracing has seen all edges. The lock guards it.
    stamp: AtomicU64,
    share: Share,
    /// The cycle in whose PRE a writer shaded all edges that a thread may have read for one in
    /// MARK. Each reader sets it to 0. The lock guards it.
    shown: AtomicU64,
    number: Number,
}

impl<T> GcLock<T> {
    /// Makes a lock around `value`. See the example of [`GcLock`].
    pub fn new(value: T) -> Self {
        Self {
            value: RwLock::new(value),
            stamp: AtomicU64::new(0),
            share: Share::new(),
            shown: AtomicU64::new(0),
            number: Number::new(),
        }
    }

    /// Waits until no thread writes, and returns a guard for reading. See the example of
    /// [`GcLock`].
    ///
    /// A lock is never poisoned: if a writer panics, the value stays as the writer left it.
    ///
    /// # Panics
    /// In debug builds, if the calling thread holds a guard of this lock and would wait for itself.
    pub fn read(&self) -> GcReadGuard<'_, T> {
        self.try_read().unwrap_or_else(|| {
            Held::before_waiting(&self.number, "read");
            self.reading(self.value.read().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Returns a guard for reading, or `None` if a writer holds the lock or waits for it. See the
    /// example of [`GcLock`].
    pub fn try_read(&self) -> Option<GcReadGuard<'_, T>> {
        match self.value.try_read() {
            Ok(value) => Some(self.reading(value)),
            Err(TryLockError::Poisoned(value)) => Some(self.reading(value.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn reading<'a>(&self, value: RwLockReadGuard<'a, T>) -> GcReadGuard<'a, T> {
        // Relaxed: the lock guards it; writers read it under the lock.
        if self.shown.load(Relaxed) != 0 && !broken("lock_look_unseen") {
            self.shown.store(0, Relaxed);
        }
        let held = Held::new(&self.number, false);
        GcReadGuard { value, _held: held }
    }

    /// Waits until no other guard is left, and returns a guard for writing. See the example of
    /// [`GcLock`].
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

    /// Returns a guard for writing. Returns `None` if a thread holds a guard, this thread included,
    /// or if the collector reads the value at this moment. See the example of [`GcLock`].
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

    /// Shades the edges that GCLOCK-1 asks for, after a writer took the lock while a cycle runs.
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

// SAFETY: `trace` shows all edges, or it skips a lock whose edges a writer or a second scan shows
// to the collector (GCLOCK-3).
unsafe impl<'gc, T: Trace<'gc>> Trace<'gc> for GcLock<T> {
    const NEEDS_TRACE: bool = T::NEEDS_TRACE;

    fn trace(&self, visitor: &mut Visitor<'gc>) {
        let mut value = self.value.try_read();
        if let Err(TryLockError::WouldBlock) = value {
            // Pairs with the fence in `Record::give_again`: either the writer sees the object's
            // mark there, or the lock is free now.
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

/// A guard for reading the value of a [`GcLock`]. See the example of [`GcLock`]. Needs the feature
/// `gc`.
pub struct GcReadGuard<'a, T> {
    value: RwLockReadGuard<'a, T>,
    _held: Held,
}

impl<T: fmt::Debug> fmt::Debug for GcReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for GcReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Deref for GcReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A guard for writing the value of a [`GcLock`]. See the example of [`GcLock`]. Needs the feature
/// `gc`.
pub struct GcWriteGuard<'a, 'gc, T: Trace<'gc>> {
    value: RwLockWriteGuard<'a, T>,
    m: &'a Mutator<'gc>,
    share: &'a Share,
    /// Whether the lock was taken in PRE and no second scan will find the added edges.
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

impl<'gc, T: Trace<'gc> + fmt::Debug> fmt::Debug for GcWriteGuard<'_, 'gc, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'gc, T: Trace<'gc> + fmt::Display> fmt::Display for GcWriteGuard<'_, 'gc, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
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
