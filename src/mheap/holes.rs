//! The page heap's side of holes in small spans ([`MSpan::sink`]): their memory goes back, and they
//! do not count for the limits.

use super::{MHeap, non_null};
use crate::base::geometry::PAGE;
use crate::mspan::MSpan;
use crate::os::PageSource;

impl MHeap {
    /// Gives the memory of the span's pages that hold no live object back to the system. Returns
    /// the bytes. The caller owns the span.
    pub(crate) fn sink(&self, span: &MSpan) -> usize {
        let unit = self.os.page_size();
        if unit > PAGE {
            return 0;
        }
        // Otherwise the system would fill the holes again.
        self.inner.lock().pages.stop_huge_at(self.os, span.base());
        let holes = span.sink(unit, |base, bytes| {
            // SAFETY: the pages are Ready, and hold no object that is in use.
            unsafe { self.os.discard(non_null(base), bytes) }
        });
        self.count_holes(holes as isize);
        holes * unit
    }

    /// Puts some of the span's sunk objects on its free list. `false`: it has none, or the hard
    /// limit has no room for their memory. The caller owns the span.
    pub(crate) fn raise(&self, span: &MSpan) -> bool {
        if span.sunk() == 0 || self.refuses(span.pages()) {
            return false;
        }
        let filled = span.raise(self.os.page_size());
        self.count_holes(-(filled as isize));
        let short = {
            let inner = &mut *self.inner.lock();
            let short = self.is_short(inner);
            if !short {
                self.note_growth(inner);
            }
            short
        };
        // Enough pages are idle: `refuses` counted them.
        if short {
            self.make_room();
        }
        filled > 0
    }

    /// Returns whether the object that begins at `ptr` is sunk. Only builds for C ask.
    #[cfg_attr(not(checked), expect(dead_code, reason = "only programs in C free blocks twice"))]
    pub(crate) fn is_sunk(&self, span: &MSpan, ptr: *mut u8) -> bool {
        span.is_sunk(ptr, self.os.page_size())
    }

    /// Forgets the holes of a span without live objects, which is about to be cut anew.
    pub(crate) fn forget_holes(&self, span: &MSpan) {
        self.count_holes(-(span.forget_holes() as isize));
    }

    fn count_holes(&self, change: isize) {
        if change != 0 {
            let holes = &mut self.inner.lock().holes;
            *holes = holes.wrapping_add_signed(change * self.os.page_size() as isize);
        }
    }
}
