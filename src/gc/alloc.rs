//! [`Mutator`]: a pinned thread, and how it allocates.
//!
//! A mutator hands out and colours a slot before it writes to it. From there to the end of the
//! operation it acknowledges no request, except in the closures of `alloc_slice`. A comment there
//! says why that is safe.

use super::cache::Key;
use super::desc::{Desc, Header, offset};
use super::described::Described;
use super::fault::broken;
use super::handle::Gc;
use super::meter::Meter;
use super::mutator::Record;
use super::span::Index;
use super::trace::Trace;
use super::visitor::Brand;
use crate::base::geometry::{PAGE, REQUEST_MAX, SMALL_MAX};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::blocking::MutexGuard;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A thread inside [`Heap::enter`](super::Heap::enter). It allocates objects and changes edges.
/// Needs the feature `gc`.
///
/// A mutator stays in its thread. Its brand `'gc` belongs to one `enter`.
///
/// A type aligned to more than 4096 bytes cannot be allocated: the call does not compile. If a
/// thread forks inside `enter`, its allocations in the child panic as soon as they need the heap.
///
/// ```
/// use greyspan::gc::Heap;
///
/// Heap::new().enter(|m| {
///     let factor = m.alloc(3u64);
///     let name = m.alloc_str("squares");
///     let squares = m.alloc_slice(1000, |i| (i * i) as u64);
///     assert_eq!((name.len(), squares[9] * *factor), (7, 243));
///
///     // A long loop without allocations or stores answers the collector by `poll`.
///     let mut sum = 0;
///     for part in squares.chunks(100) {
///         sum += part.iter().sum::<u64>();
///         m.poll();
///     }
///     assert_eq!(sum, 332_833_500);
///
///     // A texture of 1 MiB, in memory that no allocator of Rust knows, comes and goes.
///     m.external(1 << 20);
///     m.external(-(1 << 20));
/// });
/// ```
///
/// # Helper functions
/// A function takes `&Mutator<'gc>`, with any borrow, and returns values with the brand `'gc`:
///
/// ```
/// use greyspan::gc::{Gc, GcCell, Heap, Mutator};
///
/// fn pair<'gc>(m: &Mutator<'gc>, first: Gc<'gc, str>) -> [Gc<'gc, GcCell<'gc, str>>; 2] {
///     [m.cell(Some(first)), m.cell(None)]
/// }
///
/// Heap::new().enter(|m| assert!(pair(m, m.alloc_str("one"))[1].get().is_none()));
/// ```
///
/// # Soundness
/// A result such as `Gc<'gc, T>` or `&'gc T` may live as long as `'gc`, longer than the borrow of
/// the mutator. It cannot outlive the pin, because no value outlives the pin that has `'gc` in its
/// type:
///
/// 1. [`enter`](super::Heap::enter) alone makes mutators, and lends them. No program can make, move
///    or copy one, so a program has a `Mutator<'gc>` only inside the closure of that `enter`.
/// 2. The closure works for every `'gc`. It can assume of `'gc` only that it lasts through the
///    call. So it can put no value with `'gc` in its type into a place from outside, and its result
///    type cannot name `'gc`. A thread that the closure starts ends before the call does, or else
///    its values must be `'static`, which `'gc` is not.
/// 3. `'gc` is invariant, so it cannot be exchanged for the lifetime of another `enter`: not for
///    that of a nested one, nor for that of another heap. A nested `enter` has a shorter life, and
///    its own brand.
///
/// # Variance
/// Invariant in `'gc`: two mutators of different `enter`s have different types.
#[repr(transparent)]
pub struct Mutator<'gc> {
    pub(crate) record: Record,
    brand: Brand<'gc>,
    /// Makes the type not `Sync`.
    unshared: Cell<()>,
    /// Makes the type not `Send`.
    unsent: PhantomData<MutexGuard<'static, ()>>,
}

/// The error of an allocation without memory: the system refuses, the hard limit is reached, or the
/// object is too large. Leave `enter`, collect, and try again. Needs the feature `gc`.
///
/// ```
/// use greyspan::gc::Heap;
///
/// let heap = Heap::new();
/// heap.enter(|m| {
///     let full = m.try_alloc_slice(usize::MAX, |_| 0u8).expect_err("larger than memory");
///     println!("{full}");
///
///     // A single value comes back, and nothing is lost.
///     match m.try_alloc(String::from("an hour's work")) {
///         Ok(text) => assert_eq!(*text, "an hour's work"),
///         Err((text, full)) => eprintln!("{full}: saves {text} elsewhere"),
///     }
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GcFull {
    bytes: usize,
}

impl fmt::Display for GcFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no memory for a managed object of {} bytes", self.bytes)
    }
}

impl std::error::Error for GcFull {}

#[cold]
fn no_memory(full: GcFull) -> ! {
    panic!("greyspan::gc: {full}; `try_alloc` returns instead")
}

