//! Stands in for `c` in builds without programs in C: its fields, without a size.

use core::marker::PhantomData;

/// A field that this build does not have.
pub(super) struct Absent<T>(PhantomData<T>);

impl<T: Copy> Absent<T> {
    pub(super) const fn new(_: T) -> Self {
        Self(PhantomData)
    }
}

pub(super) type Front = Absent<*mut super::bins::Slot>;
pub(super) type Last = Absent<*mut crate::mspan::Block>;

pub(super) struct Main;

impl Main {
    pub(super) const fn none() -> Self {
        Self
    }
}
