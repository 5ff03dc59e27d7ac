//! Counts the words of every UTF-8 text under a directory, with Greyspan as the allocator.
//!
//! Reader threads read files into owned buffers and pass them on; counter threads count words into owned maps and drop the buffers, so
//! that most frees cross threads; the maps travel to the main thread, which merges and drops them. A word is a maximal run of Unicode
//! alphanumeric characters, lower-cased. Every regular file below the path is read; symbolic links are not followed.

use greyspan::Greyspan;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{fs, thread};

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

const USAGE: &str = "usage: wordfreq [--threads N] [--json FILE] [PATH]

Counts the words of every UTF-8 text file under PATH (default: this project's folder).
  --threads N   reader and counter threads in all, at least 2 (default: one a core)
  --json FILE   also writes {\"words\":N,\"distinct\":M,\"top\":[[\"the\",123],..]}
  --help        this text";

/// What the command line asks for.
struct Options {
    path: PathBuf,
    json: Option<(PathBuf, fs::File)>,
    threads: usize,
}

/// Why a file was not counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Skipped {
    NotUtf8,
    Unreadable,
    NotRegular,
}

impl Skipped {
    fn reason(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not UTF-8",
            Self::Unreadable => "unreadable",
            Self::NotRegular => "not a regular file",
        }
    }
}

type Counts = HashMap<String, u64>;

fn parse_args() -> Result<Option<Options>, String> {
    let mut args = std::env::args_os().skip(1);
    let (mut path, mut json, mut threads) = (None, None, None);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(None),
            Some("--json") => {
                let file = PathBuf::from(args.next().ok_or("--json needs a file name")?);
                let open = fs::File::create(&file).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
                json = Some((file, open));
            }
            Some("--threads") => {
                let value = args.next().ok_or("--threads needs a number")?;
                let number = value
                    .to_str()
                    .and_then(|text| text.parse::<usize>().ok())
                    .filter(|n| (2..=1024).contains(n));
                threads = Some(number.ok_or_else(|| format!("--threads takes 2 to 1024, not {}", value.display()))?);
            }
            Some(flag) if flag.starts_with('-') && flag.len() > 1 => {
                return Err(format!("unknown option {flag}\n{USAGE}"));
            }
            _ if path.is_none() => path = Some(PathBuf::from(arg)),
            _ => return Err(format!("more than one path\n{USAGE}")),
        }
    }
    let path = path.unwrap_or_else(|| {
        let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        if home.is_dir() { home } else { PathBuf::from(".") }
    });
    fs::metadata(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from).max(2));
    Ok(Some(Options { path, json, threads }))
}

/// All files below `path`, in no order; what is neither a directory nor a regular file is counted as skipped.
fn walk(path: &Path, skipped: &mut BTreeMap<Skipped, u64>) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let (mut files, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            *skipped.entry(Skipped::Unreadable).or_default() += 1;
            continue;
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_type()?, entry.path()))) {
                Ok((kind, path)) if kind.is_dir() => open.push(path),
                Ok((kind, path)) if kind.is_file() => files.push(path),
                Ok(_) => *skipped.entry(Skipped::NotRegular).or_default() += 1,
                Err(_) => *skipped.entry(Skipped::Unreadable).or_default() += 1,
            }
        }
    }
    files
}

/// Reads the files whose turn it is and passes their texts on.
fn read_files(files: &Mutex<std::vec::IntoIter<PathBuf>>, texts: &SyncSender<Result<String, Skipped>>) {
    loop {
        let Some(path) = files.lock().expect("no reader panics").next() else {
            return;
        };
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| Skipped::NotUtf8),
            Err(_) => Err(Skipped::Unreadable),
        };
        if texts.send(text).is_err() {
            return;
        }
    }
}

fn count_text(text: &str, counts: &mut Counts) {
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *counts
            .entry(word.chars().flat_map(char::to_lowercase).collect())
            .or_default() += 1;
    }
}

/// Counts texts as they come; sends the map on whenever it has grown large.
fn count_texts(texts: &Mutex<Receiver<Result<String, Skipped>>>, results: &SyncSender<(Counts, u64, Vec<Skipped>)>) {
    let mut counts = Counts::new();
    loop {
        let text = texts.lock().expect("no counter panics").recv();
        let Ok(text) = text else { break };
        let (mut read, mut skipped) = (0, Vec::new());
        match text {
            Ok(text) => {
                count_text(&text, &mut counts);
                read = 1;
            }
            Err(reason) => skipped.push(reason),
        }
        let batch = if counts.len() > 10_000 {
            std::mem::take(&mut counts)
        } else {
            Counts::new()
        };
        if results.send((batch, read, skipped)).is_err() {
            return;
        }
    }
    // The main thread ends only when all counters have.
    let _ = results.send((counts, 0, Vec::new()));
}

fn json(words: u64, counts: &Counts, top: &[(&String, &u64)]) -> String {
    let rows: Vec<String> = top
        .iter()
        // Words are alphanumeric: nothing in them needs an escape.
        .map(|(word, count)| format!("[\"{word}\",{count}]"))
        .collect();
    format!(
        "{{\"words\":{words},\"distinct\":{},\"top\":[{}]}}\n",
        counts.len(),
        rows.join(",")
    )
}

fn run(options: Options) -> Result<(), String> {
    let start = Instant::now();
    let mut skipped = BTreeMap::new();
    let files = walk(&options.path, &mut skipped);
    let bar = if std::io::stderr().is_terminal() {
        let style =
            ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left").expect("the template is valid");
        ProgressBar::new(files.len() as u64).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let files = Arc::new(Mutex::new(files.into_iter()));
    let (text_in, text_out) = sync_channel(64);
    let (count_in, count_out) = sync_channel(64);
    let text_out = Arc::new(Mutex::new(text_out));
    let readers = (options.threads / 2).max(1);
    let mut threads = Vec::new();
    for _ in 0..readers {
        let (files, text_in) = (files.clone(), text_in.clone());
        threads.push(thread::spawn(move || read_files(&files, &text_in)));
    }
    for _ in 0..(options.threads - readers).max(1) {
        let (text_out, count_in) = (text_out.clone(), count_in.clone());
        threads.push(thread::spawn(move || count_texts(&text_out, &count_in)));
    }
    drop((text_in, count_in));

    let (mut counts, mut read) = (Counts::new(), 0);
    for (batch, files, reasons) in count_out {
        for (word, count) in batch {
            *counts.entry(word).or_default() += count;
        }
        for reason in &reasons {
            *skipped.entry(*reason).or_default() += 1;
        }
        read += files;
        bar.inc(files + reasons.len() as u64);
    }
    for thread in threads {
        thread.join().map_err(|_| "a worker thread failed")?;
    }
    bar.finish_and_clear();

    let words: u64 = counts.values().sum();
    let mut top: Vec<_> = counts.iter().collect();
    top.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    top.truncate(20);
    if let Some((path, mut file)) = options.json {
        file.write_all(json(words, &counts, &top).as_bytes())
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    println!("{words:>12}  words\n{:>12}  distinct\n", counts.len());
    for (word, count) in &top {
        println!("{count:>12}  {word}");
    }
    println!("\n{read:>12}  files counted");
    for (reason, count) in &skipped {
        println!("{count:>12}  skipped: {}", reason.reason());
    }
    println!(
        "{:>12.3}  seconds\n\n{}",
        start.elapsed().as_secs_f64(),
        greyspan::stats()
    );
    Ok(())
}

fn main() -> ExitCode {
    match parse_args() {
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => match run(options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wordfreq: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("wordfreq: {error}");
            ExitCode::from(2)
        }
    }
}
