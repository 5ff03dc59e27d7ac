//! A reference borrowed from a `Gc` ends with `enter`, and so before any `collect`.
use greyspan::gc::{Heap, Root, Rootable};

fn main() {
    let heap = Heap::new();
    let root: Root<Rootable![String]> = heap.enter(|m| Root::new(m, m.alloc(String::from("text"))));
    let text: &str = heap.enter(|m| root.get(m).as_ref().as_str());
    drop(root);
    heap.collect();
    println!("{text}");
}
