//! A `Gc` of a trait object has two words, and `GcCell` holds one.
use greyspan::gc::{Gc, GcCell, Mutator};

trait Shape: Send + Sync {}

fn set<'gc>(m: &Mutator<'gc>, cell: &GcCell<'gc, dyn Shape>, to: Gc<'gc, dyn Shape>) {
    cell.set(m, Some(to));
}

fn main() {}
