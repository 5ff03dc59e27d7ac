//! A root names its type by `Rootable!`.
use greyspan::gc::{GcCell, Heap, Root, Trace};

#[derive(Trace)]
struct Node<'gc> {
    next: GcCell<'gc, Node<'gc>>,
}

struct Keeps {
    root: Root<Node<'static>>,
}

fn main() {
    Heap::new().enter(|m| {
        let root: Root<str> = Root::new(m, m.alloc_str("text"));
        drop(root);
    });
}
