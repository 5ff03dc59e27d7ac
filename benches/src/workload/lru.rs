//! A cache of strings to byte vectors that drops the least recently used entry: hot keys are found,
//! cold ones are made and displace others. The list links indices into a vector, as in caches
//! without unsafe code. Timed: all requests and the last drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::{Rng, log_uniform_sizes};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

const REQUESTS: usize = 800_000;
const CAPACITY: usize = 50_000;
/// The number of keys per place in the cache.
const KEYS: usize = 8;

pub(super) fn run(context: &Context) -> Outcome {
    let requests = context.scaled(REQUESTS / context.threads);
    let capacity = (CAPACITY / context.threads).max(2);
    on_threads(context.threads, requests * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, 16, 1024);
        let mut cache = Cache::new(capacity);
        let mut sum = 0u64;
        for _ in 0..requests {
            // Skewed: low numbers are requested far more often.
            let hot = rng.below(capacity * KEYS) + 1;
            let number = rng.below(hot);
            let key = format!("/articles/{number:07}/body");
            let value = match cache.get(&key) {
                Some(value) => value,
                None => cache.insert(key, vec![number as u8; sizes[number % sizes.len()]]),
            };
            sum = sum.wrapping_add(value.len() as u64 + u64::from(value[0]));
        }
        sum
    })
}

/// The index that means "no entry".
const NONE: usize = usize::MAX;

struct Entry {
    key: String,
    value: Vec<u8>,
    newer: usize,
    older: usize,
}

/// Invariant: the entries form one list from `newest` by `older` to `oldest`, and back by `newer`.
/// `places` maps the key of each entry to its index and has no other keys.
struct Cache {
    places: HashMap<String, usize, BuildHasherDefault<DefaultHasher>>,
    entries: Vec<Entry>,
    newest: usize,
    oldest: usize,
    capacity: usize,
}

impl Cache {
    fn new(capacity: usize) -> Self {
        Self {
            places: HashMap::default(),
            entries: Vec::new(),
            newest: NONE,
            oldest: NONE,
            capacity,
        }
    }

    /// Returns the value of `key`, which becomes the newest entry.
    fn get(&mut self, key: &str) -> Option<&[u8]> {
        let index = *self.places.get(key)?;
        self.unlink(index);
        self.link(index);
        Some(&self.entries[index].value)
    }

    /// Adds an entry with a new key. A full cache drops its oldest entry.
    fn insert(&mut self, key: String, value: Vec<u8>) -> &[u8] {
        let entry = Entry {
            key: key.clone(),
            value,
            newer: NONE,
            older: NONE,
        };
        let index = if self.entries.len() < self.capacity {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let index = self.oldest;
            self.unlink(index);
            let old = std::mem::replace(&mut self.entries[index], entry);
            self.places.remove(&old.key);
            index
        };
        self.places.insert(key, index);
        self.link(index);
        &self.entries[index].value
    }

    /// Takes an entry out of the list.
    fn unlink(&mut self, index: usize) {
        let Entry { newer, older, .. } = self.entries[index];
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Puts an entry that is not in the list at its front.
    fn link(&mut self, index: usize) {
        let older = std::mem::replace(&mut self.newest, index);
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = index,
            None => self.oldest = index,
        }
        (self.entries[index].newer, self.entries[index].older) = (NONE, older);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_used_least_recently_goes_first() {
        let mut cache = Cache::new(2);
        cache.insert("a".to_owned(), vec![1]);
        cache.insert("b".to_owned(), vec![2]);
        assert_eq!(cache.get("a"), Some(&[1][..]));
        cache.insert("c".to_owned(), vec![3]);
        assert_eq!(cache.get("b"), None);
        assert_eq!(cache.get("a"), Some(&[1][..]));
        assert_eq!(cache.get("c"), Some(&[3][..]));
        assert_eq!((cache.entries.len(), cache.places.len()), (2, 2));
    }
}
