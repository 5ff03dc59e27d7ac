//! The atlas of a process: a directory of chapters, which come as the heap grows.

use crate::base::geometry::PAGE;
use crate::base::prefetch::prefetch_to_read;
use crate::gc::atlas::{ADDRESS_BITS, Page, STRIDE};
use crate::heap::source::{SOURCE, SpanSource};
use crate::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use core::ptr::{NonNull, null_mut};

/// Bytes of address of a chapter.
const REACH: usize = 1 << 30;
const CHAPTERS: usize = 1 << (ADDRESS_BITS - REACH.trailing_zeros());

/// The tables of [`REACH`] bytes of address.
struct Chapter {
    marks: [AtomicU64; REACH / STRIDE],
    pages: [Page; REACH / PAGE],
}

/// No page of it is touched in a process without a managed object.
static DIRECTORY: [AtomicPtr<Chapter>; CHAPTERS] = [const { AtomicPtr::new(null_mut()) }; CHAPTERS];

/// Returns the entry of the chapter of `address`, an address of [`ADDRESS_BITS`] bits.
#[inline(always)]
fn entry(address: usize) -> &'static AtomicPtr<Chapter> {
    &DIRECTORY[address / REACH % CHAPTERS]
}

/// Returns the chapter of `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
unsafe fn chapter(address: NonNull<u8>) -> &'static Chapter {
    // Relaxed: the handover of the address orders this load after `prepare` (ATLAS-2).
    let chapter = entry(address.as_ptr().addr()).load(Relaxed);
    // SAFETY: `prepare` has made the chapters of the run, and they stay (ATLAS-3).
    unsafe { &*chapter }
}

/// Returns the word of marks around `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(super) unsafe fn word(address: NonNull<u8>) -> &'static AtomicU64 {
    // SAFETY: the run is held (contract of this function).
    let chapter = unsafe { chapter(address) };
    &chapter.marks[address.as_ptr().addr() / STRIDE % (REACH / STRIDE)]
}

/// Returns the entry of the page of `address`.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(super) unsafe fn page(address: NonNull<u8>) -> &'static Page {
    // SAFETY: the run is held (contract of this function).
    let chapter = unsafe { chapter(address) };
    &chapter.pages[address.as_ptr().addr() / PAGE % (REACH / PAGE)]
}

/// Fetches the mark of the object at `address`, and its page's entry.
///
/// # Safety
/// The address lies in a run that is held.
#[inline(always)]
pub(super) unsafe fn prefetch(address: NonNull<u8>) {
    // SAFETY: the run is held (contract of this function).
    let chapter = unsafe { chapter(address) };
    let address = address.as_ptr().addr();
    prefetch_to_read(&raw const chapter.marks[address / STRIDE % (REACH / STRIDE)]);
    prefetch_to_read(&raw const chapter.pages[address / PAGE % (REACH / PAGE)]);
}

/// Returns the entry of the page of any address, or `None` where no run ever lay.
pub(crate) fn page_if_any(address: NonNull<u8>) -> Option<&'static Page> {
    let address = address.as_ptr().addr();
    if address.checked_shr(ADDRESS_BITS).is_some_and(|above| above != 0) {
        return None;
    }
    // Acquire: pairs with the exchange in `prepare`.
    let chapter = entry(address).load(Acquire);
    // SAFETY: null, or a chapter, which stays (ATLAS-3).
    let chapter = unsafe { chapter.as_ref() }?;
    Some(&chapter.pages[address / PAGE % (REACH / PAGE)])
}

/// Makes the chapters of a run, which the caller holds. Returns `false` if there is no memory for
/// them, or if the run lies beyond the atlas.
pub(crate) fn prepare(base: NonNull<u8>, bytes: usize) -> bool {
    let base = base.as_ptr().addr();
    let last = base + (bytes - 1);
    if last.checked_shr(ADDRESS_BITS).is_some_and(|above| above != 0) {
        return false;
    }
    (base / REACH..=last / REACH).all(|number| is_made(&DIRECTORY[number % CHAPTERS]))
}

