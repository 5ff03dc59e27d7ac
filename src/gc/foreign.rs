//! [`Static`]: values of types that the collector does not know.

use super::trace::Trace;
use super::visitor::Visitor;
use core::borrow::{Borrow, BorrowMut};
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Makes any `'static` value traceable: it holds no edge, since no [`Gc`](super::Gc) is `'static`.
///
/// Use it for types of other crates that do not implement [`Trace`], for closures and for function
/// pointers such as `fn(&str)`. In a type with a derive, the attribute `#[trace(skip)]` on a field
/// does the same.
///
/// The collector does not measure the value. Report large memory with
/// [`external`](super::Mutator::external). The value's `Drop` runs on the heap's drop thread.
///
/// Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::{Gc, GcLock, Heap, Static, Trace};
///
/// type Listener = Static<Box<dyn Fn(&str) -> usize + Send + Sync>>;
///
/// #[derive(Trace)]
/// struct Button<'gc> {
///     parent: Option<Gc<'gc, Button<'gc>>>,
///     on_click: GcLock<Vec<Listener>>,
/// }
///
/// Heap::new().enter(|m| {
///     let button = m.alloc(Button { parent: None, on_click: GcLock::default() });
///     button.on_click.write(m).push(Static(Box::new(str::len)));
///     assert_eq!(button.on_click.read()[0]("left"), 4);
///     assert!(button.parent.is_none());
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Static<T: ?Sized>(pub T);

// SAFETY: the value is `'static`, so it holds no edge.
unsafe impl<'gc, T: ?Sized + Send + Sync + 'static> Trace<'gc> for Static<T> {
    const NEEDS_TRACE: bool = false;
    #[inline(always)]
    fn trace(&self, _: &mut Visitor<'gc>) {}
}

impl<T> From<T> for Static<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: ?Sized> Deref for Static<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for Static<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized> AsRef<T> for Static<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> AsMut<T> for Static<T> {
    fn as_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized> Borrow<T> for Static<T> {
    fn borrow(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> BorrowMut<T> for Static<T> {
    fn borrow_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Static<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Static<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
