//! [`Trace`]: how the collector finds the edges of a value. Derived for the program's types, and implemented here for those of the standard
//! library.
//!
//! - T1. `trace` shows every edge that the value holds. An edge that is not shown is an object that may be freed while it is reachable.
//! - T2. Edges that may change do so through [`GcCell`](super::GcCell), [`GcLock`](super::GcLock) or [`WeakMap`](super::WeakMap) only, whose
//!   writers tell the collector. So `Cell`, `RefCell`, `UnsafeCell`, `Mutex` and the like are traceable at most where they cannot hold
//!   an edge, that is for `'static` contents.
//! - T3. A type with edges has no `Drop` of its own: when it is dropped, what its edges lead to may be gone.

use super::desc::Kind;
use super::handle::{Brand, Gc};
use super::meter::Meter;
use crate::sync::blocking::Arc;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

/// Sees the edges of values. Invariant in `'gc`.
pub struct Visitor<'gc> {
    edges: Vec<NonNull<u8>>,
    /// The cycle that marks, for the stamps of locks; 0 where nothing is marked.
    cycle: u64,
    brand: Brand<'gc>,
}

impl<'gc> Visitor<'gc> {
    pub(crate) fn new(cycle: u64) -> Self {
        Self {
            edges: Vec::new(),
            cycle,
            brand: PhantomData,
        }
    }

    /// Shows the edge `gc`.
    #[inline]
    pub fn visit<T: ?Sized>(&mut self, gc: Gc<'gc, T>) {
        self.edges.push(gc.address());
    }

    /// Shows the edge to the object at `address`.
    #[inline]
    pub(crate) fn visit_address(&mut self, address: NonNull<u8>) {
        self.edges.push(address);
    }

    /// The edges seen so far.
    pub(crate) fn edges(&mut self) -> &mut Vec<NonNull<u8>> {
        &mut self.edges
    }

    pub(crate) fn cycle(&self) -> u64 {
        self.cycle
    }
}

/// A value that the collector can trace. Use `#[derive(Trace)]`.
///
/// The derive takes structs and enums, generic ones too. Every field must be `Trace`; `#[trace(skip)]` leaves out a field of a
/// `'static` type, which can hold no edge. The `'gc` of the edges is the type's lifetime parameter of that name, or its only one.
///
/// ```
/// use greyspan::gc::{Gc, GcCell, Heap, Trace};
///
/// #[derive(Trace)]
/// enum Tree<'gc> {
///     Leaf(u64),
///     Node(Gc<'gc, Tree<'gc>>, GcCell<'gc, Tree<'gc>>),
/// }
///
/// let heap = Heap::new();
/// heap.enter(|m| {
///     let leaf = m.alloc(Tree::Leaf(1));
///     let node = m.alloc(Tree::Node(leaf, GcCell::null()));
///     assert!(matches!(&*node, Tree::Node(left, _) if matches!(**left, Tree::Leaf(1))));
/// });
/// ```
///
/// # Safety
/// `trace` visits every edge in the value, each time; a type with edges does not implement `Drop`; no edge lies behind interior
/// mutability other than this module's. `NEEDS_TRACE` is `false` only for types that never hold an edge.
pub unsafe trait Trace<'gc>: Send + Sync {
    /// Whether values can hold edges.
    const NEEDS_TRACE: bool = true;

    #[doc(hidden)]
    const KIND: Kind = Kind::Plain;

    /// Shows the visitor every edge.
    fn trace(&self, visitor: &mut Visitor<'gc>);

    /// Tells the meter of memory of the global allocator that the value owns beside its own size,
    /// so that the object counts for it: at [`alloc`](super::Mutator::alloc), and on the drop
    /// thread before the value is dropped. It must not follow edges, which may lead nowhere then.
    ///
    /// The derive measures every field whose type is `Trace`, also under `#[trace(skip)]`. The
    /// containers and strings of the standard library measure themselves; a
    /// [`GcLock`](super::GcLock) measures its value again after each write. Large containers are
    /// estimated from their first values; a hash table behind a `GcLock` counts without what its
    /// entries own. Not measured is memory that is shared or changes unseen: behind `Arc`, in a
    /// `Mutex`, `RwLock` or `OnceLock`; nor that of other types. Tell of large memory there by
    /// [`external`](super::Mutator::external).
    ///
    /// A value that no writer of a `GcLock` changes must measure the same each time.
    #[inline]
    fn measure(&self, meter: &mut Meter) {
        let _ = meter;
    }
}

