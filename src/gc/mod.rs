//! The collector: managed objects beside the allocator's own blocks.
//!
//! It is a concurrent tri-colour mark-sweep collector. It works *on the fly*: it never stops all
//! threads at once. Its spans come from the same page heap as those of the allocator. Needs the
//! feature `gc`.
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
//! The files, in the order of reading:
//!
//! - facts about a type: `desc`, `trace`, `meter`;
//! - memory of objects: `handle`, `span`, `space`;
//! - the handshake machine: `phase`;
//! - the program's side: `mutator`, `barrier`, `cache`, `alloc`, `cell`, `held`, `lock`,
//!   `rootable`, `root`, `weak`, `ephemeron`, `wills`, `inside`, `behind`, `finalize`;
//! - marking and sweeping: `workbuf`, `mark`, `crew`, `cycle`;
//! - control: `pacer`, `stats`, `heap`, `builder`, `abandoned`, `close`, `registry`, `thread`,
//!   `service`, `process`, `trace_line`, `verify`;
//! - tests: `fault` (deliberate faults), `models`.

#[cfg(not(loom))]
mod abandoned;
mod alloc;
mod barrier;
mod behind;
#[cfg(not(loom))]
mod builder;
mod cache;
mod cell;
#[cfg(not(loom))]
mod close;
mod crew;
mod cycle;
mod desc;
mod described;
mod ephemeron;
mod fault;
mod finalize;
mod handle;
mod heap;
mod held;
#[cfg(not(loom))]
mod inside;
mod lock;
mod mark;
mod measure;
mod meter;
mod mutator;
mod pacer;
mod phase;
#[cfg(not(loom))]
mod process;
#[cfg(not(loom))]
mod registry;
mod root;
mod rootable;
mod roots;
#[cfg(not(loom))]
mod service;
mod space;
mod span;
mod stats;
mod table;
mod thread;
mod trace;
#[cfg(not(loom))]
mod trace_line;
mod verify;
mod visitor;
mod weak;
mod weak_cell;
mod wills;
mod workbuf;

#[cfg(all(test, loom))]
mod models;

pub use alloc::{GcFull, Mutator};
#[cfg(not(loom))]
pub use builder::Builder;
pub use cell::GcCell;
#[cfg(not(loom))]
pub use close::{CloseError, Leftovers};
#[doc(hidden)]
pub use desc::Kind;
pub use ephemeron::WeakMap;
pub use finalize::{Cleanup, Guardian};
pub use handle::{Gc, Thin};
pub use heap::Heap;
pub use lock::{GcLock, GcReadGuard, GcWriteGuard};
#[doc(hidden)]
pub use measure::{MeasuresNothing, MeasuresSkipped, Skipped};
pub use meter::Meter;
pub use root::Root;
pub use rootable::{OfLifetime, Rootable};
pub use stats::{GcStats, STALL_BUCKETS};
pub use trace::Trace;
pub use verify::VerifyError;
pub use visitor::Visitor;
pub use weak::{GcWeak, WeakRoot};

pub use greyspan_derive::{Rootable, Trace};
