//! A program cannot choose the type that a root leads to: it could read any address.
#![forbid(unsafe_code)]
use greyspan::gc::{Heap, OfLifetime, Rootable, WeakRoot};
use std::marker::PhantomData;

struct W<F>(PhantomData<F>);

impl<'gc> OfLifetime<'gc> for W<for<'a> fn(&'a u8)> {
    type Of = [usize; 2];
}

impl<'gc> OfLifetime<'gc> for W<fn(&'static u8)> {
    type Of = &'static str;
}

struct Lie;

impl Rootable for Lie {
    type Of<'gc> = &'static str;
}

fn peek(address: usize, len: usize) -> &'static str {
    Heap::new().enter(|m| {
        let w: WeakRoot<W<for<'a> fn(&'a u8)>> = WeakRoot::new(m, m.alloc([address, len]));
        let w: WeakRoot<W<fn(&'static u8)>> = w;
        *w.upgrade(m).unwrap()
    })
}

fn main() {
    let s = String::from("secret!");
    println!("{}", peek(s.as_ptr() as usize, 7));
}