/// Makes the chapter of an entry, unless it is there. Returns `false` if there is no memory.
fn is_made(entry: &AtomicPtr<Chapter>) -> bool {
    // Acquire: pairs with the exchange below.
    if !entry.load(Acquire).is_null() {
        return true;
    }
    let Some(table) = SOURCE.take_table(size_of::<Chapter>()) else {
        return false;
    };
    // AcqRel: publishes the chapter; pairs with the Acquire above and in `page_if_any`.
    let made = entry.compare_exchange(null_mut(), table.as_ptr().cast(), AcqRel, Acquire);
    if made.is_err() {
        // SAFETY: taken above with this size, and no other thread has seen it.
        unsafe { SOURCE.give_table(table, size_of::<Chapter>()) };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, Mark, STRIDE, enter, erase, layout, page};
    use super::*;

    /// A run of a test, and a pointer that stands for its span's record.
    fn run() -> (NonNull<u8>, usize, *mut u8) {
        let pages = 3;
        let memory = Box::leak(vec![0u64; (pages + 1) * PAGE / 8].into_boxed_slice());
        let base = NonNull::from(memory).cast::<u8>();
        let base = base.map_addr(|at| at.saturating_add(at.get().wrapping_neg() % PAGE));
        (base, pages, base.as_ptr())
    }

    #[test]
    fn chapters_come_as_addresses_need_them_and_stay() {
        // No mapping lies so low or so high, so no heap's run does.
        let at = |address: usize| NonNull::<u8>::dangling().map_addr(|one| one.saturating_add(address - 1));
        let end = REACH * (CHAPTERS - 7);
        assert!(page_if_any(at(end)).is_none() && page_if_any(at(end - PAGE)).is_none());
        // Across the end of a chapter.
        assert!(prepare(at(end - PAGE), 2 * PAGE));
        let pages = [end - PAGE, end].map(|address| page_if_any(at(address)).expect("a chapter"));
        assert!(pages.iter().all(|page| page.span().is_null()));
        let first = entry(end).load(Relaxed);
        assert!(prepare(at(end), PAGE) && entry(end).load(Relaxed) == first);
        assert!(page_if_any(at(end + REACH)).is_none());
        if usize::BITS > ADDRESS_BITS {
            let beyond = 1usize.checked_shl(ADDRESS_BITS).unwrap_or(0);
            assert!(!prepare(at(beyond - PAGE), 2 * PAGE), "beyond the atlas");
            assert!(page_if_any(at(beyond)).is_none());
        }
    }

    #[test]
    fn pages_of_a_run_lead_to_its_span_until_it_is_given_back() {
        let (base, pages, record) = run();
        let at = |offset: usize| base.map_addr(|base| base.saturating_add(offset));
        assert!(prepare(base, pages * PAGE));
        let headed = Layout::Headed {
            offset: 32,
            traced: false,
        };
        // SAFETY: prepared above.
        unsafe { enter(base, pages, record, headed) };
        for offset in [0, 1, PAGE - 1, PAGE, pages * PAGE - 1] {
            // SAFETY: inside the run.
            let page = unsafe { page(at(offset)) };
            assert_eq!(page.span(), record);
            // SAFETY: inside the run.
            let found = unsafe { layout(at(offset)) };
            assert!(matches!(
                found,
                Layout::Headed {
                    offset: 32,
                    traced: false
                }
            ));
        }
        // SAFETY: prepared above.
        unsafe { erase(base, pages) };
        for offset in [0, PAGE, pages * PAGE - 1] {
            assert!(page_if_any(at(offset)).is_some_and(|page| page.span().is_null()));
        }
        // A large object of another heap comes to lie there.
        let desc = <u64 as super::super::super::described::Described<'_>>::DESC;
        // SAFETY: prepared above.
        unsafe { enter(base, 1, record, Layout::Typed(desc)) };
        // SAFETY: inside the run.
        let [first, second] = [0, PAGE].map(|offset| unsafe { page(at(offset)) });
        assert!(second.span().is_null() && first.span() == record);
        // SAFETY: the first page has an entry.
        let found = unsafe { layout(base) };
        assert!(matches!(found, Layout::Typed(found) if core::ptr::eq(found, desc)));
    }

    #[test]
    fn marks_of_neighbours_are_set_at_once_and_claimed_by_one() {
        let (base, pages, _) = run();
        let at = |offset: usize| base.map_addr(|base| base.saturating_add(offset));
        assert!(prepare(base, pages * PAGE));
        // SAFETY: inside the run, which is prepared.
        let mark = |offset| unsafe { Mark::of(at(offset)) };
        assert!(mark(16).set() && !mark(16).set() && !mark(0).is_set() && !mark(32).is_set());
        let all = Mark { bit: 0b1111, ..mark(0) };
        assert_eq!((all.set_all(), all.set_all()), (0b1101, 0));
        assert!((0..4).all(|slot| mark(16 * slot).is_set()) && !mark(64).is_set());
        // The neighbouring words belong to other addresses.
        assert!(!mark(STRIDE).is_set() && mark(STRIDE - 16).set());
        for offset in [0, STRIDE - 16] {
            mark(offset).word.store(0, Relaxed);
        }
    }
}
