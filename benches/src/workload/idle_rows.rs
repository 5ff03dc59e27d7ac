//! Programs that free most of their memory and fall asleep, with a curve of their resident memory.
//! The tests in `tests/idle` bound the same programs.
//!
//! Timed: the work, without the sleep. Notes, in bytes unless the name says otherwise:
//! - `start`, `peak`: before the first block, and the largest;
//! - `fall`, `fall_ms`: at the end of the frees, and the time of it since the start;
//! - `rest`: after the sleep that follows;
//! - `live_pages`: the pages of the blocks that live at `rest`;
//! - `purged`: right after the frees and a call that gives memory back, if the allocator has one;
//! - `empty`, `empty_rest`: after the rest was freed, and after another sleep;
//! - `again`: after another thread has filled as much memory.
//!
//! The sleep is at most 3 s below a scale of 0.5, and a tenth of a second below 0.01.

use super::{Context, Outcome};
use crate::measure;
use crate::watch::{EVERY, Watch};
use std::time::{Duration, Instant};

// Not public: the types of the programs are for this file.
#[path = "../../../tests/support/idle.rs"]
mod programs;

use programs::{At, Moment, Work};

pub(super) fn partial(context: &Context) -> Outcome {
    let bytes = context.scaled(1 << 30);
    watched(context, 10, None, |at| programs::partial(bytes, false, at))
}

pub(super) fn exchange(context: &Context) -> Outcome {
    let bytes = context.scaled(1 << 30);
    watched(context, 10, None, |at| programs::partial(bytes, true, at))
}

pub(super) fn purge(context: &Context) -> Outcome {
    let bytes = context.scaled(1 << 30);
    watched(context, 1, context.purge, |at| programs::partial(bytes, false, at))
}

pub(super) fn batches(context: &Context) -> Outcome {
    let (rounds, blocks) = (context.scaled(15), context.scaled(6000).min(300));
    watched(context, 4, None, |at| programs::batches(rounds, blocks, at))
}

pub(super) fn threads(context: &Context) -> Outcome {
    let (threads, blocks) = (context.scaled(1000), context.scaled(8_000_000));
    watched(context, 3, None, |at| programs::threads(threads, blocks, at))
}

pub(super) fn small(context: &Context) -> Outcome {
    let threads = context.scaled(1500);
    watched(context, 3, None, |at| programs::small(threads, at))
}

pub(super) fn owner(context: &Context) -> Outcome {
    let blocks = context.scaled(400_000);
    watched(context, 4, None, |at| programs::owner(blocks, at))
}

/// Runs a program that sleeps `seconds` after its frees, or calls `purge` there.
fn watched(context: &Context, seconds: u64, purge: Option<fn()>, program: impl FnOnce(At<'_>) -> Work) -> Outcome {
    let seconds = match context.scale {
        ..0.01 => 0.1,
        ..0.5 => seconds.min(3) as f64,
        _ => seconds as f64,
    };
    let sleep = || std::thread::sleep(Duration::from_secs_f64(seconds));
    let resident = || measure::memory().resident;
    let (mut notes, mut away) = (Vec::with_capacity(16), 0.0);
    let watch = Watch::begin();
    let mut at = |moment| {
        let begin = Instant::now();
        match moment {
            Moment::Start => notes.push(("start", resident())),
            Moment::Full => {}
            Moment::Freed => {
                notes.push(("peak", measure::memory().peak));
                notes.push(("fall", resident()));
                notes.push(("fall_ms", watch.milliseconds()));
                if let Some(purge) = purge {
                    purge();
                    notes.push(("purged", resident()));
                }
                sleep();
                notes.push(("rest", resident()));
            }
            Moment::Empty => {
                notes.push(("empty", resident()));
                sleep();
                notes.push(("empty_rest", resident()));
            }
            Moment::Again => {
                notes.push(("again", resident()));
                std::thread::sleep(2 * EVERY);
            }
        }
        watch.mark();
        away += begin.elapsed().as_secs_f64();
    };
    let (work, elapsed) = measure::timed(|| program(&mut at));
    drop(watch);
    if work.live_pages > 0 {
        notes.push(("live_pages", work.live_pages));
    }
    Outcome {
        seconds: elapsed - away,
        ops: work.blocks,
        checksum: work.sum,
        notes,
    }
}
