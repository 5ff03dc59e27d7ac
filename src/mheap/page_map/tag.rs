//! The contents of a page map entry beside the span's address, in builds for programs in C.
//!
//! ```text
//!  63        56 55        48 47                                  0
//! +------------+------------+-------------------------------------+
//! | class + 1  | page       | address of the span record          |
//! +------------+------------+-------------------------------------+
//! ```
//!
//! The top byte is 0 for every page that does not belong to a small span in use. Records lie below
//! 2^48: Linux places a mapping higher only on request.

use crate::base::arch::byte_of_word;
use crate::base::geometry::{PAGE, PAGE_SHIFT};
use crate::mspan::{CHECKED, MSpan, State};
use crate::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use core::cell::Cell;

/// The bits of the span's address.
const ADDRESS: usize = (1 << 48) - 1;

/// Returns the span's address in an entry.
#[inline(always)]
pub(super) fn bare(entry: *mut MSpan) -> *mut MSpan {
    if CHECKED {
        entry.map_addr(|address| address & ADDRESS)
    } else {
        entry
    }
}

/// Returns the entry of page `page` of `span`.
pub(super) fn tagged(span: &'static MSpan, page: usize) -> *mut MSpan {
    let bare = core::ptr::from_ref(span).cast_mut();
    if !CHECKED {
        return bare;
    }
    let tag = if span.state() == State::Small {
        span.class_index() + 1
    } else {
        0
    };
    bare.map_addr(|address| (address & ADDRESS) | tag << 56 | (page & 255) << 48)
}

/// The main region as one thread knows it. The thread learns of later growth when it meets a
/// pointer into the new part.
pub(crate) struct Main {
    entries: Cell<*const AtomicPtr<MSpan>>,
    pages: Cell<usize>,
}

/// One page of the main region.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    entries: *const AtomicPtr<MSpan>,
    number: usize,
}

impl Main {
    /// Creates a copy that knows no page.
    pub(crate) const fn none() -> Self {
        Self::new(core::ptr::null(), 0)
    }

    /// Creates a copy with `pages` entries at `entries`, the region's first byte; the entries are
    /// readable for ever.
    pub(super) const fn new(entries: *const AtomicPtr<MSpan>, pages: usize) -> Self {
        Self {
            entries: Cell::new(entries),
            pages: Cell::new(pages),
        }
    }

    /// Takes over the knowledge of `other`.
    pub(crate) fn set(&self, other: &Self) {
        self.entries.set(other.entries.get());
        self.pages.set(other.pages.get());
    }

    /// Returns the page of `address`, if this copy knows it.
    #[inline(always)]
    pub(crate) fn page(&self, address: usize) -> Option<Page> {
        let entries = self.entries.get();
        let number = address.wrapping_sub(entries.addr()) >> PAGE_SHIFT;
        (number < self.pages.get()).then_some(Page { entries, number })
    }
}

impl Page {
    /// Returns the byte of the entry that begins at bit `SHIFT`.
    ///
    /// A byte is read while another thread may write the word. That does no harm: no thread writes
    /// the entries of a span in which the program holds an object. For any other address every
    /// answer is allowed.
    #[inline(always)]
    fn byte<const SHIFT: u32>(self) -> usize {
        // SAFETY: a byte of an entry below the limit, which is readable for ever (PAGEMAP-3).
        unsafe { byte_of_word::<_, SHIFT>(self.entries, self.number) }
    }

    /// Returns the class number of the page's small span, plus one; 0 if there is none.
    #[inline(always)]
    pub(crate) fn tag(self) -> usize {
        self.byte::<56>()
    }

    /// Returns where the record of the page's span lies.
    #[inline(always)]
    pub(crate) fn record(self) -> *const MSpan {
        // SAFETY: an entry below the limit, which is readable for ever (PAGEMAP-3).
        bare(unsafe { &*self.entries.wrapping_add(self.number) }.load(Relaxed))
    }

    /// Returns the bytes from the span's first byte to `address`, which lies in this page.
    #[inline(always)]
    pub(crate) fn offset(self, address: usize) -> usize {
        self.byte::<48>() * PAGE + address % PAGE
    }
}
