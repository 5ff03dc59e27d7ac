//! A peak, then idleness. The program makes 512 MiB of mixed small objects, drops a random 95 % of
//! them in random order, and sleeps. Memory that is still resident then is memory that the
//! allocator does not return by itself. Timed: making and dropping, but not the sleep.
//!
//! Notes, in bytes:
//! - `live_bytes`: the sum of the sizes that live after the drop, with their table;
//! - `live_page_bytes`: the pages of 4096 bytes that hold them. No allocator that does not move
//!   objects can have less resident;
//! - `rss_at_peak`, `rss_after_1s`, `rss_after_10s`: the process's resident memory.
//!
//! Below a scale of 0.1 the sleeps are a tenth as long.

#![forbid(unsafe_code)]

use super::{Context, Outcome};
use crate::measure;
use crate::rng::{Rng, log_uniform_sizes};
use std::time::Duration;

const PEAK: usize = 512 << 20;
const PAGE: usize = 4096;

type Object = Box<[u8]>;

pub(super) fn run(context: &Context) -> Outcome {
    let mut rng = Rng::new(0);
    let small: [usize; 4096] = log_uniform_sizes(&mut rng, 16, 4096);
    let large: [usize; 256] = log_uniform_sizes(&mut rng, 4096, 256 << 10);
    let peak = context.scaled(PEAK);
    let (mut objects, making) = measure::timed(|| {
        let (mut objects, mut bytes) = (Vec::new(), 0);
        while bytes < peak {
            let size = match rng.below(1000) {
                0 => large[rng.below(large.len())],
                _ => small[rng.below(small.len())],
            };
            objects.push(vec![size as u8 | 1; size].into_boxed_slice());
            bytes += size;
        }
        objects
    });
    let at_peak = measure::memory().resident;
    let made = objects.len();
    let ((), dropping) = measure::timed(|| {
        let left = made.div_ceil(20);
        while objects.len() > left {
            let index = rng.below(objects.len());
            drop::<Object>(objects.swap_remove(index));
        }
        objects.shrink_to_fit();
    });
    let second = Duration::from_millis(if context.scale < 0.1 { 100 } else { 1000 });
    std::thread::sleep(second);
    let after_1s = measure::memory().resident;
    std::thread::sleep(9 * second);
    let after_10s = measure::memory().resident;
    let pages = pages(&objects);
    let live: usize = objects.iter().map(|object| object.len() + size_of::<Object>()).sum();
    let written: u64 = objects.iter().map(|object| u64::from(object[object.len() - 1])).sum();
    Outcome {
        seconds: making + dropping,
        ops: made as u64,
        checksum: written.wrapping_add(live as u64),
        notes: vec![
            ("live_bytes", live as u64),
            ("live_page_bytes", pages as u64),
            ("rss_at_peak", at_peak),
            ("rss_after_1s", after_1s),
            ("rss_after_10s", after_10s),
        ],
    }
}

/// Returns the bytes of the pages that hold an object or the table. The list that this makes would
/// disturb the figures taken before it.
fn pages(objects: &[Object]) -> usize {
    let table = objects.as_ptr().addr();
    let mut pages: Vec<usize> = (table / PAGE..=(table + size_of_val(objects) - 1) / PAGE).collect();
    for object in objects {
        let start = object.as_ptr().addr();
        pages.extend(start / PAGE..=(start + object.len() - 1) / PAGE);
    }
    pages.sort_unstable();
    pages.dedup();
    pages.len() * PAGE
}
