//! A handle that lives outside of `enter` leads to exactly the type that it names:
//! roots and guardians are invariant.
use greyspan::gc::{Guardian, OfLifetime, Root, WeakRoot};

trait Named<'a>: for<'gc> OfLifetime<'gc, Of = u8> {}

// `Any` is a subtype of `One`.
type Any = dyn for<'a> Named<'a>;
type One = dyn Named<'static>;

fn subtype(of: Box<Any>) -> Box<One> {
    of
}

fn root(of: Root<Any>) -> Root<One> {
    of
}

fn root_back(of: Root<One>) -> Root<Any> {
    of
}

fn weak(of: WeakRoot<Any>) -> WeakRoot<One> {
    of
}

fn weak_back(of: WeakRoot<One>) -> WeakRoot<Any> {
    of
}

fn guardian(of: Guardian<Any>) -> Guardian<One> {
    of
}

fn guardian_back(of: Guardian<One>) -> Guardian<Any> {
    of
}

fn main() {}
