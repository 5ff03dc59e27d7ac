//! When the drop runs, what the edges lead to may be gone.
use greyspan::gc::{GcCell, Trace};

#[derive(Trace)]
struct Node<'gc> {
    next: GcCell<'gc, Node<'gc>>,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.next.get();
    }
}

fn main() {}
