//! A function names the brand, so that its parameters belong to one `enter`.
use greyspan::gc::{Gc, GcCell, Heap, Mutator};

fn link(m: &Mutator, from: Gc<GcCell<u64>>, to: Gc<u64>) {
    from.set(m, Some(to));
}

fn make(m: &Mutator, value: u64) -> Gc<u64> {
    m.alloc(value)
}

fn named<'gc>(m: &Mutator<'gc>, from: Gc<'gc, GcCell<'gc, u64>>, to: Gc<'gc, u64>) {
    from.set(m, Some(to));
}

fn main() {
    Heap::new().enter(|m| named(m, m.cell(None), m.alloc(1)));
    let _ = (link, make);
}
