//! Grey objects on their way: marked, and not scanned yet. Each mutator fills a buffer and hands it
//! over as a whole; tracers take buffers from the queue.
//!
//! - WORKBUF-1. The thread that marks an object puts it somewhere, and the thread that takes it
//!   scans it. So an object is grey in one place at a time. The exception is an object with a lock
//!   that was written in PRE. Each such writer puts it somewhere once more (GCLOCK-1 of
//!   [`lock`](super::lock)), so it may be grey in several places. Each of them leads to a scan
//!   (MARK-1 of [`mark`](super::mark)).
//! - WORKBUF-2. Buffers pass from hand to hand. Under the queue's lock no more than [`BUFFER`]
//!   objects are copied, or as many as a tracer takes at a time.
//!
//! ```text
//!  63     48 47                                0
//! +---------+----------------------------------+
//! | part    | address of the object            |
//! +---------+----------------------------------+
//! ```

use super::atlas::ADDRESS_BITS;
use crate::sync::IS_MODEL;
use crate::sync::lock::Lock;
use core::ptr::NonNull;

/// Grey objects that a mutator keeps before it hands them over.
pub(crate) const BUFFER: usize = if IS_MODEL { 2 } else { 256 };

/// The most parts of a slice that an entry can name: 1 where addresses fill the whole word.
pub(crate) const PARTS: usize = 1 << (usize::BITS - ADDRESS_BITS);
const ADDRESS: usize = usize::MAX / PARTS;

/// One grey object, or the rest of a long slice, which begins with this part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grey(*mut u8);

// SAFETY: managed objects are `Send + Sync`.
unsafe impl Send for Grey {}

impl Grey {
    /// Makes the entry of an object that was just marked, from the address of its payload.
    #[inline(always)]
    pub(crate) fn new(address: NonNull<u8>) -> Self {
        debug_assert!(address.as_ptr().addr() <= ADDRESS, "the atlas has no such address");
        Self(address.as_ptr())
    }

    /// Returns the address of the object's payload.
    #[inline(always)]
    pub(crate) fn address(self) -> NonNull<u8> {
        let address = self.0.map_addr(|address| address & ADDRESS);
        // SAFETY: `new` got a pointer that is not null, and its address has no other bits.
        unsafe { NonNull::new_unchecked(address) }
    }

    /// Returns the number of the part to scan next.
    #[inline(always)]
    pub(crate) fn part(self) -> usize {
        self.0.addr().checked_shr(ADDRESS_BITS).unwrap_or(0)
    }

    /// Returns the entry of the next part. There are fewer than [`PARTS`] in front of it.
    pub(crate) fn next_part(self) -> Self {
        debug_assert!(self.part() + 1 < PARTS);
        let one = 1usize.checked_shl(ADDRESS_BITS).unwrap_or(0);
        Self(self.0.wrapping_byte_add(one))
    }
}

/// Grey objects that no thread holds.
pub(crate) struct Queue(Lock<Vec<Vec<Grey>>>);

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Takes over all objects of `buffer`.
    pub(crate) fn give(&self, buffer: &mut Vec<Grey>) {
        if buffer.is_empty() {
            return;
        }
        let mut queue = self.0.lock();
        match queue.last_mut() {
            // Many mutators with a few objects each need no buffer each.
            Some(last) if last.len() + buffer.len() <= BUFFER => last.append(buffer),
            _ => queue.push(core::mem::take(buffer)),
        }
    }

    /// Moves one buffer, but at most `most` objects, to `into`. Returns whether there were any. The
    /// caller holds a shift or is the collector.
    pub(crate) fn take(&self, into: &mut Vec<Grey>, most: usize) -> bool {
        let mut queue = self.0.lock();
        let Some(last) = queue.last_mut() else { return false };
        if let Some(rest) = last.len().checked_sub(most).filter(|rest| *rest > 0) {
            into.extend(last.drain(rest..));
            return true;
        }
        let mut whole = queue.pop().unwrap_or_default();
        drop(queue);
        if into.is_empty() && into.capacity() < whole.capacity() {
            *into = whole;
        } else {
            into.append(&mut whole);
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

#[cfg(all(test, not(greyspan_loom)))]
mod tests {
    use super::*;

    /// The entry of an object that no code looks at.
    fn grey(number: usize) -> Grey {
        Grey::new(
            NonNull::<u64>::dangling()
                .map_addr(|at| at.saturating_add(16 * number))
                .cast(),
        )
    }

    #[test]
    fn an_entry_names_an_address_and_a_part() {
        let address = grey(1 << 40).address();
        let mut entry = Grey::new(address);
        for part in 0..PARTS {
            assert_eq!((entry.part(), entry.address()), (part, address));
            if part + 1 < PARTS {
                entry = entry.next_part();
            }
        }
        assert_eq!(size_of::<Grey>(), size_of::<usize>());
    }

    #[test]
    fn a_large_buffer_passes_as_a_whole_and_small_ones_share_one() {
        let queue = Queue::new();
        let mut large: Vec<Grey> = (0..4 * BUFFER).map(grey).collect();
        let place = large.as_ptr();
        queue.give(&mut large);
        assert_eq!(large.capacity(), 0);
        let mut few = Vec::with_capacity(BUFFER);
        for number in 0..BUFFER {
            few.push(grey(number));
            queue.give(&mut few);
        }
        assert!(few.is_empty() && queue.0.lock().len() == 2);
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, 10) && taken.len() == 10);
        assert!(queue.take(&mut taken, BUFFER) && taken.len() == BUFFER);
        let mut whole = Vec::new();
        assert!(queue.take(&mut whole, usize::MAX) && whole.as_ptr() == place);
        assert!(queue.is_empty() && !queue.take(&mut taken, 1));
    }
}
