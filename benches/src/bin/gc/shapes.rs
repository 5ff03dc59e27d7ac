//! Deep and long graphs: a list, a tree that is one long path, a slice of edges. The collector's
//! stacks stay small.

use greyspan::gc::{Gc, GcCell, Heap, Root, Rootable, Trace};
use std::time::Instant;

#[derive(Trace)]
struct Node<'gc> {
    value: u64,
    left: GcCell<'gc, Node<'gc>>,
    right: GcCell<'gc, Node<'gc>>,
}

type NodeRoot = Root<Rootable![Node<'_>]>;

fn leaf<'gc>(value: u64) -> Node<'gc> {
    Node {
        value,
        left: GcCell::null(),
        right: GcCell::null(),
    }
}

/// Collects with the graph alive, then after dropping it, and prints the time of each collection.
fn collect<T>(what: &str, heap: &Heap, keep: T, check: impl Fn(&T)) {
    let since = Instant::now();
    heap.collect();
    let alive = since.elapsed();
    check(&keep);
    drop(keep);
    let since = Instant::now();
    heap.collect();
    let stats = heap.stats();
    println!(
        "{what}: a cycle with all alive took {:.3} s, with all dead {:.3} s; marked {:.1} M objects per second",
        alive.as_secs_f64(),
        since.elapsed().as_secs_f64(),
        stats.marked_objects as f64 / stats.mark_ns as f64 * 1e3,
    );
    assert_eq!((stats.live_bytes, stats.mapped_bytes), (0, 0), "a leak");
}

pub(crate) fn list(nodes: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    let root: NodeRoot = heap.enter(|m| {
        let mut head = m.alloc(leaf(0));
        for value in 1..nodes as u64 {
            let node = m.alloc(leaf(value));
            node.right.set(m, Some(head));
            head = node;
        }
        Root::new(m, head)
    });
    collect(&format!("a list of {nodes} nodes"), &heap, root, |root| {
        heap.enter(|m| {
            let (mut at, mut count) = (Some(root.get(m)), 0);
            while let Some(node) = at {
                count += 1;
                assert_eq!(node.value as usize, nodes - count);
                at = node.right.get();
            }
            assert_eq!(count, nodes);
        });
    });
}

pub(crate) fn deep(depth: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    let root: NodeRoot = heap.enter(|m| {
        let mut top = m.alloc(leaf(0));
        for value in 1..depth as u64 {
            let node = m.alloc(leaf(value));
            let (deep, shallow) = if value % 2 == 0 {
                (&node.left, &node.right)
            } else {
                (&node.right, &node.left)
            };
            deep.set(m, Some(top));
            shallow.set(m, Some(m.alloc(leaf(value))));
            top = node;
        }
        Root::new(m, top)
    });
    collect(&format!("a tree of depth {depth}"), &heap, root, |root| {
        heap.enter(|m| {
            let mut at = root.get(m);
            for value in (1..depth as u64).rev() {
                assert_eq!(at.value, value);
                let (deep, shallow) = if value % 2 == 0 {
                    (&at.left, &at.right)
                } else {
                    (&at.right, &at.left)
                };
                assert_eq!(shallow.get().map(|leaf| leaf.value), Some(value));
                at = deep.get().expect("the path goes on");
            }
        });
    });
}

pub(crate) fn edges(edges: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    const TARGETS: usize = 1 << 16;
    type Slice = Root<Rootable![[Gc<'_, Node<'_>>]]>;
    let root: Slice = heap.enter(|m| {
        let targets: Vec<_> = (0..TARGETS as u64).map(|value| m.alloc(leaf(value))).collect();
        Root::new(m, m.alloc_slice(edges, |index| targets[index % TARGETS]))
    });
    collect(&format!("a slice of {edges} edges"), &heap, root, |root| {
        heap.enter(|m| {
            let slice = root.get(m);
            assert_eq!(slice.len(), edges);
            for (index, node) in slice.iter().enumerate().step_by(997) {
                assert_eq!(node.value as usize, index % TARGETS);
            }
        });
    });
}
