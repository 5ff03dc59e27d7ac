//! A thread that may outlive `enter` gets a root, and enters itself.
use greyspan::gc::Heap;

fn main() {
    Heap::new().enter(|m| {
        let text = m.alloc_str("shared");
        std::thread::spawn(move || println!("{text}"));
    });
}
