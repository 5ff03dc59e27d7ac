//! An edge in a `Cell` would change without a barrier.
use greyspan::gc::{Gc, Trace};
use std::cell::Cell;

#[derive(Trace)]
struct Bad<'gc> {
    edge: Cell<Option<Gc<'gc, u64>>>,
}

fn main() {}
