//! The counts of allocations and frees per thread cache: their sums never show more frees than
//! allocations.

use crate::remote::Tally;
use crate::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use loom::thread;

#[test]
fn models_who_reads_that_a_block_was_freed_reads_that_it_was_handed_out() {
    loom::model(|| {
        let tallies: &'static [Tally; 2] = Box::leak(Box::new([(); 2].map(|()| Tally::new())));
        let passed: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let maker = thread::spawn(move || {
            tallies[0].add(1, 0);
            passed.store(1, Release);
        });
        let reader = thread::spawn(move || {
            let frees: u64 = tallies.iter().map(|tally| tally.frees.load(Acquire)).sum();
            let mallocs: u64 = tallies.iter().map(|tally| tally.mallocs.load(Relaxed)).sum();
            assert!(frees <= mallocs);
        });
        if passed.load(Acquire) == 1 {
            tallies[1].add(0, 1);
        }
        maker.join().unwrap();
        reader.join().unwrap();
    });
}
