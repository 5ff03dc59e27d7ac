//! Threads share managed objects, so an object holds no `Rc`.
use greyspan::gc::Trace;
use std::rc::Rc;

#[derive(Trace)]
struct Named {
    name: Rc<str>,
}

fn main() {}
