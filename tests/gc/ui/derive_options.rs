//! The derive names each option that it does not know, and where an option belongs.
use greyspan::gc::{Gc, Trace};

#[derive(Trace)]
#[trace(no_drop)]
struct FromAnother<'gc>(Gc<'gc, u8>);

#[derive(Trace)]
struct Ignored {
    #[trace(require_static)]
    field: u8,
}

#[derive(Trace)]
enum Variants {
    #[trace(skip)]
    One(u8),
}

#[derive(Trace)]
#[trace(bound = "T: Copy", bound = "T: Clone")]
struct Twice<T>(T);

#[derive(Trace)]
#[trace(gc_lifetime = 'other)]
struct Other<'a>(Gc<'a, u8>);

#[derive(Trace)]
#[trace(bound = "no predicate")]
struct Unread<T>(T);

#[derive(Trace)]
union Either {
    one: u8,
    other: i8,
}

fn main() {}
