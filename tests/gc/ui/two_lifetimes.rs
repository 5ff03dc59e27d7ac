//! The derive must know which lifetime belongs to the edges.
use greyspan::gc::{GcCell, Trace};

#[derive(Trace)]
struct Bad<'a, 'b> {
    one: GcCell<'a, u64>,
    other: &'static &'b str,
}

fn main() {}
