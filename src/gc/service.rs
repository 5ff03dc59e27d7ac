//! The process's collector threads. One runs the cycles of all heaps, one after the other; helpers
//! work beside it.
//!
//! - SERVICE-1. A heap stands in line at most once (`queued` of its [`control`](super::control)),
//!   and one thread at a time runs its cycles.
//! - SERVICE-2. If a cycle waits for a pinned thread and another heap stands in line, another
//!   collector thread starts. So no heap waits for the pins of another heap.
//! - SERVICE-3. A `fork` child makes a new service. The parent's service has no threads there and
//!   stays unused.
//!
//! Lock order: a heap's requests, then the line.

use super::process;
use super::waiting::guard;
use crate::os;
use crate::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};
use crate::sync::blocking::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use core::ptr::null_mut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A heap that allocates collects at least once in this time, even if no thread asks it to.
const PERIOD: Duration = Duration::from_secs(120);
/// A thread beyond the first ends after this idle time.
const LINGER: Duration = Duration::from_secs(5);

/// A heap, as the service sees it.
pub(crate) trait Client: Send + Sync {
    /// Runs one cycle, if one is still wanted. Further cycles wait behind the other heaps in line.
    fn serve(self: Arc<Self>);
    /// Helps a running cycle to mark, at this place in the heap's crew.
    fn help(&self, place: usize);
    /// Returns the number of cycles so far and the bytes ever allocated.
    fn progress(&self) -> (u64, usize);
    /// Asks for a cycle, unless one is asked for already.
    fn ask_for_cycle(&self);
}

/// A heap that has stood in line, with its number of cycles and its allocated bytes at the last
/// look.
struct Known {
    heap: Weak<dyn Client>,
    cycles: u64,
    allocated: usize,
}

struct Line {
    /// Heaps that wait for a cycle.
    cycles: VecDeque<Arc<dyn Client>>,
    /// Heaps that wait for a helper, each with the helper's place in its crew.
    helps: Vec<(Arc<dyn Client>, usize)>,
    threads: usize,
    idle: usize,
    known: Vec<Known>,
    looked_at: Instant,
}

/// The service of one process.
pub(crate) struct Service {
    process: usize,
    line: Mutex<Line>,
    changed: Condvar,
}

enum Job {
    Cycle(Arc<dyn Client>),
    Help(Arc<dyn Client>, usize),
}

static SERVICE: AtomicPtr<Service> = AtomicPtr::new(null_mut());

