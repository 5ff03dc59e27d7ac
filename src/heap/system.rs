//! The memory that the system grants the process: the soft limit that follows from the limits of
//! its control groups, and an early return of free pages while the system is short of memory.
//!
//! The background thread calls this, at its start and then while it is awake anyway: each `PERIOD`
//! it reads the files again, because containers are resized. A soft limit that the program or the
//! user has set in bytes stays, and with `off` nothing is read.
//!
//! - SYSTEM-1. No file is opened in a process that has a seccomp filter of its own, as far as
//!   `sandbox` knows. A filter that a container has installed allows it, as for any program there.

use super::Heap;
use crate::mheap::IDLE_BYTES;
use crate::options::{Found, SoftLimit};
use crate::os::cgroup::{self, Caps, Version};
use crate::os::{self, sandbox};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Milliseconds after which the files are read again.
pub(super) const PERIOD: u64 = 4000;
/// Percent of a limit at which the kernel kills the process: memory outside of the heap needs some.
const SHARE: u32 = 95;
/// Hundredths of a percent of the last ten seconds in which some task waited for memory, from which
/// on free pages go back at once.
const PRESSED: u32 = 1000;

/// The state between two looks. One thread looks, so nothing here is ordered.
pub(super) struct System {
    /// The folder that stands for the root folder; empty but in tests.
    pub(super) root: &'static [u8],
    /// The percent that the user wants; 0 for the default.
    percent: AtomicU32,
    /// When to read next, in coarse milliseconds.
    read_at: AtomicU64,
    /// Whether the system was short of memory at the last look.
    pressed: AtomicBool,
}

impl System {
    crate::sync::const_unless_loom! {
        /// Returns the state before the first look.
        pub(super) fn new() -> Self {
            Self { root: b"", percent: AtomicU32::new(0), read_at: AtomicU64::new(0), pressed: AtomicBool::new(false) }
        }
    }

    /// Reads the soft limit that follows from the system's; `Some(None)`: there is none. `None`: it
    /// cannot be read, or not now.
    pub(super) fn find(&self, wanted: SoftLimit) -> Option<Option<Found>> {
        // SYSTEM-1.
        if !sandbox::allows_looks() {
            return None;
        }
        let machine = os::machine_memory().unwrap_or(usize::MAX);
        Some(decide(wanted, cgroup::caps(self.root)?, machine))
    }
}

/// Returns the soft limit in a process with these limits, on a machine with that many bytes.
pub(super) fn decide(wanted: SoftLimit, caps: Caps, machine: usize) -> Option<Found> {
    let share = match wanted {
        SoftLimit::Percent(percent) => percent,
        _ => SHARE,
    };
    let of = |bytes: usize, source| Found {
        bytes: part(bytes, share),
        source,
        percent: Some(share),
    };
    let name = match caps.version {
        Version::One => "cgroup memory.limit_in_bytes",
        Version::Two => "cgroup memory.max",
    };
    // Without a limit the kernel reports a number beyond all memory.
    let below = |limit: &usize| *limit < machine;
    let max = match (caps.max.filter(below), wanted) {
        (Some(max), _) => Some(of(max, name)),
        (None, SoftLimit::Percent(_)) => Some(of(machine, "the machine's memory")),
        (None, _) => None,
    };
    let high = caps.high.filter(below).map(|bytes| Found {
        bytes,
        source: "cgroup memory.high",
        percent: None,
    });
    max.into_iter().chain(high).min_by_key(|found| found.bytes)
}

/// Returns `percent` percent of `bytes`.
fn part(bytes: usize, percent: u32) -> usize {
    let percent = percent as usize;
    bytes / 100 * percent + bytes % 100 * percent / 100
}

impl Heap {
    /// Takes the soft limit from the system from now on.
    pub(super) fn follow_system(&self, wanted: SoftLimit) {
        let percent = match wanted {
            SoftLimit::Percent(percent) => percent,
            _ => 0,
        };
        self.system.percent.store(percent, Relaxed);
        self.tiers.mheap.follow_system();
    }

    /// Heeds the system's limits and its shortage of memory. Only the background thread calls this,
    /// while it is awake.
    pub(super) fn heed_system(&self) {
        self.heed_system_at(os::coarse_millis());
    }

    pub(super) fn heed_system_at(&self, now: u64) {
        if now >= self.system.read_at.load(Relaxed) {
            self.system.read_at.store(now.saturating_add(PERIOD), Relaxed);
            self.look_at_system();
        }
        if self.system.pressed.load(Relaxed) {
            self.registry.end_rest(&self.tiers);
            if self.tiers.mheap.idle_bytes() > IDLE_BYTES {
                self.tiers.mheap.purge_for_system();
            }
        }
    }

    /// Reads the limits and the pressure.
    fn look_at_system(&self) {
        let (system, mheap) = (&self.system, &self.tiers.mheap);
        let follows = mheap.follows_system();
        if follows {
            let wanted = match system.percent.load(Relaxed) {
                0 => SoftLimit::Auto,
                percent => SoftLimit::Percent(percent),
            };
            // An answer that is missing now changes nothing.
            if let Some(found) = system.find(wanted) {
                mheap.set_system_limit(found.map(|found| found.bytes));
            }
        }
        let [soft, _] = mheap.limits();
        if follows && soft.is_some_and(|soft| mheap.grown_bytes() > soft) {
            // Each thread cache trims itself at its next refill.
            self.tiers.purges.fetch_add(1, Relaxed);
        }
        let heeds = (follows || soft.is_some()) && sandbox::allows_looks();
        let pressed = heeds && cgroup::pressure(system.root).is_some_and(|pressure| pressure >= PRESSED);
        system.pressed.store(pressed, Relaxed);
    }
}
