//! A type of the program needs the derive.
use greyspan::gc::Heap;

struct Point {
    x: f64,
}

fn main() {
    Heap::new().enter(|m| println!("{}", m.alloc(Point { x: 1.0 }).x));
}
