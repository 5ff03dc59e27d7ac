//! The mutator is the pinned thread's.
use greyspan::gc::Heap;

fn main() {
    Heap::new().enter(|m| {
        std::thread::scope(|scope| {
            scope.spawn(|| m.alloc(1u64));
        });
    });
}
