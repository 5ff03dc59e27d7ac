//! The wills of a heap: the actions that follow an object's death. [`finalize`](super::finalize)
//! adds and cancels wills. The collector executes the wills of dead objects.
//!
//! - WILL-1. Adding and cancelling take constant time, however many wills exist. A cycle looks at
//!   each will once or twice.
//! - WILL-2. A cycle executes wills in the order in which they were added.
//! - WILL-3. A will leaves the table before its closure runs or is dropped. Both happen without the
//!   lock, because a closure may add and cancel wills itself.

use super::dropper::Work;
use super::roots::RootTable;
use crate::sync::lock::Lock;
use core::hash::{BuildHasherDefault, Hasher};
use core::ptr::NonNull;
use std::collections::HashMap;

/// Gives a revived object to its guardian.
pub(crate) type HandOver = Box<dyn FnOnce(&RootTable) + Send>;

/// The action that follows the object's death.
pub(crate) enum Fate {
    Cleanup(Box<dyn FnOnce() + Send>),
    /// The first closure hands the revived object to its guardian. The second returns whether the
    /// guardian still exists.
    Guardian(HandOver, Box<dyn Fn() -> bool + Send>),
}

struct Entry {
    target: NonNull<u8>,
    fate: Fate,
    /// Whether the cleanup seems to hold a root of its own object.
    is_suspect: bool,
}

// SAFETY: `target` is an address that only the collector follows.
unsafe impl Send for Entry {}

/// Spreads the numbers of wills, which are consecutive, over the table.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The odd number nearest to 2^64 divided by the golden ratio.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[derive(Default)]
struct Book {
    entries: HashMap<u64, Entry, BuildHasherDefault<Spread>>,
    /// The number of the next will. No number is used twice.
    next: u64,
    suspects: usize,
}

/// All wills of a heap.
pub(crate) struct Wills(Lock<Book>);

impl Wills {
    pub(crate) fn new() -> Self {
        Self(Lock::new(Book::default()))
    }

    /// Returns the number of wills.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Whether there are no wills.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of cleanups among the wills.
    pub(crate) fn count_cleanups(&self) -> usize {
        let book = self.0.lock();
        let is_cleanup = |entry: &&Entry| matches!(entry.fate, Fate::Cleanup(_));
        book.entries.values().filter(is_cleanup).count()
    }

    /// Returns the number of wills that seem to hold a root of their own object.
    pub(crate) fn suspects(&self) -> usize {
        self.0.lock().suspects
    }

    /// Adds a will for the object at `target`. Returns the will's number.
    pub(crate) fn add(&self, target: NonNull<u8>, fate: Fate, is_suspect: bool) -> u64 {
        let mut book = self.0.lock();
        let number = book.next;
        book.next += 1;
        book.suspects += usize::from(is_suspect);
        let entry = Entry {
            target,
            fate,
            is_suspect,
        };
        book.entries.insert(number, entry);
        number
    }

    /// Removes the will `number`. Returns `false` if it is no longer in the table.
    pub(crate) fn cancel(&self, number: u64) -> bool {
        let mut book = self.0.lock();
        let entry = book.entries.remove(&number);
        book.suspects -= usize::from(entry.as_ref().is_some_and(|entry| entry.is_suspect));
        drop(book);
        // WILL-3: the closure is dropped without the lock.
        entry.is_some()
    }

    /// Takes the `wanted` wills out, in the order in which they were added.
    fn extract(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut book = self.0.lock();
        let entries = &mut book.entries;
        let mut taken: Vec<_> = entries.extract_if(|_, entry| wanted(entry)).collect();
        // A walk takes time in proportion to the table's capacity, not to its entries.
        if entries.len() < entries.capacity() / 4 {
            entries.shrink_to(entries.len() * 2);
        }
        book.suspects -= taken.iter().filter(|(_, entry)| entry.is_suspect).count();
        drop(book);
        taken.sort_unstable_by_key(|&(number, _)| number);
        taken.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Takes the wills of dead objects that guardians watch. Returns each address and its
    /// hand-over. For the collector, after the cycle has closed.
    pub(crate) fn watched(&self, dead: impl Fn(NonNull<u8>) -> bool) -> Vec<(NonNull<u8>, HandOver)> {
        let is_guardian = |entry: &Entry| matches!(entry.fate, Fate::Guardian(..));
        let taken = self.extract(|entry| is_guardian(entry) && dead(entry.target));
        let alive = taken.into_iter().filter_map(|entry| match entry.fate {
            Fate::Guardian(hand_over, is_there) if is_there() => Some((entry.target, hand_over)),
            _ => None,
        });
        alive.collect()
    }

    /// Takes the cleanups of dead objects.
    pub(crate) fn cleanups(&self, dead: impl Fn(NonNull<u8>) -> bool) -> Vec<Work> {
        let taken = self.extract(|entry| dead(entry.target));
        let work = taken.into_iter().filter_map(|entry| match entry.fate {
            Fate::Cleanup(run) => Some(Work::Run(run)),
            Fate::Guardian(..) => None,
        });
        work.collect()
    }

    #[cfg(all(test, not(greyspan_loom)))]
    fn capacity(&self) -> usize {
        self.0.lock().entries.capacity()
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::*;
    use crate::sync::blocking::{Arc, Mutex};

    fn add(wills: &Wills, target: usize) -> u64 {
        let target = NonNull::from(&[0u8; 4096][target % 4096]);
        wills.add(target, Fate::Cleanup(Box::new(|| ())), false)
    }

    #[test]
    fn a_cycle_walks_a_table_as_small_as_what_is_left_in_it() {
        let wills = Wills::new();
        let numbers: Vec<u64> = (0..50_000).map(|at| add(&wills, at)).collect();
        for number in numbers.iter().skip(1).rev() {
            assert!(wills.cancel(*number));
        }
        assert!(!wills.cancel(numbers[1]), "cancelled already");
        assert_eq!((wills.cleanups(|_| false).len(), wills.len()), (0, 1));
        assert!(wills.capacity() < 64, "{} places for one will", wills.capacity());
        assert!(wills.cancel(numbers[0]) && wills.is_empty());
    }

    #[test]
    fn cleanups_come_in_the_order_in_which_they_were_added() {
        let wills = Wills::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..1000u32 {
            let order = order.clone();
            let run = move || order.lock().expect("no panic").push(number);
            wills.add(NonNull::dangling(), Fate::Cleanup(Box::new(run)), false);
        }
        for cancelled in (0..1000).step_by(3) {
            assert!(wills.cancel(cancelled));
        }
        for work in wills.cleanups(|_| true) {
            if let Work::Run(run) = work {
                run();
            }
        }
        let order = order.lock().expect("no panic");
        assert!(order.is_sorted() && order.len() == 666, "{order:?}");
    }
}
