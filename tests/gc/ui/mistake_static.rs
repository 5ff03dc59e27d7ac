//! A static keeps a root, and no reference.
use greyspan::gc::{Gc, Heap, Root, Rootable};
use std::sync::OnceLock;

static ALLOWED: OnceLock<Root<Rootable![str]>> = OnceLock::new();
static CURRENT: OnceLock<Gc<'static, str>> = OnceLock::new();

fn main() {
    Heap::new().enter(|m| {
        ALLOWED.set(Root::new(m, m.alloc_str("kept"))).unwrap();
        CURRENT.set(m.alloc_str("lost")).unwrap();
    });
}
