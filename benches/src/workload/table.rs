//! The table of all workloads: the name, a one-line description, and the numbers of threads that
//! make sense.
//!
//! A published name keeps its meaning: results in files and reports are looked up by it.

use super::*;

/// All workloads.
pub const WORKLOADS: &[Workload] = &[
    row(
        "box64-lifo",
        "make a Box of 64 bytes, write one word, drop it; an op is one box",
        box64::run,
    )
    .one()
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-8",
        "batches of 100 boxes of 8 bytes, dropped in reverse order; an op is one box",
        fixed::lifo::<1>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-16",
        "batches of 100 boxes of 16 bytes, dropped in reverse order; an op is one box",
        fixed::lifo::<2>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-64",
        "batches of 100 boxes of 64 bytes, dropped in reverse order; an op is one box",
        fixed::lifo::<8>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-256",
        "batches of 100 boxes of 256 bytes, dropped in reverse order; an op is one box",
        fixed::lifo::<32>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-1k",
        "batches of 100 boxes of 1 KiB, dropped in reverse order; an op is one box",
        fixed::lifo::<128>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-8k",
        "batches of 100 boxes of 8 KiB, dropped in reverse order; an op is one box",
        fixed::lifo::<1024>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-32k",
        "batches of 100 boxes of 32 KiB, dropped in reverse order; an op is one box",
        fixed::lifo::<4096>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "lifo-256k",
        "batches of 100 boxes of 256 KiB, dropped in reverse order; an op is one box",
        fixed::lifo::<32_768>,
    )
    .steady()
    .of(Group::Large),
    row(
        "lifo-4m",
        "batches of 100 boxes of 4 MiB, dropped in reverse order; an op is one box",
        fixed::lifo::<524_288>,
    )
    .steady()
    .of(Group::Large),
    row(
        "fifo-8",
        "batches of 100 boxes of 8 bytes, dropped in the same order; an op is one box",
        fixed::fifo::<1>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-16",
        "batches of 100 boxes of 16 bytes, dropped in the same order; an op is one box",
        fixed::fifo::<2>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-64",
        "batches of 100 boxes of 64 bytes, dropped in the same order; an op is one box",
        fixed::fifo::<8>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-256",
        "batches of 100 boxes of 256 bytes, dropped in the same order; an op is one box",
        fixed::fifo::<32>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-1k",
        "batches of 100 boxes of 1 KiB, dropped in the same order; an op is one box",
        fixed::fifo::<128>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-8k",
        "batches of 100 boxes of 8 KiB, dropped in the same order; an op is one box",
        fixed::fifo::<1024>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-32k",
        "batches of 100 boxes of 32 KiB, dropped in the same order; an op is one box",
        fixed::fifo::<4096>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "fifo-256k",
        "batches of 100 boxes of 256 KiB, dropped in the same order; an op is one box",
        fixed::fifo::<32_768>,
    )
    .steady()
    .of(Group::Large),
    row(
        "fifo-4m",
        "batches of 100 boxes of 4 MiB, dropped in the same order; an op is one box",
        fixed::fifo::<524_288>,
    )
    .steady()
    .of(Group::Large),
    row(
        "churn",
        "100k live objects of 16 B to 1 KiB, replaced at random; an op is one replacement",
        churn::run,
    ),
    row(
        "xmalloc",
        "one thread makes 64-byte boxes, another drops them; a pair per 2 threads",
        xmalloc::run,
    )
    .many()
    .steady()
    .of(Group::Threads),
    row(
        "threads",
        "threads run one after another, each makes 100 mixed objects; an op is a thread",
        threads::run,
    )
    .one()
    .of(Group::Threads),
    row(
        "one-box",
        "the smallest program, started repeatedly: one small box; an op is a process",
        one_box::run,
    )
    .one()
    .of(Group::Fixed),
    row(
        "many64",
        "1 GiB of linked 64-byte boxes; reports resident and metadata bytes at the peak",
        many64::run,
    )
    .one()
    .of(Group::Fixed),
    row(
        "vec-growth",
        "a Vec<u64> pushed up to 1 GiB; an op is a push",
        vec_growth::run,
    )
    .one()
    .of(Group::Large),
    row(
        "large",
        "64 blocks of 64 KiB to 2 MiB, replaced at random, each page written",
        large::to_2m,
    )
    .steady()
    .of(Group::Large),
    row(
        "large-4m",
        "32 blocks of 64 KiB to 4 MiB, replaced at random, each page written",
        large::to_4m,
    )
    .steady()
    .of(Group::Large),
    row(
        "large-4m-untouched",
        "32 blocks of 64 KiB to 4 MiB, replaced at random, only the ends written",
        large::to_4m_untouched,
    )
    .steady()
    .of(Group::Large),
    row(
        "medium-churn",
        "300 blocks of 8 to 32 KiB, replaced at random, each page written",
        medium::run,
    )
    .steady(),
    row(
        "vec-medium",
        "byte vectors grown to 1 MiB by 32 bytes at a time; an op is one append",
        vec_medium::run,
    )
    .steady()
    .of(Group::Large),
    row(
        "zeroed-64",
        "zeroed blocks of 64 bytes, one word read; an op is one block",
        zeroed::run::<64>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "zeroed-4k",
        "zeroed blocks of 4 KiB, one word read; an op is one block",
        zeroed::run::<4096>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "zeroed-16k",
        "zeroed blocks of 16 KiB, each page written; an op is one block",
        zeroed::run::<16_384>,
    )
    .steady()
    .of(Group::Fixed),
    row(
        "zeroed-256k",
        "zeroed blocks of 256 KiB, each page written; an op is one block",
        zeroed::run::<262_144>,
    )
    .steady()
    .of(Group::Large),
    row(
        "zeroed-1m",
        "zeroed blocks of 1 MiB, each page written; an op is one block",
        zeroed::run::<1_048_576>,
    )
    .steady()
    .of(Group::Large),
    row(
        "hashmap",
        "a HashMap from strings to vectors: insert, grow, remove; an op is one step",
        hashmap::run,
    ),
    row(
        "btree",
        "a BTreeMap of boxes: insert, find, remove; an op is one step",
        btree::run,
    ),
    row(
        "larson",
        "slots of 10 to 500 bytes replaced at random, handed on to a new thread each round",
        larson::run,
    )
    .of(Group::Threads),
    row(
        "mstress",
        "mixed sizes and lifetimes, some objects swapped between threads, threads that exit",
        mstress::run,
    )
    .of(Group::Threads),
    row(
        "string-build",
        "lines built from words and numbers, the last 1000 kept; an op is one line",
        string_build::run,
    )
    .steady(),
    row(
        "sh6",
        "bursts of small mixed sizes, freed in order, in reverse, or later; an op is one object",
        bursts::sh6,
    )
    .steady(),
    row(
        "sh8",
        "the bursts of sh6, a third of each freed by other threads and later generations",
        bursts::sh8,
    )
    .of(Group::Threads),
    row(
        "cache-scratch",
        "tiny neighbouring objects given to several threads, each written many times",
        cache_lines::scratch,
    )
    .many()
    .of(Group::Threads),
    row(
        "cache-thrash",
        "tiny objects made by the thread that writes them many times",
        cache_lines::thrash,
    )
    .many()
    .of(Group::Threads),
    row(
        "rptest",
        "1000 blocks of 16 B to 16 KiB, evenly spread, some freed by other threads",
        rptest::linear,
    )
    .steady(),
    row(
        "rptest-exp",
        "rptest with sizes spread by the exponent, mostly small",
        rptest::exponential,
    )
    .steady(),
    row(
        "alloc-test",
        "80k slots, some hot, Pareto-distributed sizes up to 1000 bytes, each object fully written",
        alloc_test::run,
    )
    .steady(),
    row(
        "glibc-simple",
        "batches of 25 to 1600 blocks of one size, made and freed in order",
        glibc::simple,
    )
    .one()
    .steady()
    .of(Group::Fixed),
    row(
        "glibc-thread",
        "1024 places per thread, filled and freed at random with 4 B to 32 KiB; an op is one step",
        glibc::thread,
    )
    .steady(),
    row(
        "mleak",
        "waves of threads with thread-local data that free everything; an op is a thread",
        mleak::run,
    )
    .of(Group::Threads),
    row(
        "thread-spawn",
        "threads started 8 at a time, each returns one box; an op is a thread",
        thread_spawn::run,
    )
    .of(Group::Threads),
    row(
        "rc-graph",
        "a graph of Rc and Weak whose nodes are replaced at random; an op is one node",
        rc_graph::run,
    ),
    row(
        "binary-trees",
        "boxed trees of depth 5 to 17 made, counted and dropped; an op is one node",
        binary_trees::run,
    ),
    row(
        "lru",
        "a cache of strings to vectors that drops the least recently used; an op is one request",
        lru::run,
    ),
    row(
        "json",
        "a JSON document parsed by serde_json and dropped; an op is one document",
        json::run,
    )
    .steady(),
    row(
        "regex",
        "regular expressions compiled and matched once; an op is one expression",
        regexes::run,
    )
    .steady(),
    row(
        "tokio",
        "an async server over streams in memory, small strings; an op is one request",
        async_server::run,
    ),
    row(
        "rayon-sort",
        "owned strings made, cloned, sorted and dropped in parallel; an op is one string",
        rayon_sort::run,
    ),
    row(
        "flat-100k",
        "100k live objects of 16 to 128 bytes, the same number of replacements in each flat-*",
        flat::run::<100_000>,
    )
    .one(),
    row(
        "flat-1m",
        "1 million live objects of 16 to 128 bytes, replaced at random",
        flat::run::<1_000_000>,
    )
    .one(),
    row(
        "flat-10m",
        "10 million live objects of 16 to 128 bytes, replaced at random (about 1 GiB)",
        flat::run::<10_000_000>,
    )
    .one(),
    row(
        "latency-32k-p99.9",
        "630 MiB of blocks of up to 32 KiB replaced at random; the time that one op in thousand exceeds",
        latency::to_32k::<1_000>,
    )
    .one()
    .of(Group::Latency),
    row(
        "latency-32k-p99.99",
        "630 MiB of blocks of up to 32 KiB replaced at random; the time that one op in ten thousand exceeds",
        latency::to_32k::<10_000>,
    )
    .one()
    .of(Group::Latency),
    row(
        "latency-256k-p99.9",
        "630 MiB of blocks of up to 256 KiB replaced at random; the time that one op in thousand exceeds",
        latency::to_256k::<1_000>,
    )
    .one()
    .of(Group::Latency),
    row(
        "latency-256k-p99.99",
        "630 MiB of blocks of up to 256 KiB replaced at random; the time that one op in ten thousand exceeds",
        latency::to_256k::<10_000>,
    )
    .one()
    .of(Group::Latency),
    row(
        "idle-after-peak",
        "512 MiB of mixed objects, 95 % dropped at random, then 10 s of sleep; an op is an object",
        idle::run,
    )
    .one(),
];

