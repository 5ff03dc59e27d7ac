//! When a drop runs, the objects at the end of its edges may be gone.
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
