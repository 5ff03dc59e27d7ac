//! A `Gc` that leaves `enter` could be followed after its object was freed.
use greyspan::gc::Heap;

fn main() {
    let heap = Heap::new();
    let escaped = heap.enter(|m| m.alloc(1u64));
    println!("{escaped}");
}
