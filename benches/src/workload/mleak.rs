//! Waves of threads that each fill thread-local data, work a little, free everything and end.
//! Memory that grows from wave to wave is the allocator's. Timed: all waves. Notes: mapped and
//! resident memory after the first waves and after the last.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure::{self, Memory};
use crate::rng::{Rng, log_uniform_sizes};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Threads alive at once per requested thread.
const WAVE: usize = 4;
const WAVES: usize = 700;
const EARLY: usize = 20;
const OBJECTS: usize = 200;

thread_local! {
    /// The destructor of thread-local data frees this, after the thread's closure has ended.
    static NAMES: RefCell<BTreeMap<usize, String>> = const { RefCell::new(BTreeMap::new()) };
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn run(context: &Context) -> Outcome {
    let waves = context.scaled(WAVES);
    let wave = WAVE * context.threads;
    let mut early = Memory::default();
    let (checksum, seconds) = measure::timed(|| {
        let mut sum = 0u64;
        for number in 0..waves {
            let running: Vec<_> = (0..wave)
                .map(|thread| std::thread::spawn(move || work((number * wave + thread) as u64)))
                .collect();
            for thread in running {
                sum = sum.wrapping_add(thread.join().expect("a worker panicked"));
            }
            if number + 1 == EARLY.min(waves) {
                early = measure::memory();
            }
        }
        sum
    });
    let late = measure::memory();
    Outcome {
        seconds,
        ops: (waves * wave) as u64,
        checksum,
        notes: vec![
            ("mapped_early", early.mapped),
            ("mapped_at_end", late.mapped),
            ("resident_early", early.resident),
            ("resident_at_end", late.resident),
        ],
    }
}

fn work(seed: u64) -> u64 {
    let sizes: [usize; OBJECTS] = log_uniform_sizes(&mut Rng::new(seed), 16, 4096);
    BUFFER.with_borrow_mut(|buffer| buffer.extend(sizes.iter().map(|&size| size as u8)));
    NAMES.with_borrow_mut(|names| {
        for (index, &size) in sizes.iter().enumerate() {
            names.insert(size, format!("object {index} of thread {seed}"));
        }
        let length: usize = names.values().map(String::len).sum();
        let objects: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![size as u8; size]).collect();
        objects.iter().map(|object| u64::from(object[0])).sum::<u64>() + length as u64
    })
}
