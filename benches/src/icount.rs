//! The loops of the instruction ruler, and the body of every `icount_*` program: `ROW heap|base
//! OPERATIONS`.
//!
//! Each row is a pair of loops that differ only in the heap: `base` does the same with memory on
//! the stack. The ruler runs each at two lengths under callgrind. The price is the slope of `heap`
//! minus the slope of `base`.

use crate::rng::{Rng, log_uniform_sizes};
use crate::workload::block::Block;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// One row of the ruler.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The row's name on the command line.
    pub name: &'static str,
    /// One line: the operations that are counted.
    pub help: &'static str,
    heap: fn(u64),
    base: fn(u64),
}

const fn row(name: &'static str, help: &'static str, heap: fn(u64), base: fn(u64)) -> Row {
    Row { name, help, heap, base }
}

/// All rows. A loop's argument is its number of operations, a multiple of [`UNIT`].
pub const ROWS: &[Row] = &[
    row(
        "box64",
        "a Box of 64 bytes, constant size: make and drop one",
        box64,
        box64_base,
    ),
    row(
        "runtime64",
        "64 bytes, size known at run time only: alloc and dealloc",
        runtime64,
        runtime64_base,
    ),
    row(
        "batch64",
        "100 boxes of 64 bytes, made then dropped: per box",
        batch::<8, 100>,
        batch_base::<100>,
    ),
    row(
        "batch8k",
        "100 boxes of 8 KiB, made then dropped: per box",
        batch::<1024, 100>,
        batch_base::<100>,
    ),
    row(
        "batch256k",
        "10 boxes of 256 KiB, made then dropped: per box",
        batch::<32_768, 10>,
        batch_base::<10>,
    ),
    row(
        "churn",
        "random replacement in 4096 slots of 16 to 1024 bytes: per dealloc and alloc",
        churn,
        churn_base,
    ),
    row(
        "remote64",
        "boxes of 64 bytes made by one thread, dropped by another: per box",
        remote::<Crossing>,
        remote::<u64>,
    ),
    row(
        "realloc",
        "alloc, 8 reallocs from 16 to 384 bytes, dealloc: per call",
        ladder,
        ladder_base,
    ),
    row(
        "zeroed64",
        "64 zeroed bytes, constant size: alloc_zeroed and dealloc",
        zeroed64,
        zeroed64_base,
    ),
    row(
        "aligned64",
        "192 bytes at a multiple of 64, known at run time only: alloc and dealloc",
        aligned64,
        aligned64_base,
    ),
];

/// The number of operations must be a multiple of this.
pub const UNIT: u64 = 5000;

/// Makes a program whose global allocator is `$allocator` and which runs one loop.
#[macro_export]
macro_rules! icount_main {
    ($type:ty = $allocator:expr) => {
        #[global_allocator]
        static GLOBAL: $type = $allocator;

        fn main() -> std::process::ExitCode {
            $crate::icount::main()
        }
    };
}

/// Runs the loop that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, kind, operations] = &arguments[..] else {
        return usage("expected ROW heap|base OPERATIONS");
    };
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        return usage(&format!("unknown row {name:?}"));
    };
    let body = match kind.as_str() {
        "heap" => row.heap,
        "base" => row.base,
        _ => return usage(&format!("expected heap or base, not {kind:?}")),
    };
    let Some(operations) = operations.parse().ok().filter(|count| count % UNIT == 0) else {
        return usage(&format!("OPERATIONS must be a multiple of {UNIT}"));
    };
    body(operations);
    ExitCode::SUCCESS
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}

#[inline(never)]
fn box64(count: u64) {
    for number in 0..count {
        drop(black_box(Block::<8>::new(number)));
    }
}

#[inline(never)]
fn box64_base(count: u64) {
    for number in 0..count {
        stack_word(number);
    }
}

/// Writes the first word of an array on the stack and makes its address escape.
#[inline(always)]
fn stack_word(number: u64) {
    let mut words = MaybeUninit::<[u64; 8]>::uninit();
    let first = words.as_mut_ptr().cast::<u64>();
    // SAFETY: `first` points into `words`, which is live, writable and aligned for `u64`.
    unsafe { first.write(number) };
    black_box(&mut words);
}

