//! What a `Gc` lends ends with `enter`, and with it before any `collect`.
use greyspan::gc::{Heap, Root, Rootable};

fn main() {
    let heap = Heap::new();
    let root: Root<Rootable![String]> = heap.enter(|m| Root::new(m, m.alloc(String::from("text"))));
    let text: &str = heap.enter(|m| root.get(m).as_ref().as_str());
    drop(root);
    heap.collect();
    println!("{text}");
}
