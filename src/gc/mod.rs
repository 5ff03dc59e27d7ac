//! The collector: managed objects beside the allocator's own blocks.
//!
//! It is a concurrent tri-colour mark-sweep collector. It works *on the fly*: it never stops all
//! threads at once. Its spans come from the same page heap as those of the allocator. Feature
//! `gc`.
//!
//! ```
//! use greyspan::gc::{GcCell, Heap, Root, Rootable, Trace};
//!
//! #[derive(Trace)]
//! struct Node<'gc> {
//!     value: u64,
//!     prev: GcCell<'gc, Node<'gc>>,
//!     next: GcCell<'gc, Node<'gc>>,
//! }
//!
//! let heap = Heap::new();
//! let root: Root<Rootable![Node<'_>]> = heap.enter(|m| {
//!     let a = m.alloc(Node { value: 1, prev: GcCell::null(), next: GcCell::null() });
//!     let b = m.alloc(Node { value: 2, prev: GcCell::null(), next: GcCell::null() });
//!     a.next.set(m, Some(b));
//!     b.prev.set(m, Some(a));
//!     Root::new(m, a)
//! });
//! heap.enter(|m| assert_eq!(root.get(m).next.get().unwrap().value, 2));
//! heap.collect();
//! heap.enter(|m| assert_eq!(root.get(m).next.get().unwrap().prev.get().unwrap().value, 1));
//! ```
//!
//! A thread works with managed objects inside [`Heap::enter`]. There the thread is *pinned*.
//!
//! - A [`Gc`] is a reference to an object. It carries the brand of its `enter` and cannot leave it.
//! - A [`Root`] keeps an object alive outside of `enter`.
//! - An unpinned thread therefore holds no reference, and the collector never scans a stack.
//! - In each cycle the collector asks every thread for a few short acknowledgements: the handshakes
//!   H1, H2 and H3, and a wave at the end of marking. It marks and sweeps beside the running
//!   threads.
//!
//! To change an edge, write it through a [`GcCell`], a [`GcLock`] or a [`WeakMap`]; [`GcOnce`],
//! [`GcDynCell`] and [`WeakSet`] are made of these. [`GcWeak`] and [`WeakRoot`] do not keep their
//! object alive. [`Mutator::on_dead`] and [`Guardian`] act on the
//! death of an object, [`Heap::close`] on the end of a heap.

// The modules below stand in the order of reading: each one imports only from those above it. Code
// that must call code below it goes through a trait: `Member` (in `phase`), `Keeper` (in `roots`),
// `Client` (in `service`), `Host` (in `world`).

// ---- Tools ----

// Faults made on purpose, for the models.
mod fault;

// Locks that no panic poisons, and waits with a deadline.
mod waiting;

// The backlog of the drop thread, and how long a thread waits for it.
mod behind;

// Forks, options of the environment, the exit of the process.
#[cfg(not(greyspan_loom))]
mod process;

// ---- Facts about a type ----

// Collects edges.
mod visitor;

// Measures the memory that a value owns.
mod meter;

// A type's descriptor, and the header of objects.
mod desc;

// How the collector finds the edges of a value: the trait `Trace`.
mod trace;

// How a meter looks at values.
mod measure;

// `Trace` for types of the standard library without edges.
mod leaves;

// `Trace` for containers of the standard library.
mod containers;

// `Trace` for types of other crates: `Static`.
mod foreign;

// Makes the descriptor of a type.
mod described;

// A reference to an object: `Gc`.
mod handle;

// A heap's statistics, and the counters behind them.
mod stats;

// ---- Memory of objects ----

// From an address to its mark and its page's span.
mod atlas;

// A run of equal slots, with its bits.
mod span;

// The spans that a mutator allocates from.
mod cache;

// The spans of one kind of objects.
mod space;

// The sweep of one span.
mod sweep;

// ---- The data that all threads of a heap share ----

// Grey objects on their way.
mod workbuf;

// A short queue of fixed room.
mod ring;

// The handshake machine.
mod phase;

// Types with an open lifetime, for roots.
mod rootable;