#[inline(never)]
fn runtime64(count: u64) {
    pairs(count, run_time_layout::<64, 8>);
}

#[inline(never)]
fn runtime64_base(count: u64) {
    pairs_base(count, run_time_layout::<64, 8>);
}

#[inline(never)]
fn aligned64(count: u64) {
    pairs(count, run_time_layout::<192, 64>);
}

#[inline(never)]
fn aligned64_base(count: u64) {
    pairs_base(count, run_time_layout::<192, 64>);
}

#[inline(always)]
fn pairs(count: u64, layout: impl Fn() -> Layout) {
    for number in 0..count {
        let layout = layout();
        // SAFETY: the layouts of `run_time_layout` have 64 bytes or more.
        let block = unsafe { alloc(layout) };
        let word = block.cast::<u64>();
        // SAFETY: 64 bytes or more, aligned to 8, owned by this loop. Not null, because the ruler
        // runs with memory to spare.
        unsafe { word.write(number) };
        // SAFETY: allocated above with this layout and not freed since.
        unsafe { dealloc(black_box(block), layout) };
    }
}

#[inline(always)]
fn pairs_base(count: u64, layout: impl Fn() -> Layout) {
    for number in 0..count {
        let layout = layout();
        black_box(layout.size());
        stack_word(number);
    }
}

/// Returns a layout that the optimiser does not know.
#[inline(always)]
fn run_time_layout<const SIZE: usize, const ALIGN: usize>() -> Layout {
    const { assert!(SIZE >= 64 && SIZE <= 4096 && ALIGN.is_power_of_two() && ALIGN >= 8) };
    let align = if ALIGN > 8 { black_box(ALIGN) } else { ALIGN };
    // SAFETY: the alignment is a power of two. The size is far from overflow, which the assertion
    // makes sure of.
    unsafe { Layout::from_size_align_unchecked(black_box(SIZE), align) }
}

#[inline(never)]
fn batch<const WORDS: usize, const BOXES: usize>(count: u64) {
    let mut table: [Option<Block<WORDS>>; BOXES] = [const { None }; BOXES];
    for _ in 0..count / BOXES as u64 {
        for (slot, number) in table.iter_mut().zip(0..) {
            *slot = Some(Block::new(number));
        }
        for slot in black_box(&mut table) {
            drop(slot.take());
        }
    }
}

#[inline(never)]
fn batch_base<const BOXES: usize>(count: u64) {
    let mut words = [0u64; 8];
    let mut table: [Option<NonNull<u64>>; BOXES] = [None; BOXES];
    for _ in 0..count / BOXES as u64 {
        for (slot, number) in table.iter_mut().zip(0..) {
            words[0] = number;
            *slot = NonNull::new(black_box(words.as_mut_ptr()));
        }
        for slot in black_box(&mut table) {
            black_box(slot.take());
        }
    }
}

const SLOTS: usize = 4096;

#[inline(never)]
fn churn(count: u64) {
    let (mut rng, sizes) = churn_sizes();
    let mut slots: Vec<Box<[MaybeUninit<u8>]>> = (0..SLOTS)
        .map(|slot| Box::new_uninit_slice(sizes[slot % 1024]))
        .collect();
    for _ in 0..count {
        let size = sizes[rng.below(1024)];
        slots[rng.below(SLOTS)] = Box::new_uninit_slice(size);
    }
    black_box(slots);
}

#[inline(never)]
fn churn_base(count: u64) {
    let (mut rng, sizes) = churn_sizes();
    let mut slots: Vec<(usize, usize)> = (0..SLOTS).map(|slot| (slot, sizes[slot % 1024])).collect();
    for _ in 0..count {
        let size = sizes[rng.below(1024)];
        let old = std::mem::replace(&mut slots[rng.below(SLOTS)], (black_box(1), size));
        black_box(old);
    }
    black_box(slots);
}

fn churn_sizes() -> (Rng, [usize; 1024]) {
    let mut rng = Rng::new(1);
    let sizes = log_uniform_sizes(&mut rng, 16, 1024);
    (rng, sizes)
}

/// A value that [`remote`] sends from thread to thread.
trait Parcel: Send {
    fn pack(number: u64) -> Self;
    fn unpack(self);
}

