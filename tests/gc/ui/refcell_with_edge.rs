//! An edge in a `RefCell` would change without a barrier.
use greyspan::gc::{Gc, Trace};
use std::cell::RefCell;

#[derive(Trace)]
struct Bad<'gc> {
    edge: RefCell<Vec<Gc<'gc, u64>>>,
}

fn main() {}
