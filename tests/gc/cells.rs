//! Edges that are set once, edges to trait objects, references without a type, and weak sets.

use crate::{Node, quiet};
use greyspan::gc::{Gc, GcAny, GcDynCell, GcLock, GcOnce, Guardian, Mutator, Root, Rootable, Trace, WeakMap, WeakSet};
use greyspan::unsize;
use std::time::{Duration, Instant};

type Text<'gc> = Gc<'gc, GcOnce<'gc, str>>;

#[test]
fn an_edge_that_is_set_once_stays() {
    let heap = quiet();
    let root: Root<Rootable![GcOnce<'_, str>]> = heap.enter(|m| {
        let once: Text<'_> = m.alloc(GcOnce::new());
        assert!(once.get().is_none() && format!("{once:?}") == "GcOnce(null)");
        let first = once.get_or_init(m, || m.alloc_str("first"));
        assert!(once.get_or_init(m, || unreachable!("it is set")).ptr_eq(first));
        assert!(
            once.set(m, m.alloc_str("second"))
                .is_err_and(|there| there.ptr_eq(first))
        );
        // A maker that sets the edge itself: the first object stays.
        let nested: Text<'_> = m.alloc(GcOnce::default());
        let own = nested.get_or_init(m, || {
            assert!(nested.set(m, first).is_ok());
            m.alloc_str("late")
        });
        assert!(own.ptr_eq(first));
        Root::new(m, once)
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| assert_eq!(root.get(m).get().as_deref(), Some("first")));
}

#[test]
fn threads_that_race_for_the_first_value_get_the_same() {
    let heap = quiet();
    let root: Root<Rootable![[GcOnce<'_, usize>]]> =
        heap.enter(|m| Root::new(m, m.alloc_slice(1000, |_| GcOnce::new())));
    let seen = |number: usize| {
        let work = |at: usize| heap.enter(|m| *root.get(m)[at].get_or_init(m, || m.alloc(number)));
        (0..1000).map(work).collect::<Vec<_>>()
    };
    let (one, two) = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| seen(1)), scope.spawn(|| seen(2))];
        heap.collect();
        let [one, two] = threads.map(|thread| thread.join().expect("no panic"));
        (one, two)
    });
    assert_eq!(one, two);
    heap.verify().unwrap();
}

trait Named<'gc>: Send + Sync {
    fn name(&self) -> Gc<'gc, str>;
}

#[derive(Trace)]
struct Plain<'gc>(Gc<'gc, str>);

impl<'gc> Named<'gc> for Plain<'gc> {
    fn name(&self) -> Gc<'gc, str> {
        self.0
    }
}

