//! `enter` is not kept over an `.await`: the future would leave it.
use greyspan::gc::Heap;

async fn answer() -> u64 {
    42
}

async fn ask(heap: &Heap) -> u64 {
    let asked = heap.enter(|m| async move {
        let question = m.alloc(1);
        answer().await + *question
    });
    asked.await
}

fn main() {
    let heap = Heap::new();
    drop(ask(&heap));
}
