//! [`GcLock`]: a value of more than one word, with edges in it, that changes as a whole.
//!
//! - K1. A writer in PRE shades all edges when it takes the lock and again before it gives it back; a writer in MARK when it takes the lock, unless
//!   that was done in MARK, or by a tracer, in this cycle (`stamp`). What it adds in MARK is protected by where the writer has it from.
//! - K2. No request is acknowledged while a guard for writing is held, so a writer's phase is the same at both ends.
//! - K3. A tracer does not wait. It passes over a lock that a writer holds or waits for: that writer has shaded what was in it or will when it
//!   has the lock, if it is in PRE it will shade what is in it at the end, and marking cannot end before it has acknowledged a wave.

use super::alloc::Mutator;
use super::fault::broken;
use super::mark::Tracing;
use super::meter::{Meter, Share};
use super::phase::Phase;
use super::stats::Stint;
use super::trace::{Trace, Visitor};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::blocking::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use core::fmt;
use core::ops::{Deref, DerefMut};

/// A lock around a value with edges: an enum, a `Vec<Gc<..>>`, a map. Many read or one writes. For large arrays use a slice of
/// [`GcCell`](super::GcCell)s: while a cycle marks, the first writer shows the collector every edge of the value.
///
/// Hold a guard for writing only for a short time: its thread acknowledges nothing meanwhile. A guard that is leaked keeps the value locked for
/// ever.
///
/// # Variance
/// Invariant in `T`, and so in the `'gc` of the edges in it. The guard for reading is covariant in `T`, the one for writing invariant.
pub struct GcLock<T> {
    value: RwLock<T>,
    /// The cycle whose tracing has seen all edges; guarded by the lock.
    stamp: AtomicU64,
    share: Share,
}

impl<T> GcLock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: RwLock::new(value),
            stamp: AtomicU64::new(0),
            share: Share::new(),
        }
    }

    /// Waits for the writer, if there is one, and reads. A lock does not poison: a writer that panics leaves the value as it is.
    pub fn read(&self) -> GcReadGuard<'_, T> {
        GcReadGuard(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for all others and writes.
    pub fn write<'a, 'gc>(&'a self, m: &'a Mutator<'gc>) -> GcWriteGuard<'a, 'gc, T>
    where
        T: Trace<'gc>,
    {
        m.poll();
        let value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let share = &self.share;
        let guard = GcWriteGuard { value, m, share };
        let record = &m.record;
        record.guards.set(record.guards.get() + 1);
        let cycle = record.current().cycle();
        match record.phase() {
            Phase::Pre => guard.shade_all(),
            Phase::Mark if self.stamp.load(Relaxed) != cycle => {
                if !broken("lock_without_snapshot") {
                    guard.shade_all();
                }
                self.stamp.store(cycle, Relaxed);
            }
            _ => {}
        }
        guard
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
        let value = match self.value.try_read() {
            Ok(value) => value,
            Err(TryLockError::Poisoned(value)) => value.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        value.trace(visitor);
        if visitor.cycle() != 0 {
            self.stamp.store(visitor.cycle(), Relaxed);
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
pub struct GcReadGuard<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for GcReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Writes the value of a [`GcLock`].
pub struct GcWriteGuard<'a, 'gc, T: Trace<'gc>> {
    value: RwLockWriteGuard<'a, T>,
    m: &'a Mutator<'gc>,
    share: &'a Share,
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
        self.m.record.heap().counters.stall(since);
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
        if self.m.record.phase() == Phase::Pre && !broken("lock_release_unshaded") {
            self.shade_all();
        }
        if core::mem::needs_drop::<T>()
            && let Some((before, now)) = self.share.change(&*self.value)
        {
            self.m.record.own_instead(before, now);
        }
        let guards = &self.m.record.guards;
        guards.set(guards.get() - 1);
    }
}
