//! Growth and peaks, for the statistics.
//!
//! Where the page heap hands out memory, under its lock, it keeps the peak of the footprint. The
//! bytes that the program holds are known to the thread caches alone. So here the page heap only
//! decides when `heap` samples them: whenever the pages in use have grown by a part beyond their
//! number at all samples before.
//!
//! - GROWTH-1. Pages count once no limit refuses them. So the peak is never beyond the hard limit
//!   because of a request that was refused.

use super::{Inner, MHeap};
use crate::base::geometry::PAGE;
use crate::mspan::MSpan;
use crate::sync::atomic::Ordering::Relaxed;

/// The part by which the pages in use grow from one sample to the next: one in `PARTS`.
const PARTS: usize = 32;
/// The least growth from one sample to the next, in bytes.
const STEP: usize = 256 << 10;

/// The state behind the peaks, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    /// The largest footprint so far.
    pub(super) peak: usize,
    /// The bytes in use from which on the next sample is due.
    next: usize,
    /// Bytes of the collector's spans of small objects.
    managed: usize,
}

impl Growth {
    /// Creates a state in which nothing has happened.
    pub(super) const fn new() -> Self {
        Self {
            peak: 0,
            next: STEP,
            managed: 0,
        }
    }
}

impl Inner {
    /// Returns the bytes of pages in spans.
    pub(super) fn inuse(&self) -> usize {
        let counts = self.pages.counts;
        (counts.ready - counts.clean - counts.dirty - self.headroom) * PAGE
    }
}

impl MHeap {
    /// Notes that memory was handed out (GROWTH-1).
    #[inline(never)]
    pub(super) fn note_growth(&self, inner: &mut Inner) {
        let (footprint, inuse) = (self.footprint(inner), inner.inuse());
        let growth = &mut inner.growth;
        growth.peak = growth.peak.max(footprint);
        if inuse >= growth.next {
            growth.next = inuse + (inuse / PARTS).max(STEP);
            self.has_grown.store(true, Relaxed);
        }
    }

    /// Counts pages of the collector that come or go.
    #[inline(never)]
    pub(super) fn count_managed(&self, span: &MSpan, comes: bool) {
        let bytes = if span.objects() > 1 { span.pages() * PAGE } else { 0 };
        let managed = &mut self.inner.lock().growth.managed;
        *managed = if comes { *managed + bytes } else { *managed - bytes };
    }

    /// Returns whether a sample of the bytes that the program holds is due.
    #[inline(always)]
    pub(crate) fn has_grown(&self) -> bool {
        self.has_grown.load(Relaxed)
    }

    /// Begins a sample. Returns the bytes of the pages in use, and of those among them that are not
    /// in the program's spans of small objects.
    pub(crate) fn begin_sample(&self) -> (usize, usize) {
        self.has_grown.store(false, Relaxed);
        let inner = self.inner.lock();
        let inuse = inner.inuse();
        (inuse, inuse + inner.growth.managed - inner.pages.counts.small * PAGE)
    }

    /// Returns the peak of the footprint, which is at least the caller's `now`, in bytes.
    pub(crate) fn peak(&self, now: usize) -> usize {
        let peak = &mut self.inner.lock().growth.peak;
        *peak = now.max(*peak);
        *peak
    }
}
