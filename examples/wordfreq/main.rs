//! Counts the words of every UTF-8 text under a path. Greyspan allocates for the whole program.
//!
//! ```text
//! main: walk ──► readers ── text: String ──► counters ── words: Vec<String> ──► shards of one map
//!                                                                                        │
//!                                                             main: report ◄─────────────┘
//! ```
//!
//! Readers own the files and send each text on. A counter drops the text, so a thread other than
//! the one that allocated it frees the large block. Words travel in batches, as owned strings, into
//! a map that all counters share and that the main thread drops. Counting is commutative and the
//! report is sorted, so the result does not depend on the number of threads or on their order.

mod count;
mod files;
mod options;

use count::{Words, count, read_files};
use files::{Skips, walk};
use greyspan::Greyspan;
use indicatif::{ProgressBar, ProgressStyle};
use options::{HELP, Options, options};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// The report shows this many of the most frequent words.
const TOP: usize = 20;
/// Returns `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn run(options: Options) -> io::Result<()> {
    let start = Instant::now();
    let mut skips = Skips::new();
    let files = walk(
        &options.path,
        options.json.as_ref().map(|(path, _)| path.as_path()),
        &mut skips,
    );
    let bar = if io::stderr().is_terminal() {
        ProgressBar::new(files.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left").expect("a valid template"));

    let (files, words) = (Mutex::new(files.into_iter()), Words::new());
    let (sender, receiver) = sync_channel(2 * options.threads);
    let receiver = Mutex::new(receiver);
    let mut read = 0;
    thread::scope(|scope| {
        let (files, bar) = (&files, &bar);
        let spawn = |sender: SyncSender<String>| scope.spawn(move || read_files(files, &sender, bar));
        let readers: Vec<_> = (0..options.threads / 2).map(|_| spawn(sender.clone())).collect();
        drop(sender);
        for _ in 0..options.threads.div_ceil(2) {
            scope.spawn(|| count(&receiver, &words, bar));
        }
        for reader in readers {
            let (count, skipped) = reader.join().expect("no reader panics");
            read += count;
            for (skip, count) in skipped {
                *skips.entry(skip).or_default() += count;
            }
        }
    });
    bar.finish_and_clear();

    let shards = words.shards.map(|shard| shard.into_inner().expect("no counter panics"));
    let mut top: Vec<(&str, u64)> = shards
        .iter()
        .flatten()
        .map(|(word, count)| (word.as_str(), *count))
        .collect();
    top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let (total, distinct) = (top.iter().map(|(_, count)| count).sum::<u64>(), top.len());
    top.truncate(TOP);
    if let Some((path, mut file)) = options.json {
        let rows: Vec<String> = top
            .iter()
            .map(|(word, count)| format!("[{},{count}]", quoted(word)))
            .collect();
        let json = format!(
            "{{\"words\":{total},\"distinct\":{distinct},\"top\":[{}]}}\n",
            rows.join(",")
        );
        // A device has no length, so only a regular file is truncated.
        let emptied = if file.metadata()?.is_file() {
            file.set_len(0)
        } else {
            Ok(())
        };
        let cannot =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
        emptied.and_then(|()| file.write_all(json.as_bytes())).map_err(cannot)?;
    }

    let mut report = format!("{total:>14} words\n{distinct:>14} distinct\n\n");
    for (word, count) in &top {
        let _ = writeln!(report, "{count:>14} {word}");
    }
    let _ = writeln!(
        report,
        "\n{read:>14} files read\n{:>14} skipped",
        skips.values().sum::<u64>()
    );
    for (skip, count) in &skips {
        let _ = writeln!(report, "{count:>14}   {}", skip.why());
    }
    let _ = writeln!(
        report,
        "{:>14.3} seconds\n\n{}",
        start.elapsed().as_secs_f64(),
        greyspan::stats()
    );
    print(&report)
}

/// Writes to standard output. If the reader, such as `head`, has closed the pipe, that is no error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn main() -> ExitCode {
    let (error, code) = match options() {
        Err(error) => (error, 2),
        Ok(options) => match options.map_or_else(|| print(HELP), run) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (error.to_string(), 1),
        },
    };
    eprintln!("wordfreq: {error}");
    ExitCode::from(code)
}