impl Record {
    /// Returns the record as the mutator of an `enter`.
    ///
    /// # Safety
    /// The record belongs to the calling thread, the thread is pinned for `'gc`, and `'gc` is the
    /// brand of this `enter` alone.
    pub(crate) unsafe fn as_mutator<'gc>(&self) -> &'gc Mutator<'gc> {
        // SAFETY: the wrapper is transparent. The record lives as long as its heap, which the
        // caller of `enter` holds.
        unsafe { NonNull::from(self).cast::<Mutator<'gc>>().as_ref() }
    }

    /// Returns the payload's place in a coloured slot for one object of the type. `None`: there is
    /// no memory.
    #[inline(always)]
    pub(crate) fn slot(&self, desc: &'static Desc) -> Option<NonNull<u8>> {
        if self.is_calm()
            && let Some(slot) = self.cache.pop(Key::of_type(desc))
        {
            return Some(slot);
        }
        self.slot_slow(desc)
    }

    #[cold]
    #[inline(never)]
    fn slot_slow(&self, desc: &'static Desc) -> Option<NonNull<u8>> {
        self.before_slow();
        let key = Key::of_type(desc);
        let refill = || Some(self.heap().spaces.of_type(key, desc)?.refill(self));
        match self.cache.take_or(key, refill) {
            Some(Some((slot, span, index))) => {
                self.colour(span, index);
                Some(slot)
            }
            Some(None) => None,
            None => {
                let header = self.headed(desc, desc.size)?;
                // SAFETY: `header` lies in a fresh slot, which has room for it.
                unsafe { header.write(Header { desc, len: 1 }) };
                // SAFETY: the payload follows the header inside the slot.
                Some(unsafe { header.cast::<u8>().add(offset(desc.align)) })
            }
        }
    }

    fn before_slow(&self) {
        if !self.is_calm() {
            self.respond();
        }
        self.heap().check_process();
    }

    /// Returns a coloured slot with room for a header and `bytes` of payload. `None`: there is no
    /// memory, or the object is too large.
    fn headed(&self, desc: &'static Desc, bytes: usize) -> Option<NonNull<Header>> {
        let offset = offset(desc.align);
        // At least one byte, so that an empty payload begins inside the slot too.
        let total = bytes.max(1).checked_add(offset).filter(|&total| total <= REQUEST_MAX)?;
        let (traced, dropped) = (desc.traced, desc.drop.is_some());
        let spaces = &self.heap().spaces;
        let class = SizeClass::serving(total, desc.align.max(align_of::<Header>()));
        let (slot, span, index) = match class.filter(|_| total <= SMALL_MAX) {
            Some(class) => {
                let key = Key::of_class(class.index(), offset, traced, dropped);
                let place = (class.size(), offset);
                let refill = || Some(spaces.of_class(key, place, traced, dropped).refill(self));
                self.cache.take_or(key, refill)??
            }
            None => {
                let key = Key::of_class(255, offset, traced, dropped);
                let space = spaces.of_class(key, (0, offset), traced, dropped);
                let span = space.take_large(self.heap(), self.current().epoch(), total)?;
                let index = span.index(span.slot_at(Index(0)));
                let word = span.alloc_word(0);
                word.store(1, Relaxed);
                (span.slot_at(index), span, index)
            }
        };
        if !broken("slices_white") {
            self.colour(span, index);
        }
        Some(slot.cast())
    }

    /// Makes a slice with room for `len` values. Its header says that none is initialised. The
    /// caller raises the length.
    fn slice(&self, desc: &'static Desc, len: usize) -> Result<NonNull<Header>, GcFull> {
        self.before_slow();
        let bytes = desc.size.saturating_mul(len);
        let header = self.headed(desc, bytes).ok_or(GcFull { bytes })?;
        // SAFETY: `header` lies in a fresh slot, which has room for it.
        unsafe { header.write(Header { desc, len: 0 }) };
        Ok(header)
    }
}

