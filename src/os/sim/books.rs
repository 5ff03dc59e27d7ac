//! The records of the simulated system: the state of each page, the calls that are refused, and the
//! calls that broke the contract. [`Sim`](super::Sim) holds them behind its lock.

use super::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ptr::NonNull;

/// The state of a page that is not None.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Reserved,
    Prepared,
    Ready,
}

/// The calls that are refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    Nothing,
    At(usize),
    From(usize),
    Every(Kind),
    /// Every release of a page among these addresses.
    ReleaseIn(usize, usize),
}

/// The records.
pub(super) struct Books {
    /// Bytes of a page: at least the machine's.
    pub(super) page: usize,
    /// Start of each run of pages in one state -> its end and state (invariant 1).
    pub(super) runs: BTreeMap<usize, (usize, State)>,
    /// Base and bytes of all reservations ever made.
    pub(super) reservations: Vec<(NonNull<u8>, usize)>,
    /// Base and bytes of every window. The next field holds the other mappings in them.
    pub(super) windows: Vec<(NonNull<u8>, usize)>,
    pub(super) occupied: Vec<(usize, usize)>,
    pub(super) calls: usize,
    pub(super) refusals: usize,
    pub(super) plan: Plan,
    pub(super) violations: Vec<String>,
    /// Addresses of the huge pages that were asked for and not revoked.
    pub(super) advised: BTreeSet<usize>,
}

// SAFETY: the pointers are addresses to hand to the system, used under the lock.
unsafe impl Send for Books {}

impl Books {
    /// Returns the records of a system that handed out nothing and refuses nothing.
    pub(super) fn new(page: usize) -> Self {
        Self {
            page,
            runs: BTreeMap::new(),
            reservations: Vec::new(),
            windows: Vec::new(),
            occupied: Vec::new(),
            calls: 0,
            refusals: 0,
            plan: Plan::Nothing,
            violations: Vec::new(),
            advised: BTreeSet::new(),
        }
    }

    /// Returns the bytes of the pages in a wanted state.
    pub(super) fn bytes(&self, wanted: impl Fn(State) -> bool) -> usize {
        self.runs
            .iter()
            .filter(|(_, (_, state))| wanted(*state))
            .map(|(start, (end, _))| end - start)
            .sum()
    }

    /// Counts a call, and returns whether the plan lets it pass.
    pub(super) fn admit(&mut self, kind: Kind) -> bool {
        self.calls += 1;
        let refused = match self.plan {
            Plan::Nothing => false,
            Plan::At(k) => self.calls == k,
            Plan::From(k) => self.calls >= k,
            Plan::Every(refused) => refused == kind,
            // The caller of `release` knows the range and applies this plan.
            Plan::ReleaseIn(..) => false,
        };
        self.refusals += usize::from(refused);
        !refused
    }

    /// Returns whether `bytes` from `base` are whole pages in an `allowed` state. If not, records a
    /// violation.
    pub(super) fn check(&mut self, call: &dyn fmt::Debug, base: NonNull<u8>, bytes: usize, allowed: &[State]) -> bool {
        let (start, page) = (base.addr().get(), self.page);
        let whole = bytes > 0 && bytes.is_multiple_of(page) && start.is_multiple_of(page);
        let mut at = start;
        let end = start.saturating_add(bytes);
        while whole && at < end {
            match self.runs.range(..=at).next_back() {
                Some((_, &(run_end, state))) if at < run_end && allowed.contains(&state) => at = run_end,
                Some((_, &(run_end, state))) if at < run_end => {
                    self.violations
                        .push(format!("{call:?} of {start:#x}+{bytes:#x}: {at:#x} is {state:?}"));
                    return false;
                }
                _ => {
                    self.violations
                        .push(format!("{call:?} of {start:#x}+{bytes:#x}: {at:#x} is None"));
                    return false;
                }
            }
        }
        if !whole {
            self.violations
                .push(format!("{call:?} of {start:#x}+{bytes:#x}: not whole pages"));
        }
        whole
    }

    /// Puts a range into a state; `None` removes it from the records.
    pub(super) fn set(&mut self, base: NonNull<u8>, bytes: usize, state: Option<State>) {
        let (start, end) = (base.addr().get(), base.addr().get() + bytes);
        let cut: Vec<_> = self
            .runs
            .range(..end)
            .rev()
            .take_while(|(_, run)| run.0 > start)
            .map(|(k, v)| (*k, *v))
            .collect();
        for (run_start, (run_end, run_state)) in cut {
            self.runs.remove(&run_start);
            if run_start < start {
                self.runs.insert(run_start, (start, run_state));
            }
            if run_end > end {
                self.runs.insert(end, (run_end, run_state));
            }
        }
        if let Some(state) = state {
            self.runs.insert(start, (end, state));
        }
    }
}

/// Returns whether `bytes` bytes from `start` on lie in the range.
pub(super) fn lies_in(start: usize, bytes: usize, (base, room): (NonNull<u8>, usize)) -> bool {
    let offset = start.wrapping_sub(base.addr().get());
    offset < room && bytes <= room - offset
}
