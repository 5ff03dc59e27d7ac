//! `skip` cannot leave out a field that holds an edge.
use greyspan::gc::{Gc, Trace};

#[derive(Trace)]
struct Bad<'gc> {
    #[trace(skip)]
    edge: Gc<'gc, u64>,
}

fn main() {}
