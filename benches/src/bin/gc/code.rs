//! Two functions whose machine code `benches/gc-code.sh` checks: the write barrier, and following
//! an edge.

use greyspan::gc::{Gc, GcCell, Heap, Mutator};
use std::hint::black_box;

/// Stores an edge in a cell.
#[inline(never)]
fn gc_code_store<'gc>(m: &'gc Mutator<'gc>, cell: &GcCell<'gc, u64>, to: Gc<'gc, u64>) {
    cell.set(m, Some(to));
}

/// Reads an object through a cell that points to it.
#[inline(never)]
fn gc_code_follow<'gc>(from: Gc<'gc, GcCell<'gc, u64>>) -> u64 {
    from.get().map_or(0, |to| *to)
}

/// Keeps both functions in the program.
pub(crate) fn run() {
    Heap::new().enter(|m| {
        let (one, two) = (m.alloc(1), m.alloc(2));
        let cell = m.alloc(GcCell::new(Some(one)));
        gc_code_store(black_box(m), &cell, black_box(two));
        assert_eq!(gc_code_follow(black_box(cell)), 2);
    });
}
