//! The options of the derive.

use crate::quiet;
use greyspan::gc::{Gc, GcCell, Heap, Root, Rootable, Trace};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A name of the crate from another place.
mod another {
    pub(crate) mod place {
        pub(crate) use greyspan as renamed;
    }
}

/// A trait of the program, with a type that is not traced itself.
trait Language: Send + Sync + 'static {
    type Word: for<'gc> Trace<'gc> + Clone + 'static;
}

struct English;

impl Language for English {
    type Word = String;
}

/// The bounds that the derive would write, `L: Trace`, do not hold; those that the fields need do.
#[derive(Trace)]
#[trace(bound = "L: Language", crate = another::place::renamed)]
struct Sentence<'gc, L: Language> {
    word: L::Word,
    next: GcCell<'gc, Sentence<'gc, L>>,
    language: PhantomData<L>,
}

/// Without bounds.
#[derive(Trace)]
#[trace(bound = "")]
struct Tagged<T: Send + Sync>(u64, PhantomData<T>);

/// Several lifetimes, of which none is called `'gc`.
#[derive(Trace)]
#[trace(gc_lifetime = 'edges)]
struct Two<'edges, 'text: 'static> {
    edge: Gc<'edges, u64>,
    text: &'text str,
}

/// A whole type without edges, with a `Drop`, and with fields that are not `Trace`.
#[derive(Trace)]
#[trace(skip)]
struct Whole<T: Fn() + Send> {
    run: std::sync::Mutex<T>,
    dropped: Arc<AtomicUsize>,
    owned: Vec<u8>,
}

impl<T: Fn() + Send> Drop for Whole<T> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Relaxed);
    }
}

#[derive(Trace, Clone, Copy)]
#[trace(skip)]
union Bits {
    float: f32,
    word: u32,
}

#[derive(Trace)]
#[trace(skip)]
enum Choice<'a> {
    Text(&'a str),
    #[expect(dead_code, reason = "a variant of each kind")]
    Number {
        value: u8,
    },
}

#[test]
fn chosen_bounds_replace_those_of_the_derive() {
    let heap = quiet();
    let root: Root<Rootable![Sentence<'_, English>]> = heap.enter(|m| {
        let sentence = |word: &str| Sentence {
            word: word.into(),
            next: GcCell::null(),
            language: PhantomData,
        };
        let (first, second) = (m.alloc(sentence("so")), m.alloc(sentence("on")));
        first.next.set(m, Some(second));
        Root::new(m, first)
    });
    heap.collect();
    heap.verify().unwrap();
    heap.enter(|m| {
        let first = root.get(m);
        assert_eq!(
            (first.word.as_str(), first.next.get().expect("an edge").word.as_str()),
            ("so", "on")
        );
        assert_eq!(m.alloc(Tagged::<fn(&str)>(7, PhantomData)).0, 7);
    });
    assert_eq!(heap.stats().freed_objects, 0);
}

#[test]
fn a_lifetime_of_another_name_belongs_to_the_edges() {
    let heap = quiet();
    let root: Root<Rootable![Two<'_, 'static>]> = heap.enter(|m| {
        Root::new(
            m,
            m.alloc(Two {
                edge: m.alloc(7),
                text: "seven",
            }),
        )
    });
    heap.collect();
    assert_eq!(heap.stats().freed_objects, 0);
    heap.enter(|m| assert_eq!((*root.get(m).edge, root.get(m).text), (7, "seven")));
}

#[test]
fn a_skipped_type_may_drop_and_is_measured() {
    let (heap, dropped) = (quiet(), Arc::<AtomicUsize>::default());
    heap.enter(|m| {
        let whole = Whole {
            run: (|| ()).into(),
            dropped: dropped.clone(),
            owned: vec![0; 100_000],
        };
        let whole = m.alloc(whole);
        (whole.run.lock().expect("no panic"))();
        assert!(heap.stats().owned_bytes >= 100_000, "{}", whole.owned.len());
        assert!(matches!(*m.alloc(Choice::Text("text")), Choice::Text("text")));
        let bits = m.alloc(Bits { float: 1.0 });
        // SAFETY: both fields are plain bits of one size.
        assert_eq!(unsafe { bits.word }, 1.0f32.to_bits());
    });
    heap.collect();
    crate::eventually("the drop of a skipped type", || dropped.load(Relaxed) == 1);
}

#[test]
fn the_heap_has_a_name_by_another_path() {
    // The derive of `Sentence` uses it; this test uses the type behind it.
    let heap: another::place::renamed::gc::Heap = Heap::new();
    assert_eq!(heap.stats().freed_objects, 0);
}
