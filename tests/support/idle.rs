//! Five programs that need much memory once, free it and fall asleep.
//!
//! `compare` draws their resident memory over time, and the tests of both forms of the heap bound
//! it. Each program calls its last argument at the [`Moment`]s that it passes. The caller measures
//! there, and waits as long as the program shall sleep: meanwhile each thread of the program sleeps
//! in the kernel, and none has ended.
#![forbid(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::{Barrier, Mutex, MutexGuard};
use std::thread;

/// A moment in the life of a program, at which all of its threads sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before the first block.
    Start,
    /// All memory is in use.
    Full,
    /// The frees after the peak have ended.
    Freed,
    /// The blocks that outlived the peak are free too.
    Empty,
    /// Another thread has filled as much memory again.
    Again,
}

/// The work of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// The number of blocks that it made.
    pub(crate) blocks: u64,
    /// A sum over their contents.
    pub(crate) sum: u64,
    /// The bytes of the pages of 4 KiB that hold the blocks live at [`Moment::Freed`]. No heap that
    /// does not move blocks can have less resident.
    pub(crate) live_pages: u64,
}

/// The function that a program calls at its moments.
pub(crate) type At<'a> = &'a mut dyn FnMut(Moment);

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;

/// An xorshift64* generator.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as usize % bound
    }

    /// Returns a size above `low`, at most `low << doublings`. Each doubling is equally frequent.
    fn size(&mut self, low: usize, doublings: usize) -> usize {
        let floor = low << self.below(doublings);
        floor + 1 + self.below(floor)
    }
}

/// A block of which one byte in each page is written, and no other.
struct Block(Box<[MaybeUninit<u8>]>);

impl Block {
    fn new(size: usize) -> Self {
        let mut block = Box::new_uninit_slice(size);
        for page in block.chunks_mut(PAGE) {
            page[0].write(1);
        }
        Self(block)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The place where the threads of a program and its main thread wait for each other.
struct Gate(Barrier);

impl Gate {
    fn new(threads: usize) -> Self {
        Self(Barrier::new(threads + 1))
    }

    /// A thread sleeps over one moment.
    fn sleep(&self) {
        self.0.wait();
        self.0.wait();
    }

    /// The main thread reports one moment.
    fn pass(&self, at: &mut dyn FnMut(Moment), moment: Moment) {
        self.0.wait();
        at(moment);
        self.0.wait();
    }
}

/// Runs `body(thread)` on several threads and passes the moments. Returns the sum of the results.
fn together(threads: usize, at: At<'_>, moments: &[Moment], body: impl Fn(usize, &Gate) -> u64 + Sync) -> u64 {
    at(Moment::Start);
    let gate = Gate::new(threads);
    thread::scope(|scope| {
        let (body, gate) = (&body, &gate);
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || body(thread, gate)))
            .collect();
        for &moment in moments {
            gate.pass(at, moment);
        }
        running
            .into_iter()
            .map(|thread| thread.join().expect("a thread panicked"))
            .fold(0, u64::wrapping_add)
    })
}

/// Eight threads fill `bytes` with blocks of 64 bytes to 4 KiB. Then each frees 95 % of its blocks
/// at random, and later the rest. With `exchange`, each frees those of another thread.
pub(crate) fn partial(bytes: usize, exchange: bool, at: At<'_>) -> Work {
    const THREADS: usize = 8;
    let (blocks, pages) = (Mutex::new(0), Mutex::new(0));
    let tables = [const { Mutex::new(Vec::new()) }; THREADS];
    let moments = [Moment::Full, Moment::Freed, Moment::Empty];
    let sum = together(THREADS, at, &moments, |thread, gate| {
        let mut random = Random::new(thread);
        let (mut own, mut left, mut sum) = (Vec::new(), bytes / THREADS, 0u64);
        while left > 0 {
            let size = random.size(64, 6);
            own.push(vec![size as u8 | 1; size].into_boxed_slice());
            left = left.saturating_sub(size);
        }
        *locked(&blocks) += own.len() as u64;
        *locked(&tables[thread]) = own;
        gate.sleep();
        let neighbour = (thread + usize::from(exchange)) % THREADS;
        let mut own = std::mem::take(&mut *locked(&tables[neighbour]));
        let survivors = own.len().div_ceil(20);
        while own.len() > survivors {
            let block = own.swap_remove(random.below(own.len()));
            sum = sum.wrapping_add(u64::from(block[block.len() - 1]));
        }
        own.shrink_to_fit();
        *locked(&pages) += pages_of(&mut own, &mut random);
        gate.sleep();
        sum = own
            .drain(..)
            .fold(sum, |sum, block| sum.wrapping_add(u64::from(block[0])));
        drop(own);
        gate.sleep();
        sum
    });
    Work {
        blocks: *locked(&blocks),
        sum,
        live_pages: *locked(&pages),
    }
}

