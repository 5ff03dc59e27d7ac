//! Starts threads 8 at a time; each returns one box and ends. This shows an allocator's cost at the
//! start and end of a thread. Each of the requested threads starts its own. Timed: all of them.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};

const THREADS: usize = 4000;
/// The number of threads started before the first of them is joined.
const AT_ONCE: usize = 8;

pub(super) fn run(context: &Context) -> Outcome {
    let rounds = context.scaled(THREADS / AT_ONCE / context.threads);
    on_threads(context.threads, rounds * AT_ONCE * context.threads, |_| {
        let mut sum = 0u64;
        for round in 0..rounds as u64 {
            let running: [_; AT_ONCE] =
                std::array::from_fn(|index| std::thread::spawn(move || Box::new([round + index as u64; 4])));
            for thread in running {
                sum = sum.wrapping_add(thread.join().expect("a thread panicked")[3]);
            }
        }
        sum
    })
}
