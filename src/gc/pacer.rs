//! The pacer: when a cycle begins. After Go's: the heap may grow by a percentage of what the last cycle found alive, and a cycle begins so
//! early that what is allocated while it runs fits in between.
//!
//! - A1. `marked <= trigger <= goal`, unless the memory limit lies below what is alive.
//! - A2. Where the limit lies so low that cycles would take more than half of the time, it is missed by ever more, until they do not.
//! - A3. The runway is what was allocated during the last cycles, so it includes the time that these waited for pinned threads.

#![forbid(unsafe_code)]

/// Heaps do not collect below this size, at 100 percent.
const SMALLEST: usize = 4 << 20;
/// Beyond what is alive and a sixteenth of it, what the heap may always grow by: a limit below that must not make cycles follow each other.
const SLACK: usize = 256 << 10;
/// The slack is at most so many times doubled: then the heap doubles between two cycles.
const MOST_RELIEF: u32 = 4;
/// Cycles that the runway looks back on.
const HISTORY: usize = 4;

/// What the next cycle aims at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Live bytes at which the cycle begins; `usize::MAX`: never by itself.
    pub(crate) trigger: usize,
    /// Live bytes that the heap should not exceed before it ends.
    pub(crate) goal: usize,
    /// Bytes to allocate before a cycle can be of use.
    pub(crate) least: usize,
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
    /// Found alive by the last cycle, with what that owns.
    marked: usize,
    owned: usize,
    /// Bytes allocated from the beginning to the end of each of the last cycles.
    during: [usize; HISTORY],
    cycle: usize,
    /// By how many powers of two the slack at the limit is widened (A2).
    relief: u32,
}

impl Pacer {
    pub(crate) fn new(percent: Option<u32>, limit: Option<usize>) -> Self {
        Self {
            percent,
            limit,
            marked: 0,
            owned: 0,
            during: [0; HISTORY],
            cycle: 0,
            relief: 0,
        }
    }

    pub(crate) fn set_percent(&mut self, percent: Option<u32>) {
        self.percent = percent;
    }

    pub(crate) fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    /// What is alive owns so many bytes. Whether that is news.
    pub(crate) fn set_owned(&mut self, owned: usize) -> bool {
        let before = core::mem::replace(&mut self.owned, owned);
        self.marked = (self.marked - before).saturating_add(owned);
        before != owned
    }

    /// A cycle ended: `marked` bytes are alive, roots and external bytes included, and they own
    /// `owned` bytes more. While it ran, `during` bytes were allocated. It took processor time that
    /// is `share` per cent of the time since the one before ended.
    pub(crate) fn end_cycle(&mut self, marked: usize, owned: usize, during: usize, share: u32) {
        self.marked = marked.saturating_add(owned);
        self.owned = owned;
        self.relief = match share {
            51.. => (self.relief + 1).min(MOST_RELIEF),
            0..25 => self.relief.saturating_sub(1),
            _ => self.relief,
        };
        self.cycle += 1;
        if let Some(place) = self.during.get_mut(self.cycle % HISTORY) {
            *place = during;
        }
    }

