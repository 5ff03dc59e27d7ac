//! [`Collector`]: one heap. It owns the heap's [`World`], which it derefs to, and the data that
//! only its control needs.

use super::behind::dropping;
use super::control::Control;
use super::fault::broken;
use super::mutator::Record;
use super::pacer::Pacer;
use super::phase::Word;
use super::stats::nanos;
#[cfg(not(greyspan_loom))]
use super::used::Use;
use super::world::{Host, World};
use crate::sync::blocking::{Arc, Weak};
use crate::sync::lock::Lock;
use crate::sync::tally::AtomicU64;
use crate::sync::tally::Ordering::Relaxed;
use core::ops::Deref;
use core::ptr::NonNull;
use std::time::{Duration, Instant};

/// The longest time that an entering thread waits for the collector if the heap is far beyond its
/// goal.
const THROTTLE: Duration = Duration::from_micros(400);

/// One heap.
pub(crate) struct Collector {
    /// Records of threads that ended, for the next threads.
    idle: Lock<Vec<&'static Record>>,
    pub(crate) pacer: Lock<Pacer>,
    pub(crate) control: Control,
    /// Whether the program has a handle of the heap.
    #[cfg(not(greyspan_loom))]
    pub(crate) used: Use,
    /// How often destructors and cleanups entered the closed heap.
    #[cfg(not(greyspan_loom))]
    pub(crate) visits: AtomicU64,
    pub(crate) born: Instant,
    /// Whether each cycle writes one line to standard error.
    pub(crate) traced: bool,
    me: Weak<Collector>,
    world: World,
}

impl Deref for Collector {
    type Target = World;
    #[inline(always)]
    fn deref(&self) -> &World {
        &self.world
    }
}

/// Panics for an `enter` of a closed heap.
#[cold]
pub(crate) fn refuse() -> ! {
    panic!("greyspan::gc: this heap was closed, and no thread can enter it any more")
}

impl Collector {
    pub(crate) fn new(number: u64, percent: Option<u32>, limit: Option<usize>, traced: bool) -> Arc<Self> {
        let pacer = Pacer::new(percent, limit);
        Arc::new_cyclic(|me: &Weak<Self>| {
            let host: Weak<dyn Host> = me.clone();
            Self {
                idle: Lock::new(Vec::new()),
                world: World::new(number, &pacer.plan(), host),
                pacer: Lock::new(pacer),
                control: Control::new(),
                #[cfg(not(greyspan_loom))]
                used: Use::new(),
                #[cfg(not(greyspan_loom))]
                visits: AtomicU64::new(0),
                born: Instant::now(),
                traced,
                me: me.clone(),
            }
        })
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.me.clone()
    }

    /// Returns a record for a thread that has none.
    pub(crate) fn take_record(&self) -> &'static Record {
        if let Some(record) = self.idle.lock().pop() {
            return record;
        }
        let record: &'static Record = Box::leak(Box::new(Record::new(NonNull::from(&self.world))));
        if !broken("never_enlisted") {
            self.protocol.enlist(record);
        }
        record
    }

    /// Takes back the record of a thread that ends, or of a thread that had it for one `enter`.
    pub(crate) fn give_record(&self, record: &'static Record) {
        self.idle.lock().push(record);
    }

    /// Tells the pacer how much memory the last cycle's survivors own. Called when the drop thread
    /// has no work: then only survivors and newer objects own memory.
    pub(crate) fn settle_owned(&self) {
        if !self.control.is_running() && self.pacer.lock().set_owned(self.bytes.settled()) {
            self.replan();
        }
    }

    /// Returns the number of threads that have a record.
    pub(crate) fn mutators(&self) -> usize {
        // `idle` first: a record is a member before it is idle, so the difference is never
        // negative.
        let idle = self.idle.lock().len();
        self.protocol.members() - idle
    }

    /// Puts the pacer's plan in force. If a cycle runs, only the goal changes; the end of the cycle
    /// calls this again.
    pub(crate) fn replan(&self) {
        let plan = self.pacer.lock().plan();
        self.bytes.goal.store(plan.goal, Relaxed);
        if self.protocol.word() == Word::idle(self.protocol.cycle()) && !self.control.is_running() {
            self.bytes.set_bounds(&plan);
            self.consider();
        }
    }

    /// Makes a thread that enters a heap far beyond its goal wait: a moment for the collector, and
    /// for the drop thread while drops end. Both waits are bounded, because a pinned thread may
    /// wait for this one.
    #[cold]
    pub(crate) fn throttle(&self) {
        let since = Instant::now();
        let mut drops = self.dropper.behind.wait();
        // At a shut heap no thread waits: the heap refuses it, or it runs a destructor or cleanup
        // that other threads wait for.
        let is_far =
            || self.bytes.live.load(Relaxed) > self.bytes.throttle_above.load(Relaxed) && !self.protocol.is_shut();
        // Whether a cycle is asked for or runs.
        let is_due = || self.bytes.trigger.load(Relaxed) == usize::MAX;
        while is_far() && (drops.is_worth_it() || (is_due() && since.elapsed() < THROTTLE)) {
            std::thread::sleep(THROTTLE / 4);
        }
        if !is_far() {
            drops.succeed();
        }
        self.counters.stall_of(nanos(since.elapsed()));
    }

    /// Returns whether the thread may enter the shut heap: it does if it runs one of the heap's
    /// destructors or cleanups.
    #[cfg(not(greyspan_loom))]
    #[cold]
    pub(crate) fn admits(&self, record: &Record) -> bool {
        record.bar();
        let is_own = dropping() == self.number;
        self.visits.fetch_add(u64::from(is_own), Relaxed);
        is_own
    }

    /// Waits until the drop thread has no work, as `Dropper::rest` does.
    pub(crate) fn rest(&self, deadline: Option<Instant>) -> Option<u64> {
        let drain = || {
            self.dropper.drain(&self.bytes);
            self.settle_owned();
        };
        self.dropper.rest(drain, deadline)
    }
}
