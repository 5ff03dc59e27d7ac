//! The methods of a span that only the models call.

use super::{Block, MSpan};
use crate::sync::atomic::Ordering::Relaxed;

impl MSpan {
    /// Limits the span to fewer objects than its class has.
    pub(crate) fn limit_objects(&self, objects: u32) {
        self.objects.store(objects, Relaxed);
    }

    /// Returns the number of objects on the list that begins at `head`.
    ///
    /// # Safety
    /// The list is the caller's, and of this span.
    pub(crate) unsafe fn length(&self, head: *mut Block) -> u32 {
        let (mut trunk, mut length) = (head, 0);
        while !trunk.is_null() {
            // SAFETY: `trunk` is a trunk of the caller's list.
            length += unsafe { self.cut().count(trunk) } as u32 + 1;
            // SAFETY: `trunk` is a trunk of the caller's list.
            trunk = unsafe { Block::next(trunk) };
        }
        length
    }
}
