//! [`History`]: the heap over time, so that a page also shows the time before it was opened.
//!
//! Owns two rings of [`FINE`] and [`COARSE`] samples. They are allocated once and never grow. The
//! server adds one sample per second; pages read them.
//!
//! 1. The times of the samples in a ring increase. Every [`RATIO`]th fine sample is also a coarse
//!    one.

use greyspan::Stats;
use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time between two samples.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// The number of fine samples: five minutes at one per second.
const FINE: usize = 300;
/// The number of coarse samples: three hours at one per 15 seconds.
const COARSE: usize = 720;
/// The number of fine samples per coarse one.
const RATIO: u64 = 15;

/// The names of a sample's figures in JSON. `t` is the time in milliseconds since 1970; `objects`,
/// `mallocs` and `num_gc` are counts; the others are in bytes.
const NAMES: [&str; 10] = [
    "t",
    "allocated",
    "inuse",
    "idle",
    "released",
    "resident",
    "objects",
    "mallocs",
    "total_alloc",
    "num_gc",
];

type Sample = [u64; NAMES.len()];

pub(crate) struct History {
    fine: VecDeque<Sample>,
    coarse: VecDeque<Sample>,
    count: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            fine: VecDeque::with_capacity(FINE),
            coarse: VecDeque::with_capacity(COARSE),
            count: 0,
        }
    }

    pub(crate) fn add(&mut self, now: SystemTime, stats: &Stats) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut t = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        // If the clock was set back, the curve must not run backwards.
        if let Some(last) = self.fine.back() {
            t = t.max(last[0] + 1);
        }
        let sample = [
            t,
            stats.allocated,
            stats.heap_inuse,
            stats.heap_idle,
            stats.heap_released,
            stats.resident,
            stats.heap_objects,
            stats.mallocs,
            stats.total_alloc,
            stats.num_gc,
        ];
        push(&mut self.fine, FINE, sample);
        if self.count.is_multiple_of(RATIO) {
            push(&mut self.coarse, COARSE, sample);
        }
        self.count += 1;
    }

    /// Returns the samples after the time `since`, in milliseconds since 1970, as rows under one
    /// list of names: `{"names":[..],"fine":[[..],..],"coarse":[[..],..]}`.
    pub(crate) fn to_json(&self, since: u64) -> String {
        let mut text = String::from("{\"names\":[");
        for (index, name) in NAMES.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}\"{name}\"");
        }
        for (name, ring) in [("fine", &self.fine), ("coarse", &self.coarse)] {
            let _ = write!(text, "],\"{name}\":[");
            let fresh = ring.iter().filter(|sample| sample[0] > since);
            for (index, sample) in fresh.enumerate() {
                text.push_str(if index == 0 { "[" } else { ",[" });
                for (index, figure) in sample.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let _ = write!(text, "{comma}{figure}");
                }
                text.push(']');
            }
        }
        text.push_str("]}");
        text
    }
}

/// Adds a sample to a ring, and drops the oldest one if the ring has `most` samples.
fn push(ring: &mut VecDeque<Sample>, most: usize, sample: Sample) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_rings_keep_the_last_samples_and_do_not_grow() {
        let mut history = History::new();
        let (fine, coarse) = (history.fine.capacity(), history.coarse.capacity());
        for second in 1..=20_000 {
            history.add(at(second), &greyspan::stats());
        }
        assert_eq!((history.fine.capacity(), history.coarse.capacity()), (fine, coarse));
        assert_eq!((history.fine.len(), history.coarse.len()), (FINE, COARSE));
        assert_eq!(history.fine[FINE - 1][0], 20_000_000);
        assert_eq!(history.fine[0][0], 19_701_000);
        assert_eq!(history.coarse[1][0] - history.coarse[0][0], 15_000);
    }

    #[test]
    fn a_reader_gets_what_came_since_it_last_asked() {
        let mut history = History::new();
        history.add(at(1), &greyspan::stats());
        history.add(at(2), &greyspan::stats());
        let text = history.to_json(1000);
        assert!(text.starts_with("{\"names\":[\"t\",\"allocated\","), "{text}");
        assert!(
            text.contains("\"fine\":[[2000,") && text.ends_with("\"coarse\":[]}"),
            "{text}"
        );
        assert!(history.to_json(0).contains("\"coarse\":[[1000,"));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_turn_the_curve() {
        let mut history = History::new();
        history.add(at(100), &greyspan::stats());
        history.add(at(50), &greyspan::stats());
        assert_eq!(history.fine[1][0], 100_001);
    }
}
