//! Producer and consumer: one thread only allocates, another only frees, so each object crosses
//! threads. Boxes travel through a bounded channel in vectors of 256, which one thread makes and
//! the other drops too. Timed: from the start of the threads to the end of the last.

#![forbid(unsafe_code)]

use super::{Context, Outcome, on_threads};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

const BOXES: usize = 30_000_000;
const BATCH: usize = 256;
/// Batches in the channel at once: 4096 boxes, so that the channel does not become a second heap.
const IN_FLIGHT: usize = 16;

type Batch = Vec<Box<[u64; 8]>>;
type Channel = (Mutex<Option<SyncSender<Batch>>>, Mutex<Option<Receiver<Batch>>>);

pub(super) fn run(context: &Context) -> Outcome {
    let pairs = (context.threads / 2).max(1);
    let batches = context.scaled(BOXES / pairs).div_ceil(BATCH);
    let channels: Vec<Channel> = (0..pairs)
        .map(|_| {
            let (sender, receiver) = sync_channel(IN_FLIGHT);
            (Mutex::new(Some(sender)), Mutex::new(Some(receiver)))
        })
        .collect();
    on_threads(pairs * 2, batches * BATCH * pairs, |thread| {
        let (sender, receiver) = &channels[thread / 2];
        if thread % 2 == 0 {
            produce(take(sender), batches)
        } else {
            consume(take(receiver))
        }
    })
}

fn take<T>(end: &Mutex<Option<T>>) -> T {
    end.lock()
        .expect("no holder panics")
        .take()
        .expect("each end has one thread")
}

fn produce(sender: SyncSender<Batch>, batches: usize) -> u64 {
    for batch in 0..batches as u64 {
        let boxes = (0..BATCH as u64).map(|index| Box::new([batch + index; 8])).collect();
        sender.send(boxes).expect("the consumer outlives the producer");
    }
    0
}

fn consume(receiver: Receiver<Batch>) -> u64 {
    let mut sum = 0u64;
    for boxes in receiver {
        for block in boxes {
            sum = sum.wrapping_add(block[7]);
        }
    }
    sum
}
