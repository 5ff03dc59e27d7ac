//! The collector of the other heap would not see an edge from this heap.
use greyspan::gc::{GcCell, Heap, Trace};

#[derive(Trace)]
struct Node<'gc> {
    next: GcCell<'gc, Node<'gc>>,
}

fn main() {
    let (a, b) = (Heap::new(), Heap::new());
    a.enter(|m| {
        let here = m.alloc(Node { next: GcCell::null() });
        b.enter(|n| {
            let there = n.alloc(Node { next: GcCell::null() });
            here.next.set(m, Some(there));
        });
    });
}
