//! Run classes: the lengths of the large objects that threads keep for reuse.
//!
//! There is one class per number of pages up to 16, then eight classes per doubling, up to 4 MiB.
//! At most a ninth of a run is waste, in pages that the program need not touch. A large object of
//! up to [`RUN_MAX`] bytes always has at least the pages of its class, so its size alone tells
//! where it may be reused.

use crate::base::geometry::{PAGE, RUN_MAX, SMALL_MAX};

/// Pages of the smallest class.
const FIRST_PAGES: usize = SMALL_MAX / PAGE + 1;
/// Up to here, every number of pages has a class.
const DENSE_PAGES: usize = 16;
/// The number of run classes.
pub(crate) const RUN_CLASSES: usize = number(RUN_MAX / PAGE) + 1;

const _: () = assert!(RUN_CLASSES <= 64, "a set of classes is one word");

/// The number of a run class. Invariant: below [`RUN_CLASSES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunClass(u8);

/// Returns the number of the shortest class with at least `pages` pages, the pages of a large
/// object.
#[inline(always)]
const fn number(pages: usize) -> usize {
    if pages <= DENSE_PAGES {
        pages.saturating_sub(FIRST_PAGES)
    } else {
        // Each doubling (2^k, 2^(k+1)] has eight steps.
        let doubling = (pages - 1).ilog2();
        let step = (pages - 1) >> (doubling - 3);
        DENSE_PAGES + 1 - FIRST_PAGES + (doubling as usize - 4) * 8 + (step - 8)
    }
}

impl RunClass {
    /// Returns the class that serves `size` bytes at `align`, or `None` if no run class does.
    #[inline(always)]
    pub(crate) const fn serving(size: usize, align: usize) -> Option<Self> {
        // One compare checks both ends.
        if size.wrapping_sub(SMALL_MAX + 1) < RUN_MAX - SMALL_MAX && align <= PAGE {
            Some(Self(number(size.div_ceil(PAGE)) as u8))
        } else {
            None
        }
    }

    /// Returns all classes, shortest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..RUN_CLASSES as u8).map(Self)
    }

    /// Returns the next longer class, if there is one.
    pub(crate) fn longer(self) -> Option<Self> {
        (self.index() + 1 < RUN_CLASSES).then_some(Self(self.0 + 1))
    }

    /// Returns the class number.
    #[inline(always)]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the pages of the class's runs.
    pub(crate) const fn pages(self) -> usize {
        let dense = DENSE_PAGES - FIRST_PAGES;
        if self.index() <= dense {
            return FIRST_PAGES + self.index();
        }
        let step = self.index() - dense - 1;
        (9 + step % 8) << (step / 8 + 1)
    }

    /// Returns the bytes of the class's runs.
    #[inline(always)]
    pub(crate) const fn size(self) -> usize {
        // The remainder changes no index; it spares the check of bounds.
        SIZES[self.index() % SIZES.len()] as usize
    }
}

/// The size of each class in bytes. One load is shorter than the arithmetic.
static SIZES: [u32; RUN_CLASSES.next_power_of_two()] = {
    let (mut sizes, mut index) = ([0; RUN_CLASSES.next_power_of_two()], 0);
    while index < RUN_CLASSES {
        sizes[index] = (RunClass(index as u8).pages() * PAGE) as u32;
        index += 1;
    }
    sizes
};

/// Returns the pages of a large object of `bytes` bytes: those of its run class, or as many as hold
/// it.
pub(crate) const fn large_pages(bytes: usize) -> usize {
    match RunClass::serving(bytes, 1) {
        Some(class) => class.pages(),
        None => bytes.div_ceil(PAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_classes_are_monotone_dense_and_waste_an_eighth_at_the_most() {
        let mut last = 0;
        for pages in FIRST_PAGES..=RUN_MAX / PAGE {
            let class = RunClass::serving(pages * PAGE, 1).expect("a run class's size");
            assert!(
                class.index() == last || class.index() == last + 1,
                "{pages} pages: {class:?} after {last}"
            );
            assert!(
                class.pages() >= pages && class.pages() * 8 <= pages * 9 + 7,
                "{pages} pages become {}",
                class.pages()
            );
            assert_eq!(RunClass::serving(class.size(), PAGE), Some(class));
            last = class.index();
        }
        assert_eq!(last, RUN_CLASSES - 1);
    }

    #[test]
    fn what_is_small_or_huge_or_strictly_aligned_has_no_run_class() {
        assert_eq!(RunClass::serving(SMALL_MAX, 1), None);
        assert_eq!(
            RunClass::serving(SMALL_MAX + 1, 1).map(RunClass::pages),
            Some(FIRST_PAGES)
        );
        assert!(RunClass::serving(RUN_MAX, 1).is_some());
        assert_eq!(RunClass::serving(RUN_MAX + 1, 1), None);
        assert_eq!(RunClass::serving(SMALL_MAX + 1, 2 * PAGE), None);
        assert_eq!(RunClass::serving(0, 1), None);
        assert_eq!(large_pages(RUN_MAX + 1), RUN_MAX / PAGE + 1);
    }
}