// The table of roots.
mod roots;

// Decides when a cycle begins.
mod pacer;

// Byte counts of a heap, and their bounds.
mod bytes;

// The queue of the drop thread.
mod dropper;

// Actions that follow an object's death.
mod wills;

// The cell of a weak reference.
mod weak_cell;

// The table of a `WeakMap`.
mod table;

// The threads that mark, and how they share grey objects.
mod crew;

// The tracer: turns grey objects black.
mod mark;

// All of these for one heap, and the hook to the collector.
mod world;

// ---- The program's side ----

// A thread's record: how it pins, acknowledges and unpins.
mod mutator;

// The work of a mutator when it changes an edge.
mod barrier;

// Marking by helpers and mutators.
mod assist;

// How a mutator gets a span; sweeping one span.
mod refill;

// The pinned thread: `Mutator`, and how it allocates.
mod alloc;

// An edge that changes: `GcCell`.
mod cell;

// An edge that is set once: `GcOnce`.
mod once;

// An edge to a trait object that changes: `GcDynCell`.
mod dyn_cell;

// References whose type is forgotten and found again: `GcAny`.
mod any;

// Finds deadlocks of one thread with its own locks.
mod held;

// A value that changes as a whole: `GcLock`.
mod lock;

// How references are compared: `ByAddress`.
mod compare;

// Searches a cleanup for a root of its own object.
#[cfg(not(greyspan_loom))]
mod inside;

// A handle outside of `enter`: `Root`.
mod root;

// Weak references: `GcWeak`, `WeakRoot`.
mod weak;

// A map with weak keys: `WeakMap`.
mod ephemeron;

// A set of weak references: `WeakSet`.
mod weak_set;

// Cleanups and guardians.
mod finalize;

// ---- The collector ----

// The threads that run cycles and help.
#[cfg(not(greyspan_loom))]
mod service;

// One cycle, step by step.
mod cycle;

// Whether the program has a handle of the heap.
#[cfg(not(greyspan_loom))]
mod used;

// The requests to one collector.
mod control;

// One heap: its world and its control.
mod collector;

// A thread's records, one per heap.
#[cfg(not(greyspan_loom))]
mod registry;

// One line of text per cycle.
#[cfg(not(greyspan_loom))]
mod trace_line;

// The end of a heap.
mod end;

// Heaps that only roots keep.
#[cfg(not(greyspan_loom))]
mod abandoned;

// Serves requests, runs cycles, holds the world.
mod driver;

// The program's handle: `Heap`.
mod heap;

// The options of a heap.
#[cfg(not(greyspan_loom))]
mod builder;

// Ends a heap that has handles.
#[cfg(not(greyspan_loom))]
mod close;

// Checks the whole graph.
mod verify;

// Models of the protocol, and scripts that break its rules.
#[cfg(all(test, greyspan_loom))]
mod models;

pub use alloc::{GcFull, Mutator};
pub use any::GcAny;
#[cfg(not(greyspan_loom))]
pub use builder::Builder;
pub use cell::GcCell;
#[cfg(not(greyspan_loom))]
pub use close::{CloseError, Leftovers};
pub use compare::ByAddress;
#[doc(hidden)]
pub use desc::Kind;
pub use dyn_cell::GcDynCell;
pub use ephemeron::WeakMap;
pub use finalize::{Cleanup, Guardian};
pub use foreign::Static;
pub use handle::{Gc, Thin};
pub use heap::Heap;
pub use lock::{GcLock, GcReadGuard, GcWriteGuard};
#[doc(hidden)]
pub use measure::{MeasuresNothing, MeasuresSkipped, Skipped};
pub use meter::Meter;
pub use once::GcOnce;
pub use root::Root;
pub use rootable::{OfLifetime, Rootable};
pub use stats::{GcStats, STALL_BUCKETS};
pub use trace::Trace;
pub use verify::VerifyError;
pub use visitor::Visitor;
pub use weak::{GcWeak, WeakRoot};
pub use weak_set::WeakSet;

pub use greyspan_derive::{Rootable, Trace};
