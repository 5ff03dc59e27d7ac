//! So would one in a `Mutex`.
use greyspan::gc::{Gc, Trace};
use std::sync::Mutex;

#[derive(Trace)]
struct Bad<'gc> {
    edge: Mutex<Option<Gc<'gc, u64>>>,
}

fn main() {}
