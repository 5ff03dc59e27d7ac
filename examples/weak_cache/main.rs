//! A first program, 1 of 3: a cache of limited size that also remembers what is still in use.
//!
//!     cargo run --release --features gc --example weak_cache
//!
//! The cache keeps the pages that were used last. A page that falls out of it may still be in use
//! elsewhere: then the weak index finds it again, and the cache does not load it a second time. A
//! page that no part of the program uses is garbage, and leaves the index by itself.

use greyspan::gc::{Gc, GcLock, GcWeak, Heap, Mutator, Root, Rootable, Trace};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Trace, Debug)]
struct Page {
    number: u64,
    text: String,
}

/// The two views of the pages change together, so one lock guards both.
#[derive(Trace, Default)]
struct Shelves<'gc> {
    /// The pages used last, the newest at the back. These are kept.
    recent: VecDeque<Gc<'gc, Page>>,
    /// Every page that is still alive.
    index: HashMap<u64, GcWeak<'gc, Page>>,
}

#[derive(Trace)]
struct Cache<'gc> {
    capacity: usize,
    loads: AtomicUsize,
    shelves: GcLock<Shelves<'gc>>,
}

impl<'gc> Cache<'gc> {
    fn new(m: &Mutator<'gc>, capacity: usize) -> Gc<'gc, Self> {
        let (loads, shelves) = (AtomicUsize::new(0), GcLock::default());
        m.alloc(Self {
            capacity,
            loads,
            shelves,
        })
    }

    fn page(&self, m: &Mutator<'gc>, number: u64) -> Gc<'gc, Page> {
        let mut shelves = self.shelves.write(m);
        let known = shelves.index.get(&number).and_then(|weak| weak.upgrade(m));
        let page = known.unwrap_or_else(|| {
            self.loads.fetch_add(1, Relaxed);
            let text = format!("the text of page {number}");
            m.alloc(Page { number, text })
        });
        if known.is_none() {
            shelves.index.insert(number, GcWeak::new(m, page));
        }
        shelves.recent.retain(|other| !other.ptr_eq(page));
        shelves.recent.push_back(page);
        if shelves.recent.len() > self.capacity {
            shelves.recent.pop_front();
        }
        page
    }

    /// Removes dead pages from the index. Returns the number of pages in it.
    fn tidy(&self, m: &Mutator<'gc>) -> usize {
        let mut shelves = self.shelves.write(m);
        shelves.index.retain(|_, weak| weak.upgrade(m).is_some());
        shelves.index.len()
    }
}

fn main() {
    let heap = Heap::new();
    let cache: Root<Rootable![Cache<'_>]> = heap.enter(|m| Root::new(m, Cache::new(m, 3)));

    // Another part of the program keeps page 1 by a root of its own.
    let reader: Root<Rootable![Page]> = heap.enter(|m| Root::new(m, cache.get(m).page(m, 1)));
    for number in 2..=100 {
        heap.enter(|m| assert_eq!(cache.get(m).page(m, number).number, number));
    }
    heap.collect();

    heap.enter(|m| {
        let cache = cache.get(m);
        // Three recent pages, and the one that the reader keeps.
        assert_eq!(cache.tidy(m), 4);
        let loads = || cache.loads.load(Relaxed);
        assert_eq!(loads(), 100);
        assert!(cache.page(m, 1).ptr_eq(reader.get(m)) && loads() == 100);
        assert_eq!(cache.page(m, 2).text, "the text of page 2");
        assert_eq!(loads(), 101);
        println!("{} loads; still there: {:?}", loads(), reader.get(m));
    });
}
