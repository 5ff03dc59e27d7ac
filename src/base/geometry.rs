//! The constants that fix the shape of the heap, tied to each other by compile-time asserts.
//!
//! ```text
//! region     one window of addresses, mapped as needed: 512 GiB; each further one 4 TiB
//!   huge page  the unit of trackers and of growth: 2 MiB = 256 pages
//!     page       the unit of spans and of the page map: 8 KiB
//!       object     the unit of the program: 8 B to 32 KiB in classes, above that whole pages
//! ```

#![forbid(unsafe_code)]

/// log2 of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = 13;
/// Bytes of one heap page. Independent of the kernel's page size.
pub(crate) const PAGE: usize = 1 << PAGE_SHIFT;
/// log2 of [`HUGE`].
pub(crate) const HUGE_SHIFT: u32 = 21;
/// Bytes of one huge page: the range of one tracker.
pub(crate) const HUGE: usize = 1 << HUGE_SHIFT;
/// Heap pages in one huge page.
pub(crate) const PAGES_PER_HUGE: usize = HUGE / PAGE;
/// Largest request, in bytes, that a size class serves.
pub(crate) const SMALL_MAX: usize = 32 << 10;
/// Bytes of a cache line of the processor.
pub(crate) const CACHE_LINE: usize = 64;
/// Most bytes of fresh objects that a thread takes from a span at once, so that untouched memory
/// stays untouched.
pub(crate) const CARVE: usize = 4 << 10;
/// New spans of a class that a thread takes before its further ones get memory at once. All but
/// the last of these are in use, so at most about a thirtieth of the class is ahead of its use.
pub(crate) const SURE_AFTER: u8 = 32;
/// Bytes of an object from which on a thread does not keep a span for a few free ones.
pub(crate) const PINNING: usize = 1 << 10;
/// Bytes of free objects that a thread keeps per class at first. The next constant limits the
/// growth of all classes' bins together.
pub(crate) const BIN_BYTES: usize = 16 << 10;
pub(crate) const BIN_GROWTH_BYTES: usize = 2 << 20;
/// Largest large object, in bytes, that a thread keeps for reuse.
pub(crate) const RUN_MAX: usize = 4 << 20;
/// Bytes of an object from which on a thread's room for free ones comes out of a budget that all
/// threads share.
pub(crate) const MEDIUM_MIN: usize = 4 << 10;
/// Bytes of free medium and large objects that all threads together may keep: a part of the heap,
/// within these two bounds.
pub(crate) const ROOM_MIN: usize = 8 << 20;
pub(crate) const ROOM_MAX: usize = 256 << 20;
/// Most bytes of empty spans that one thread keeps.
pub(crate) const SPARE_BYTES: usize = 512 << 10;
/// Bytes of objects of one span that a thread gathers before it sends them to the span's owner.
pub(crate) const OUTGOING_BYTES: usize = 16 << 10;
/// Most bytes of such objects that a thread gathers for all spans.
pub(crate) const OUTBOX_BYTES: usize = 512 << 10;
/// Bytes of a heap up to which memory counts more than the tail of the latency: a search looks at
/// all of it, and a thread gives up all its runs before the heap grows.
pub(crate) const SMALL_HEAP: usize = 64 << 20;
/// Smallest growth, in huge pages, of the ready part of a region, except for the first growth.
pub(crate) const GROW_MIN_HUGE: usize = 2;
/// Largest growth beyond the need, in huge pages: 64 MiB, like Go's arena.
pub(crate) const GROW_MAX_HUGE: usize = 32;
/// Largest growth, in huge pages, where the heap asks the system for huge pages.
pub(crate) const GROW_ASKED_HUGE: usize = 4;
/// Bytes in spans of small objects from which on these spans grow by huge pages. Their unused part
/// is then small beside the used part.
pub(crate) const HUGE_AFTER: usize = 32 << 20;
/// Windows that the heap tries before it reserves address space instead.
pub(crate) const WINDOW_TRIES: usize = 8;
/// Bytes of the first reserved region; each further one is twice as large.
pub(crate) const RESERVE_BYTES: usize = 64 << 20;
/// Smallest piece, in bytes, by which a region's table grows.
pub(crate) const TABLE_MIN: usize = 64 << 10;
/// Largest request in bytes: the limit of `Layout`, less room for rounding up.
#[cfg(not(greyspan_heap))]
pub(crate) const REQUEST_MAX: usize = isize::MAX as usize - 2 * HUGE;

const _: () = assert!(PAGE.is_power_of_two() && HUGE.is_multiple_of(PAGE));
const _: () = assert!(PAGES_PER_HUGE == 256, "a tracker is four words of 64 pages");
const _: () = assert!(SMALL_MAX.is_multiple_of(PAGE) && RUN_MAX.is_multiple_of(PAGE));

#[cfg(greyspan_heap)]
pub(crate) use wide::{REQUEST_MAX, WINDOW_BYTES, WINDOW_FIRST, is_servable};

/// The limits of the heap, which needs 64-bit addresses.
#[cfg(greyspan_heap)]
mod wide {
    use super::{HUGE, PAGE};

    const _: () = assert!(
        usize::BITS == 64,
        "the region and the ownership word need 64-bit addresses"
    );

    /// Most bytes of addresses of the first region's window; the next constant: of any other
    /// window. The system may choose fewer. The first window is not larger, because the page map
    /// also has (unused) entries for the pages of the region's tables: one byte per MiB.
    pub(crate) const WINDOW_FIRST: usize = 1 << 39;
    pub(crate) const WINDOW_BYTES: usize = 1 << 42;
    /// Largest request in bytes: 8 TiB. A span can count that many pages with its room to grow,
    /// even after rounding up to huge pages.
    pub(crate) const REQUEST_MAX: usize = (u32::MAX as usize / 4) * PAGE - 2 * HUGE;
    /// Largest alignment in bytes: half of the smallest address space of a program.
    pub(crate) const ALIGN_MAX: usize = 1 << 46;

    /// Returns whether a block of `size` bytes can lie at a multiple of `align`. The heap refuses
    /// impossible requests before it does any work for them.
    #[inline]
    pub(crate) const fn is_servable(size: usize, align: usize) -> bool {
        size <= REQUEST_MAX && align <= ALIGN_MAX
    }
}
