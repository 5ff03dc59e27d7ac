//! [`GcOnce`]: an edge that is set once.

use super::alloc::Mutator;
use super::cell::GcCell;
use super::handle::{Gc, Thin};
use super::trace::Trace;
use super::visitor::Visitor;
use core::fmt;

/// An edge of one word that leads to no object until it is set, once. For values that are made at
/// first use, and for cycles whose edges do not change afterwards.
///
/// It costs as much as a [`GcCell`]. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Gc, GcOnce, Heap, Mutator, Trace};
///
/// #[derive(Trace)]
/// struct Module<'gc> {
///     source: String,
///     words: GcOnce<'gc, [Gc<'gc, str>]>,
/// }
///
/// impl<'gc> Module<'gc> {
///     fn words(&self, m: &Mutator<'gc>) -> Gc<'gc, [Gc<'gc, str>]> {
///         self.words.get_or_init(m, || {
///             let words: Vec<&str> = self.source.split(' ').collect();
///             m.alloc_slice(words.len(), |at| m.alloc_str(words[at]))
///         })
///     }
/// }
///
/// Heap::new().enter(|m| {
///     let module = m.alloc(Module { source: "let x".into(), words: GcOnce::new() });
///     assert!(module.words.get().is_none());
///     assert_eq!(&*module.words(m)[1], "x");
///     assert!(module.words(m).ptr_eq(module.words.get().unwrap()));
///     // It stays as it is.
///     assert!(module.words.set(m, m.alloc_slice(0, |_| m.alloc_str(""))).is_err());
/// });
/// ```
///
/// # Variance
/// Invariant in `'gc` and in `T`, as [`GcCell`] is.
#[repr(transparent)]
pub struct GcOnce<'gc, T: ?Sized>(GcCell<'gc, T>);

impl<'gc, T: ?Sized> GcOnce<'gc, T> {
    crate::sync::const_unless_loom! {
        /// Makes an edge that leads to no object yet. See the example of [`GcOnce`].
        pub fn new() -> GcOnce<'gc, T> {
            Self(GcCell::null())
        }
    }
}

impl<'gc, T: ?Sized + Thin> GcOnce<'gc, T> {
    /// Returns the object at the end of the edge, or `None` if the edge is not set yet. See the
    /// example of [`GcOnce`].
    #[inline]
    pub fn get(&self) -> Option<Gc<'gc, T>> {
        self.0.get()
    }

    /// Sets the edge to `to`. See the example of [`GcOnce`].
    ///
    /// # Errors
    /// If the edge is set already, returns the object at its end.
    pub fn set(&self, m: &Mutator<'gc>, to: Gc<'gc, T>) -> Result<(), Gc<'gc, T>> {
        match self.0.compare_exchange(m, None, Some(to)) {
            Err(Some(other)) => Err(other),
            _ => Ok(()),
        }
    }

    /// Returns the object at the end of the edge. If the edge is not set, calls `make` and sets it.
    ///
    /// If several threads call `make` at the same time, or `make` sets the edge itself, the first
    /// object stays and all callers get it. See the example of [`GcOnce`].
    pub fn get_or_init(&self, m: &Mutator<'gc>, make: impl FnOnce() -> Gc<'gc, T>) -> Gc<'gc, T> {
        self.get().unwrap_or_else(|| {
            let made = make();
            self.set(m, made).err().unwrap_or(made)
        })
    }
}

impl<T: ?Sized> Default for GcOnce<'_, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'gc, T: ?Sized> From<Gc<'gc, T>> for GcOnce<'gc, T> {
    fn from(to: Gc<'gc, T>) -> Self {
        Self(to.into())
    }
}

impl<T: ?Sized + Thin> fmt::Debug for GcOnce<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() {
            "GcOnce(..)"
        } else {
            "GcOnce(null)"
        })
    }
}

// SAFETY: `trace` shows the edge of the cell, the only one.
unsafe impl<'gc, T: ?Sized + Send + Sync> Trace<'gc> for GcOnce<'gc, T> {
    #[inline]
    fn trace(&self, visitor: &mut Visitor<'gc>) {
        self.0.trace(visitor);
    }
}
