//! A `Gc` gives shared access: a field that changes is a cell, a lock or an atomic.
use greyspan::gc::{Heap, Trace};

#[derive(Trace)]
struct Counter {
    count: u64,
}

fn main() {
    Heap::new().enter(|m| {
        let counter = m.alloc(Counter { count: 0 });
        counter.count += 1;
    });
}
