//! Runs the input as a sequence of operations on one thread. The oracle of the model test judges
//! them.
//!
//! On stable, after `mkdir -p fuzz/corpus/ops`:
//!
//! ```text
//! cargo fuzz run -s none ops fuzz/corpus/ops fuzz/seeds/ops -- -max_total_time=60
//! ```
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use greyspan::Greyspan;
use libfuzzer_sys::fuzz_target;
use support::ops::Op;
use support::oracle::{Atlas, Limits, Shadow};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const LIMITS: Limits = Limits {
    bytes: 80 << 20,
    reach: 4 << 30,
    check_every: 256,
};

/// Returns how many bytes in large blocks an input may request: many if it is short, few if it is
/// long.
fn allowance(input: &[u8]) -> usize {
    if input.len() < 128 { 160 << 20 } else { 8 << 20 }
}

fuzz_target!(|input: &[u8]| {
    let atlas = Atlas::default();
    let mut shadow = Shadow::new(&GLOBAL, &atlas, LIMITS, 1);
    let mut allowance = allowance(input);
    for op in Op::decode_all(input) {
        shadow.run(op.within(&mut allowance));
    }
    shadow.check();
});
