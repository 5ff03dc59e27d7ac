use greyspan::gc::Heap;

fn on_another_thread(_work: impl FnOnce() + Send) {}

fn main() {
    let heap = Heap::new();
    heap.enter(|m| {
        on_another_thread(|| {
            m.alloc(1u64);
        });
    });
}
