//! A map from strings to vectors that fills, grows its values and loses keys, such as an index or a
//! session store. Timed: all steps and the last drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::Rng;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

const STEPS: usize = 1_200_000;
const KEYS: usize = 200_000;

pub(super) fn run(context: &Context) -> Outcome {
    let steps = context.scaled(STEPS / context.threads);
    let keys = (KEYS / context.threads).max(1);
    on_threads(context.threads, steps * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        // A fixed hasher: the standard one gets another seed in each process.
        let mut map: HashMap<String, Vec<u64>, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        let mut sum = 0u64;
        for step in 0..steps as u64 {
            let key = format!("user:{:06}:session", rng.below(keys));
            if rng.below(4) == 0 {
                sum = sum.wrapping_add(map.remove(&key).map_or(0, |values| values.iter().fold(1, |a, b| a ^ b)));
            } else {
                map.entry(key).or_default().push(step);
            }
        }
        sum.wrapping_add(map.len() as u64)
    })
}
