//! A whole type that is skipped is `'static`: it holds no edge.
use greyspan::gc::{Gc, Heap, Trace};

#[derive(Trace)]
#[trace(skip)]
struct Hidden<'gc> {
    edge: Gc<'gc, u64>,
}

#[derive(Trace)]
#[trace(skip)]
struct Generic<T>(T);

fn main() {
    Heap::new().enter(|m| {
        m.alloc(Hidden { edge: m.alloc(1) });
    });
    Heap::new().enter(|m| {
        m.alloc(Generic(m.alloc(1)));
    });
}
