//! False sharing: threads write to their own tiny objects. These writes are slow if the allocator
//! puts objects of two threads into one cache line. In `cache-thrash`, the active form, each thread
//! makes its own objects. In `cache-scratch`, the passive form, the main thread makes neighbours
//! and gives one to each thread, which frees it and continues with its own objects. An allocator
//! that reuses the freed one keeps the line shared. Timed: from the start of the threads to the end
//! of the last.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use std::hint::black_box;
use std::sync::Mutex;

const OBJECTS: usize = 300_000;
const WRITES: usize = 2000;

type Tiny = Box<[u8; 8]>;

pub(super) fn thrash(context: &Context) -> Outcome {
    run(context, false)
}

pub(super) fn scratch(context: &Context) -> Outcome {
    run(context, true)
}

fn run(context: &Context, given: bool) -> Outcome {
    let objects = context.scaled(OBJECTS);
    let gifts: Vec<Mutex<Option<Tiny>>> = (0..context.threads)
        .map(|_| Mutex::new(given.then(Tiny::default)))
        .collect();
    on_threads(context.threads, objects * context.threads, |thread| {
        let mut sum = 0u64;
        let gift = gifts[thread].lock().expect("no holder panics").take();
        if let Some(mut gift) = gift {
            write(&mut gift);
        }
        for _ in 0..objects {
            let mut object = Tiny::default();
            write(&mut object);
            sum = sum.wrapping_add(u64::from(object[0]));
        }
        sum
    })
}

/// Writes one byte many times. The box is hidden from the optimiser each time, so that each write
/// reaches memory.
fn write(object: &mut Tiny) {
    for _ in 0..WRITES {
        let byte = &mut black_box(&mut **object)[0];
        *byte = byte.wrapping_add(1);
    }
}
