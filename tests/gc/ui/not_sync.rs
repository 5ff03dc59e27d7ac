//! Objects are read by the collector's thread, and by every other.
use greyspan::gc::Heap;
use std::rc::Rc;

fn main() {
    Heap::new().enter(|m| m.alloc(Rc::new(1)));
}
