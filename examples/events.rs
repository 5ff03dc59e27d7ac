//! Forwards the allocator's events to `tracing`, as a server does: a thread drains them
//! periodically.
//!
//! ```text
//! cargo run --release --example events
//! ```
//!
//! The program grows, frees, purges, and exceeds both limits; each of these appears as a line.

use greyspan::Greyspan;
use greyspan::events::{self, Event, EventKind};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// Writes one event as a line of `tracing`. Events that need attention become warnings.
fn trace(event: Event) {
    let at = event.unix_nanos;
    match event.kind {
        EventKind::SoftLimit { footprint, limit } => tracing::warn!(at, footprint, limit, "beyond the soft limit"),
        EventKind::HardLimit {
            wanted,
            footprint,
            limit,
            refused,
        } => tracing::error!(at, wanted, footprint, limit, refused, "refused"),
        EventKind::Purge { bytes, cause } => tracing::info!(at, bytes, %cause, "gave memory back"),
        EventKind::ArenaGrew { bytes, heap_sys, huge } => tracing::debug!(at, bytes, heap_sys, huge, "grew"),
        // Later versions may add event kinds: their one-line text suffices.
        other => tracing::debug!(at, "{other}"),
    }
}

static SEEN: AtomicU64 = AtomicU64::new(0);

fn drain() {
    let missed = events::drain(&mut |event| {
        SEEN.fetch_add(1, Ordering::Relaxed);
        trace(event);
    });
    if missed > 0 {
        tracing::warn!(missed, "events were overwritten before they were drained");
    }
}

fn work() {
    let rows: Vec<Vec<u8>> = (0..64).map(|_| vec![1; 1 << 20]).collect();
    assert_eq!(
        rows.iter().flatten().map(|&byte| u64::from(byte)).sum::<u64>(),
        64 << 20
    );
    drop(rows);
    greyspan::purge();

    greyspan::set_memory_limit(Some(24 << 20));
    let held = vec![2_u8; 32 << 20];
    assert_eq!(held[12_345], 2);
    drop(held);
    greyspan::set_memory_limit(None);

    greyspan::set_hard_limit(Some(64 << 20));
    let mut wanted: Vec<u8> = Vec::new();
    assert!(wanted.try_reserve(256 << 20).is_err(), "beyond the hard limit");
    greyspan::set_hard_limit(None);
}

fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .without_time()
        .init();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                drain();
                thread::sleep(Duration::from_millis(20));
            }
            drain();
        });
        work();
        over.store(true, Ordering::Release);
    });
    let seen = SEEN.load(Ordering::Relaxed);
    assert!(seen >= 5, "growth, a purge and both limits, but {seen} events");
    println!("{seen} events");
}
