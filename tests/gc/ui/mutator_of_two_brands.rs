//! Each `enter` has its own brand, also of the same heap: objects of the inner one end with it.
use greyspan::gc::{Gc, GcCell, Heap, Mutator};

fn link<'gc>(m: &Mutator<'gc>, from: Gc<'gc, GcCell<'gc, u64>>, to: Gc<'gc, u64>) {
    from.set(m, Some(to));
}

fn main() {
    let heap = Heap::new();
    heap.enter(|outer| {
        let cell = outer.cell(None);
        heap.enter(|inner| link(outer, cell, inner.alloc(1)));
        heap.enter(|inner| link(inner, cell, inner.alloc(1)));
    });
}
