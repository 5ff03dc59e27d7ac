//! Macros inside each other: the lifetimes that they introduce do not collide.

#![expect(clippy::type_complexity, reason = "the test is about types that hold types")]

use greyspan::gc::{Gc, GcCell, GcLock, GcWeak, Guardian, Heap, Root, Rootable, Trace, WeakMap, WeakRoot};

/// Roots behind skipped fields, in a type with a derive and without a lifetime.
#[derive(Trace)]
struct Keep {
    #[trace(skip)]
    own: Option<Root<Rootable![Keep]>>,
    #[trace(skip)]
    number: Root<Rootable![u8]>,
    #[trace(skip)]
    weak: WeakRoot<Rootable![Edge<'_>]>,
}

#[derive(Trace)]
struct Edge<'gc> {
    next: GcCell<'gc, Edge<'gc>>,
    #[trace(skip)]
    home: Option<Root<Rootable![Edge<'_>]>>,
}

/// Parameters and bounds that lie in the scope of the derive's lifetime.
#[derive(Trace)]
struct Bounded<T>
where
    T: 'static,
    Root<Rootable![Root<Rootable![u8]>]>: Clone,
    for<'__gc_of_trace> fn(&'__gc_of_trace T): Copy,
{
    value: T,
    #[trace(skip)]
    root: Option<Root<Rootable![Vec<T>]>>,
}

#[derive(Trace)]
enum Either {
    Root(#[trace(skip)] Root<Rootable![GcLock<Vec<Gc<'_, u8>>>]>),
    Guardian(#[trace(skip)] Guardian<Rootable![Keep]>),
    Nothing,
}

/// Other macros around `Rootable!` and inside it.
macro_rules! rooted {
    ($of:ty) => { Root<Rootable![$of]> };
}
macro_rules! twice {
    () => { Root<Rootable![rooted![u8]]> };
}
macro_rules! passed {
    ($($of:tt)*) => { Rootable![$($of)*] };
}

type One = Root<Rootable![u8]>;
type Two = Root<Rootable![Root<Rootable![u8]>]>;
type Three = Root<Rootable![(Edge<'_>, Root<Rootable![Root<Rootable![Edge<'_>]>]>)]>;
type Four = Root<Rootable![Root<Rootable![Root<Rootable![Root<Rootable![GcWeak<'_, u8>]>]>]>]>;
type Hidden = Root<Rootable![twice!()]>;
type Deeper = Root<Rootable![rooted![rooted![rooted![twice!()]]]]>;
type Passed = Root<passed![Root<passed![Edge<'_>]>]>;
type Own = Root<Rootable![for<'__gc> fn(&'__gc u8, Root<Rootable![u8]>)]>;
type Map = WeakRoot<Rootable![WeakMap<'_, u8, Root<Rootable![u8]>>]>;

#[test]
fn roots_of_roots_have_types() {
    fn is_a_root<T: Clone + Send + Sync + 'static>() {}
    is_a_root::<One>();
    is_a_root::<Two>();
    is_a_root::<Three>();
    is_a_root::<Four>();
    is_a_root::<Hidden>();
    is_a_root::<Deeper>();
    is_a_root::<Passed>();
    is_a_root::<Own>();
    is_a_root::<Map>();
}

#[test]
fn objects_hold_roots_of_other_heaps() {
    let (heap, other) = (Heap::new(), Heap::new());
    let number: One = other.enter(|m| Root::new(m, m.alloc(7)));
    let weak = other.enter(|m| {
        let edge = Edge {
            next: GcCell::null(),
            home: None,
        };
        WeakRoot::new(m, m.alloc(edge))
    });
    let keep: Root<Rootable![Keep]> = heap.enter(|m| {
        let keep = Keep {
            own: None,
            number: number.clone(),
            weak,
        };
        Root::new(m, m.alloc(keep))
    });
    heap.enter(|m| {
        let of = m.alloc(Bounded { value: 9u8, root: None });
        assert!(of.root.is_none() && of.value == 9);
        let either = [
            Either::Root(Root::new(m, m.alloc(GcLock::default()))),
            Either::Guardian(Guardian::new()),
            Either::Nothing,
        ];
        for one in m.alloc(Vec::from(either)).iter() {
            match one {
                Either::Root(root) => assert!(root.get(m).read().is_empty()),
                Either::Guardian(guardian) => assert!(guardian.next().is_none()),
                Either::Nothing => {}
            }
        }
    });
    heap.collect();
    other.collect();
    let inner = heap.enter(|m| keep.get(m).number.clone());
    other.enter(|m| assert_eq!(*inner.get(m), 7));
    let weak = heap.enter(|m| {
        let keep = keep.get(m);
        assert!(keep.own.is_none());
        keep.weak.clone()
    });
    other.enter(|m| {
        assert!(
            weak.upgrade(m)
                .is_none_or(|edge| edge.home.is_none() && edge.next.get().is_none())
        )
    });
}
