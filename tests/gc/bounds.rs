//! The bounds of a heap: dead objects that wait for their drop, short-lived roots, memory behind
//! plain fields.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{GcLock, Heap, Root, Rootable, Trace, WeakRoot};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::sync::{Arc, Mutex, mpsc};

const MIB: u64 = 1 << 20;

/// Takes much longer to drop than to make.
#[derive(Trace)]
struct Slow {
    bytes: [u8; 1000],
}

impl Drop for Slow {
    fn drop(&mut self) {
        for round in 0..2000u32 {
            black_box(round);
        }
        black_box(self.bytes);
    }
}

/// Returns the most bytes that the heap held after any round.
fn most_held(heap: &Heap, rounds: u32, round: impl Fn()) -> u64 {
    let held = |_| {
        round();
        let stats = heap.stats();
        stats.live_bytes + stats.waiting_bytes + stats.owned_bytes
    };
    (0..rounds).map(held).max().expect("some rounds")
}

#[test]
fn dead_objects_that_wait_for_their_drop_count_for_the_limit_and_for_the_goal() {
    for limit in [None, Some(16 << 20)] {
        let heap = Heap::builder().gc_percent(limit.map_or(Some(100), |_| None)).build();
        heap.set_memory_limit(limit);
        let held = most_held(&heap, 600, || {
            heap.enter(|m| {
                for _ in 0..100 {
                    m.alloc(Slow { bytes: [1; 1000] });
                }
            });
        });
        assert!(held < 24 * MIB, "{limit:?}: {held} bytes, {}", heap.stats());
    }
}

#[test]
fn cleanups_that_wait_count_too() {
    let heap = Heap::new();
    let held = most_held(&heap, 300, || {
        heap.enter(|m| {
            for number in 0..100u64 {
                let load = [number; 128];
                m.on_dead(m.alloc(number), move || {
                    for round in 0..2000u32 {
                        black_box(round);
                    }
                    black_box(load);
                });
            }
        });
        heap.collect();
    });
    assert!(held < 8 * MIB, "{held} bytes, {}", heap.stats());
}

#[test]
fn a_drop_that_waits_for_a_thread_that_enters_does_not_keep_it_for_ever() {
    /// Needs the lock that the program holds while it allocates.
    #[derive(Trace)]
    struct Locked {
        bytes: [u64; 512],
        #[trace(skip)]
        lock: Arc<Mutex<u64>>,
    }
    impl Drop for Locked {
        fn drop(&mut self) {
            *self.lock.lock().expect("no panic") += self.bytes[0];
        }
    }
    let heap = Heap::new();
    let lock = Arc::new(Mutex::new(0));
    let held = lock.lock().expect("no panic");
    for _ in 0..200 {
        heap.enter(|m| {
            for _ in 0..32 {
                m.alloc(Locked {
                    bytes: [1; 512],
                    lock: lock.clone(),
                });
            }
        });
    }
    assert!(heap.stats().waiting_bytes > 4 * MIB, "{}", heap.stats());
    drop(held);
    heap.collect();
    crate::eventually("the drops", || heap.stats().waiting_bytes == 0);
    assert_eq!(*lock.lock().expect("no panic"), 6400);
}

#[test]
fn a_cleanup_may_enter_its_heap_while_others_wait() {
    let heap = Heap::new();
    heap.enter(|m| {
        for number in 0..20_000u64 {
            let again = heap.clone();
            let load = [number; 64];
            m.on_dead(m.alloc(number), move || {
                black_box(load);
                again.enter(|m| m.alloc(1u64).as_ptr());
            });
        }
    });
    heap.collect();
    crate::eventually("the cleanups", || heap.stats().cleanups == 20_000);
}

