//! Follows objects of 96 bytes through the tiers: prints a line each time that some pass between
//! spans and the bin of a thread.
//!
//! ```text
//! cargo run --example life_of_a_block       without the feature `stats`, which counts each object
//! ```
//!
//! The page docs/design/life-of-an-allocation.md explains each line.

use greyspan::{Greyspan, SizeClassStats, stats};
use std::thread;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

type Small = Box<[u8; 96]>;

/// The counts of the class: objects that passed from spans into bins or came back, and spans.
fn row() -> SizeClassStats {
    let rows = stats().by_size;
    rows.into_iter().find(|row| row.size == 96).unwrap_or_default()
}

/// Calls `act` with the numbers from 1 on, and tells where it changed the counts.
fn watch(what: &str, count: u32, mut act: impl FnMut(u32)) {
    let mut before = row();
    for number in 1..=count {
        act(number);
        let now = row();
        let (out, back) = (now.mallocs - before.mallocs, now.frees - before.frees);
        if (out, back) != (0, 0) {
            println!(
                "{what} {number:4}: {out:3} objects into bins, {back:3} back to spans, {:2} spans",
                now.spans
            );
        }
        before = now;
    }
}

fn fill(boxes: &mut Vec<Small>) {
    let room = boxes.capacity() - boxes.len();
    boxes.extend((0..room).map(|_| Small::new([7; 96])));
}

fn main() {
    println!("a thread makes objects");
    // With room from the start: it must not grow while the counts are watched.
    let mut boxes: Vec<Small> = Vec::with_capacity(2000);
    watch("make", 400, |_| boxes.push(Box::new([7; 96])));
    fill(&mut boxes);

    println!("another thread drops 2000 of them");
    thread::scope(|scope| {
        scope.spawn(move || watch("drop", 2000, |_| drop(boxes.pop())));
    });

    println!("the first thread makes more");
    let mut boxes: Vec<Small> = Vec::with_capacity(4000);
    watch("make", 300, |_| boxes.push(Box::new([7; 96])));
    fill(&mut boxes);

    println!("and drops 4000 itself");
    watch("drop", 4000, |_| drop(boxes.pop()));
}
