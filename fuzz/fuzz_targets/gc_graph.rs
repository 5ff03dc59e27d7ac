//! Runs two programs, the two halves of the input, on one collected heap. Each compares with its
//! own shadow, while a third thread collects.
#![no_main]

#[path = "../../tests/support/graph.rs"]
mod graph;

use greyspan::Greyspan;
use greyspan::gc::Heap;
use libfuzzer_sys::fuzz_target;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

fuzz_target!(|program: &[u8]| {
    let heap = Heap::builder().gc_percent(None).build();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                heap.collect();
            }
        });
        let (one, two) = program.split_at(program.len() / 2);
        let other = scope.spawn(|| graph::run(&heap, two));
        graph::run(&heap, one);
        other.join().expect("the other program");
        stop.store(true, SeqCst);
    });
    heap.verify().expect("a sound heap");
});
