//! A `Gc` cannot leave `enter` in a variable of the caller either.
use greyspan::gc::Heap;

fn main() {
    let heap = Heap::new();
    let mut kept = None;
    heap.enter(|m| kept = Some(m.alloc(1u64)));
    println!("{kept:?}");
}
