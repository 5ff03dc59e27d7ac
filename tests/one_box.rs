//! Measures a program that allocates one small box: its resident memory with Greyspan and with the
//! system's allocator.
//!
//! This binary is its own harness, because the usual one allocates far more. With
//! `SPAN_TEST_ALLOCATOR` set, it is the measured program, under the allocator of that name.
//! Without, it runs itself under each and compares. The system's allocator serves all requests
//! before the measured box.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use greyspan::Greyspan;

const KEY: &str = "SPAN_TEST_ALLOCATOR";
const NAME: &str = "a_program_with_one_box_is_at_most_a_mebibyte_larger_than_with_the_system_allocator";
const KIB: usize = 1 << 10;

/// Forwards to Greyspan once the program has chosen it, and to the system's allocator before.
struct Chosen;

static GREYSPAN: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static GLOBAL: Chosen = Chosen;

// SAFETY: each method forwards to an allocator with the same contract. Each block goes back to the
// allocator that it came from, because the program frees no block from before its choice.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if GREYSPAN.load(Relaxed) {
            // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
            unsafe { Greyspan::new().alloc(layout) }
        } else {
            // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if GREYSPAN.load(Relaxed) {
            // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
            unsafe { Greyspan::new().dealloc(ptr, layout) }
        } else {
            // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
            unsafe { System.dealloc(ptr, layout) }
        }
    }
}

/// Returns the resident bytes, counted page by page, because `statm` may lag. Does not allocate.
fn resident() -> usize {
    let mut text = [0; 4096];
    let count = File::open(c"/proc/self/smaps_rollup".to_str().expect("ASCII"))
        .and_then(|mut file| file.read(&mut text))
        .expect("procfs");
    let text = std::str::from_utf8(&text[..count]).expect("ASCII");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a row");
    let number = line
        .split_whitespace()
        .next()
        .and_then(|number| number.parse::<usize>().ok());
    number.expect("a number") * KIB
}

/// The measured program: makes one box and writes to it. It ends at once, so that no block goes
/// back to the wrong allocator.
fn program(greyspan: bool) -> ! {
    GREYSPAN.store(greyspan, Relaxed);
    let one = std::hint::black_box(Box::new(42_u64));
    let figure = resident();
    std::mem::forget(one);
    GREYSPAN.store(false, Relaxed);
    println!("{figure}");
    // SAFETY: ends the process; the figure was written with its line end.
    unsafe { libc::_exit(0) }
}

/// Returns the median of several runs.
fn measured(allocator: &str) -> usize {
    let mut figures = [(); 7].map(|()| {
        let program = std::env::current_exe().expect("this binary");
        let output = Command::new(program).env(KEY, allocator).output().expect("a child");
        let figure = String::from_utf8_lossy(&output.stdout).trim().parse();
        figure.unwrap_or_else(|error| panic!("{allocator}: {error}: {output:?}"))
    });
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn main() {
    match std::env::var_os(KEY) {
        Some(allocator) => program(allocator == "greyspan"),
        None if std::env::args().any(|argument| argument == "--list") => println!("{NAME}: test"),
        None => {
            let (system, greyspan) = (measured("system"), measured("greyspan"));
            println!(
                "\nrunning 1 test\nresident: {} KiB with Greyspan, {} KiB with the system's",
                greyspan / KIB,
                system / KIB
            );
            assert!(greyspan > system, "Greyspan cannot have served the box");
            assert!(greyspan <= system + 1024 * KIB, "{NAME}");
            println!("test {NAME} ... ok\n");
        }
    }
}