#[test]
fn roots_that_come_and_go_without_a_cycle_use_their_slots_again() {
    let heap = quiet();
    let keep: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(7))));
    let rounds = |rounds: u32| {
        for _ in 0..rounds {
            heap.enter(|m| drop(NodeRoot::new(m, keep.get(m))));
        }
    };
    rounds(100_000);
    assert!(heap.stats().roots < 1000, "{} slots", heap.stats().roots);
    // The same with weak roots, several at a time.
    for _ in 0..1000 {
        heap.enter(|m| {
            let weak: Vec<WeakRoot<Rootable![Node<'_>]>> = (0..100).map(|_| WeakRoot::new(m, keep.get(m))).collect();
            assert!(weak.iter().all(|weak| weak.upgrade(m).is_some()));
        });
    }
    assert!(heap.stats().roots < 1000, "{} slots", heap.stats().roots);
    assert_eq!(heap.stats().cycles, 0);
    heap.collect();
    assert_eq!(heap.enter(|m| keep.get(m).value), 7);
}

#[test]
fn roots_that_come_and_go_beside_a_cycle_use_their_slots_again() {
    let heap = quiet();
    let keep: NodeRoot = heap.enter(|m| Root::new(m, m.alloc(Node::leaf(7))));
    let (ready, begun) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // This pin keeps the cycle from ending.
        let there = &heap;
        scope.spawn(move || {
            there.enter(|_| {
                ready.send(()).expect("the test waits");
                ended.recv().expect("the test tells");
            });
        });
        begun.recv().expect("the thread enters");
        let cycle = scope.spawn(|| heap.collect());
        for round in 0..100_000u64 {
            heap.enter(|m| {
                let root: NodeRoot = Root::new(m, m.alloc(Node::leaf(round)));
                root.get(m).left.set(m, Some(keep.get(m)));
            });
        }
        let slots = heap.stats().roots;
        end.send(()).expect("the thread waits");
        cycle.join().expect("the cycle ends");
        assert!(slots < 1000, "{slots} slots");
    });
    heap.verify().expect("a sound heap");
    assert_eq!(heap.enter(|m| keep.get(m).value), 7);
}

