//! A write passes the mutator to the barrier.
use greyspan::gc::{GcCell, GcLock, Heap};

fn main() {
    Heap::new().enter(|m| {
        let cell = m.alloc(GcCell::null());
        cell.set(Some(m.alloc(1)));
        m.alloc(GcLock::new(vec![1])).write().push(2);
    });
}
