//! [`Heap::close`]: ends a heap while the program still has handles of it.
//!
//! - CLOSE-1. The heap is shut first. From then on only its destructors and cleanups enter it. So
//!   the work comes to an end, and no object is made after the last cycle.
//! - CLOSE-2. A round has four steps. The drop thread comes to rest. The last thread that pinned
//!   before the heap was shut unpins. One cycle runs. The drop thread comes to rest again. Pins
//!   that begin later belong to destructors and cleanups, which the last step waits for, or to
//!   threads that the heap refuses. If a round drops and runs nothing, roots reach all remaining
//!   objects, and no later round would find more.
//! - CLOSE-3. Any number of threads may close at once. Each runs its rounds, and the cycle of one
//!   counts for the others. No decision of a round depends on the thread that ran the cycle.

use super::behind::dropping;
use super::collector::Collector;
use super::desc::Kind;
use super::heap::Heap;
use super::mark::kind_of;
use super::registry::is_pinned;
use super::span::Space;
use super::waiting::guard;
use crate::sync::backoff::Backoff;
use crate::sync::tally::Ordering::Relaxed;
use core::fmt;
use std::time::{Duration, Instant};

/// The time that threads inside `enter` have to leave it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most rounds in which destructors or cleanups entered the heap. Each may have made new work.
const VISITED_ROUNDS: usize = 100;

/// The reason why [`Heap::close`] did not finish. See the example of [`Heap::close`]. Needs the
/// feature `gc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// The calling thread is inside `enter` of some heap and would wait for itself. Nothing was
    /// done, and the heap is open.
    InsideEnter,
    /// A destructor or a cleanup of some heap made the call and would wait for itself. Nothing was
    /// done, and the heap is open.
    InDrop,
    /// The heap was made before a `fork` and has no collector in this child. Nothing was done.
    Forked,
    /// The heap is closed, but some objects, threads or cleanups are left.
    Left(Leftovers),
}

/// The numbers of objects, roots, threads and cleanups that a closed heap still has. See the
/// example of [`Heap::close`]. Needs the feature `gc`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Leftovers {
    /// Objects that were not dropped because [`Root`](super::Root)s lead to them. 0 if the call ran
    /// no full round, because of `pinned` or `unfinished`.
    pub objects: u64,
    /// Roots that keep objects. Clones count once; [`WeakRoot`](super::WeakRoot)s do not count.
    pub roots: u64,
    /// Cleanups that wait for the death of an object that is left.
    pub cleanups: u64,
    /// Threads that are inside `enter`.
    pub pinned: u64,
    /// Destructors and cleanups that run or wait for their turn. Destructors of up to 64 objects
    /// count as one.
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
    /// Closes the heap for all its handles.
    ///
    /// Drops every object that no [`Root`](super::Root) keeps, runs the cleanups of these objects,
    /// and returns when the last of them is over. Then the heap is empty, and its memory is given
    /// back.
    ///
    /// From the call on no thread can enter the heap: [`enter`](Self::enter) panics. Only
    /// destructors and cleanups of the heap, on its drop thread, still can. So stop the threads
    /// that use the heap first. Threads that are inside `enter` have one second to leave it. For
    /// destructors and cleanups the call waits as long as they take. [`GcStats`](super::GcStats)
    /// counts their panics, which change nothing else.
    ///
    /// Clones of the handle may be alive, in a `static` for example. Several threads may close at
    /// once: each returns when all is done. Closing a closed heap again continues with the objects
    /// that were left.
    ///
    /// # Errors
    /// - [`CloseError::Left`]: roots keep objects, a thread stays inside `enter`, or cleanups made
    ///   new work in more than 100 rounds. The heap stays closed. Call again when the cause is
    ///   gone.
    /// - [`CloseError::InsideEnter`], [`CloseError::InDrop`]: the caller would wait for itself. The
    ///   heap is unchanged.
    /// - [`CloseError::Forked`]: the parent process made the heap. The heap is unchanged.
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
    ///     Err(CloseError::Left(left)) => {
    ///         assert_eq!((left.roots, left.objects, left.cleanups), (1, 1, 1));
    ///     }
    ///     other => panic!("{other:?}"),
    /// }
    /// drop(root);
    /// assert_eq!(heap.close(), Ok(()));
    /// assert!(heap.is_closed() && heap.stats().cleanups == 1);
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        self.close_by(None)
    }

    /// Closes the heap as [`close`](Self::close) does, but returns after about `limit` at the
    /// latest. A `limit` beyond the clock's range is no limit. See the example of
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// As [`close`](Self::close). [`CloseError::Left`] also if the time is over.
    pub fn close_within(&self, limit: Duration) -> Result<(), CloseError> {
        self.close_by(Instant::now().checked_add(limit))
    }

    /// Returns whether the heap was [closed](Self::close). Closing is final: [`enter`](Self::enter)
    /// panics from then on. See the example of [`close`](Self::close).
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

impl Collector {
    fn close(&self, deadline: Option<Instant>) -> Leftovers {
        self.protocol.shut();
        let (mut visited, mut before) = (0, self.progress_of_end());
        loop {
            let Some(done) = self.rest(deadline) else {
                return self.unfinished();
            };
            // Set anew in each round: destructors may have used up the time so far, while the
            // threads that wait for them inside `enter` could not leave.
            let patience = Instant::now() + PATIENCE;
            let patience = deadline.map_or(patience, |deadline| deadline.min(patience));
            if !self.is_left_by(patience) {
                let left = self.unfinished();
                return Leftovers {
                    // The last thread may have left since.
                    pinned: left.pinned.max(1),
                    unfinished: self.dropper.unfinished() as u64,
                    ..left
                };
            }
            let Some(now) = self.collect(deadline).then(|| self.rest(deadline)).flatten() else {
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

    /// Waits until no thread is pinned since before the heap was shut. Returns `false` at
    /// `deadline`.
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

    /// Returns the leftovers of a round that did not end in time because a destructor, a cleanup or
    /// the cycle still ran.
    fn unfinished(&self) -> Leftovers {
        Leftovers {
            objects: 0,
            roots: self.roots.count() as u64,
            cleanups: self.wills.count_cleanups() as u64,
            pinned: self.protocol.inside() as u64,
            unfinished: self.dropper.unfinished().max(1) as u64,
        }
    }

    /// Returns the leftovers after a round. No thread is pinned, except in destructors and cleanups
    /// of another thread's round that began since.
    fn leftovers(&self) -> Leftovers {
        // No other thread's cycle changes roots or spans meanwhile.
        let _alone = guard(&self.control.cycle);
        let (mut roots, mut objects) = (0, 0);
        // Weak cells do not count: they belong to the collector and keep nothing. The test looks at
        // their space and not at headers, because a cleanup may be making an object at this moment,
        // and that object's header is not written yet.
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
            // A thread that pins at this moment is about to be refused.
            pinned: 0,
            unfinished: self.dropper.unfinished() as u64,
        }
    }
}

/// Numbers that change while a closed heap comes nearer to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    roots: usize,
    freed: u64,
    visits: u64,
}
