//! A field that holds an edge cannot be left out.
use greyspan::gc::{Gc, Trace};

#[derive(Trace)]
struct Bad<'gc> {
    #[trace(skip)]
    edge: Gc<'gc, u64>,
}

fn main() {}