/// Returns the bytes of the pages that hold the blocks. Allocates nothing: sorts the list and
/// shuffles it again.
fn pages_of(blocks: &mut [Box<[u8]>], random: &mut Random) -> u64 {
    blocks.sort_unstable_by_key(|block| block.as_ptr().addr());
    let (mut pages, mut next) = (0, 0);
    for block in &*blocks {
        let start = block.as_ptr().addr();
        let end = (start + block.len()).div_ceil(PAGE);
        pages += end - next.clamp(start / PAGE, end);
        next = end;
    }
    for last in (1..blocks.len()).rev() {
        blocks.swap(last, random.below(last + 1));
    }
    (pages * PAGE) as u64
}

/// Four threads make and free batches of `blocks` blocks of 1 MiB each, `rounds` batches per
/// thread.
pub(crate) fn batches(rounds: usize, blocks: usize, at: At<'_>) -> Work {
    const THREADS: usize = 4;
    let sum = together(THREADS, at, &[Moment::Freed], |_, gate| {
        let mut sum = 0u64;
        for _ in 0..rounds {
            let batch: Vec<Block> = (0..blocks).map(|_| Block::new(MIB)).collect();
            sum = batch.iter().map(Block::size).fold(sum, u64::wrapping_add);
        }
        gate.sleep();
        sum
    });
    Work {
        blocks: (THREADS * rounds * blocks) as u64,
        sum,
        live_pages: 0,
    }
}

/// Each of `threads` threads replaces its share of `blocks` blocks of 16 bytes to 32 KiB at random
/// in 200 slots, and then frees all.
pub(crate) fn threads(threads: usize, blocks: usize, at: At<'_>) -> Work {
    const SLOTS: usize = 200;
    let each = blocks.div_ceil(threads);
    let sum = together(threads, at, &[Moment::Freed], |thread, gate| {
        let mut random = Random::new(thread);
        let mut slots = [const { None::<Block> }; SLOTS];
        let mut sum = 0u64;
        for _ in 0..each {
            let slot = &mut slots[random.below(SLOTS)];
            // The slot is empty while the new block is made.
            sum = sum.wrapping_add(slot.take().map_or(0, |block| block.size()));
            *slot = Some(Block::new(random.size(16, 11)));
        }
        slots.fill_with(|| None);
        gate.sleep();
        sum
    });
    Work {
        blocks: (threads * each) as u64,
        sum,
        live_pages: 0,
    }
}

/// Each of `threads` threads makes 60 blocks of 16 bytes to 4 KiB, and frees them.
pub(crate) fn small(threads: usize, at: At<'_>) -> Work {
    const BLOCKS: usize = 60;
    let sum = together(threads, at, &[Moment::Freed], |thread, gate| {
        let mut random = Random::new(thread);
        let blocks: [Block; BLOCKS] = std::array::from_fn(|_| Block::new(random.size(16, 8)));
        let sum = blocks.iter().map(Block::size).sum();
        drop(blocks);
        gate.sleep();
        sum
    });
    Work {
        blocks: (threads * BLOCKS) as u64,
        sum,
        live_pages: 0,
    }
}

/// A thread fills `blocks` blocks of 2000 bytes and pauses, while the main thread frees them. Then
/// a third thread fills as many.
pub(crate) fn owner(blocks: usize, at: At<'_>) -> Work {
    const SIZE: usize = 2000;
    at(Moment::Start);
    let table = Mutex::new(Vec::<Box<[u8]>>::with_capacity(blocks));
    let fill = || {
        let mut table = locked(&table);
        table.extend((0..blocks).map(|turn| vec![turn as u8 | 1; SIZE].into_boxed_slice()));
    };
    let free = || {
        let mut table = locked(&table);
        table
            .drain(..)
            .fold(0u64, |sum, block| sum.wrapping_add(u64::from(block[SIZE - 1])))
    };
    let gate = Gate::new(1);
    let mut sum = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            fill();
            gate.sleep();
            gate.sleep();
        });
        gate.pass(at, Moment::Full);
        sum += free();
        at(Moment::Freed);
        thread::scope(|scope| scope.spawn(fill).join()).expect("the third thread panicked");
        gate.pass(at, Moment::Again);
    });
    Work {
        blocks: 2 * blocks as u64,
        sum: sum.wrapping_add(free()),
        live_pages: 0,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panicked with the lock")
}
