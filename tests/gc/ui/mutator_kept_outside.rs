//! A mutator that leaves `enter` would allocate in a heap in which its thread is not pinned.
use greyspan::gc::{Gc, Heap, Mutator};

fn alloc<'gc>(m: &Mutator<'gc>) -> Gc<'gc, u64> {
    m.alloc(1)
}

fn main() {
    let heap = Heap::new();
    let mut kept = None;
    heap.enter(|m| kept = Some(m));
    alloc(kept.unwrap());
    // Nor does a short borrow make a reference that outlives `enter`.
    let value: &u64 = heap.enter(|m| alloc(m).as_ref());
    println!("{value}");
}
