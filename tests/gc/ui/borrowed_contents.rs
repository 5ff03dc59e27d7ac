//! A managed object may outlive every borrow, except static ones.
use greyspan::gc::{Heap, Trace};

#[derive(Trace)]
struct Borrows<'gc> {
    text: &'gc str,
}

fn main() {
    let text = String::from("short");
    Heap::new().enter(|m| m.alloc(Borrows { text: &text }));
}
