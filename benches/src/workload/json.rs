//! Parses a JSON document into a tree and drops it, again and again, as a server does with each
//! request.
//!
//! The document, `benches/data/metadata.json`, is the output of `cargo metadata` about 23 packages
//! that this workspace builds on, without people and paths: about 110 KB of nested records, mostly
//! short strings. Timed: parsing, a walk, dropping.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../data/metadata.json");
const PARSES: usize = 600;

pub(super) fn run(context: &Context) -> Outcome {
    let parses = context.scaled(PARSES);
    on_threads(context.threads, parses * context.threads, |_| {
        let mut sum = 0u64;
        for _ in 0..parses {
            let document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
            sum = sum.wrapping_add(weight(&document));
        }
        sum
    })
}

/// Returns one per value, plus the lengths of all strings.
fn weight(value: &Value) -> u64 {
    1 + match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() as u64 + weight(value)).sum(),
        _ => 0,
    }
}
