//! The scavenger: gives free pages back to the operating system once they have been free for the purge delay, or at once when a limit
//! is near or the program asks.
//!
//! Pages on their way are held like a span's, without the lock (H3), so allocation goes on beside it.

use super::{MHeap, non_null};
use crate::base::geometry::PAGE;
use crate::sync::atomic::Ordering::Relaxed;

/// Free pages below this many bytes are not worth a system call unless the program asks.
const IDLE_BYTES: usize = 256 << 10;
/// Milliseconds between two looks.
const PERIOD: u64 = 50;

impl MHeap {
    /// Sets the milliseconds that free pages stay; negative for ever.
    pub(crate) fn set_purge_delay(&self, millis: i64) {
        self.purge_delay
            .store(usize::try_from(millis).unwrap_or(usize::MAX), Relaxed);
    }

    /// Sets the bytes beyond which memory is given back at once; `None` for no limit.
    pub(crate) fn set_soft_limit(&self, bytes: Option<usize>) {
        self.soft_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Sets the bytes beyond which allocation fails; `None` for no limit.
    pub(crate) fn set_hard_limit(&self, bytes: Option<usize>) {
        self.hard_limit.store(bytes.unwrap_or(usize::MAX), Relaxed);
    }

    /// Whether free pages stay for a while: neither a limit nor the delay asks for their return at once.
    pub(crate) fn keeps_free_pages(&self) -> bool {
        self.purge_delay.load(Relaxed) > 0 && self.soft_limit.load(Relaxed) == usize::MAX
    }

    /// Gives all free pages back now. Returns the bytes given back.
    pub(crate) fn purge(&self) -> usize {
        self.scavenge(u64::MAX, usize::MAX)
    }

    /// Called after each span taken or given: looks, now and then, whether something is due.
    pub(super) fn tick(&self) {
        let delay = self.purge_delay.load(Relaxed);
        let soft = self.soft_limit.load(Relaxed);
        let (before, most) = {
            let Some(mut inner) = self.inner.try_lock() else { return };
            let dirty = inner.pages.counts.dirty * PAGE;
            if dirty > 0 && soft != usize::MAX && Self::footprint(&inner) > soft {
                (u64::MAX, Self::footprint(&inner) - soft)
            } else if dirty <= IDLE_BYTES || delay == usize::MAX {
                return;
            } else {
                let now = crate::os::coarse_millis();
                if now.wrapping_sub(inner.scavenged_at) < PERIOD.min(delay as u64) {
                    return;
                }
                inner.scavenged_at = now;
                (now.saturating_sub(delay as u64), usize::MAX)
            }
        };
        self.scavenge(before, most);
    }

    /// Gives back free pages that became free at `before` at the latest, up to about `most` bytes. Returns the bytes given back.
    pub(crate) fn scavenge(&self, before: u64, most: usize) -> usize {
        let mut given = 0;
        let os_page = self.os.page_size();
        while given < most {
            let Some(run) = self.inner.lock().pages.take_dirty(before) else {
                break;
            };
            // Where the kernel's pages are larger than ours, only whole ones can go.
            let skip = run.base.align_offset(os_page).min(run.pages * PAGE);
            let bytes = (run.pages * PAGE - skip) / os_page * os_page;
            let start = run.base.wrapping_add(skip);
            // SAFETY: the pages are Ready, held by this thread, and no object is in them.
            let released = bytes > 0 && unsafe { self.os.release(non_null(start), bytes) };
            let mut inner = self.inner.lock();
            if !released {
                // Refused: still dirty. As young as can be, so that this call and the next ones do not try it for ever.
                inner.pages.give(run.base, run.pages, false, crate::os::coarse_millis());
                break;
            }
            given += bytes;
            let now = crate::os::coarse_millis();
            if skip > 0 {
                inner.pages.give(run.base, skip / PAGE, false, now);
            }
            inner.pages.give(start, bytes / PAGE, true, now);
            let rest = run.pages - (skip + bytes) / PAGE;
            if rest > 0 {
                inner.pages.give(start.wrapping_add(bytes), rest, false, now);
            }
        }
        given
    }
}
