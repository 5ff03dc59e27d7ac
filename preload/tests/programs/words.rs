//! Counts the words of a file, in threads.

use std::collections::{BTreeMap, HashMap};
use std::thread;

fn main() {
    let path = std::env::args().nth(1).expect("a file");
    let text = std::fs::read_to_string(path).expect("its text");
    let lines: Vec<&str> = text.lines().collect();
    let counts = thread::scope(|scope| {
        let parts: Vec<_> = lines
            .chunks(lines.len() / 4 + 1)
            .map(|part| {
                scope.spawn(move || {
                    let mut counts: HashMap<String, usize> = HashMap::new();
                    for word in part.iter().flat_map(|line| line.split_whitespace()) {
                        *counts.entry(word.to_lowercase()).or_default() += 1;
                    }
                    counts
                })
            })
            .collect();
        let mut all = BTreeMap::new();
        for part in parts {
            for (word, count) in part.join().expect("a count") {
                *all.entry(word).or_insert(0) += count;
            }
        }
        all
    });
    for (word, count) in counts {
        println!("{word} {count}");
    }
}
