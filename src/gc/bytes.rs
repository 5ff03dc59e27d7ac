//! [`Bytes`]: how many bytes a heap's objects take, and the bounds that the pacer sets for them.

use super::pacer::Plan;
use crate::sync::tally::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// Returns the live bytes above which a heap counts as far beyond `goal`: an eighth more.
pub(crate) fn far_beyond(goal: usize) -> usize {
    goal.saturating_add(goal / 8)
}

/// The byte counts of one heap, and their bounds. Any thread may change the counts.
pub(crate) struct Bytes {
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
}

impl Bytes {
    /// Makes the counts of an empty heap.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            live: AtomicUsize::new(0),
            allocated: AtomicUsize::new(0),
            owned: AtomicIsize::new(0),
            owned_ever: AtomicUsize::new(0),
            owned_before: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            mapped: AtomicUsize::new(0),
            external: AtomicIsize::new(0),
            trigger: AtomicUsize::new(plan.trigger),
            goal: AtomicUsize::new(plan.goal),
            least: AtomicUsize::new(plan.least),
            allocated_before: AtomicUsize::new(0),
            assist_above: AtomicUsize::new(usize::MAX),
            throttle_above: AtomicUsize::new(far_beyond(plan.goal)),
        }
    }

    /// Puts the bounds of `plan` in force, between two cycles.
    pub(crate) fn set_bounds(&self, plan: &Plan) {
        self.least.store(plan.least, Relaxed);
        self.throttle_above.store(far_beyond(plan.goal), Relaxed);
        self.trigger.store(plan.trigger, Relaxed);
    }

    /// Adds `bytes` to the live bytes.
    pub(crate) fn allocate(&self, bytes: usize) {
        self.allocated.fetch_add(bytes, Relaxed);
        self.live.fetch_add(bytes, Relaxed);
    }

    /// Changes the bytes that objects keep elsewhere. An increase counts as allocation.
    pub(crate) fn change_external(&self, bytes: isize) {
        self.external.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes.max(0).unsigned_abs(), Relaxed);
    }

    /// Changes the live bytes by `change`.
    pub(crate) fn change_live(&self, change: i64) {
        // Two's complement: adding the cast of a negative number subtracts.
        self.live.fetch_add(change as usize, Relaxed);
    }

    /// Counts `bytes` that new objects own.
    pub(crate) fn own(&self, bytes: usize) {
        self.owned_ever.fetch_add(bytes, Relaxed);
        self.allocated.fetch_add(bytes, Relaxed);
        self.change_owned(bytes as isize);
    }

    /// Subtracts `bytes` that living objects have given back.
    pub(crate) fn own_less(&self, bytes: usize) {
        // Undoes the earlier addition, which `settled` relies on.
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
    pub(crate) fn owned(&self) -> usize {
        self.owned.load(Relaxed).max(0).unsigned_abs()
    }

    /// Estimates at the end of a cycle how many owned bytes are alive. If dead objects wait for
    /// their drop, dead and living objects are assumed to own the same share of their size.
    /// `waiting` bytes wait. `settled` corrects the estimate between two cycles.
    pub(crate) fn guess_owned(&self, waiting: usize) -> usize {
        self.owned_before.store(self.owned_ever.load(Relaxed), Relaxed);
        let kept = self.kept.load(Relaxed);
        let alive = self.owned() as u128 * kept as u128 / (kept + waiting).max(1) as u128;
        usize::try_from(alive).unwrap_or(usize::MAX)
    }

    /// Returns how much memory the last cycle's survivors own. Reliable only while no object waits
    /// for its drop: then only survivors and newer objects own memory.
    pub(crate) fn settled(&self) -> usize {
        let before = self.owned_before.load(Relaxed);
        let newer = self.owned_ever.load(Relaxed).wrapping_sub(before) as isize;
        // Negative if the survivors gave back more than the newer objects own.
        self.owned().saturating_sub(newer.max(0).unsigned_abs())
    }

    /// Returns the live bytes plus the bytes that objects keep elsewhere.
    pub(crate) fn weight(&self) -> usize {
        self.live
            .load(Relaxed)
            .saturating_add_signed(self.external.load(Relaxed))
    }

    /// Returns whether the trigger is reached and a cycle can help. `waiting` bytes wait for their
    /// drop.
    pub(crate) fn is_due(&self, waiting: usize) -> bool {
        // Some live bytes may belong to dead objects that wait for their drop.
        let may_wait = || waiting != 0 || self.owned() != 0;
        self.weight() >= self.trigger.load(Relaxed) && (!may_wait() || self.has_allocated())
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Bytes {
        Bytes::new(&Plan {
            trigger: 1000,
            goal: 1600,
            least: 100,
        })
    }

    #[test]
    fn a_cycle_is_due_at_the_trigger_and_counts_what_objects_keep_elsewhere() {
        let bytes = bytes();
        bytes.allocate(900);
        assert!(!bytes.is_due(0));
        bytes.change_external(100);
        assert!(bytes.is_due(0));
        bytes.change_external(-1);
        assert!(!bytes.is_due(0));
    }

    #[test]
    fn while_drops_wait_a_cycle_is_due_only_after_the_least_allocation() {
        let bytes = bytes();
        bytes.allocate(1000);
        bytes.allocated_before.store(1000, Relaxed);
        assert!(bytes.is_due(0) && !bytes.is_due(1));
        bytes.allocate(100);
        assert!(bytes.is_due(1));
    }

    #[test]
    fn owned_bytes_that_are_subtracted_before_they_are_added_do_not_lower_the_live_bytes() {
        let bytes = bytes();
        bytes.allocate(10);
        bytes.disown(5);
        assert_eq!((bytes.live.load(Relaxed), bytes.owned()), (10, 0));
        bytes.own(8);
        assert_eq!((bytes.live.load(Relaxed), bytes.owned()), (13, 3));
        assert_eq!(bytes.guess_owned(0), 0, "no object was kept");
        assert_eq!(bytes.settled(), 3);
        bytes.own(4);
        assert_eq!(bytes.settled(), 3, "newer objects own the rest");
    }
}