#[test]
fn an_edge_to_a_trait_object_changes() {
    type Cell<'gc> = GcDynCell<'gc, dyn Named<'gc> + 'gc>;
    let heap = quiet();
    let root: Root<Rootable![Cell<'_>]> = heap.enter(|m| {
        let plain = |name| unsize!(m.alloc(Plain(m.alloc_str(name))) => dyn Named<'_>);
        let cell: Gc<'_, Cell<'_>> = m.alloc(GcDynCell::new(m, Some(plain("a"))));
        assert_eq!(
            cell.swap(m, Some(plain("b"))).map(|old| old.name()).as_deref(),
            Some("a")
        );
        assert_eq!(cell.take(m).map(|old| old.name()).as_deref(), Some("b"));
        assert!(cell.get().is_none() && format!("{cell:?}") == "GcDynCell(null)");
        cell.set(m, Some(plain("c")));
        Root::new(m, cell)
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| assert_eq!(&*root.get(m).get().expect("an edge").name(), "c"));
    // Two objects, their names and their holders.
    assert_eq!(heap.stats().freed_objects, 6);
}

#[test]
fn a_forgotten_type_is_found_again_by_its_name() {
    type Other<'gc> = Plain<'gc>;
    let heap = quiet();
    let root: Root<Rootable![[GcAny<'_>]]> = heap.enter(|m| {
        let text = m.alloc_str("text");
        let all = [
            GcAny::new::<Rootable![str]>(text),
            GcAny::new::<Rootable![Plain<'_>]>(m.alloc(Plain(text))),
            GcAny::new::<Rootable![[u64]]>(m.alloc_slice(3, |at| at as u64)),
        ];
        Root::new(m, m.alloc_slice(3, |at| all[at]))
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let [text, plain, slice] = root.get(m)[..] else {
            panic!("three")
        };
        assert_eq!(text.downcast::<Rootable![str]>().as_deref(), Some("text"));
        assert!(
            plain
                .downcast::<Rootable![Other<'_>]>()
                .is_some_and(|plain| &*plain.0 == "text")
        );
        assert_eq!(slice.downcast::<Rootable![[u64]]>().as_deref(), Some(&[0, 1, 2][..]));
        assert!(!slice.is::<Rootable![[i64]]>() && slice.downcast::<Rootable![str]>().is_none());
        // One type by two names that differ in a lifetime: each is found by its own name only.
        let borrow = m.alloc("static");
        let named = GcAny::new::<Rootable![&'static str]>(borrow);
        assert!(
            named
                .downcast::<Rootable![&'static str]>()
                .is_some_and(|same| same.ptr_eq(borrow))
        );
        assert!(!named.is::<Rootable![&str]>());
        assert!(named.erase().ptr_eq(borrow.erase()));
    });
}

#[test]
fn a_weak_set_forgets_the_dead() {
    let heap = quiet();
    type Set = Root<Rootable![WeakSet<'_, Node<'_>>]>;
    let (set, kept): (Set, crate::NodeRoot) = heap.enter(|m| {
        let (set, kept) = (WeakSet::new(m), m.alloc(Node::leaf(7)));
        for value in 0..100 {
            assert!(set.insert(m, m.alloc(Node::leaf(value))));
        }
        assert!(set.insert(m, kept) && !set.insert(m, kept));
        assert_eq!((set.len(), set.iter(m).len()), (101, 101));
        (Root::new(m, m.alloc(set)), Root::new(m, kept))
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let set = set.get(m);
        assert!(set.len() == 1 && set.contains(m, kept.get(m)));
        assert!(set.iter(m).all(|member| member.ptr_eq(kept.get(m))));
        assert!(!set.contains(m, m.alloc(Node::leaf(7))) && set.remove(m, kept.get(m)) && set.is_empty());
        assert!(!set.remove(m, kept.get(m)) && format!("{set:?}") == "WeakSet(..)");
    });
}

#[test]
fn a_map_is_walked_as_it_is_at_one_moment() {
    quiet().enter(|m| {
        let map = WeakMap::new(m);
        let keys: Vec<Gc<'_, u64>> = (0..10).map(|key| m.alloc(key)).collect();
        for &key in &keys {
            map.insert(m, key, m.alloc(*key * 2));
        }
        let entries = map.iter(m);
        map.remove(m, keys[0]);
        assert_eq!((entries.len(), map.iter(m).len()), (10, 9));
        let mut values: Vec<u64> = entries.map(|(key, value)| *key * 100 + *value).collect();
        values.sort_unstable();
        assert!(values.into_iter().eq((0..10).map(|key| key * 102)));
    });
}

type Map<'gc> = WeakMap<'gc, Node<'gc>, Node<'gc>>;

/// Puts a key into the map, with a long chain of nodes behind it. A guardian watches the key.
fn add_chain<'gc>(m: &Mutator<'gc>, map: &Map<'gc>, guardian: &Guardian<Rootable![Node<'_>]>) {
    let mut first = m.alloc(Node::leaf(77));
    for value in 0..20_000 {
        let next = m.alloc(Node::leaf(value));
        next.left.set(m, Some(first));
        first = next;
    }
    map.insert(m, first, m.alloc(Node::leaf(78)));
    guardian.watch(m, first);
}

/// Takes the last node off the chain of each key. Returns how many keys there were.
fn take_last<'gc>(m: &Mutator<'gc>, map: &Map<'gc>) -> usize {
    let keys = map.iter(m).map(|(key, value)| {
        assert_eq!(value.value, 78);
        let mut at = key;
        while let Some(next) = at.left.get().filter(|next| next.left.get().is_some()) {
            at = next;
        }
        let last = at.left.take(m).expect("a chain");
        // The collector may end its cycle meanwhile, and new nodes take free slots.
        for _ in 0..20 {
            std::thread::sleep(Duration::from_micros(200));
            for _ in 0..500 {
                m.alloc(Node::leaf(0));
            }
        }
        assert_eq!(last.value, 77, "the node was freed");
    });
    keys.count()
}

/// A dead key comes back by a guardian while a thread walks the map. At the moment at which only
/// the key is marked, the thread must not get it: the nodes behind it would be lost.
#[test]
fn a_walk_gets_only_keys_that_the_collector_has_finished_with() {
    const ROUNDS: u32 = 40;
    let (mut found, mut cycle) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        let heap = quiet();
        let guardian = Guardian::new();
        let map: Root<Rootable![Map<'_>]> = heap.enter(|m| {
            let map = WeakMap::new(m);
            add_chain(m, &map, &guardian);
            Root::new(m, m.alloc(map))
        });
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| heap.collect());
            // Each round looks at a later moment of the cycle. The first one measures it.
            match round {
                0 => collector.join().expect("no panic"),
                _ => std::thread::sleep(cycle * round / ROUNDS),
            }
            found += heap.enter(|m| take_last(m, &map.get(m)));
        });
        if round == 0 {
            cycle = begun.elapsed();
        }
        heap.verify().unwrap();
    }
    assert!(found > 0);
}

#[test]
fn a_lock_of_a_weak_set_is_an_edge_to_its_table() {
    let heap = quiet();
    type Sets<'gc> = GcLock<Vec<WeakSet<'gc, u64>>>;
    let root: Root<Rootable![Sets<'_>]> = heap.enter(|m| Root::new(m, m.alloc(GcLock::new(vec![WeakSet::new(m)]))));
    heap.collect();
    heap.enter(|m| {
        let (number, sets) = (m.alloc(1), root.get(m));
        assert!(sets.as_ref().read()[0].insert(m, number) && sets.as_ref().read()[0].contains(m, number));
    });
    heap.collect();
    heap.verify().unwrap();
}
