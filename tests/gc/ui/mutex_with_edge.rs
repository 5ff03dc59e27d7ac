//! An edge in a `Mutex` would change without a barrier.
use greyspan::gc::{Gc, Trace};
use std::sync::Mutex;

#[derive(Trace)]
struct Bad<'gc> {
    edge: Mutex<Option<Gc<'gc, u64>>>,
}

fn main() {}
