//! The pacer: decides when a cycle begins. As in Go, the heap may grow by a percentage of the bytes
//! that the last cycle found alive. A cycle begins so early that the memory allocated while it runs
//! fits below the goal.
//!
//! - PACER-1. `marked <= trigger <= goal`. If the memory limit lies below the live bytes, the goal
//!   exceeds the limit.
//! - PACER-2. If the limit is so low that cycles take more than half of the time, the heap exceeds
//!   it by more and more, until they take less.
//! - PACER-3. The runway is the largest number of bytes that was allocated during one of the last
//!   cycles. So it includes the time that these cycles waited for pinned threads.

#![forbid(unsafe_code)]

/// At 100 percent, the heap may always grow by this many bytes.
const SMALLEST: usize = 4 << 20;
/// The heap may always grow by this many bytes and a sixteenth of the live bytes. So a limit below
/// that does not make cycles follow each other without a break.
const SLACK: usize = 256 << 10;
/// The slack is doubled at most this many times. Then the heap doubles between two cycles.
const MOST_RELIEF: u32 = 4;
/// The number of cycles that the runway looks back on.
const HISTORY: usize = 4;

/// The aims of the next cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Live bytes at which the cycle begins. `usize::MAX`: it never begins by itself.
    pub(crate) trigger: usize,
    /// Live bytes that the heap should not exceed before the cycle ends.
    pub(crate) goal: usize,
    /// Bytes to allocate before a cycle can help.
    pub(crate) least: usize,
}

/// Bounds on the live bytes while a cycle runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leeway {
    /// Live bytes from which on mutators assist.
    pub(crate) assist: usize,
    /// Live bytes from which on a thread that enters waits a little.
    pub(crate) throttle: usize,
}

/// The data that plans are made from.
pub(crate) struct Pacer {
    percent: Option<u32>,
    limit: Option<usize>,
    /// Bytes that the last cycle found alive, with the memory that they own.
    marked: usize,
    /// The part of `marked` that objects own.
    owned: usize,
    /// Bytes allocated from the beginning to the end of each of the last cycles.
    during: [usize; HISTORY],
    cycle: usize,
    /// The number of times that the slack at the limit is doubled (PACER-2).
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

    /// Sets the bytes that living objects own. Returns whether the number has changed.
    pub(crate) fn set_owned(&mut self, owned: usize) -> bool {
        let before = core::mem::replace(&mut self.owned, owned);
        self.marked = (self.marked - before).saturating_add(owned);
        before != owned
    }

    /// Takes the results of a cycle. `marked` bytes are alive, roots and external bytes included,
    /// and they own `owned` bytes more. The program allocated `during` bytes while the cycle ran.
    /// The cycle's processor time is `share` percent of the time since the end of the cycle before.
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

    /// Returns the bounds for a cycle that begins at `live` bytes. `waiting` of them are dead and
    /// wait for their drop. No cycle makes these fewer, so they do not move the bounds.
    ///
    /// A cycle that begins when it is due may use the room that the plan left for it, and an eighth
    /// beyond the goal. A cycle that begins earlier gets a quarter of the room. An object allocated
    /// during a cycle survives it. So with more room, each of many cycles in a row would find more
    /// alive than the one before.
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

    /// Returns the trigger, the goal and the least allocation of the next cycle.
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
            // The program allocates all that the cycle allows, and the objects die.
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
