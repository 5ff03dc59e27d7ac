//! A value of one `enter` belongs to no longer and no shorter `enter`:
//! each handle is invariant in `'gc`.
use greyspan::gc::{Gc, GcCell, GcLock, GcWeak, Mutator, Visitor, WeakMap};

fn gc<'long: 'short, 'short>(of: Gc<'long, u64>) -> Gc<'short, u64> {
    of
}

fn gc_back<'long: 'short, 'short>(of: Gc<'short, u64>) -> Gc<'long, u64> {
    of
}

fn weak<'long: 'short, 'short>(of: GcWeak<'long, u64>) -> GcWeak<'short, u64> {
    of
}

fn weak_back<'long: 'short, 'short>(of: GcWeak<'short, u64>) -> GcWeak<'long, u64> {
    of
}

fn cell<'long: 'short, 'short>(of: GcCell<'long, u64>) -> GcCell<'short, u64> {
    of
}

fn cell_back<'long: 'short, 'short>(of: GcCell<'short, u64>) -> GcCell<'long, u64> {
    of
}

fn map<'long: 'short, 'short>(of: WeakMap<'long, u64, u64>) -> WeakMap<'short, u64, u64> {
    of
}

fn map_back<'long: 'short, 'short>(of: WeakMap<'short, u64, u64>) -> WeakMap<'long, u64, u64> {
    of
}

fn lock<'long: 'short, 'short>(of: GcLock<Vec<Gc<'long, u64>>>) -> GcLock<Vec<Gc<'short, u64>>> {
    of
}

fn lock_back<'long: 'short, 'short>(of: GcLock<Vec<Gc<'short, u64>>>) -> GcLock<Vec<Gc<'long, u64>>> {
    of
}

fn mutator<'a, 'long: 'short, 'short: 'a>(of: &'a Mutator<'long>) -> &'a Mutator<'short> {
    of
}

fn mutator_back<'a, 'long: 'short, 'short: 'a>(of: &'a Mutator<'short>) -> &'a Mutator<'long> {
    of
}

fn visitor<'a, 'long: 'short, 'short: 'a>(of: &'a Visitor<'long>) -> &'a Visitor<'short> {
    of
}

fn visitor_back<'a, 'long: 'short, 'short: 'a>(of: &'a Visitor<'short>) -> &'a Visitor<'long> {
    of
}

fn main() {}
