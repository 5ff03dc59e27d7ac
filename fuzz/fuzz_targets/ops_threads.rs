//! Runs three threads in a ring. Each runs every third operation of the input. Some freed blocks go
//! to the next thread instead, which checks them and keeps them.
//!
//! On stable, after `mkdir -p fuzz/corpus/ops_threads`:
//!
//! ```text
//! cargo fuzz run -s none ops_threads fuzz/corpus/ops_threads fuzz/seeds/ops_threads -- \
//!     -max_total_time=60
//! ```
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::mpsc;
use std::thread;

use greyspan::Greyspan;
use libfuzzer_sys::fuzz_target;
use support::ops::Op;
use support::oracle::{Atlas, Block, Limits, Shadow};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const THREADS: usize = 3;

const LIMITS: Limits = Limits {
    bytes: 32 << 20,
    reach: 2 << 30,
    check_every: 128,
};

/// Returns how many bytes in large blocks an input may request: many if it is short, few if it is
/// long.
fn allowance(input: &[u8]) -> usize {
    if input.len() < 128 { 160 << 20 } else { 8 << 20 }
}

fuzz_target!(|input: &[u8]| {
    let mut allowance = allowance(input);
    let ops: Vec<Op> = Op::decode_all(input).map(|op| op.within(&mut allowance)).collect();
    let atlas = Atlas::default();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel::<Block>()).unzip();
    thread::scope(|scope| {
        let workers: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(id, receiver)| {
                let next = senders[(id + 1) % THREADS].clone();
                let (ops, atlas) = (&ops, &atlas);
                scope.spawn(move || {
                    let mut shadow = Shadow::new(&GLOBAL, atlas, LIMITS, (id + 1) << 30);
                    for &op in ops.iter().skip(id).step_by(THREADS) {
                        match op {
                            // A block in an even slot goes to the next thread.
                            Op::Dealloc { slot } if slot % 2 == 0 => {
                                if let Some(block) = shadow.give(slot / 2) {
                                    next.send(block).expect("receivers live until all threads are through");
                                }
                            }
                            op => shadow.run(op),
                        }
                        receiver.try_iter().for_each(|block| shadow.adopt(block));
                    }
                    receiver
                })
            })
            .collect();
        let receivers: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("no verdict"))
            .collect();
        // Frees the blocks that were sent to a thread after it had finished.
        let mut shadow = Shadow::new(&GLOBAL, &atlas, LIMITS, 1);
        receivers
            .iter()
            .flat_map(mpsc::Receiver::try_iter)
            .for_each(|block| shadow.adopt(block));
    });
});
