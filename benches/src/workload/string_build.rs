//! Builds text piece by piece without a given capacity and keeps the last 1000 lines, like a log or
//! a template engine. Timed: all lines.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::Rng;
use std::collections::VecDeque;
use std::fmt::Write;

const LINES: usize = 1_000_000;
const KEPT: usize = 1000;
const WORDS: [&str; 8] = [
    "alloc",
    "free",
    "a",
    "span of pages",
    "heap",
    "thread-local cache",
    "of",
    "central list",
];

pub(super) fn run(context: &Context) -> Outcome {
    let lines = context.scaled(LINES);
    on_threads(context.threads, lines * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let mut kept = VecDeque::with_capacity(KEPT + 1);
        let mut sum = 0u64;
        for number in 0..lines {
            let mut line = String::new();
            for _ in 0..1 + rng.below(24) {
                line.push_str(WORDS[rng.below(WORDS.len())]);
                line.push(' ');
            }
            write!(line, "#{number}").expect("writing to a string cannot fail");
            kept.push_back(line.to_uppercase());
            kept.push_back(line);
            while kept.len() > KEPT {
                sum = sum.wrapping_add(kept.pop_front().map_or(0, |line| line.len() as u64));
            }
        }
        sum
    })
}
