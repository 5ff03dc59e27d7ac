//! [`Heap::close`]: the end of a heap while handles of it are left.
//!
//! - Z1. The heap is shut first. Then its destructors and cleanups alone enter it, so work comes to
//!   an end, and no object is made behind the last cycle.
//! - Z2. A round is: the drop thread rests, no thread is pinned since before the heap was shut, one
//!   cycle, the drop thread rests again. Later pins are those of destructors and cleanups, which
//!   the second rest waits for, and of threads that are refused. If nothing was dropped and nothing
//!   run in a round, the objects that are left are reached from roots: no later round would find
//!   more.
//! - Z3. Any number of threads may close at once. Each does its own rounds; the cycle of one counts
//!   for the other, and nothing that a round decides by depends on who ran it.

use super::behind::dropping;
use super::cycle::Backoff;
use super::desc::Kind;
use super::heap::{Heap, Inner};
use super::mark::kind_of;
use super::mutator::Record;
use super::registry::is_pinned;
use super::space::Space;
use crate::sync::tally::Ordering::Relaxed;
use core::fmt;
use std::time::{Duration, Instant};

/// How long the threads that are inside `enter` have to leave it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Rounds in which destructors or cleanups entered the heap: each may have made new work.
const VISITED_ROUNDS: usize = 100;

/// Why [`Heap::close`] did not do all that it is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// The calling thread is inside `enter` of some heap, and would wait for itself. Nothing was
    /// done, and the heap is open.
    InsideEnter,
    /// A destructor or a cleanup of some heap called, and would wait for itself. Nothing was done,
    /// and the heap is open.
    InDrop,
    /// The heap was made before a `fork`, and has no collector in this child. Nothing was done.
    Forked,
    /// The heap is closed, and these are left of it.
    Left(Leftovers),
}

/// What a heap still has that was closed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leftovers {
    /// Objects that were not dropped because [`Root`](super::Root)s lead to them; 0 where the call
    /// did not come to a cycle, because of `pinned` or `unfinished`.
    pub objects: u64,
    /// Roots that keep objects, clones counted once; [`WeakRoot`](super::WeakRoot)s do not.
    pub roots: u64,
    /// Cleanups that wait for the death of such an object.
    pub cleanups: u64,
    /// Threads that are inside `enter`.
    pub pinned: u64,
    /// Destructors and cleanups that run or wait for their turn; those of up to 64 objects count as
    /// one.
    pub unfinished: u64,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsideEnter => f.write_str("`close` inside `enter` would wait for itself"),
            Self::InDrop => f.write_str("`close` in a destructor or cleanup would wait for itself"),
            Self::Forked => f.write_str("the heap was made before a fork and has no collector in the child"),
            Self::Left(left) => write!(
                f,
                "the closed heap still has {} objects and {} cleanups under {} roots, {} threads inside `enter`, \
                 {} unfinished drops and cleanups",
                left.objects, left.cleanups, left.roots, left.pinned, left.unfinished
            ),
        }
    }
}

impl std::error::Error for CloseError {}

impl Heap {
    /// Closes the heap, for all its handles: drops every object that no [`Root`](super::Root)
    /// keeps, runs their cleanups, and returns when the last of them is over. Then the heap is
    /// empty, and its memory is given back.
    ///
    /// From the call on no thread can enter the heap, and [`enter`](Self::enter) panics.
    /// Destructors and cleanups of the heap still may, on its drop thread. So stop the threads that
    /// use the heap first. Threads that are inside `enter` have one second to leave it; for
    /// destructors and cleanups the call waits as long as they take. Their panics are counted in
    /// [`GcStats`](super::GcStats) and change nothing.
    ///
    /// Clones of the handle may be alive, in a `static` for example, and several threads may close
    /// at once: each returns when all is done. Closing a closed heap does what was left.
    ///
    /// # Errors
    /// [`CloseError::Left`] says what is left: roots keep objects, or a thread stays inside
    /// `enter`. The heap stays closed; call again when the cause is gone. Cleanups that make new
    /// objects with cleanups each time they run are left too, after 100 rounds. The other errors
    /// name callers that would wait for themselves; those change nothing.
    ///
    /// ```
    /// use greyspan::gc::{CloseError, Heap, Root, Rootable};
    ///
    /// let heap = Heap::new();
    /// let root: Root<Rootable![String]> = heap.enter(|m| {
    ///     let kept = m.alloc(String::from("kept"));
    ///     m.on_dead(kept, || println!("it is gone"));
    ///     Root::new(m, kept)
    /// });
    /// match heap.close() {
    ///     Err(CloseError::Left(left)) => assert_eq!((left.roots, left.objects, left.cleanups), (1, 1, 1)),
    ///     other => panic!("{other:?}"),
    /// }
    /// drop(root);
    /// assert_eq!(heap.close(), Ok(()));
    /// assert_eq!(heap.stats().cleanups, 1);
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        self.close_by(None)
    }

    /// As [`close`](Self::close), but returns after about `limit` at the latest.
    ///
    /// # Errors
    /// As [`close`](Self::close); [`CloseError::Left`] also where the time is over.
    pub fn close_within(&self, limit: Duration) -> Result<(), CloseError> {
        self.close_by(Instant::now().checked_add(limit))
    }

    /// Whether the heap was [closed](Self::close), for good, so that [`enter`](Self::enter) panics.
    pub fn is_closed(&self) -> bool {
        self.inner().protocol.is_shut()
    }

    fn close_by(&self, deadline: Option<Instant>) -> Result<(), CloseError> {
        let inner = self.inner();
        if !inner.is_own_process() {
            return Err(CloseError::Forked);
        }
        if dropping() != 0 {
            return Err(CloseError::InDrop);
        }
        if is_pinned() {
            return Err(CloseError::InsideEnter);
        }
        match inner.close(deadline) {
            left if left == Leftovers::default() => Ok(()),
            left => Err(CloseError::Left(left)),
        }
    }
}

