//! [`Trace`]: how the collector finds the edges of a value. The derive implements it for types of
//! the program, [`containers`](super::containers) for types of the standard library.
//!
//! - TRACE-1. `trace` shows every edge that the value holds. If an edge is not shown, its object
//!   may be freed while it is reachable.
//! - TRACE-2. An edge may change only through [`GcCell`](super::GcCell), [`GcLock`](super::GcLock)
//!   or [`WeakMap`](super::WeakMap), whose writers tell the collector. So `Cell`, `RefCell`,
//!   `UnsafeCell`, `Mutex` and similar types are traceable only with `'static` contents, which hold
//!   no edge.
//! - TRACE-3. A type with edges has no `Drop` impl. When such a value is dropped, the objects at
//!   the end of its edges may be gone.

use super::desc::Kind;
use super::meter::Meter;
use super::visitor::Visitor;

/// A value that the collector can trace. Implement it with `#[derive(Trace)]`.
///
/// The derive takes structs and enums, also generic ones. Every field must be `Trace`. The
/// attribute `#[trace(skip)]` leaves out a field of a `'static` type, which can hold no edge. The
/// `'gc` of the edges is the type's lifetime parameter of that name, or its only lifetime
/// parameter. [The macro](macro@super::Trace) lists its options for types: `skip`, `bound`,
/// `gc_lifetime` and `crate`.
///
/// Needs the feature `gc`.
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
/// - `trace` visits every edge in the value, each time.
/// - A type with edges does not implement `Drop`.
/// - No edge lies behind interior mutability, except that of this module.
/// - `NEEDS_TRACE` is `false` only for types that never hold an edge.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `Trace`, so it cannot lie in a managed object: derive `Trace`, or wrap a type without edges in `Static`",
    label = "not `Trace`",
    note = "a field of a type without edges may also be marked `#[trace(skip)]`",
    note = "for edges that change, use `GcCell` or `GcLock` in place of `Cell`, `RefCell`, `Mutex` and `RwLock`",
    note = "threads share managed objects: in place of `Rc`, use `Gc` or `Arc`"
)]
pub unsafe trait Trace<'gc>: Send + Sync {
    /// Whether values can hold edges. `false` only if no value ever does.
    const NEEDS_TRACE: bool = true;

    #[doc(hidden)]
    const KIND: Kind = Kind::Plain;

    /// Shows every edge to the visitor. The collector calls it on its own threads and on threads of
    /// the program. If it panics, the process ends. See the example of [`Visitor`].
    fn trace(&self, visitor: &mut Visitor<'gc>);

    /// Tells the meter how many bytes of the global allocator's memory the value owns, beside its
    /// own size. The heap counts these bytes for the object.
    ///
    /// The heap measures at [`alloc`](super::Mutator::alloc), and on the drop thread before it
    /// drops the value. This method must not follow edges: on the drop thread their objects may be
    /// gone.
    ///
    /// - The derive measures every field whose type is `Trace`, also under `#[trace(skip)]`.
    /// - Containers and strings of the standard library measure themselves. A large container is
    ///   estimated from its first values.
    /// - A [`GcLock`](super::GcLock) measures its value again after each write. A hash table behind
    ///   a `GcLock` counts without the memory that its entries own.
    /// - Memory that is shared or changes unseen is not measured: behind `Arc`, and in a `Mutex`,
    ///   `RwLock` or `OnceLock`. Nor is that of other types. Report large memory there with
    ///   [`external`](super::Mutator::external).
    ///
    /// A value that no writer of a `GcLock` changes must measure the same each time. See the
    /// example of [`Meter`].
    #[inline]
    fn measure(&self, meter: &mut Meter) {
        let _ = meter;
    }
}
