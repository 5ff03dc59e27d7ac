//! An ordered map of boxes at a steady size, such as a timer queue or an order book. Timed: all
//! steps and the last drop.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use crate::rng::Rng;
use std::collections::BTreeMap;

const STEPS: usize = 1_400_000;
const KEYS: usize = 100_000;

pub(super) fn run(context: &Context) -> Outcome {
    let steps = context.scaled(STEPS / context.threads);
    let keys = (KEYS / context.threads).max(1);
    on_threads(context.threads, steps * context.threads, |thread| {
        let mut rng = Rng::new(thread as u64);
        let mut map: BTreeMap<u64, Box<[u64; 4]>> = BTreeMap::new();
        let mut sum = 0u64;
        for step in 0..steps as u64 {
            let key = rng.below(keys * 2) as u64;
            if map.len() < keys {
                map.insert(key, Box::new([step; 4]));
            }
            if let Some((&found, _)) = map.range(rng.below(keys * 2) as u64..).next()
                && step % 2 == 0
            {
                sum = sum.wrapping_add(map.remove(&found).map_or(0, |block| block[3]));
            }
        }
        sum.wrapping_add(map.len() as u64)
    })
}