    /// When mutators help with a cycle that begins at `live` bytes, of which `waiting` are dead and
    /// wait for their drop: no cycle makes them fewer, so they may not move the bounds. One that
    /// began when it was due may use what the plan left for it, and an eighth beyond the goal. One
    /// that was asked for earlier gets a quarter of the room: what is allocated while a cycle runs
    /// is alive for it, so with more each of many cycles in a row would find more alive than the
    /// one before.
    pub(crate) fn leeway(&self, live: usize, waiting: usize) -> Leeway {
        let Plan { trigger, goal, .. } = self.plan();
        let is_due = live >= trigger;
        let live = live.saturating_sub(waiting);
        let (assist, throttle) = if is_due {
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
        let slack = (self.marked / 16 + SLACK) << self.relief;
        let by_limit = self.limit.map(|limit| limit.max(self.marked.saturating_add(slack)));
        let Some(goal) = by_percent.into_iter().chain(by_limit).min() else {
            return Plan {
                trigger: usize::MAX,
                goal: usize::MAX,
                least: slack,
            };
        };
        let room = goal - self.marked;
        let runway = self.during.iter().copied().max().unwrap_or(0);
        let trigger = goal
            .saturating_sub(runway)
            .clamp(self.marked + room / 10 * 7, self.marked + room / 100 * 95);
        Plan {
            trigger,
            goal,
            least: slack.min(trigger - self.marked),
        }
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
        pacer.end_cycle(100 * MIB, 0, 0, 10);
        assert_eq!(pacer.plan().goal, 200 * MIB);
        pacer.set_percent(Some(50));
        assert_eq!(pacer.plan().goal, 150 * MIB);
    }

    #[test]
    fn a_cycle_begins_earlier_where_much_is_allocated_while_it_runs() {
        let mut pacer = Pacer::new(Some(100), None);
        pacer.end_cycle(100 * MIB, 0, MIB, 10);
        let late = pacer.plan().trigger;
        pacer.end_cycle(100 * MIB, 0, 25 * MIB, 10);
        let early = pacer.plan().trigger;
        assert!((190 * MIB..=195 * MIB).contains(&late), "{late}");
        assert!((174 * MIB..=176 * MIB).contains(&early), "{early}");
        pacer.end_cycle(100 * MIB, 0, 500 * MIB, 10);
        assert!(pacer.plan().trigger >= 169 * MIB, "never before 70 percent of the way");
    }

    #[test]
    fn off_means_that_only_the_limit_starts_a_cycle() {
        let mut pacer = Pacer::new(None, None);
        assert_eq!(pacer.plan().trigger, usize::MAX);
        pacer.set_limit(Some(64 * MIB));
        let plan = pacer.plan();
        assert!(plan.goal == 64 * MIB && plan.trigger < plan.goal, "{plan:?}");
        pacer.end_cycle(80 * MIB, 0, 0, 10);
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
            pacer.end_cycle(live + floating, 0, 0, 10);
            // All that the cycle allows is allocated in it, and dies.
            let before = live + floating;
            let most = pacer.leeway(before, 0).throttle;
            floating = most - before;
            assert!(most < live * 2, "{most}");
        }
    }

    #[test]
    fn a_cycle_that_begins_when_it_is_due_may_use_the_rest_of_the_plan() {
        let mut pacer = Pacer::new(Some(100), None);
        pacer.end_cycle(100 * MIB, 0, 10 * MIB, 10);
        let due = pacer.leeway(pacer.plan().trigger, 0);
        assert_eq!(due.throttle, 225 * MIB);
        assert!((190 * MIB..200 * MIB).contains(&due.assist), "{due:?}");
    }

    #[test]
    fn a_limit_that_cannot_be_kept_does_not_take_all_the_time() {
        let mut pacer = Pacer::new(Some(100), Some(64 * MIB));
        pacer.end_cycle(160 * MIB, 0, 0, 90);
        let tight = pacer.plan().goal;
        (0..10).for_each(|_| pacer.end_cycle(160 * MIB, 0, 0, 90));
        assert_eq!(pacer.plan().goal, 320 * MIB, "as without a limit");
        (0..10).for_each(|_| pacer.end_cycle(160 * MIB, 0, 0, 20));
        let calm = pacer.plan().goal;
        assert!(calm < tight && tight < 200 * MIB, "{calm} {tight}");
    }

    #[test]
    fn bytes_that_wait_for_their_drop_do_not_move_the_bounds() {
        let pacer = Pacer::new(Some(100), Some(32 * MIB));
        let with_waiting = pacer.leeway(300 * MIB, 298 * MIB);
        assert_eq!(with_waiting.throttle, 4 * MIB + MIB / 2);
        assert!(with_waiting.assist <= 4 * MIB, "{with_waiting:?}");
    }

    #[test]
    fn the_smaller_of_percentage_and_limit_holds() {
        let mut pacer = Pacer::new(Some(100), Some(120 * MIB));
        pacer.end_cycle(100 * MIB, 0, 0, 10);
        assert_eq!(pacer.plan().goal, 120 * MIB);
    }
}
