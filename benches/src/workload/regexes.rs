//! Compiles regular expressions, matches each once against a short text and drops it, like a tool
//! that is started for one file, or rules that users write. Timed: compiling, matching, dropping.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use regex::Regex;

const ROUNDS: usize = 120;
const PATTERNS: [&str; 16] = [
    r"^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})Z$",
    r"\b[A-Z][a-z]+\s+[A-Z][a-z]+\b",
    r"(?i)(error|warning|fatal|panic(ked)?)\s*:\s*(.*)",
    r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}",
    r"https?://[^\s/$.?#].[^\s]*",
    r"^\s*(pub(\([a-z]+\))?\s+)?fn\s+(?<name>\w+)",
    r"(?m)^\[(?<section>[^\]]+)\]$",
    r#""(?:[^"\\]|\\.)*""#,
    r"0x[0-9a-fA-F]{1,16}\b",
    r"(\d{1,3}\.){3}\d{1,3}(:\d{1,5})?",
    r"(?x) (?<major>\d+) \. (?<minor>\d+) \. (?<patch>\d+) (-[0-9A-Za-z.-]+)?",
    r"alloc(ated|ates|ation|ator)?s?",
    r"\p{Greek}+|\p{Cyrillic}+",
    r"(a|b|c|d){2,12}e+",
    r"[^,]*,[^,]*,([^,]*),",
    r"^.{0,40}(heap|span|cache).{0,40}$",
];
const TEXT: &str = "2026-01-31T12:00:00Z error: the Thread Cache at 0x7f00deadbeef (see https://example.org/a?b=c) \
                    holds \"64 \\\"objects\\\"\" of version 1.22.3-beta, mail admin@example.org, from 10.0.0.1:8080";

pub(super) fn run(context: &Context) -> Outcome {
    let rounds = context.scaled(ROUNDS);
    on_threads(context.threads, rounds * PATTERNS.len() * context.threads, |_| {
        let mut sum = 0u64;
        for _ in 0..rounds {
            for (number, pattern) in PATTERNS.iter().enumerate() {
                let regex = Regex::new(pattern).expect("the pattern is valid");
                let found = regex.captures(TEXT);
                let length = found.and_then(|groups| groups.get(0)).map_or(0, |group| group.len());
                sum = sum.wrapping_add((number * length) as u64 + regex.captures_len() as u64);
            }
        }
        sum
    })
}
