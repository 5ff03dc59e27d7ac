//! The binary-trees benchmark of the Benchmarks Game, as in `benches/go/binary_trees.go`: many
//! short-lived trees and one that stays.

use greyspan::gc::{Gc, Heap, Mutator, Root, Rootable, Trace};
use std::time::Instant;

#[derive(Trace)]
struct Tree<'gc> {
    left: Option<Gc<'gc, Tree<'gc>>>,
    right: Option<Gc<'gc, Tree<'gc>>>,
}

fn build<'gc>(m: &'gc Mutator<'gc>, depth: usize) -> Gc<'gc, Tree<'gc>> {
    let (left, right) = match depth {
        0 => (None, None),
        _ => (Some(build(m, depth - 1)), Some(build(m, depth - 1))),
    };
    m.alloc(Tree { left, right })
}

fn count(tree: &Tree<'_>) -> usize {
    let part = |tree: &Option<Gc<'_, Tree<'_>>>| tree.map_or(0, |tree| count(&tree));
    1 + part(&tree.left) + part(&tree.right)
}

pub(crate) fn run(depth: usize) {
    let since = Instant::now();
    let heap = Heap::new();
    let nodes = |depth: usize| (2 << depth) - 1;
    let stretch = heap.enter(|m| count(&build(m, depth + 1)));
    assert_eq!(stretch, nodes(depth + 1));
    let lasting: Root<Rootable![Tree<'_>]> = heap.enter(|m| Root::new(m, build(m, depth)));
    let mut total = 0;
    for small in (4..=depth).step_by(2) {
        let trees = 1 << (depth - small + 4);
        let sum: usize = (0..trees).map(|_| heap.enter(|m| count(&build(m, small)))).sum();
        assert_eq!(sum, trees * nodes(small));
        total += sum;
    }
    assert_eq!(heap.enter(|m| count(&lasting.get(m))), nodes(depth));
    let took = since.elapsed();
    println!(
        "binary-trees depth {depth}: {:.3} s, {:.1} ns per node, {} cycles",
        took.as_secs_f64(),
        took.as_nanos() as f64 / total as f64,
        heap.stats().cycles
    );
}
