//! Chosen bounds cannot hide a field whose type is not `Trace`.
use greyspan::gc::Trace;

#[derive(Trace)]
#[trace(bound = "T: Send + Sync")]
struct Unbounded<T> {
    value: T,
}

fn main() {}
