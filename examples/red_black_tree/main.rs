//! A red-black tree whose nodes know their parents.
//!
//!     cargo run --release --features gc --example red_black_tree
//!
//! This is the tutorial on structures with edges in both directions. It shows:
//!
//! 1. The textbook algorithm, unchanged (Cormen et al., "Introduction to Algorithms", chapter 13):
//!    a node has `left`, `right` and `parent`, and a rotation changes six edges. In Rust with owned
//!    boxes the parent edge is the hard part; here it is an edge like the others.
//! 2. Fields that change but are no edges, such as the colour, are atomics, because the collector's
//!    thread may read them at the same time.
//! 3. A tree is a value with edges in it, so it is `Trace` and lies in the heap itself. Several
//!    trees may share the nodes' keys, and an unreachable tree is freed without further work.

use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

#[derive(Trace)]
struct Node<'gc> {
    key: u64,
    value: GcCell<'gc, str>,
    red: AtomicBool,
    parent: GcCell<'gc, Node<'gc>>,
    /// The left child, and the right one.
    children: [GcCell<'gc, Node<'gc>>; 2],
}

type Link<'gc> = Option<Gc<'gc, Node<'gc>>>;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Self {
        if self == Self::Left { Self::Right } else { Self::Left }
    }
}

impl<'gc> Node<'gc> {
    fn child(&self, side: Side) -> &GcCell<'gc, Node<'gc>> {
        &self.children[side as usize]
    }
}

fn is_red(link: Link<'_>) -> bool {
    link.is_some_and(|node| node.red.load(Relaxed))
}

#[derive(Trace, Default)]
struct Tree<'gc> {
    root: GcCell<'gc, Node<'gc>>,
}

impl<'gc> Tree<'gc> {
    fn get(&self, key: u64) -> Option<Gc<'gc, str>> {
        let mut at = self.root.get();
        while let Some(node) = at {
            at = match key.cmp(&node.key) {
                std::cmp::Ordering::Equal => return node.value.get(),
                std::cmp::Ordering::Less => node.child(Side::Left).get(),
                std::cmp::Ordering::Greater => node.child(Side::Right).get(),
            };
        }
        None
    }

    fn insert(&self, m: &Mutator<'gc>, key: u64, value: &str) {
        let value = Some(m.alloc_str(value));
        let (mut parent, mut place) = (None, &self.root);
        while let Some(node) = place.get() {
            if node.key == key {
                node.value.set(m, value);
                return;
            }
            parent = Some(node);
            place = node
                .as_ref()
                .child(if key < node.key { Side::Left } else { Side::Right });
        }
        let node = m.alloc(Node {
            key,
            value: GcCell::new(value),
            red: AtomicBool::new(true),
            parent: GcCell::new(parent),
            children: [GcCell::null(), GcCell::null()],
        });
        place.set(m, Some(node));
        self.mend(m, node);
    }

    /// Repairs a red node under a red parent: moves the fault upwards until it is gone.
    fn mend(&self, m: &Mutator<'gc>, mut node: Gc<'gc, Node<'gc>>) {
        while let Some(parent) = node.parent.get().filter(|parent| parent.red.load(Relaxed)) {
            let grand = parent.parent.get().expect("a red node is not the root");
            let left = grand.child(Side::Left).get().is_some_and(|left| left.ptr_eq(parent));
            let side = if left { Side::Left } else { Side::Right };
            let uncle = grand.child(side.other()).get();
            if is_red(uncle) {
                parent.red.store(false, Relaxed);
                uncle.into_iter().for_each(|uncle| uncle.red.store(false, Relaxed));
                grand.red.store(true, Relaxed);
                node = grand;
                continue;
            }
            let mut top = parent;
            if parent.child(side.other()).get().is_some_and(|inner| inner.ptr_eq(node)) {
                self.rotate(m, parent, side);
                top = node;
                node = parent;
            }
            top.red.store(false, Relaxed);
            grand.red.store(true, Relaxed);
            self.rotate(m, grand, side.other());
        }
        self.root
            .get()
            .into_iter()
            .for_each(|root| root.red.store(false, Relaxed));
    }

    /// Rotates: `node` goes down on `side`, and its child on the other side takes its place.
    fn rotate(&self, m: &Mutator<'gc>, node: Gc<'gc, Node<'gc>>, side: Side) {
        let up = node.child(side.other()).get().expect("the child that goes up");
        let inner = up.child(side).get();
        node.child(side.other()).set(m, inner);
        inner.into_iter().for_each(|inner| inner.parent.set(m, Some(node)));
        let parent = node.parent.get();
        up.parent.set(m, parent);
        let place = match parent {
            None => &self.root,
            Some(parent) => {
                let left = parent.child(Side::Left).get().is_some_and(|left| left.ptr_eq(node));
                parent.as_ref().child(if left { Side::Left } else { Side::Right })
            }
        };
        place.set(m, Some(up));
        up.child(side).set(m, Some(node));
        node.parent.set(m, Some(up));
    }

    /// Checks the tree's rules and returns its keys and values in order.
    fn check(&self) -> Vec<(u64, String)> {
        fn walk<'gc>(link: Link<'gc>, parent: Link<'gc>, seen: &mut Vec<(u64, String)>) -> usize {
            let Some(node) = link else { return 1 };
            let red = node.red.load(Relaxed);
            assert!(!(red && is_red(parent)), "a red node has a red parent");
            assert_eq!(node.parent.get().map(|gc| gc.key), parent.map(|gc| gc.key));
            let left = walk(node.child(Side::Left).get(), link, seen);
            seen.push((node.key, node.value.get().expect("a value").to_string()));
            let right = walk(node.child(Side::Right).get(), link, seen);
            assert_eq!(left, right, "as many black nodes on each way down");
            left + usize::from(!red)
        }
        let mut seen = Vec::new();
        walk(self.root.get(), None, &mut seen);
        seen
    }
}

fn main() {
    let heap = Heap::new();
    let tree: Root<Rootable![Tree<'_>]> = heap.enter(|m| Root::new(m, m.alloc(Tree::default())));
    let mut model = BTreeMap::new();
    let (mut state, since) = (7u64, Instant::now());
    for _ in 0..3_000 {
        heap.enter(|m| {
            for _ in 0..100 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let key = (state >> 33) % 50_000;
                let value = format!("value {}", state % 1000);
                tree.get(m).insert(m, key, &value);
                model.insert(key, value);
            }
        });
    }
    println!("300,000 insertions in {:.2?}", since.elapsed());
    heap.enter(|m| {
        let found = tree.get(m).check();
        assert!(
            found.iter().map(|(key, value)| (key, value)).eq(&model),
            "the tree and the BTreeMap differ"
        );
        assert_eq!(
            tree.get(m).get(*model.keys().next().expect("some")).as_deref(),
            model.values().next().map(String::as_str)
        );
        println!("{} keys, all rules hold, the same as in a BTreeMap", found.len());
    });
    // Dropping the root frees the whole tree, parent edges included.
    drop(tree);
    heap.collect();
    println!("{}", heap.stats());
    assert_eq!(heap.stats().live_bytes, 0);
}
