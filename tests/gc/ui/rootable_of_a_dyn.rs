//! What a `dyn` leads to stands in its bounds, and is not implemented.
#![forbid(unsafe_code)]
use greyspan::gc::OfLifetime;

trait Always: OfLifetime<'static, Of = &'static str> {}

impl<'a> OfLifetime<'a> for dyn Always {
    type Of = [usize; 2];
}

fn main() {}
