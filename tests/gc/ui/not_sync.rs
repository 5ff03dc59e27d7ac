//! The collector's thread and all mutators read objects, so they must be `Sync`.
use greyspan::gc::Heap;
use std::rc::Rc;

fn main() {
    Heap::new().enter(|m| m.alloc(Rc::new(1)));
}
