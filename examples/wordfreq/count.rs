//! The two kinds of worker threads, and the map that they share.

use crate::files::{Skips, read};
use indicatif::ProgressBar;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender};

/// The number of independent parts of the shared map, a power of two.
const SHARDS: usize = 64;
/// Words that a counter gathers for one shard before it takes the shard's lock.
const BATCH: usize = 256;
/// The shared map: a word's hash selects the shard that holds it.
pub(crate) struct Words {
    hasher: RandomState,
    pub(crate) shards: [Mutex<HashMap<String, u64>>; SHARDS],
}

impl Words {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn shard_of(&self, word: &str) -> usize {
        self.hasher.hash_one(word) as usize % SHARDS
    }

    /// Counts the words of `batch` and empties it.
    fn add(&self, shard: usize, batch: &mut Vec<String>) {
        let mut counts = self.shards[shard].lock().expect("no counter panics");
        for word in batch.drain(..) {
            *counts.entry(word).or_default() += 1;
        }
    }
}

/// Counts texts as they arrive, until all readers are done.
pub(crate) fn count(texts: &Mutex<Receiver<String>>, words: &Words, done: &ProgressBar) {
    let mut batches: [Vec<String>; SHARDS] = std::array::from_fn(|_| Vec::new());
    loop {
        let next = texts.lock().expect("no counter panics").recv();
        let Ok(text) = next else { break };
        for run in text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()) {
            let word: String = run.chars().flat_map(char::to_lowercase).collect();
            let shard = words.shard_of(&word);
            batches[shard].push(word);
            if batches[shard].len() == BATCH {
                words.add(shard, &mut batches[shard]);
            }
        }
        done.inc(1);
    }
    for (shard, batch) in batches.iter_mut().enumerate() {
        words.add(shard, batch);
    }
}

/// Reads files until none is left. Returns the number of texts, and the files that it skipped.
pub(crate) fn read_files(
    files: &Mutex<impl Iterator<Item = PathBuf>>,
    texts: &SyncSender<String>,
    done: &ProgressBar,
) -> (u64, Skips) {
    let (mut count, mut skips) = (0, Skips::new());
    loop {
        let next = files.lock().expect("no reader panics").next();
        let Some(path) = next else { return (count, skips) };
        match read(&path) {
            Ok(text) => {
                count += 1;
                texts.send(text).expect("counters outlive the readers");
            }
            Err(skip) => {
                *skips.entry(skip).or_default() += 1;
                done.inc(1);
            }
        }
    }
}
