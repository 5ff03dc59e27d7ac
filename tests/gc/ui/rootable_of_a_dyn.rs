//! The target type of a `dyn` comes from its bounds; no impl can set it.
#![forbid(unsafe_code)]
use greyspan::gc::OfLifetime;

trait Always: OfLifetime<'static, Of = &'static str> {}

impl<'a> OfLifetime<'a> for dyn Always {
    type Of = [usize; 2];
}

fn main() {}
