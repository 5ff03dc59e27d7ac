//! The speed of marking: full collections of one heap that stays alive, as in
//! `benches/go/mark.go`.

use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};
use greyspan_bench::rng::Rng;
use std::time::Instant;

const ROUNDS: usize = 5;

#[derive(Trace)]
struct Node<'gc> {
    value: u64,
    link: GcCell<'gc, Node<'gc>>,
}

#[derive(Trace)]
struct Tree<'gc> {
    left: Option<Gc<'gc, Tree<'gc>>>,
    right: Option<Gc<'gc, Tree<'gc>>>,
}

fn node<'gc>(m: &'gc Mutator<'gc>, value: usize, link: Option<Gc<'gc, Node<'gc>>>) -> Gc<'gc, Node<'gc>> {
    m.alloc(Node {
        value: value as u64,
        link: GcCell::new(link),
    })
}

fn build<'gc>(m: &'gc Mutator<'gc>, depth: u32) -> Gc<'gc, Tree<'gc>> {
    let child = || depth.checked_sub(1).map(|depth| build(m, depth));
    let (left, right) = (child(), child());
    m.alloc(Tree { left, right })
}

/// Collects `ROUNDS` times and prints the fastest collection.
fn collect<T>(shape: &str, objects: usize, heap: &Heap, keep: T) {
    let (mut fastest, mut marking, mut processor) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let before = heap.stats();
        let since = Instant::now();
        heap.collect();
        fastest = fastest.min(since.elapsed().as_secs_f64() * 1e3);
        let after = heap.stats();
        marking = marking.min((after.mark_ns - before.mark_ns) as f64 / 1e6);
        processor = processor.min((after.cpu_ns - before.cpu_ns) as f64 / 1e6);
        assert!(after.marked_objects - before.marked_objects >= objects as u64);
    }
    println!(
        "mark {shape} {objects}: {fastest:.1} ms a collection, {marking:.1} ms of them marking, {processor:.1} ms of \
         processor time, {:.1} M objects per second",
        objects as f64 / fastest / 1e3,
    );
    drop(keep);
}

/// Objects behind a table, each linked to another at random.
fn random(objects: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    let root: Root<Rootable![[Gc<'_, Node<'_>>]]> = heap.enter(|m| {
        let table = m.alloc_slice(objects, |index| node(m, index, None));
        let mut rng = Rng::new(7);
        for from in table.iter() {
            from.link.set(m, Some(table[rng.below(objects)]));
        }
        Root::new(m, table)
    });
    collect("random", objects, &heap, &root);
    let sum = heap.enter(|m| root.get(m).iter().map(|node| node.value).sum::<u64>());
    assert_eq!(sum as usize, objects * (objects - 1) / 2);
}

/// A full tree, in the order of a walk.
fn tree(objects: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    let depth = (objects + 1).ilog2() - 1;
    let root: Root<Rootable![Tree<'_>]> = heap.enter(|m| Root::new(m, build(m, depth)));
    collect("tree", (2 << depth) - 1, &heap, root);
}

fn list(objects: usize) {
    let heap = Heap::builder().gc_percent(None).build();
    let root: Root<Rootable![Node<'_>]> = heap.enter(|m| {
        let first = node(m, 0, None);
        Root::new(m, (1..objects).fold(first, |next, value| node(m, value, Some(next))))
    });
    collect("list", objects, &heap, root);
}

/// Returns `false` if there is no such shape.
pub(crate) fn run(shape: &str, objects: usize) -> bool {
    match shape {
        "random" => random(objects),
        "tree" => tree(objects),
        "list" => list(objects),
        _ => return false,
    }
    true
}
