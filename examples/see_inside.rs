//! Shows the allocator's reports about a program with a few hundred thousand objects: a table,
//! JSON, Prometheus' text, a map of the heap.
//!
//! ```text
//! cargo run --release --features stats --example see_inside           the table and the map
//! cargo run --release --features stats --example see_inside -- json   or prometheus, map-json, svg
//! cargo run --release --features stats --example see_inside -- cost   the time of the snapshots
//! ```

use greyspan::{Greyspan, heap_map, stats};
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// Builds an index of words, as a search engine has one, and drops every third word again.
fn index() -> BTreeMap<String, Vec<u32>> {
    let mut words = BTreeMap::new();
    for number in 0_u32..200_000 {
        let word = format!("word{}", number.wrapping_mul(2_654_435_761) % 60_000);
        words.entry(word).or_insert_with(Vec::new).push(number);
    }
    let mut turn = 0;
    words.retain(|_, _| {
        turn += 1;
        turn % 3 != 0
    });
    words
}

/// Prints the median of 1000 calls, and the time that 90 % of them stay below, in microseconds.
fn cost(what: &str, mut call: impl FnMut()) {
    let mut times: Vec<f64> = (0..1000)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<12} median {:8.1} us, 90 % below {:8.1} us",
        times[500], times[900]
    );
}

fn costs() {
    const THREADS: usize = 64;
    let (begun, over) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let own: Vec<Vec<u8>> = (1..200).map(|size| vec![0; size * 16]).collect();
                begun.wait();
                over.wait();
                drop(own);
            });
        }
        begun.wait();
        println!("{THREADS} threads alive, {} bytes of objects", stats().allocated);
        cost("stats()", || {
            std::hint::black_box(stats());
        });
        cost("heap_map()", || {
            std::hint::black_box(heap_map());
        });
        over.wait();
    });
}

fn main() {
    let words = index();
    let block = vec![7_u8; 5 << 20];
    match std::env::args().nth(1).as_deref() {
        None => {
            print!("{}\n{}", stats(), heap_map());
        }
        Some("json") => println!("{}", stats().to_json()),
        Some("prometheus") => print!("{}", stats().to_prometheus()),
        Some("map-json") => println!("{}", heap_map().to_json()),
        Some("svg") => print!("{}", heap_map().to_svg()),
        Some("cost") => costs(),
        Some(other) => {
            eprintln!("{other:?} is none of json, prometheus, map-json, svg, cost");
            std::process::exit(2);
        }
    }
    assert!(words.len() == 40_000 && block[4 << 20] == 7);
}