impl Service {
    /// Returns this process's service, and makes it at the first call.
    pub(crate) fn get() -> &'static Self {
        loop {
            // Acquire: pairs with the exchange below.
            let there = SERVICE.load(Acquire);
            // SAFETY: the pointer is null or leads to a published service, which is never freed.
            if let Some(service) = unsafe { there.as_ref() }
                && service.process == process::current()
            {
                return service;
            }
            let new = Box::into_raw(Box::new(Self {
                process: process::current(),
                line: Mutex::new(Line {
                    cycles: VecDeque::new(),
                    helps: Vec::new(),
                    threads: 0,
                    idle: 0,
                    known: Vec::new(),
                    looked_at: Instant::now(),
                }),
                changed: Condvar::new(),
            }));
            // AcqRel: pairs with the Acquire above. A parent's service stays allocated (SERVICE-3).
            if SERVICE.compare_exchange(there, new, AcqRel, Acquire).is_err() {
                // SAFETY: made above. The exchange failed, so no other thread has the pointer.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// Puts a heap in line for a cycle. Returns `false` if the service has no thread and the system
    /// gives none. The caller stores the result in `queued`.
    pub(crate) fn submit(&'static self, heap: Arc<dyn Client>, is_new: bool) -> bool {
        let mut line = guard(&self.line);
        if is_new {
            line.known.retain(|known| known.heap.strong_count() > 0);
            line.known.push(Known {
                heap: Arc::downgrade(&heap),
                cycles: 0,
                allocated: 0,
            });
        }
        if line.threads == 0 && !self.start(&mut line) {
            return false;
        }
        line.cycles.push_back(heap);
        drop(line);
        self.changed.notify_one();
        true
    }

    /// Asks for up to `most` helpers, and starts threads for them if necessary.
    pub(crate) fn invite(&'static self, heap: &Arc<dyn Client>, most: usize) {
        let mut line = guard(&self.line);
        for place in 1..=most {
            if line.idle <= line.helps.len() && !self.start(&mut line) {
                break;
            }
            line.helps.push((Arc::clone(heap), place));
        }
        drop(line);
        self.changed.notify_all();
    }

    /// Starts another thread if a heap stands in line and no thread is idle. The caller is about to
    /// wait for a pinned thread (SERVICE-2).
    pub(crate) fn relieve(&'static self) {
        let mut line = guard(&self.line);
        if !line.cycles.is_empty() && line.idle == 0 {
            self.start(&mut line);
        }
    }

    fn start(&'static self, line: &mut Line) -> bool {
        let thread = std::thread::Builder::new().name("greyspan-gc".into());
        let started = thread.spawn(move || self.run()).is_ok();
        line.threads += usize::from(started);
        started
    }

    fn run(&'static self) {
        let _whole = Whole;
        while let Some(job) = self.next() {
            match job {
                Job::Cycle(heap) => heap.serve(),
                Job::Help(heap, place) => heap.help(place),
            }
        }
    }

    /// Waits for a job. `None`: the thread is no longer needed and ends.
    fn next(&self) -> Option<Job> {
        let mut line = guard(&self.line);
        loop {
            if let Some(heap) = line.cycles.pop_front() {
                return Some(Job::Cycle(heap));
            }
            if let Some((heap, place)) = line.helps.pop() {
                return Some(Job::Help(heap, place));
            }
            let patience = if line.threads > 1 { LINGER } else { PERIOD };
            line.idle += 1;
            let (woken, late) = self
                .changed
                .wait_timeout(line, patience)
                .unwrap_or_else(PoisonError::into_inner);
            line = woken;
            line.idle -= 1;
            let nothing = line.cycles.is_empty() && line.helps.is_empty();
            if late.timed_out() && nothing && line.threads > 1 {
                line.threads -= 1;
                return None;
            }
            if line.looked_at.elapsed() >= PERIOD {
                line = self.look(line);
            }
        }
    }

    /// Asks for a cycle of each heap that allocated in the last period and did not collect.
    fn look<'a>(&'a self, mut line: MutexGuard<'a, Line>) -> MutexGuard<'a, Line> {
        line.looked_at = Instant::now();
        let mut late = Vec::new();
        for known in &mut line.known {
            if let Some(heap) = known.heap.upgrade() {
                let (cycles, allocated) = heap.progress();
                late.push((cycles == known.cycles && allocated != known.allocated, heap));
                (known.cycles, known.allocated) = (cycles, allocated);
            }
        }
        drop(line);
        late.iter()
            .filter(|(is_late, _)| *is_late)
            .for_each(|(_, heap)| heap.ask_for_cycle());
        // After the lock's release: dropping the last `Arc` may end a heap.
        drop(late);
        guard(&self.line)
    }
}

/// Ends the process if a collector thread panics: its heap is broken, and all other threads would
/// wait for it.
struct Whole;

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            os::report::warn(format_args!("gc: the collector panicked; aborting"));
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::heap::Heap;
    use super::*;

    fn allocate(heap: &Heap) {
        // More bytes than a thread's cache holds, so that the heap counts them.
        heap.enter(|m| {
            for value in 0..2000u64 {
                m.alloc(value);
            }
        });
    }

    /// Looks now, instead of once per period.
    fn look() {
        let service = Service::get();
        drop(service.look(guard(&service.line)));
    }

    #[test]
    fn a_heap_that_allocated_and_did_not_collect_for_a_period_collects() {
        let heap = Heap::builder().gc_percent(None).build();
        allocate(&heap);
        heap.collect();
        look();
        allocate(&heap);
        assert_eq!(heap.stats().cycles, 1);
        look();
        let since = Instant::now();
        while heap.stats().cycles < 2 {
            assert!(since.elapsed() < Duration::from_secs(20), "no cycle came");
            std::thread::yield_now();
        }
        // The heap allocates nothing more. The first look sees its new cycle; from then on looks
        // leave it alone.
        look();
        look();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(heap.stats().cycles, 2);
    }

    #[test]
    fn a_pin_in_one_heap_keeps_no_other_from_collecting() {
        let (pinned, other) = (Heap::new(), Heap::new());
        std::thread::scope(|scope| {
            let (out, inside) = std::sync::mpsc::channel::<()>();
            let (leave, left) = std::sync::mpsc::channel::<()>();
            let there = &pinned;
            scope.spawn(move || {
                there.enter(|_| {
                    out.send(()).expect("the test waits");
                    left.recv().expect("the test tells");
                });
            });
            inside.recv().expect("the thread enters");
            // Waits for the pin, on the process's collector thread.
            let waiting = scope.spawn(|| pinned.collect());
            for _ in 0..3 {
                allocate(&other);
                other.collect();
            }
            assert_eq!((other.stats().cycles, waiting.is_finished()), (3, false));
            leave.send(()).expect("the thread waits");
            waiting.join().expect("the cycle ends");
        });
    }
}
