//! The atlas: leads from an object's address to its mark and to the entry of its page. Between the
//! two lie arithmetic and one entry of a directory, so marking reads no span record.
//!
//! ```text
//!  address ── from bit 30 on ──► directory ──► the chapter of 1 GiB of addresses:
//!                                                marks  one bit for 16 bytes of address
//!                                                pages  the span, and the layout of its objects
//! ```
//!
//! A chapter is address space of 1 % of its gibibyte. Memory comes only where the heap lies.
//!
//! - ATLAS-1. The entry of each page of a span has the span's record and its layout. All other
//!   entries are empty.
//! - ATLAS-2. The thread that holds a run writes its entries: after it takes the run, and before it
//!   gives it back. Any other thread has an address in the run from a thread that had it earlier,
//!   and this handover orders the two. So relaxed loads are enough.
//! - ATLAS-3. A chapter is readable and zero before the directory leads to it. It is never
//!   unmapped, and its entry in the directory never changes again.
//! - ATLAS-4. A page has whole words of marks, so no two spans share a word. The marks of a page
//!   are zero when its span is taken and when it is given back.

use super::desc::Desc;
use super::fault::broken;
use crate::base::geometry::PAGE;
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};
use crate::sync::tally::{AtomicPtr, Ordering::Relaxed};
use core::ptr::{NonNull, null_mut};

#[cfg_attr(greyspan_loom, path = "model.rs")]
mod native;

pub(crate) use native::{page_if_any, prepare};

/// Bytes of address that one mark stands for. No slot is smaller.
pub(crate) const GRAIN: usize = 16;
/// Bytes of address whose marks share a word.
pub(crate) const STRIDE: usize = 64 * GRAIN;
/// The bits of an address that the atlas covers.
pub(crate) const ADDRESS_BITS: u32 = if usize::BITS < 48 { usize::BITS } else { 48 };

/// The layout of a page's objects.
#[derive(Clone, Copy)]
pub(crate) enum Layout {
    /// All objects have this type.
    Typed(&'static Desc),
    /// Each object has a header, `offset` bytes in front of its payload. Whether objects can have
    /// edges is the same for all of them.
    Headed { offset: usize, traced: bool },
}

impl Layout {
    /// Returns the bytes from an object's first byte, of its header if it has one, to its payload.
    #[inline(always)]
    pub(crate) fn offset(self) -> usize {
        match self {
            Self::Typed(_) => 0,
            Self::Headed { offset, .. } => offset,
        }
    }

    /// Returns whether objects can have edges.
    #[inline(always)]
    pub(crate) fn is_traced(self) -> bool {
        match self {
            Self::Typed(desc) => desc.traced,
            Self::Headed { traced, .. } => traced,
        }
    }
}

/// The entry of one page.
pub(crate) struct Page {
    span: AtomicPtr<u8>,
    /// The descriptor, or an odd number: the offset, a multiple of 16, plus 2 for edges, plus 1.
    layout: AtomicPtr<Desc>,
}

impl Page {
    /// Returns the record of the page's span, or null.
    #[inline(always)]
    pub(crate) fn span(&self) -> *mut u8 {
        self.span.load(Relaxed)
    }

    /// Returns the layout of the page's objects.
    ///
    /// # Safety
    /// The page belongs to a run that is held.
    #[inline(always)]
    unsafe fn layout(&self) -> Layout {
        let layout = self.layout.load(Relaxed);
        if layout.addr() & 1 != 0 {
            return Layout::Headed {
                offset: layout.addr() & !(GRAIN - 1),
                traced: layout.addr() & 2 != 0,
            };
        }
        // SAFETY: the run is held, so the entry is not empty (ATLAS-1). An even entry is a
        // descriptor, and descriptors are constants.
        Layout::Typed(unsafe { &*layout })
    }

    fn set(&self, span: *mut u8, layout: *mut Desc) {
        self.span.store(span, Relaxed);
        self.layout.store(layout, Relaxed);
    }
}

/// The mark of one object.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) word: &'static AtomicU64,
    pub(crate) bit: u64,
}