/// Types that hold no edge.
macro_rules! leaf {
    ($($(#[$meta:meta])* [$($generics:tt)*] $type:ty;)*) => {$(
        $(#[$meta])*
        // SAFETY: the type holds no edge: its contents are `'static`, and no `Gc` is.
        unsafe impl<'gc, $($generics)*> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut Visitor<'gc>) {}
        }
    )*};
}

leaf! {
    [] bool; [] char; [] u8; [] u16; [] u32; [] u64; [] u128; [] usize; [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] f32; [] f64;
    [] (); [] str; [] core::time::Duration; [] std::time::Instant; [] std::time::SystemTime; [] std::thread::ThreadId;
    [] std::path::Path; [] std::ffi::OsStr; [] core::ffi::CStr;
    [] core::net::IpAddr; [] core::net::SocketAddr; [] core::cmp::Ordering; [] core::any::TypeId; [] core::alloc::Layout;
    [] core::num::NonZeroU8; [] core::num::NonZeroU16; [] core::num::NonZeroU32; [] core::num::NonZeroU64; [] core::num::NonZeroUsize;
    [] core::num::NonZeroI32; [] core::num::NonZeroI64; [] std::fs::File; [] std::io::Error;
    [T: ?Sized + Send + Sync + 'static] PhantomData<T>;
    [T: ?Sized + Sync + 'static] &'static T;
    [T: ?Sized + Send + Sync + 'static] Arc<T>;
}

/// Strings that own their memory, and how much that is.
macro_rules! text {
    ($($type:ty, $self:ident => $bytes:expr;)*) => {$(
        // SAFETY: text holds no edge.
        unsafe impl<'gc> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false;
            #[inline(always)]
            fn trace(&self, _: &mut Visitor<'gc>) {}
            #[inline]
            fn measure(&$self, meter: &mut Meter) {
                meter.add($bytes);
            }
        }
    )*};
}

text! {
    String, self => self.capacity();
    std::path::PathBuf, self => self.capacity();
    std::ffi::OsString, self => self.capacity();
    std::ffi::CString, self => self.as_bytes_with_nul().len();
}

/// Cells and locks of the standard library, where they hold no edge: their names stand behind the one door to atomics.
mod leaves {
    use super::{Trace, Visitor};
    use crate::sync::blocking::{Mutex, RwLock};

    leaf! {
        [T: ?Sized + Send + 'static] Mutex<T>;
        [T: ?Sized + Send + Sync + 'static] RwLock<T>;
    }

    #[cfg(not(loom))]
    mod atomics {
        use super::{Trace, Visitor};
        use crate::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
        use crate::sync::blocking::{AtomicI32, AtomicI64, OnceLock};

        leaf! {
            [] AtomicBool; [] AtomicU8; [] AtomicU32; [] AtomicU64; [] AtomicUsize; [] AtomicIsize; [] AtomicI32; [] AtomicI64;
            [T: Send + Sync + 'static] OnceLock<T>;
        }
    }
}

/// Bytes of a hash table with room for `capacity` entries of `entry` bytes: a power of two, filled
/// to seven eighths, with a byte each. Removed entries may lower the capacity without the table
/// becoming smaller: then this is too little, until the table grows or is made anew.
fn table(capacity: usize, entry: usize) -> usize {
    match capacity {
        0 => 0,
        _ => (capacity.saturating_mul(8) / 7)
            .next_power_of_two()
            .saturating_mul(entry + 1),
    }
}

/// Bytes of a B-tree of `len` entries of `entry` bytes: nodes with room for eleven, filled to two
/// thirds or more.
fn tree(len: usize, entry: usize) -> usize {
    len.saturating_mul(entry + entry / 2 + 4)
}

/// Containers that hold values of the same traceable type, or of two; what they show, and what they
/// own.
macro_rules! container {
    ($([$($generics:tt)*] $type:ty, ($($item:ident),*), $self:ident, $visitor:ident => $trace:expr, $meter:ident => $measure:expr;)*) => {$(
        // SAFETY: every value inside is traced; the container has no interior mutability, and its `Drop` only drops them.
        unsafe impl<'gc, $($generics)*> Trace<'gc> for $type {
            const NEEDS_TRACE: bool = false $(|| $item::NEEDS_TRACE)*;
            #[inline]
            fn trace(&$self, $visitor: &mut Visitor<'gc>) {
                if Self::NEEDS_TRACE {
                    $trace
                }
            }
            #[inline]
            fn measure(&$self, $meter: &mut Meter) {
                $measure
            }
        }
    )*};
}

container! {
    [T: Trace<'gc>] Option<T>, (T), self, visitor => if let Some(value) = self { value.trace(visitor) },
        meter => if let Some(value) = self { value.measure(meter) };
    [T: Trace<'gc>, E: Trace<'gc>] Result<T, E>, (T, E), self, visitor => match self {
        Ok(value) => value.trace(visitor),
        Err(error) => error.trace(visitor),
    }, meter => match self {
        Ok(value) => value.measure(meter),
        Err(error) => error.measure(meter),
    };
    [T: Trace<'gc> + ?Sized] Box<T>, (T), self, visitor => (**self).trace(visitor), meter => {
        meter.add(size_of_val(&**self));
        meter.add_each(1, [&**self]);
    };
    [T: Trace<'gc>] [T], (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)),
        meter => meter.add_each(self.len(), self);
    [T: Trace<'gc>, const N: usize] [T; N], (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)),
        meter => meter.add_each(N, self);
    [T: Trace<'gc>] Vec<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] VecDeque<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] LinkedList<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.len().saturating_mul(size_of::<(T, usize, usize)>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] BinaryHeap<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(self.capacity().saturating_mul(size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>] BTreeSet<T>, (T), self, visitor => self.iter().for_each(|value| value.trace(visitor)), meter => {
        meter.add(tree(self.len(), size_of::<T>()));
        meter.add_each(self.len(), self);
    };
    [T: Trace<'gc>, S: Send + Sync + 'static] HashSet<T, S>, (T), self, visitor => {
        self.iter().for_each(|value| value.trace(visitor))
    }, meter => {
        meter.add(table(self.capacity(), size_of::<T>()));
        meter.add_scattered(self.len(), self);
    };
    [K: Trace<'gc>, V: Trace<'gc>] BTreeMap<K, V>, (K, V), self, visitor => for (key, value) in self {
        key.trace(visitor);
        value.trace(visitor);
    }, meter => {
        meter.add(tree(self.len(), size_of::<(K, V)>()));
        meter.add_each(self.len(), self.keys());
        meter.add_each(self.len(), self.values());
    };
    [K: Trace<'gc>, V: Trace<'gc>, S: Send + Sync + 'static] HashMap<K, V, S>, (K, V), self, visitor => for (key, value) in self {
        key.trace(visitor);
        value.trace(visitor);
    }, meter => {
        meter.add(table(self.capacity(), size_of::<(K, V)>()));
        meter.add_scattered(self.len(), self.keys());
        meter.add_scattered(self.len(), self.values());
    };
    [T: Trace<'gc>] core::num::Wrapping<T>, (T), self, visitor => self.0.trace(visitor), meter => self.0.measure(meter);
    [T: Trace<'gc>] core::cmp::Reverse<T>, (T), self, visitor => self.0.trace(visitor), meter => self.0.measure(meter);
    [T: Trace<'gc>] core::ops::Range<T>, (T), self, visitor => {
        self.start.trace(visitor);
        self.end.trace(visitor);
    }, meter => {
        self.start.measure(meter);
        self.end.measure(meter);
    };
}

/// Tuples.
macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        // SAFETY: every part is traced.
        unsafe impl<'gc, $($name: Trace<'gc>),+> Trace<'gc> for ($($name,)+) {
            const NEEDS_TRACE: bool = false $(|| $name::NEEDS_TRACE)+;
            #[inline]
            #[allow(non_snake_case, reason = "the names are the parts' types")]
            fn trace(&self, visitor: &mut Visitor<'gc>) {
                let ($($name,)+) = self;
                $($name.trace(visitor);)+
            }
            #[inline]
            #[allow(non_snake_case, reason = "the names are the parts' types")]
            fn measure(&self, meter: &mut Meter) {
                let ($($name,)+) = self;
                $($name.measure(meter);)+
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
