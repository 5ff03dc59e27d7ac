//! Tests that a list of a span's free objects agrees with a plain vector.

use super::free_list::{Block, Cut};
use core::ptr::null_mut;

/// Memory for 40 objects of `size` bytes, and the list of those freed so far.
struct Span {
    memory: Vec<u64>,
    size: usize,
    head: *mut Block,
    count: u32,
}

impl Span {
    const OBJECTS: usize = 40;

    fn new(size: usize) -> Self {
        let memory = vec![u64::MAX; Self::OBJECTS * size / 8];
        Self {
            memory,
            size,
            head: null_mut(),
            count: 0,
        }
    }

    fn cut(&mut self) -> Cut {
        Cut::new(self.memory.as_mut_ptr().cast(), self.size)
    }

    fn object(&mut self, index: usize) -> *mut Block {
        self.memory
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(index * self.size)
            .cast()
    }

    fn index(&self, block: *mut Block) -> usize {
        let offset = block.addr() - self.memory.as_ptr().addr();
        assert_eq!(offset % self.size, 0);
        offset / self.size
    }

    fn free(&mut self, index: usize) {
        let (cut, block) = (self.cut(), self.object(index));
        self.head = if self.head.is_null() {
            // SAFETY: the object is free, and the list is empty.
            unsafe { Block::push_trunk(null_mut(), block, cut) };
            block
        } else {
            // SAFETY: the object is free and on no list.
            unsafe { Block::push(self.head, block, cut) }
        };
        self.count += 1;
    }

    fn take(&mut self, count: u32) -> Vec<usize> {
        let (cut, mut taken) = (self.cut(), Vec::new());
        // SAFETY: the list holds `count` objects.
        self.head = unsafe { Block::take(self.head, count, cut, |block| taken.push(block)) };
        self.count -= count;
        taken.into_iter().map(|block| self.index(block)).collect()
    }
}

#[test]
fn what_goes_on_a_list_comes_off_it_once_for_every_size() {
    for size in [8, 16, 24, 32, 64, 80, 256] {
        for step in [1, 7, 40] {
            let mut span = Span::new(size);
            (0..Span::OBJECTS).for_each(|number| span.free(number * 3 % Span::OBJECTS));
            let mut back = Vec::new();
            while span.count > 0 {
                let wanted = step.min(span.count);
                let taken = span.take(wanted);
                assert_eq!(taken.len(), wanted as usize, "{size} bytes, {step} at once");
                back.extend(taken);
            }
            assert!(span.head.is_null());
            back.sort_unstable();
            assert_eq!(
                back,
                (0..Span::OBJECTS).collect::<Vec<_>>(),
                "{size} bytes, {step} at once"
            );
        }
    }
}

#[test]
fn a_list_that_was_taken_in_part_takes_more() {
    for size in [8, 16, 64] {
        let mut span = Span::new(size);
        (0..20).for_each(|number| span.free(number));
        let mut held = span.take(13);
        (20..40).for_each(|number| span.free(number));
        held.extend(span.take(5));
        let rest = span.count;
        held.extend(span.take(rest));
        held.sort_unstable();
        assert_eq!(held, (0..40).collect::<Vec<_>>(), "{size} bytes");
    }
}

#[test]
fn two_lists_are_joined_at_the_last_trunk_of_the_first() {
    for size in [8, 16, 64] {
        let mut span = Span::new(size);
        (0..17).for_each(|number| span.free(number));
        let (first, first_count) = (span.head, span.count);
        (span.head, span.count) = (null_mut(), 0);
        (17..40).for_each(|number| span.free(number));
        let cut = span.cut();
        // SAFETY: the first list holds that many objects.
        let last = unsafe { Block::last(first, first_count, cut) };
        // SAFETY: both lists are this test's.
        unsafe { Block::set_next(last, span.head) };
        (span.head, span.count) = (first, first_count + span.count);
        let mut all = span.take(40);
        assert!(span.head.is_null());
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>(), "{size} bytes");
    }
}

#[test]
fn leaves_are_not_touched() {
    let mut span = Span::new(64);
    (0..40).for_each(|number| span.free(number));
    let untouched = (0..40)
        .filter(|&index| span.memory[index * 8..][..8].iter().all(|&word| word == u64::MAX))
        .count();
    assert_eq!(untouched, 38, "two trunks, of 27 leaves and 11, or of 24 and 14");
}
