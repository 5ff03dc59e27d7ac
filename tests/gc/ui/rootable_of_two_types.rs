//! A root leads to one type, whatever the lifetime.
#![forbid(unsafe_code)]
use greyspan::gc::{Heap, OfLifetime, Root};

trait Two: OfLifetime<'static, Of = &'static str> + for<'a> OfLifetime<'a, Of = [usize; 2]> {}

fn peek(address: usize, len: usize) -> &'static str {
    Heap::new().enter(|m| {
        let root: Root<dyn Two> = Root::new(m, m.alloc([address, len]));
        *root.get(m)
    })
}

fn main() {
    peek(0xdead_0000, 7);
}
