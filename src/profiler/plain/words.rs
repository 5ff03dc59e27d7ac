//! Lists and a table of words in memory of the system, for a library that does not allocate while
//! it writes.

use crate::base::addr::align_up;
use crate::os::PageSource;
use crate::os::{NATIVE, Os};
use core::ptr::NonNull;

/// Words in memory of the system.
pub(super) struct Words {
    base: NonNull<usize>,
    bytes: usize,
    len: usize,
}

impl Words {
    /// Creates a list with room for `count` words. Returns `None` if the system refuses the memory.
    pub(super) fn new(count: usize) -> Option<Self> {
        let os: &Os = &NATIVE;
        let bytes = align_up((count + 1) * size_of::<usize>(), os.page_size());
        let base = os.reserve(bytes, os.page_size())?;
        // SAFETY: reserved just now.
        let prepared = unsafe { os.prepare(base, bytes) };
        // SAFETY: the range is Prepared if this call is reached.
        if !(prepared && unsafe { os.ready(base, bytes) }) {
            // SAFETY: reserved just now, and no other code uses it.
            unsafe { os.free(base, bytes) };
            return None;
        }
        Some(Self {
            base: base.cast(),
            bytes,
            len: 0,
        })
    }

    pub(super) fn all(&mut self) -> &mut [usize] {
        // SAFETY: this value owns so many words; they read as zero at first.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes / size_of::<usize>()) }
    }

    pub(super) fn words(&mut self) -> &mut [usize] {
        let len = self.len;
        self.all().get_mut(..len).unwrap_or_default()
    }

    pub(super) fn push(&mut self, word: usize) -> bool {
        let len = self.len;
        let room = self.all().get_mut(len).map(|place| *place = word).is_some();
        self.len += usize::from(room);
        room
    }

    /// Sorts the words and drops duplicates. It sorts by heaps, in place, since the standard
    /// library's sorts may panic.
    pub(super) fn sort(&mut self) {
        let words = self.words();
        let count = words.len();
        for root in (0..count / 2).rev() {
            sift(words, root);
        }
        for end in (1..count).rev() {
            words.swap_safely(0, end);
            sift(words.get_mut(..end).unwrap_or_default(), 0);
        }
        let mut kept = 0;
        for at in 0..count {
            let word = words.get(at).copied();
            if kept == 0 || word != words.get(kept - 1).copied() {
                words.swap_safely(kept, at);
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Returns the place of `word` among the sorted words.
    pub(super) fn place(&mut self, word: usize) -> Option<usize> {
        self.words().binary_search(&word).ok()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let os: &Os = &NATIVE;
        // SAFETY: this value owns the memory, and ends here.
        unsafe { os.free(self.base.cast(), self.bytes) };
    }
}

trait SwapSafely {
    fn swap_safely(&mut self, one: usize, other: usize);
}

impl SwapSafely for [usize] {
    fn swap_safely(&mut self, one: usize, other: usize) {
        if let (Some(&a), Some(&b)) = (self.get(one), self.get(other)) {
            if let Some(place) = self.get_mut(one) {
                *place = b;
            }
            if let Some(place) = self.get_mut(other) {
                *place = a;
            }
        }
    }
}

/// Moves the word at `root` down until no smaller word is the parent of a larger one.
fn sift(words: &mut [usize], mut root: usize) {
    loop {
        let at = |index: usize| words.get(index).copied();
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if at(right) > at(left) { right } else { left };
        if at(child) <= at(root) {
            return;
        }
        words.swap_safely(root, child);
        root = child;
    }
}

/// Numbers keys from 1, in the order in which they come. A hash table with at least twice as many
/// places as keys, and linear probing.
pub(super) struct Numbers {
    /// Key and number in turn; an unused place has key 0.
    places: Words,
    mask: usize,
    count: usize,
    most: usize,
}

impl Numbers {
    /// Creates a table with room for `most` keys.
    pub(super) fn new(most: usize) -> Option<Self> {
        let places = most.checked_mul(2)?.checked_next_power_of_two()?;
        Some(Self {
            places: Words::new(places.checked_mul(2)?)?,
            mask: places - 1,
            count: 0,
            most,
        })
    }

    /// Returns the number of `key`, and whether the number is new. `None`: `key` is 0, or there is
    /// no room.
    pub(super) fn number(&mut self, key: usize) -> Option<(u64, bool)> {
        if key == 0 {
            return None;
        }
        let (mask, next, room) = (self.mask, self.count + 1, self.count < self.most);
        let (places, _) = self.places.all().as_chunks_mut();
        let mut at = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 20;
        // At least half of the places are unused.
        for _ in 0..=mask {
            let [known, number] = places.get_mut(at & mask)?;
            if *known == key {
                return Some((*number as u64, false));
            }
            if *known == 0 {
                if !room {
                    return None;
                }
                (*known, *number) = (key, next);
                self.count = next;
                return Some((next as u64, true));
            }
            at = at.wrapping_add(1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_number_and_there_is_no_gap() {
        let mut numbers = Numbers::new(1000).expect("memory");
        let key = |index: usize| 0x7f00_0000_1000 + index * 7;
        for index in (0..1000).chain(0..1000) {
            let found = numbers.number(key(index)).expect("room");
            assert_eq!(found.0, index as u64 + 1);
        }
        assert_eq!(numbers.number(key(1000)), None, "as many as were asked for");
        assert_eq!(numbers.number(key(5)), Some((6, false)));
        assert_eq!(numbers.number(0), None);
    }

    #[test]
    fn a_table_without_room_has_no_numbers() {
        assert_eq!(Numbers::new(0).expect("memory").number(8), None);
    }

    #[test]
    fn words_are_sorted_and_there_once() {
        let mut words = Words::new(9).expect("memory");
        for word in [5, 3, 9, 3, 1, 5, 5, 0, 2] {
            assert!(words.push(word));
        }
        words.sort();
        assert_eq!(words.words(), [0, 1, 2, 3, 5, 9]);
        assert_eq!((words.place(5), words.place(4)), (Some(4), None));
    }
}
