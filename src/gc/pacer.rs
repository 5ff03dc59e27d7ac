//! The pacer: when a cycle begins. After Go's: the heap may grow by a percentage of what the last cycle found alive, and a cycle begins so
//! early that what is allocated while it runs fits in between.
//!
//! - A1. `marked <= trigger <= goal`, unless the memory limit lies below what is alive.
//! - A2. The runway is what was allocated during the last cycles, so it includes the time that these waited for pinned threads.

#![forbid(unsafe_code)]

/// Heaps do not collect below this size, at 100 percent.
const SMALLEST: usize = 4 << 20;
/// Beyond what is alive and a sixteenth of it, what the heap may always grow by: a limit below that must not make cycles follow each other.
const SLACK: usize = 256 << 10;
/// Cycles that the runway looks back on.
const HISTORY: usize = 4;

/// What the next cycle aims at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Live bytes at which the cycle begins; `usize::MAX`: never by itself.
    pub(crate) trigger: usize,
    /// Live bytes that the heap should not exceed before it ends.
    pub(crate) goal: usize,
}

/// Live bytes from which on mutators assist while a cycle runs, and wait a little when they enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leeway {
    pub(crate) assist: usize,
    pub(crate) throttle: usize,
}

/// What the plan is made from.
pub(crate) struct Pacer {
    percent: Option<u32>,
    limit: Option<usize>,
    marked: usize,
    /// Bytes allocated from the beginning to the end of each of the last cycles.
    during: [usize; HISTORY],
    cycle: usize,
}

impl Pacer {
    pub(crate) fn new(percent: Option<u32>, limit: Option<usize>) -> Self {
        Self {
            percent,
            limit,
            marked: 0,
            during: [0; HISTORY],
            cycle: 0,
        }
    }

    pub(crate) fn set_percent(&mut self, percent: Option<u32>) {
        self.percent = percent;
    }

    pub(crate) fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    /// A cycle ended: `marked` bytes are alive, roots and external bytes included, and `during` bytes were allocated while it ran.
    pub(crate) fn end_cycle(&mut self, marked: usize, during: usize) {
        self.marked = marked;
        self.cycle += 1;
        if let Some(place) = self.during.get_mut(self.cycle % HISTORY) {
            *place = during;
        }
    }

    /// When mutators help with a cycle that begins at `live` bytes. One that began when it was due may use what the plan left for it, and an eighth
    /// beyond the goal. One that was asked for earlier gets a quarter of the room: what is allocated while a cycle runs is alive for it, so with
    /// more each of many cycles in a row would find more alive than the one before.
    pub(crate) fn leeway(&self, live: usize) -> Leeway {
        let Plan { trigger, goal } = self.plan();
        let (assist, throttle) = if live >= trigger {
            (
                live + goal.saturating_sub(live) / 2,
                goal.max(live).saturating_add(goal / 8),
            )
        } else {
            let room = goal.saturating_sub(self.marked);
            (
                live.saturating_add((room / 8).max(SMALLEST / 4)),
                live.saturating_add((room / 4).max(SMALLEST)),
            )
        };
        Leeway { assist, throttle }
    }

    /// When the next cycle begins, and what it should stay below.
    pub(crate) fn plan(&self) -> Plan {
        let by_percent = self.percent.map(|percent| {
            let part = |bytes: usize| (bytes as u128 * u128::from(percent) / 100).min(usize::MAX as u128 / 4) as usize;
            self.marked.saturating_add(part(self.marked).max(part(SMALLEST)))
        });
        let by_limit = self
            .limit
            .map(|limit| limit.max(self.marked + self.marked / 16 + SLACK));
        let Some(goal) = by_percent.into_iter().chain(by_limit).min() else {
            return Plan {
                trigger: usize::MAX,
                goal: usize::MAX,
            };
        };
        let room = goal - self.marked;
        let runway = self.during.iter().copied().max().unwrap_or(0);
        let trigger = goal
            .saturating_sub(runway)
            .clamp(self.marked + room / 10 * 7, self.marked + room / 100 * 95);
        Plan { trigger, goal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_goal_is_the_percentage_above_what_is_alive_and_at_least_four_mebibytes() {
        let mut pacer = Pacer::new(Some(100), None);
        assert_eq!(pacer.plan().goal, 4 * MIB);
        pacer.end_cycle(100 * MIB, 0);
        assert_eq!(pacer.plan().goal, 200 * MIB);
        pacer.set_percent(Some(50));
        assert_eq!(pacer.plan().goal, 150 * MIB);
    }

    #[test]
    fn a_cycle_begins_earlier_where_much_is_allocated_while_it_runs() {
        let mut pacer = Pacer::new(Some(100), None);
        pacer.end_cycle(100 * MIB, MIB);
        let late = pacer.plan().trigger;
        pacer.end_cycle(100 * MIB, 25 * MIB);
        let early = pacer.plan().trigger;
        assert!((190 * MIB..=195 * MIB).contains(&late), "{late}");
        assert!((174 * MIB..=176 * MIB).contains(&early), "{early}");
        pacer.end_cycle(100 * MIB, 500 * MIB);
        assert!(pacer.plan().trigger >= 169 * MIB, "never before 70 percent of the way");
    }

    #[test]
    fn off_means_that_only_the_limit_starts_a_cycle() {
        let mut pacer = Pacer::new(None, None);
        assert_eq!(pacer.plan().trigger, usize::MAX);
        pacer.set_limit(Some(64 * MIB));
        let plan = pacer.plan();
        assert!(plan.goal == 64 * MIB && plan.trigger < plan.goal, "{plan:?}");
        pacer.end_cycle(80 * MIB, 0);
        assert_eq!(
            pacer.plan().goal,
            85 * MIB + SLACK,
            "a limit below what is alive leaves a sixteenth"
        );
    }

    #[test]
    fn cycles_in_a_row_do_not_let_the_heap_grow_beyond_all_bounds() {
        let mut pacer = Pacer::new(Some(100), None);
        let (live, mut floating) = (100 * MIB, 0);
        for _ in 0..100 {
            pacer.end_cycle(live + floating, 0);
            // All that the cycle allows is allocated in it, and dies.
            let before = live + floating;
            let most = pacer.leeway(before).throttle;
            floating = most - before;
            assert!(most < live * 2, "{most}");
        }
    }

    #[test]
    fn a_cycle_that_begins_when_it_is_due_may_use_the_rest_of_the_plan() {
        let mut pacer = Pacer::new(Some(100), None);
        pacer.end_cycle(100 * MIB, 10 * MIB);
        let due = pacer.leeway(pacer.plan().trigger);
        assert_eq!(due.throttle, 225 * MIB);
        assert!((190 * MIB..200 * MIB).contains(&due.assist), "{due:?}");
    }

    #[test]
    fn the_smaller_of_percentage_and_limit_holds() {
        let mut pacer = Pacer::new(Some(100), Some(120 * MIB));
        pacer.end_cycle(100 * MIB, 0);
        assert_eq!(pacer.plan().goal, 120 * MIB);
    }
}
