//! A least-recently-used cache that several threads share: a hash table and a doubly linked list
//! over the same entries.
//!
//!     cargo run --release --features gc --example lru_cache
//!
//! This is the tutorial on shared structures. It shows, in the order of the code:
//!
//! 1. Edges that change are [`GcCell`]s. Each entry is in two lists at once, with edges forward and
//!    back. With reference counts the back edges need weak links and care. Here an evicted entry
//!    simply becomes unreachable.
//! 2. The collector orders nothing: it only keeps every object that a thread can reach. An ordinary
//!    `Mutex` decides which thread may change links. It lies inside the managed object and needs no
//!    special treatment, because it holds no edges.
//! 3. A [`Root`] keeps the structure alive between two calls of `enter`, and hands it to other
//!    threads.
//! 4. Values with drop glue, here `String`s, are dropped on the heap's own thread after their entry
//!    died.

use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

/// One key with its value, in its bucket's chain and in the list by age.
#[derive(Trace)]
struct Entry<'gc> {
    key: u64,
    value: String,
    chain: GcCell<'gc, Entry<'gc>>,
    newer: GcCell<'gc, Entry<'gc>>,
    older: GcCell<'gc, Entry<'gc>>,
}

/// The cache.
#[derive(Trace)]
struct Lru<'gc> {
    buckets: Gc<'gc, [GcCell<'gc, Entry<'gc>>]>,
    newest: GcCell<'gc, Entry<'gc>>,
    oldest: GcCell<'gc, Entry<'gc>>,
    capacity: usize,
    /// The number of entries. The thread that holds this lock may change links.
    len: Mutex<usize>,
}