impl<'gc> Mutator<'gc> {
    /// Moves `value` into the heap. See the example of [`Mutator`].
    ///
    /// # Panics
    /// If there is no memory. [`try_alloc`](Self::try_alloc) returns an error instead.
    #[inline]
    pub fn alloc<T: Trace<'gc> + 'gc>(&self, value: T) -> Gc<'gc, T> {
        match self.try_alloc(value) {
            Ok(gc) => gc,
            Err((value, full)) => {
                drop(value);
                no_memory(full)
            }
        }
    }

    /// Moves `value` into the heap. See the example of [`GcFull`].
    ///
    /// # Errors
    /// If there is no memory, returns `value` and a [`GcFull`].
    #[inline]
    pub fn try_alloc<T: Trace<'gc> + 'gc>(&self, value: T) -> Result<Gc<'gc, T>, (T, GcFull)> {
        const {
            assert!(
                align_of::<T>() <= PAGE / 2,
                "managed objects are aligned to 4096 bytes at the most"
            )
        };
        let Some(slot) = self.record.slot(T::DESC) else {
            return Err((value, GcFull { bytes: size_of::<T>() }));
        };
        let pointer = slot.cast::<T>();
        // SAFETY: the slot is fresh and has the type's size and alignment.
        unsafe { pointer.write(value) };
        // SAFETY: the object is initialised, and this pinned thread holds it.
        let gc = unsafe { Gc::from_pointer(pointer) };
        if core::mem::needs_drop::<T>() {
            // Measured only now: a value that goes back to the caller must not carry shares in its
            // locks.
            self.record.own(Meter::of(&*gc, self.record.heap().number));
        }
        Ok(gc)
    }

    /// Makes a slice of `len` values. `make` makes each value from its index. See the example of
    /// [`Mutator`].
    ///
    /// If `make` panics, the values made so far are dropped like those of any dead object.
    ///
    /// # Panics
    /// If there is no memory. [`try_alloc_slice`](Self::try_alloc_slice) returns an error instead.
    pub fn alloc_slice<T: Trace<'gc> + 'gc>(&self, len: usize, make: impl FnMut(usize) -> T) -> Gc<'gc, [T]> {
        match self.try_alloc_slice(len, make) {
            Ok(gc) => gc,
            Err(full) => no_memory(full),
        }
    }

    /// Makes a slice of `len` values, as [`alloc_slice`](Self::alloc_slice) does. See the example
    /// of [`GcFull`].
    ///
    /// # Errors
    /// If there is no memory, returns a [`GcFull`].
    pub fn try_alloc_slice<T: Trace<'gc> + 'gc>(
        &self,
        len: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<Gc<'gc, [T]>, GcFull> {
        const {
            assert!(
                align_of::<T>() <= PAGE / 2,
                "managed objects are aligned to 4096 bytes at the most"
            )
        };
        // `make` may acknowledge handshakes while the slice is half made. If the slot was allocated
        // in MARK, it is marked, so this cycle's sweep keeps it. If it was allocated earlier, its
        // span is swept only after this thread has unpinned. This thread holds the values made so
        // far. No other thread looks at the slot before it is published at the end.
        let header = self.record.slice(T::DESC, len)?;
        // SAFETY: the payload follows the header inside the slot.
        let first = unsafe { header.cast::<u8>().add(const { offset(align_of::<T>()) }) }.cast::<T>();
        for index in 0..len {
            let value = make(index);
            let owned = Meter::of(&value, self.record.heap().number);
            // SAFETY: the slot has room for `len` values, and `index` is below `len`.
            let place = unsafe { first.add(index) };
            // SAFETY: `place` is the uninitialised place of value `index`, and only this thread has
            // it.
            unsafe { place.write(value) };
            // SAFETY: only this thread has the object.
            unsafe { (*header.as_ptr()).len = index + 1 };
            if core::mem::needs_drop::<T>() {
                self.record.own(owned);
            }
        }
        // SAFETY: all values are initialised, and this pinned thread holds the object.
        Ok(unsafe { Gc::from_pointer(NonNull::slice_from_raw_parts(first, len)) })
    }

    /// Makes a copy of `text` in the heap. See the example of [`Mutator`].
    ///
    /// # Panics
    /// If there is no memory.
    pub fn alloc_str(&self, text: &str) -> Gc<'gc, str> {
        let desc = <u8 as Described<'gc>>::DESC;
        let header = match self.record.slice(desc, text.len()) {
            Ok(header) => header,
            Err(full) => no_memory(full),
        };
        // SAFETY: the payload follows the header inside the slot.
        let first = unsafe { header.cast::<u8>().add(const { offset(1) }) };
        // SAFETY: the slot is fresh and has room for the text.
        unsafe { first.copy_from_nonoverlapping(NonNull::from(text.as_bytes()).cast(), text.len()) };
        // SAFETY: only this thread has the object.
        unsafe { (*header.as_ptr()).len = text.len() };
        // SAFETY: the length and the bytes of a `str` are written.
        let pointer = unsafe { <str as super::handle::Thin>::of_address(first) };
        // SAFETY: the object is initialised, and this pinned thread holds it.
        unsafe { Gc::from_pointer(pointer) }
    }

    /// Answers the collector if it waits for this thread. If it does not, the call costs one load.
    ///
    /// Allocations and stores do the same. A long loop that only reads should call `poll` now and
    /// then. See the example of [`Mutator`].
    #[inline]
    pub fn poll(&self) {
        if !self.record.is_calm() {
            self.record.respond();
        }
    }

    /// Tells the pacer about memory that the objects keep and the collector cannot see: `bytes`
    /// more, or fewer if the number is negative. [`Trace::measure`] lists the memory that the
    /// collector sees. See the example of [`Mutator`].
    ///
    /// # Panics
    /// In a `fork` child, if the parent made the heap.
    pub fn external(&self, bytes: isize) {
        self.record.heap().check_process();
        self.record.heap().count_external(bytes);
    }
}
