//! Whether the program still has a handle of a heap. The rules are those of
//! [`abandoned`](super::abandoned).

use crate::sync::tally::{AtomicU8, Ordering::Relaxed};

const USED: u8 = 0;
const ABANDONED: u8 = 1;
const REPORTED: u8 = 2;

/// Whether the program has a handle.
pub(crate) struct Use(AtomicU8);

impl Use {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(USED))
    }

    /// Notes that the program has dropped its last handle.
    pub(crate) fn abandon(&self) {
        self.0.store(ABANDONED, Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(Relaxed) != USED
    }

    /// Notes that an abandoned heap is reported. Returns `false` if it is not abandoned or was
    /// reported before.
    pub(crate) fn report(&self) -> bool {
        self.0.compare_exchange(ABANDONED, REPORTED, Relaxed, Relaxed).is_ok()
    }
}
