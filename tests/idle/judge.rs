//! Runs each program in a child process and bounds its resident memory. Shared by the tests of the
//! two forms of the heap.
//!
//! No bound is about time: a program sleeps until its memory is below the bound, and fails if that
//! takes longer than [`PATIENCE`]. Sizes are smaller than those that the bounds were chosen for;
//! `--whole` runs the whole ones.

use std::fs::File;
use std::io::Read;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::programs::{self, At, Moment, Work};

/// The environment variables that name the program in a child and ask for the whole size.
const KEY: &str = "SPAN_TEST_IDLE";
const WHOLE: &str = "SPAN_TEST_WHOLE";
/// The heap gives memory back within a few seconds, on a busy machine within more.
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: usize = 1 << 20;

/// A form of the heap under test.
pub(crate) struct Form {
    /// The environment that makes a child run under it.
    pub(crate) environment: fn() -> Vec<(&'static str, String)>,
    /// Gives all free memory back.
    pub(crate) purge: fn(),
}

/// A test: its claim, and the program with its bounds.
struct Row(&'static str, fn(&Form, bool) -> Work);

const ROWS: &[Row] = &[
    Row("idle_partial_spans_give_their_pages_back", |_, whole| {
        partial(whole, false)
    }),
    Row(
        "idle_partial_spans_that_others_emptied_give_their_pages_back",
        |_, whole| partial(whole, true),
    ),
    Row("idle_purge_takes_pages_of_other_threads", purge),
    Row("idle_batches_of_large_blocks_go_back", |_, whole| batches(whole)),
    Row("idle_threads_keep_little", |_, whole| threads(whole)),
    Row("idle_threads_that_made_a_few_small_blocks_keep_little", |_, whole| {
        small(whole)
    }),
    Row(
        "idle_owner_does_not_keep_the_blocks_that_another_thread_freed",
        |_, whole| owner(whole),
    ),
];

/// At rest 35 % of the memory at the end of the frees, and 16 MiB after all are freed.
fn partial(whole: bool, exchange: bool) -> Work {
    let (mut start, bytes) = (0, if whole { 1 << 30 } else { 256 * MIB });
    programs::partial(bytes, exchange, &mut |moment| match moment {
        Moment::Start => start = resident(),
        Moment::Freed => {
            let fall = figure("freed 95 %");
            settle("at rest", fall * 35 / 100, || {});
        }
        Moment::Empty => settle("all freed", start + 16 * MIB, || {}),
        Moment::Full | Moment::Again => _ = figure("full"),
    })
}

/// After a purge, 30 % of the memory at the end of the frees.
fn purge(form: &Form, whole: bool) -> Work {
    let bytes = if whole { 1 << 30 } else { 256 * MIB };
    programs::partial(bytes, false, &mut |moment| {
        if moment == Moment::Freed {
            let fall = figure("freed 95 %");
            settle("purged", fall * 30 / 100, form.purge);
        }
    })
}

/// 16 MiB.
fn batches(whole: bool) -> Work {
    let (rounds, blocks) = if whole { (15, 300) } else { (4, 300) };
    let bound = |_| 16 * MIB;
    at_rest(bound, |at| programs::batches(rounds, blocks, at))
}

/// 150 MiB for 1000 threads: 134 KiB per thread, 16 MiB, and the program.
fn threads(whole: bool) -> Work {
    let (threads, blocks) = if whole { (1000, 8_000_000) } else { (250, 500_000) };
    let bound = |start| start + 16 * MIB + threads * (134 << 10);
    at_rest(bound, |at| programs::threads(threads, blocks, at))
}

/// 60 MiB for 1500 threads, and more for the stacks of this program: 4 MiB, or 20 MiB in a debug
/// build, whose frames are large.
fn small(_: bool) -> Work {
    let stacks = if cfg!(debug_assertions) { 20 } else { 4 };
    at_rest(move |_| (60 + stacks) * MIB, |at| programs::small(1500, at))
}

/// 100 MiB of 763 MiB at rest: 11 % and 16 MiB. 850 MiB once a third thread has filled as much: 9 %
/// more than the blocks, and 16 MiB.
fn owner(whole: bool) -> Work {
    let blocks: usize = if whole { 400_000 } else { 100_000 };
    let bytes = blocks * 2000;
    programs::owner(blocks, &mut |moment| match moment {
        Moment::Freed => settle("at rest", 16 * MIB + bytes * 11 / 100, || {}),
        Moment::Again => settle("again", 16 * MIB + bytes * 109 / 100, || {}),
        _ => _ = figure(if moment == Moment::Full { "full" } else { "start" }),
    })
}

/// Runs a program that bounds its memory once, by the memory at its start.
fn at_rest(bound: impl Fn(usize) -> usize, program: impl FnOnce(At<'_>) -> Work) -> Work {
    let mut start = 0;
    program(&mut |moment| match moment {
        Moment::Start => start = resident(),
        Moment::Freed => {
            figure("freed");
            settle("at rest", bound(start), || {});
        }
        _ => {}
    })
}

/// Prints the resident memory under this name, and returns it.
fn figure(name: &str) -> usize {
    let bytes = resident();
    println!("  {name}: {} MiB", bytes / MIB);
    bytes
}

/// Sleeps until the resident memory is at most `bound`, and calls `push` before each look.
fn settle(name: &str, bound: usize, push: fn()) {
    let begin = Instant::now();
    loop {
        push();
        let bytes = resident();
        let (now, most, seconds) = (bytes / MIB, bound / MIB, begin.elapsed().as_secs_f64());
        if bytes <= bound {
            println!("  {name}: {now} MiB after {seconds:.1} s; at most {most}");
            return;
        }
        if begin.elapsed() > PATIENCE {
            println!("  {name}: {now} MiB after {seconds:.1} s, but at most {most} may stay");
            // The threads of the program wait for this one, so it cannot end by a panic.
            std::process::exit(1);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the resident bytes of this process. Allocates nothing.
fn resident() -> usize {
    let mut text = [0; 128];
    let count = File::open("/proc/self/statm")
        .and_then(|mut file| file.read(&mut text))
        .expect("procfs");
    let text = std::str::from_utf8(&text[..count]).expect("ASCII");
    let pages = text.split_ascii_whitespace().nth(1).expect("a second field");
    // SAFETY: the call takes a plain number and reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.parse::<usize>().expect("a number") * page as usize
}

/// The tests that the arguments select, as the usual harness understands them.
#[derive(Default)]
struct Selection {
    words: Vec<String>,
    skip: Vec<String>,
    list: bool,
    whole: bool,
}

impl Selection {
    fn from_arguments() -> Self {
        let mut selection = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--skip" => selection.skip.extend(arguments.next()),
                "--list" => selection.list = true,
                "--whole" => selection.whole = true,
                // These options take a value and have no effect here.
                "--test-threads" | "--format" | "--color" | "-Z" | "--logfile" | "--shuffle-seed" => {
                    arguments.next();
                }
                flag if flag.starts_with('-') => {}
                word => selection.words.push(word.to_owned()),
            }
        }
        selection
    }

    fn takes(&self, name: &str) -> bool {
        let hit = |word: &String| name.contains(word.as_str());
        (self.words.is_empty() || self.words.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

/// In a child, runs its program; otherwise all tests that the arguments select.
pub(crate) fn main(form: &Form) -> ExitCode {
    if let Ok(name) = std::env::var(KEY) {
        let Row(_, run) = ROWS.iter().find(|row| row.0 == name).expect("a test of this name");
        let work = run(form, std::env::var_os(WHOLE).is_some());
        let Work {
            blocks,
            sum,
            live_pages,
        } = work;
        println!(
            "  {blocks} blocks, {} MiB in pages of live ones, sum {sum:x}",
            live_pages >> 20
        );
        return ExitCode::SUCCESS;
    }
    let selection = Selection::from_arguments();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| selection.takes(row.0)).collect();
    if selection.list {
        rows.iter().for_each(|row| println!("{}: test", row.0));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests, each in its own process", rows.len());
    let failed = rows.iter().filter(|row| !passes(form, row, selection.whole)).count();
    let (verdict, passed) = (if failed == 0 { "ok" } else { "FAILED" }, rows.len() - failed);
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed\n");
    if failed == 0 { ExitCode::SUCCESS } else { 101.into() }
}

fn passes(form: &Form, row: &Row, whole: bool) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("the test's path"));
    command.env(KEY, row.0).envs((form.environment)());
    if whole {
        command.env(WHOLE, "1");
    }
    println!("test {}", row.0);
    let begin = Instant::now();
    let status = command.status().expect("the test starts again");
    let verdict = if status.success() { "ok" } else { "FAILED" };
    println!("  {verdict}: {status}, {:.1} s", begin.elapsed().as_secs_f64());
    status.success()
}