/// Workloads about the memory of programs that sleep. They run only if `--bench` names them: most
/// of their time is sleep, and the published scoreboards are without them.
pub const IDLE: &[Workload] = &[
    row(
        "idle-partial",
        "8 threads fill 1 GiB of 64 B to 4 KiB, free 95 % at random, sleep 10 s, free the rest, sleep",
        idle_rows::partial,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-exchange",
        "idle-partial in which each thread frees the blocks of another one",
        idle_rows::exchange,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-purge",
        "idle-partial with a call of purge, malloc_trim or the like after the frees of 95 %",
        idle_rows::purge,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-batches",
        "4 threads make and free 15 batches each of 300 blocks of 1 MiB, and sleep 4 s",
        idle_rows::batches,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-threads",
        "1000 threads replace 16 B to 32 KiB in 200 slots each, free everything, and sleep 3 s",
        idle_rows::threads,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-small",
        "1500 threads make and free 60 small blocks each, and sleep 3 s",
        idle_rows::small,
    )
    .one()
    .of(Group::Rest),
    row(
        "idle-owner",
        "a thread fills 400,000 x 2000 B and sleeps while another frees them; 4 s later a third fills as much",
        idle_rows::owner,
    )
    .one()
    .of(Group::Rest),
];

/// The workloads that test the runner.
pub const TESTS: &[Workload] = &[
    row("test-crash", "aborts", faults::crash).one(),
    row("test-hang", "never ends", faults::hang).one(),
    row(
        "test-wrong",
        "returns a different checksum in each process",
        faults::wrong,
    )
    .one(),
];