/// What `enter` says of a closed heap.
#[cold]
pub(crate) fn refuse() -> ! {
    panic!("greyspan::gc: this heap was closed, and no thread can enter it any more")
}

impl Inner {
    /// Whether the thread may enter the heap although it was shut: in a destructor or cleanup of
    /// it.
    #[cold]
    pub(crate) fn admits(&self, record: &Record) -> bool {
        record.bar();
        let is_own = dropping() == self.number;
        self.visits.fetch_add(u64::from(is_own), Relaxed);
        is_own
    }

    fn close(&self, deadline: Option<Instant>) -> Leftovers {
        self.protocol.shut();
        let (mut visited, mut before) = (0, self.progress_of_end());
        loop {
            let Some(done) = self.dropper.rest(self, deadline) else {
                return self.unfinished();
            };
            // Anew in each round: destructors may have taken all the time so far, which the threads
            // that wait for them inside `enter` did not have.
            let patience = Instant::now() + PATIENCE;
            let patience = deadline.map_or(patience, |deadline| deadline.min(patience));
            if !self.is_left_by(patience) {
                let left = self.unfinished();
                return Leftovers {
                    // The last of them may have left since.
                    pinned: left.pinned.max(1),
                    unfinished: self.dropper.unfinished() as u64,
                    ..left
                };
            }
            let Some(now) = self
                .collect(deadline)
                .then(|| self.dropper.rest(self, deadline))
                .flatten()
            else {
                return self.unfinished();
            };
            let left = self.leftovers();
            let progress = self.progress_of_end();
            if now == done && (left == Leftovers::default() || progress == before) {
                return left;
            }
            visited += usize::from(progress.visits != before.visits);
            if visited > VISITED_ROUNDS {
                return left;
            }
            before = progress;
        }
    }

    /// Waits until the last thread has left that was inside when the heap was shut.
    fn is_left_by(&self, deadline: Instant) -> bool {
        let mut backoff = Backoff::new();
        while self.protocol.inside() > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            backoff.wait();
        }
        true
    }

    fn progress_of_end(&self) -> Progress {
        Progress {
            roots: self.roots.count(),
            freed: self.counters.freed_objects.load(Relaxed),
            visits: self.visits.load(Relaxed),
        }
    }

    /// Where a round did not come to its end in time: a destructor or cleanup still ran, or the
    /// cycle.
    fn unfinished(&self) -> Leftovers {
        Leftovers {
            objects: 0,
            roots: self.roots.count() as u64,
            cleanups: self.wills.count_cleanups() as u64,
            pinned: self.protocol.inside() as u64,
            unfinished: self.dropper.unfinished().max(1) as u64,
        }
    }

    /// After a round: no thread is pinned, but for destructors and cleanups of another round that
    /// began since.
    fn leftovers(&self) -> Leftovers {
        // No other thread's cycle moves anything meanwhile.
        let _alone = super::finalize::guard(&self.control.cycle);
        let (mut roots, mut objects) = (0, 0);
        // Weak cells are the collector's own, and keep nothing. They lie in a space of their own.
        // The look is at spaces and not at headers: cleanups may enter at this moment, and the
        // header of an object that they are making is not written.
        self.roots
            .scan(|target| roots += u64::from(kind_of(target) != Kind::Weak));
        let has_objects = |space: &&&Space| space.desc.is_none_or(|desc| desc.kind != Kind::Weak);
        for space in self.spaces.all().iter().filter(has_objects) {
            for span in space.spans() {
                objects += span.allocated().count() as u64;
            }
        }
        Leftovers {
            objects,
            roots: if objects == 0 { 0 } else { roots },
            cleanups: self.wills.count_cleanups() as u64,
            // One that pins at this moment is about to be refused.
            pinned: 0,
            unfinished: self.dropper.unfinished() as u64,
        }
    }
}

/// What changes while a closed heap comes nearer to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    roots: usize,
    freed: u64,
    visits: u64,
}
