//! The queue of a heap's drop thread: the drop glue of dead objects, and cleanups. The rules are
//! those of [`finalize`](super::finalize).

use super::behind::{Behind, DROPPING};
use super::bytes::Bytes;
use super::desc::Object;
use super::span::{Index, Span};
use super::waiting::{guard, wait_by};
use crate::sync::blocking::{Condvar, Mutex, PoisonError};
use crate::sync::tally::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

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
    pub(crate) fn drain(&self, bytes: &Bytes) {
        let mut line = guard(&self.line);
        while let Some(work) = line.work.pop_front() {
            line.busy += 1;
            line.taken += 1;
            drop(line);
            self.perform(work, bytes);
            line = guard(&self.line);
            line.busy -= 1;
        }
        drop(line);
        self.rested.notify_all();
    }

    /// Waits until no work is queued or runs. Returns the number of items ever done, or `None` if
    /// `deadline` passes first. If there is no drop thread, the caller does its work: `drain` does
    /// all queued work.
    pub(crate) fn rest(&self, drain: impl Fn(), deadline: Option<Instant>) -> Option<u64> {
        let mut line = guard(&self.line);
        loop {
            if !line.work.is_empty() && !self.is_started() {
                drop(line);
                drain();
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

    fn perform(&self, work: Work, bytes: &Bytes) {
        let kept = work.bytes();
        match work {
            Work::Bury(span, word, mut mask) => {
                let (all, slot) = (mask, span.slot_bytes());
                while mask != 0 {
                    let index = Index(word as u32 * 64 + mask.trailing_zeros());
                    mask &= mask - 1;
                    // SAFETY: FINALIZE-1: the sweep leaves a dead object with drop glue intact.
                    let object = unsafe { span.object(index) };
                    // SAFETY: the object is dead, and `mask` names each object once.
                    bytes.disown(unsafe { self.bury(object) });
                    span.poison(index);
                    self.behind.advance();
                }
                // From here on the span may be gone.
                bytes.live.fetch_sub(span.buried(word, all) as usize * slot, Relaxed);
            }
            Work::Run(cleanup) => {
                self.cleanups.fetch_add(1, Relaxed);
                self.survive(cleanup);
                self.behind.advance();
                bytes.live.fetch_sub(kept, Relaxed);
            }
        }
        self.behind.remove(kept);
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