/// Owns memory in each way that the collector can measure.
#[derive(Trace)]
enum Owner {
    Named { name: String, load: Vec<u8> },
    Boxed(Box<[u64]>, Box<[u8; 50_000]>),
    Queue(VecDeque<Vec<u8>>),
    Hashed(HashMap<u64, Vec<u8>>),
    Sorted(BTreeMap<u64, (String, [Vec<u8>; 2])>),
    Nested(Option<Box<Owner>>),
    Skipped(#[trace(skip)] Vec<u8>, #[trace(skip)] Other, [Vec<u8>; 1]),
}

/// Does not implement `Trace`.
struct Other;

impl Owner {
    /// Makes a value that owns about 100 KiB in the way that `kind` says.
    fn new(kind: u64) -> Self {
        let load = || vec![1u8; 50_000];
        match kind % 7 {
            0 => Self::Named {
                name: "x".repeat(50_000),
                load: load(),
            },
            1 => Self::Boxed(vec![1; 50_000 / 8].into_boxed_slice(), Box::new([1; 50_000])),
            2 => Self::Queue([load(), load()].into()),
            3 => Self::Hashed((0..100).map(|key| (key, vec![1; 1000])).collect()),
            4 => Self::Sorted(
                (0..2)
                    .map(|key| (key, ("y".repeat(25_000), [vec![1; 25_000], Vec::new()])))
                    .collect(),
            ),
            5 => Self::Nested(Some(Box::new(Self::new(kind / 7)))),
            _ => Self::Skipped(load(), Other, [load()]),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Named { name, load } => name.len() == load.len(),
            Self::Boxed(words, bytes) => words.len() * 8 == bytes.len(),
            Self::Queue(parts) => parts.len() == 2,
            Self::Hashed(map) => map.len() == 100,
            Self::Sorted(map) => map.len() == 2,
            Self::Nested(next) => next.as_ref().is_some_and(|next| next.is_whole()),
            Self::Skipped(one, Other, [other]) => one.len() == other.len(),
        }
    }
}

#[test]
fn memory_that_plain_fields_own_brings_cycles_and_counts_for_the_limit() {
    for limit in [None, Some(32 << 20)] {
        let new = || {
            let heap = Heap::builder().gc_percent(limit.map_or(Some(100), |_| None)).build();
            heap.set_memory_limit(limit);
            heap
        };
        let (large, kinds, slices) = (new(), new(), new());
        let held = [
            most_held(&large, 300, || {
                large.enter(|m| {
                    m.alloc(vec![1u8; 1 << 20]);
                });
            }),
            most_held(&kinds, 200, || {
                kinds.enter(|m| (0..14).for_each(|kind| assert!(m.alloc(Owner::new(kind)).is_whole())));
            }),
            most_held(&slices, 200, || {
                slices.enter(|m| {
                    m.alloc_slice(10, |_| (1u8, "z".repeat(100_000)));
                });
            }),
        ];
        for (heap, held) in [large, kinds, slices].iter().zip(held) {
            // Without cycles all would be held, 190 MiB at least. On a busy machine they lag.
            assert!(held < 150 * MIB, "{limit:?}: {held} bytes, {}", heap.stats());
            assert!(
                heap.stats().cycles >= 4,
                "{limit:?}: 200 MiB and more, {}",
                heap.stats()
            );
            heap.collect();
            crate::eventually("the drops", || heap.stats().waiting_bytes == 0);
            assert_eq!(heap.stats().owned_bytes, 0, "added bytes are taken away");
        }
    }
}

#[test]
fn memory_that_live_objects_own_counts_as_alive() {
    let heap = Heap::new();
    type Bytes = Root<Rootable![Vec<u8>]>;
    let kept: Vec<Bytes> = (0..64)
        .map(|_| heap.enter(|m| Root::new(m, m.alloc(vec![1; 1 << 20]))))
        .collect();
    heap.collect();
    crate::eventually("the goal", || heap.stats().goal_bytes > 120 * MIB);
    let before = heap.stats().cycles;
    // 256 MiB of garbage. Each cycle can take a quarter of it.
    for _ in 0..1024 {
        heap.enter(|m| m.alloc(vec![1u8; 256 << 10]).len());
    }
    let cycles = heap.stats().cycles - before;
    assert!((2..20).contains(&cycles), "{cycles} cycles, {}", heap.stats());
    assert!(heap.enter(|m| kept.iter().all(|kept| kept.get(m).len() == 1 << 20)));
    assert!(heap.stats().owned_bytes >= 64 * MIB);
}

#[test]
fn memory_that_grows_behind_a_lock_brings_cycles() {
    let heap = Heap::new();
    let held = most_held(&heap, 300, || {
        heap.enter(|m| {
            let text = m.alloc(GcLock::new(Vec::new()));
            text.write(m).push(String::from("short"));
            text.write(m).push("x".repeat(1 << 19));
            text.write(m)[0].reserve_exact(1 << 19);
        });
    });
    assert!(held < 64 * MIB, "{held} bytes, {}", heap.stats());
    assert!(heap.stats().cycles >= 4, "300 MiB, {}", heap.stats());
    // Many locks in one object, some inside others, that grow and shrink.
    type Locks = Vec<GcLock<(Vec<u8>, GcLock<Vec<u8>>)>>;
    let deep: Root<Rootable![Locks]> = heap.enter(|m| {
        let new = |_| GcLock::new((vec![0; 10], GcLock::new(Vec::new())));
        Root::new(m, m.alloc((0..600).map(new).collect()))
    });
    for size in [100_000, 0, 10_000, 500] {
        heap.enter(|m| {
            for lock in deep.get(m).as_ref() {
                let mut value = lock.write(m);
                *value.1.write(m) = vec![0; size];
                value.0 = vec![0; size / 2];
            }
        });
    }
    drop(deep);
    heap.collect();
    heap.collect();
    crate::eventually("the drops", || heap.stats().waiting_bytes == 0);
    assert_eq!(heap.stats().owned_bytes, 0, "added bytes are taken away");
}

#[test]
fn each_way_to_own_memory_is_measured() {
    let heap = quiet();
    for kind in 0..7 {
        let before = heap.stats().owned_bytes;
        heap.enter(|m| assert!(m.alloc(Owner::new(kind)).is_whole()));
        let owned = heap.stats().owned_bytes - before;
        assert!((100_000..140_000).contains(&owned), "kind {kind}: {owned} bytes");
    }
}

#[test]
fn memory_elsewhere_brings_cycles_although_an_object_owns_memory() {
    for limit in [None, Some(64 << 20)] {
        let heap = Heap::builder().gc_percent(limit.map_or(Some(100), |_| None)).build();
        heap.set_memory_limit(limit);
        let owner: Root<Rootable![String]> = heap.enter(|m| Root::new(m, m.alloc("owns memory".repeat(10))));
        heap.collect();
        // Reports memory and never takes it back.
        crate::eventually("cycles", || {
            heap.enter(|m| {
                m.alloc(1u64);
                m.external(1 << 20);
            });
            heap.stats().cycles > 3
        });
        drop(owner);
    }
}

#[test]
fn a_lock_that_is_written_with_the_mutator_of_another_heap_counts_for_its_own_heap_alone() {
    let (own, other) = (quiet(), quiet());
    let write = |heap: &Heap, lock: &GcLock<Vec<u8>>, bytes: usize| {
        heap.enter(|m| *lock.write(m) = vec![0; bytes]);
        (own.stats().owned_bytes, other.stats().owned_bytes)
    };
    let lock: Root<Rootable![GcLock<Vec<u8>>]> = own.enter(|m| Root::new(m, m.alloc(GcLock::new(vec![0; 10]))));
    own.enter(|m| {
        let lock = lock.get(m);
        for bytes in [100_000, 50_000, 200_000] {
            assert_eq!(write(&other, &lock, bytes).1, 0, "no object of that heap");
        }
    });
    own.enter(|m| *lock.get(m).write(m) = vec![0; 300_000]);
    assert_eq!((own.stats().owned_bytes, other.stats().owned_bytes), (300_000, 0));
    own.enter(|m| write(&other, &lock.get(m), 5));
    drop(lock);
    own.collect();
    crate::eventually("the drop", || own.stats().waiting_bytes == 0);
    assert_eq!((own.stats().owned_bytes, other.stats().owned_bytes), (0, 0));
}

#[test]
fn what_one_thread_has_not_told_of_yet_another_one_may_take_away() {
    let heap = quiet();
    type Bytes = GcLock<Vec<u8>>;
    let lock: Root<Rootable![Bytes]> = heap.enter(|m| Root::new(m, m.alloc(Bytes::default())));
    for _ in 0..10 {
        heap.enter(|m| {
            // So little that the thread reports it to the heap only when it leaves.
            *lock.get(m).write(m) = vec![1; 30_000];
            std::thread::scope(|scope| {
                scope.spawn(|| heap.enter(|m| *lock.get(m).write(m) = Vec::new()));
            });
            let stats = heap.stats();
            assert!(stats.owned_bytes == 0 && stats.live_bytes < MIB, "{stats}");
        });
    }
    assert_eq!(heap.stats().owned_bytes, 0);
}

/// Its drop waits for a message.
#[derive(Trace)]
struct Told(#[trace(skip)] Mutex<mpsc::Receiver<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

#[test]
fn a_lock_that_grows_and_shrinks_takes_nothing_from_what_is_alive() {
    let heap = Heap::builder().gc_percent(Some(1000)).build();
    type Bytes = GcLock<Vec<u8>>;
    let (go, wait) = mpsc::channel();
    let kept: Root<Rootable![Vec<u8>]> = heap.enter(|m| {
        m.alloc(Told(Mutex::new(wait)));
        Root::new(m, m.alloc(vec![0; 64 << 20]))
    });
    let lock: Root<Rootable![Bytes]> = heap.enter(|m| Root::new(m, m.alloc(Bytes::default())));
    heap.collect();
    let before = heap.stats().cycles;
    for _ in 0..64 {
        heap.enter(|m| {
            *lock.get(m).write(m) = vec![0; 1 << 20];
            *lock.get(m).write(m) = Vec::new();
        });
    }
    assert_eq!(heap.stats().cycles, before);
    go.send(()).unwrap();
    crate::eventually("the goal", || heap.stats().goal_bytes > 600 * MIB);
    // Otherwise a cycle has mended the goal.
    assert_eq!(heap.stats().cycles, before);
    drop(kept);
}
