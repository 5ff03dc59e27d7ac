//! A place that can be written holds exactly its type:
//! cells, locks and maps are invariant in their contents.
use greyspan::gc::{GcCell, GcLock, WeakMap};

fn cell<'gc, 'a>(of: GcCell<'gc, &'static str>) -> GcCell<'gc, &'a str> {
    of
}

fn cell_back<'gc, 'a>(of: GcCell<'gc, &'a str>) -> GcCell<'gc, &'static str> {
    of
}

fn lock<'a>(of: GcLock<&'static str>) -> GcLock<&'a str> {
    of
}

fn lock_back<'a>(of: GcLock<&'a str>) -> GcLock<&'static str> {
    of
}

fn keys<'gc, 'a>(of: WeakMap<'gc, &'static str, u64>) -> WeakMap<'gc, &'a str, u64> {
    of
}

fn keys_back<'gc, 'a>(of: WeakMap<'gc, &'a str, u64>) -> WeakMap<'gc, &'static str, u64> {
    of
}

fn values<'gc, 'a>(of: WeakMap<'gc, u64, &'static str>) -> WeakMap<'gc, u64, &'a str> {
    of
}

fn values_back<'gc, 'a>(of: WeakMap<'gc, u64, &'a str>) -> WeakMap<'gc, u64, &'static str> {
    of
}

fn main() {}
