//! Only `enter` makes a mutator: a program cannot make, copy or move one.
use greyspan::gc::Mutator;

fn own<'gc>(m: &Mutator<'gc>) -> Mutator<'gc> {
    *m
}

fn copy<'gc>(m: &Mutator<'gc>) -> Mutator<'gc> {
    Clone::clone(m)
}

fn exchange<'gc>(m: &mut Mutator<'gc>) -> Mutator<'gc> {
    std::mem::take(m)
}

fn main() {}
