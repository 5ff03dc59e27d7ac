//! The criterion benches, the same for every allocator: one group per pattern, one bench per size
//! in it.
//!
//! Each allocator has a bench target and saves its figures as a baseline under its own name. Groups
//! and benches have the same names for all, so `critcmp greyspan system` compares them. The benches
//! hide sizes from the optimiser, because a real program does not know them either.

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use greyspan_bench::rng::{Rng, log_uniform_sizes};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Makes a bench program whose global allocator is `$allocator`, of type `$type`, and which saves
/// its figures as `$name`.
#[macro_export]
macro_rules! micro_main {
    ($type:ty = $allocator:expr, $name:literal) => {
        #[global_allocator]
        static GLOBAL: $type = $allocator;

        fn main() {
            micro::run($name);
        }
    };
}

const SIZES: [usize; 8] = [8, 64, 256, 1 << 10, 8 << 10, 32 << 10, 256 << 10, 4 << 20];
const BATCH: usize = 100;
const SLOTS: usize = 100_000;

/// Runs all groups.
pub(crate) fn run(allocator: &str) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .nresamples(5000)
        .configure_from_args();
    // By default, criterion would save the figures of all allocators under one name.
    let named = |word: String| word.contains("baseline") || word == "-s" || word == "-b";
    if !std::env::args().any(named) {
        criterion = criterion.save_baseline(allocator.to_owned());
    }
    pairs(criterion.benchmark_group("pair"));
    batches(criterion.benchmark_group("batch"));
    churn(criterion.benchmark_group("churn"));
    zeroed(criterion.benchmark_group("zeroed"));
    growth(criterion.benchmark_group("growth"));
    aligned(criterion.benchmark_group("aligned"));
    remote(criterion.benchmark_group("remote"));
    collections(criterion.benchmark_group("collections"));
    criterion.final_summary();
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;
type Bytes = Box<[MaybeUninit<u8>]>;

/// Returns a block of a size that the optimiser does not know, with its first byte written.
fn block(size: usize) -> Bytes {
    let mut block = Box::new_uninit_slice(black_box(size));
    block[0].write(1);
    block
}

/// Makes and drops one block.
fn pairs(mut group: Group<'_>) {
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| drop(black_box(block(size))));
        });
    }
}

/// Makes a hundred blocks, then drops them in the same order.
fn batches(mut group: Group<'_>) {
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in SIZES {
        let mut blocks: Vec<Bytes> = Vec::with_capacity(BATCH);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                blocks.extend((0..BATCH).map(|_| block(size)));
                black_box(&mut blocks).clear();
            });
        });
    }
}

/// Replaces random blocks of 16 bytes to 1 KiB among 100,000.
fn churn(mut group: Group<'_>) {
    let mut rng = Rng::new(1);
    let sizes: [usize; 4096] = log_uniform_sizes(&mut rng, 16, 1024);
    let mut slots: Vec<Bytes> = (0..SLOTS).map(|slot| block(sizes[slot % sizes.len()])).collect();
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(SLOTS), |bencher| {
        bencher.iter(|| slots[rng.below(SLOTS)] = block(sizes[rng.below(sizes.len())]));
    });
}

/// Makes zeroed blocks and writes to each of their pages.
fn zeroed(mut group: Group<'_>) {
    for size in [64, 4 << 10, 64 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let mut block = vec![0u8; black_box(size)];
                for page in block.chunks_mut(4096) {
                    page[0] = black_box(1);
                }
                drop(black_box(block));
            });
        });
    }
}

/// Pushes a vector up to its size.
fn growth(mut group: Group<'_>) {
    for size in [1 << 10, 64 << 10, 1 << 20, 64 << 20] {
        group.throughput(Throughput::Bytes(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let mut words = Vec::new();
                for word in 0..black_box(size / 8) {
                    words.push(word);
                }
                words
            });
        });
    }
}

/// Makes blocks with more than the usual alignment.
fn aligned(mut group: Group<'_>) {
    group.throughput(Throughput::Elements(1));
    for (size, align) in [(64, 64), (192, 64), (4096, 4096), (65_536, 4096)] {
        let layout = Layout::from_size_align(size, align).expect("a size and an alignment that fit");
        group.bench_function(BenchmarkId::from_parameter(format!("{size}-at-{align}")), |bencher| {
            bencher.iter(|| {
                let layout = black_box(layout);
                // SAFETY: the layout's size is not zero.
                let block = unsafe { alloc(layout) };
                assert!(!block.is_null(), "out of memory");
                // SAFETY: allocated above with this layout, and not freed since.
                unsafe { dealloc(black_box(block), layout) };
            });
        });
    }
}

/// Makes boxes on one thread and drops them on another.
fn remote(mut group: Group<'_>) {
    const PARCEL: u64 = 256;
    group.throughput(Throughput::Elements(PARCEL));
    group.bench_function(BenchmarkId::from_parameter(64), |bencher| {
        bencher.iter_custom(|parcels| {
            let (sender, receiver) = sync_channel::<Vec<Box<[u64; 8]>>>(16);
            let consumer = std::thread::spawn(move || receiver.into_iter().for_each(drop));
            let start = Instant::now();
            for number in 0..parcels {
                let parcel = (0..PARCEL).map(|index| Box::new([number + index; 8])).collect();
                sender.send(parcel).expect("the consumer outlives the producer");
            }
            drop(sender);
            consumer.join().expect("dropping does not panic");
            start.elapsed()
        });
    });
}

/// Exercises the heap as the standard collections do.
fn collections(mut group: Group<'_>) {
    const ITEMS: u64 = 1000;
    group.throughput(Throughput::Elements(ITEMS));
    group.bench_function("strings", |bencher| {
        bencher.iter(|| (0..ITEMS).map(|number| format!("name-{number}")).collect::<Vec<_>>());
    });
    group.bench_function("btree", |bencher| {
        bencher.iter(|| {
            (0..ITEMS)
                .map(|key| (key.wrapping_mul(0x9E37_79B9), Box::new(key)))
                .collect::<BTreeMap<_, _>>()
        });
    });
    group.bench_function("hashmap", |bencher| {
        bencher.iter(|| {
            let items = (0..ITEMS).map(|key| (key, vec![key]));
            items.collect::<HashMap<_, _, BuildHasherDefault<DefaultHasher>>>()
        });
    });
}
