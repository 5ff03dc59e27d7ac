//! Sizes and depths that would break recursive code.

use crate::{Node, NodeRoot, quiet};
use greyspan::gc::{Gc, GcCell, Root, Rootable, Trace};

/// Number of objects. It is smaller in slow builds.
const MANY: u64 = if cfg!(debug_assertions) { 300_000 } else { 10_000_000 };

#[test]
fn a_long_list_is_marked_and_freed_without_depth() {
    let heap = quiet();
    let root: NodeRoot = heap.enter(|m| {
        let mut head = m.alloc(Node::leaf(0));
        for value in 1..MANY {
            let node = m.alloc(Node::leaf(value));
            node.right.set(m, Some(head));
            head = node;
        }
        Root::new(m, head)
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 0);
    heap.enter(|m| {
        let (mut at, mut count) = (Some(root.get(m)), 0);
        while let Some(node) = at {
            count += 1;
            assert_eq!(node.value, MANY - count);
            at = node.right.get();
        }
        assert_eq!(count, MANY);
    });
    drop(root);
    heap.collect();
    assert_eq!((heap.stats().freed_objects, heap.stats().mapped_bytes), (MANY, 0));
}

#[test]
fn a_slice_of_many_edges_is_scanned_in_parts() {
    let heap = quiet();
    let root: Root<Rootable![[GcCell<'_, u64>]]> = heap.enter(|m| {
        let slice = m.alloc_slice(MANY as usize, |index| {
            GcCell::new((index % 1000 == 0).then(|| m.alloc(index as u64)))
        });
        Root::new(m, slice)
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 0);
    heap.enter(|m| {
        let sum: u64 = root.get(m).iter().filter_map(|cell| cell.get()).map(|gc| *gc).sum();
        assert_eq!(sum, (0..MANY).step_by(1000).sum::<u64>());
        root.get(m).iter().step_by(1000).for_each(|cell| cell.set(m, None));
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, MANY / 1000);
}

#[test]
fn objects_of_every_size_and_alignment_keep_what_they_hold() {
    #[derive(Trace)]
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    #[derive(Trace)]
    #[repr(align(64))]
    struct Line(u8);
    #[derive(Trace)]
    struct Pair<'gc>(Gc<'gc, [u8]>, Gc<'gc, [u64]>);

    let heap = quiet();
    let roots: Vec<Root<Rootable![Pair<'_>]>> = heap.enter(|m| {
        let sizes = (0..40)
            .chain((1..200).map(|step| step * step * 3))
            .chain([32_752, 32_768, 32_769, 1 << 20]);
        let make = |len: usize| {
            let bytes = m.alloc_slice(len, |index| (index ^ len) as u8);
            let words = m.alloc_slice(len, |index| (index * len) as u64);
            Root::new(m, m.alloc(Pair(bytes, words)))
        };
        sizes.map(make).collect()
    });
    let page: Root<Rootable![Page]> = heap.enter(|m| Root::new(m, m.alloc(Page([7; 4096]))));
    let line: Root<Rootable![[Line]]> = heap.enter(|m| Root::new(m, m.alloc_slice(100, |index| Line(index as u8))));
    let unit: Root<Rootable![()]> = heap.enter(|m| Root::new(m, m.alloc(())));
    for _ in 0..2 {
        heap.collect();
        heap.verify().unwrap();
    }
    heap.enter(|m| {
        for root in &roots {
            let (len, pair) = (root.get(m).0.len(), root.get(m));
            assert!(
                pair.0
                    .iter()
                    .enumerate()
                    .all(|(index, byte)| *byte == (index ^ len) as u8)
            );
            assert!(
                pair.1
                    .iter()
                    .enumerate()
                    .all(|(index, word)| *word == (index * len) as u64)
            );
        }
        assert!(page.get(m).0 == [7; 4096] && page.get(m).as_ptr().addr().is_multiple_of(4096));
        assert!(
            line.get(m)
                .iter()
                .enumerate()
                .all(|(index, line)| line.0 == index as u8)
        );
        assert!(line.get(m).as_ptr().addr().is_multiple_of(64));
        assert_eq!(*unit.get(m), ());
    });
    drop((roots, page, line, unit));
    heap.collect();
    assert_eq!((heap.stats().live_bytes, heap.stats().mapped_bytes), (0, 0));
}

#[test]
fn more_types_than_get_spans_of_their_own_share_others() {
    type Check = Box<dyn Fn(&greyspan::gc::Mutator<'_>)>;
    let heap = quiet();
    let mut checks: Vec<Check> = Vec::new();
    // One type for each pair of lengths.
    macro_rules! pair {
        ($a:literal [$($b:literal)*]) => {$({
            let root: Root<Rootable![([u8; $a], [u16; $b], GcCell<'_, u64>)]> = heap.enter(|m| {
                let edge = GcCell::new(Some(m.alloc($a * 100 + $b)));
                Root::new(m, m.alloc(([$a; $a], [$b; $b], edge)))
            });
            checks.push(Box::new(move |m| {
                let (bytes, words, edge) = &*root.get(m);
                assert!(*bytes == [$a; $a] && *words == [$b; $b]);
                assert_eq!(*edge.get().unwrap(), $a * 100 + $b);
            }));
        })*};
    }
    macro_rules! pairs {
        ([$($a:literal)*] $b:tt) => { $(pair!($a $b);)* };
    }
    pairs!([0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18] [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
    assert!(checks.len() > 300);
    for _ in 0..2 {
        heap.collect();
        heap.verify().unwrap();
        heap.enter(|m| checks.iter().for_each(|check| check(m)));
    }
    checks.clear();
    heap.collect();
    assert_eq!(heap.stats().live_bytes, 0);
}