impl Mark {
    /// Returns the mark of the object whose payload begins at `address`.
    ///
    /// # Safety
    /// The address lies in a run that is held.
    #[inline(always)]
    pub(crate) unsafe fn of(address: NonNull<u8>) -> Self {
        Self {
            // SAFETY: the run is held (contract of this function).
            word: unsafe { native::word(address) },
            bit: bit(address),
        }
    }

    /// Returns whether the object is marked.
    #[inline(always)]
    pub(crate) fn is_set(self) -> bool {
        // Acquire: pairs with the Release of `set` and of the sweeper's clearing (GCSPAN-2).
        self.word.load(Acquire) & self.bit != 0
    }

    /// Marks the object. Returns `true` if it was not marked before.
    #[inline(always)]
    pub(crate) fn set(self) -> bool {
        // AcqRel: a thread that sees the mark sees the marking thread's earlier writes, and the
        // marking thread sees those of the threads that marked before.
        self.word.fetch_or(self.bit, AcqRel) & self.bit == 0
    }

    /// Marks all objects whose bits of the word are set in `bit`. Returns the bits of those that
    /// were not marked before: no other thread has marked them.
    #[inline(always)]
    pub(crate) fn set_all(self) -> u64 {
        // Acquire: see `is_set`.
        let white = self.bit & !self.word.load(Acquire);
        if white == 0 {
            return 0;
        }
        // AcqRel: see `set`.
        let before = self.word.fetch_or(white, AcqRel);
        if broken("word_claimed_whole") {
            white
        } else {
            white & !before
        }
    }
}

/// Returns the bit of the mark of the object at `address` in its word.
#[inline(always)]
pub(crate) fn bit(address: NonNull<u8>) -> u64 {
    1 << (address.as_ptr().addr() / GRAIN % 64)
}

/// Returns whether the marks of the objects at the two addresses lie in one word.
#[inline(always)]
pub(crate) fn share_a_word(one: NonNull<u8>, other: NonNull<u8>) -> bool {
    one.as_ptr().addr() / STRIDE == other.as_ptr().addr() / STRIDE
}

/// Fetches the mark of the object at `address`, and its page's entry.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(crate) unsafe fn prefetch(address: NonNull<u8>) {
    // SAFETY: the run is held (contract of this function).
    unsafe { native::prefetch(address) };
}

/// Returns the word of marks of the [`STRIDE`] bytes around `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(crate) unsafe fn word(address: NonNull<u8>) -> &'static AtomicU64 {
    // SAFETY: the run is held (contract of this function).
    unsafe { native::word(address) }
}

/// Returns the entry of the page of `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(crate) unsafe fn page(address: NonNull<u8>) -> &'static Page {
    // SAFETY: the run is held (contract of this function).
    unsafe { native::page(address) }
}

/// Returns the layout of the objects on the page of `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(crate) unsafe fn layout(address: NonNull<u8>) -> Layout {
    // SAFETY: the run is held (contract of this function).
    let page = unsafe { page(address) };
    // SAFETY: the run is held (contract of this function).
    unsafe { page.layout() }
}

/// Writes the entries of the `pages` pages of a run, which the caller holds (ATLAS-2).
///
/// # Safety
/// `prepare` has returned `true` for the run.
pub(crate) unsafe fn enter(base: NonNull<u8>, pages: usize, span: *mut u8, layout: Layout) {
    let layout = match layout {
        Layout::Typed(desc) => core::ptr::from_ref(desc).cast_mut(),
        Layout::Headed { offset, traced } => {
            null_mut::<Desc>().wrapping_byte_add(offset | usize::from(traced) << 1 | 1)
        }
    };
    for number in 0..pages {
        // SAFETY: the page lies in the run (contract of this function).
        let address = unsafe { base.add(number * PAGE) };
        // SAFETY: the run's chapters are there (contract of this function).
        unsafe { page(address) }.set(span, layout);
    }
}

/// Empties the entries of the `pages` pages of a run, which the caller is about to give back
/// (ATLAS-2).
///
/// # Safety
/// `prepare` has returned `true` for the run.
pub(crate) unsafe fn erase(base: NonNull<u8>, pages: usize) {
    for number in 0..pages {
        // SAFETY: the page lies in the run (contract of this function).
        let address = unsafe { base.add(number * PAGE) };
        // SAFETY: the run's chapters are there (contract of this function).
        unsafe { page(address) }.set(null_mut(), null_mut());
    }
}