#[derive(Debug)]
struct Crossing(Block<8>);

impl Parcel for Crossing {
    #[inline(always)]
    fn pack(number: u64) -> Self {
        Self(Block::new(number))
    }
    #[inline(always)]
    fn unpack(self) {
        drop(black_box(self.0));
    }
}

impl Parcel for u64 {
    #[inline(always)]
    fn pack(number: u64) -> Self {
        black_box(number)
    }
    #[inline(always)]
    fn unpack(self) {
        black_box(self);
    }
}

/// Two threads take strict turns over one vector and park in between. They do not spin, so that the
/// count is repeatable.
#[inline(never)]
fn remote<P: Parcel>(count: u64) {
    const BATCH: u64 = 250;
    let (here, there) = (0, 1);
    let turn = AtomicUsize::new(here);
    let parcels = Mutex::new(Vec::<P>::with_capacity(BATCH as usize));
    let producer = thread::current();
    let wait_for = |side| {
        // Acquire: pairs with the other side's Release store, so that this side sees the other's
        // work on the vector.
        while turn.load(Ordering::Acquire) != side {
            thread::park();
        }
    };
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            for _ in 0..count / BATCH {
                wait_for(there);
                parcels.lock().expect("no holder panics").drain(..).for_each(P::unpack);
                // Release: pairs with the producer's Acquire load in `wait_for`.
                turn.store(here, Ordering::Release);
                producer.unpark();
            }
        });
        for _ in 0..count / BATCH {
            wait_for(here);
            let mut filling = parcels.lock().expect("no holder panics");
            for number in 0..BATCH {
                filling.push(P::pack(number));
            }
            drop(filling);
            // Release: pairs with the consumer's Acquire load in `wait_for`.
            turn.store(there, Ordering::Release);
            consumer.thread().unpark();
        }
    });
}

const STEPS: [usize; 9] = [16, 32, 48, 64, 96, 128, 192, 256, 384];

#[inline(never)]
fn ladder(count: u64) {
    for number in 0..count / (STEPS.len() as u64 + 1) {
        let mut layout = ladder_layout(STEPS[0]);
        // SAFETY: `layout` has 16 bytes.
        let mut block = unsafe { alloc(layout) };
        for size in &STEPS[1..] {
            let size = black_box(*size);
            // SAFETY: `block` was allocated with `layout`. The new size is not zero and far from
            // overflow.
            block = unsafe { realloc(block, layout, size) };
            layout = ladder_layout(size);
            let word = block.cast::<u64>();
            // SAFETY: at least 16 bytes, aligned to 8, owned by this loop. Not null, because the
            // ruler runs with memory to spare.
            unsafe { word.write(number) };
        }
        // SAFETY: `block` came from `realloc` to `layout` and was not freed since.
        unsafe { dealloc(black_box(block), layout) };
    }
}

#[inline(never)]
fn ladder_base(count: u64) {
    let mut words = [0u64; 2];
    for number in 0..count / (STEPS.len() as u64 + 1) {
        for size in &STEPS[1..] {
            let size = black_box(*size);
            black_box(ladder_layout(size).size());
            words[0] = number;
            black_box(&mut words);
        }
    }
}

#[inline(always)]
fn ladder_layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two; the sizes of `STEPS` are far from overflow.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

#[inline(never)]
fn zeroed64(count: u64) {
    const LAYOUT: Layout = Layout::new::<[u64; 8]>();
    for number in 0..count {
        // SAFETY: `LAYOUT` has 64 bytes.
        let block = unsafe { alloc_zeroed(LAYOUT) };
        let word = block.cast::<u64>();
        // SAFETY: 64 bytes, aligned to 8, owned by this loop. Not null, because the ruler runs with
        // memory to spare.
        unsafe { word.write(number) };
        // SAFETY: allocated above with this layout and not freed since.
        unsafe { dealloc(black_box(block), LAYOUT) };
    }
}

#[inline(never)]
fn zeroed64_base(count: u64) {
    for number in 0..count {
        let mut words = [0u64; 8];
        black_box(&mut words);
        words[0] = number;
        black_box(&mut words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_of_every_row_ends() {
        for row in ROWS {
            (row.heap)(UNIT);
            (row.base)(UNIT);
        }
    }
}
