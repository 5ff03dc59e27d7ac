//! A large span: its one object, the room behind it, its sample in the profile, and the note that a
//! thread keeps it for reuse. The page heap makes large spans; the object's holder, or the thread
//! that keeps it, changes them.

use super::{MSpan, State};
use crate::size_class::SizeClass;
use crate::sync::atomic::Ordering::Relaxed;

impl MSpan {
    /// Makes the run one object, of which the holder asked for `bytes`.
    pub(crate) fn init_large(&self, bytes: usize) {
        self.objects.store(1, Relaxed);
        self.live.store(1, Relaxed);
        self.carved.store(1, Relaxed);
        self.size.store(bytes, Relaxed);
        self.kept.store(false, Relaxed);
        self.set_state(State::Large);
    }

    /// Returns whether the run is a sampled object, and its slot in the profile (0: none yet).
    #[inline]
    pub(crate) fn sample(&self) -> (bool, u32) {
        let sample = self.sample.load(Relaxed);
        (sample & 1 != 0, sample >> 1)
    }

    /// Notes whether the run is a sampled object, and its slot. The caller holds the run.
    pub(crate) fn set_sample(&self, sampled: bool, slot: u32) {
        self.sample.store(slot << 1 | u32::from(sampled), Relaxed);
    }

    /// Returns the class by which a sampled object was counted; `None`: as a large one.
    pub(crate) fn sampled_class(&self) -> Option<SizeClass> {
        self.class()
    }

    /// Notes the class by which a sampled object is counted. The caller holds the run.
    pub(crate) fn set_sampled_class(&self, class: Option<SizeClass>) {
        let index = class.map_or(u8::MAX, |class| class.index() as u8);
        self.class.store(index, Relaxed);
    }

    /// Returns the number of pages behind those in use into which the span may grow.
    pub(crate) fn headroom(&self) -> usize {
        self.headroom.load(Relaxed) as usize
    }

    /// Sets the number of pages in use and of those behind them.
    pub(crate) fn set_pages(&self, pages: usize, headroom: usize) {
        self.pages.store(pages as u32, Relaxed);
        self.headroom.store(headroom as u32, Relaxed);
    }

    /// Notes the new size that the holder of a large object asked for.
    pub(crate) fn set_large_size(&self, bytes: usize) {
        self.size.store(bytes, Relaxed);
    }

    /// Returns whether a thread keeps the large object for reuse.
    pub(crate) fn kept(&self) -> bool {
        self.kept.load(Relaxed)
    }

    /// Notes that the program holds the large object.
    pub(crate) fn clear_kept(&self) {
        self.kept.store(false, Relaxed);
    }

    /// Notes that the caller frees the large object. `true`: another thread did so before. Relaxed:
    /// the exchange alone decides which thread was first.
    pub(crate) fn keep(&self) -> bool {
        self.kept.swap(true, Relaxed)
    }
}