type LruRoot = Root<Rootable![Lru<'_>]>;

impl<'gc> Lru<'gc> {
    fn new(m: &Mutator<'gc>, capacity: usize) -> Gc<'gc, Self> {
        m.alloc(Self {
            buckets: m.alloc_slice(capacity.next_power_of_two(), |_| GcCell::null()),
            newest: GcCell::null(),
            oldest: GcCell::null(),
            capacity,
            len: Mutex::new(0),
        })
    }

    fn bucket(&self, key: u64) -> &GcCell<'gc, Entry<'gc>> {
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }

    fn find(&self, key: u64) -> Option<Gc<'gc, Entry<'gc>>> {
        let mut at = self.bucket(key).get();
        while let Some(entry) = at.filter(|entry| entry.key != key) {
            at = entry.chain.get();
        }
        at
    }

    /// Takes an entry out of the list by age: a few stores, each with its barrier.
    fn unlink(&self, m: &Mutator<'gc>, entry: Gc<'gc, Entry<'gc>>) {
        let (newer, older) = (entry.newer.get(), entry.older.get());
        newer.map_or(&self.newest, |newer| &newer.as_ref().older).set(m, older);
        older.map_or(&self.oldest, |older| &older.as_ref().newer).set(m, newer);
    }

    fn push_newest(&self, m: &Mutator<'gc>, entry: Gc<'gc, Entry<'gc>>) {
        let before = self.newest.get();
        entry.newer.set(m, None);
        entry.older.set(m, before);
        before
            .map_or(&self.oldest, |before| &before.as_ref().newer)
            .set(m, Some(entry));
        self.newest.set(m, Some(entry));
    }

    /// Returns the value of `key` and makes its entry the newest.
    fn get(&self, m: &Mutator<'gc>, key: u64) -> Option<String> {
        let _len = self.len.lock().expect("no holder panics");
        let entry = self.find(key)?;
        self.unlink(m, entry);
        self.push_newest(m, entry);
        Some(entry.value.clone())
    }

    /// Sets the value of `key`. If there are too many entries, it drops the oldest.
    fn put(&self, m: &Mutator<'gc>, key: u64, value: String) {
        let mut len = self.len.lock().expect("no holder panics");
        if let Some(old) = self.find(key) {
            self.remove(m, old);
            *len -= 1;
        } else if *len == self.capacity
            && let Some(oldest) = self.oldest.get()
        {
            self.remove(m, oldest);
            *len -= 1;
        }
        let bucket = self.bucket(key);
        let entry = m.alloc(Entry {
            key,
            value,
            chain: GcCell::new(bucket.get()),
            newer: GcCell::null(),
            older: GcCell::null(),
        });
        bucket.set(m, Some(entry));
        self.push_newest(m, entry);
        *len += 1;
    }

    /// Unlinks an entry from both lists. No thread can reach it afterwards, so nothing else is
    /// needed.
    fn remove(&self, m: &Mutator<'gc>, entry: Gc<'gc, Entry<'gc>>) {
        self.unlink(m, entry);
        let mut cell = self.bucket(entry.key);
        while let Some(at) = cell.get() {
            if at.ptr_eq(entry) {
                cell.set(m, entry.chain.get());
                return;
            }
            cell = &at.as_ref().chain;
        }
    }

    /// All keys, oldest first.
    fn keys(&self) -> Vec<u64> {
        let mut keys = Vec::new();
        let mut at = self.oldest.get();
        while let Some(entry) = at {
            keys.push(entry.key);
            at = entry.newer.get();
        }
        keys
    }
}

/// The same cache, as simple as possible.
struct Model {
    capacity: usize,
    values: HashMap<u64, String>,
    ages: VecDeque<u64>,
}

impl Model {
    fn touch(&mut self, key: u64) {
        self.ages.retain(|known| *known != key);
        self.ages.push_back(key);
    }

    fn get(&mut self, key: u64) -> Option<String> {
        let value = self.values.get(&key).cloned()?;
        self.touch(key);
        Some(value)
    }

    fn put(&mut self, key: u64, value: String) {
        if !self.values.contains_key(&key) && self.values.len() == self.capacity {
            let oldest = self.ages.pop_front().expect("a full cache has an oldest");
            self.values.remove(&oldest);
        }
        self.values.insert(key, value);
        self.touch(key);
    }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Runs a million operations on one thread and compares each answer with the model's.
fn against_the_model(heap: &Heap) {
    const CAPACITY: usize = 64;
    let cache: LruRoot = heap.enter(|m| Root::new(m, Lru::new(m, CAPACITY)));
    let mut model = Model {
        capacity: CAPACITY,
        values: HashMap::new(),
        ages: VecDeque::new(),
    };
    let mut state = 42;
    for step in 0..10_000 {
        heap.enter(|m| {
            let cache = cache.get(m);
            for _ in 0..100 {
                let key = random(&mut state) % 100;
                if random(&mut state).is_multiple_of(2) {
                    assert_eq!(cache.get(m, key), model.get(key));
                } else {
                    cache.put(m, key, format!("{key} at {step}"));
                    model.put(key, format!("{key} at {step}"));
                }
            }
            assert!(model.ages.iter().copied().eq(cache.keys()));
        });
    }
    println!("a million gets and puts agree with the model");
}

/// Runs four threads on one cache. Each value contains its key, so a wrong value is noticed.
fn shared(heap: &Heap) {
    const CAPACITY: usize = 10_000;
    let cache: LruRoot = heap.enter(|m| Root::new(m, Lru::new(m, CAPACITY)));
    let since = Instant::now();
    let hits: usize = std::thread::scope(|scope| {
        let worker = |seed: u64| {
            let cache = cache.clone();
            scope.spawn(move || {
                let (mut state, mut hits) = (seed, 0);
                for _ in 0..2_500 {
                    // A hundred operations per pin: the collector never waits long for this thread.
                    heap.enter(|m| {
                        let cache = cache.get(m);
                        for _ in 0..100 {
                            let key = random(&mut state) % 20_000;
                            match cache.get(m, key) {
                                Some(value) => {
                                    assert_eq!(value, key.to_string());
                                    hits += 1;
                                }
                                None => cache.put(m, key, key.to_string()),
                            }
                        }
                    });
                }
                hits
            })
        };
        let workers: Vec<_> = (1..=4).map(worker).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
    });
    println!(
        "four threads: a million operations in {:.2?}, {hits} hits",
        since.elapsed()
    );
    assert_eq!(heap.enter(|m| cache.get(m).keys().len()), CAPACITY);
}

fn main() {
    let heap = Heap::new();
    against_the_model(&heap);
    shared(&heap);
    heap.verify().expect("a sound heap");
    println!("{}", heap.stats());
}
