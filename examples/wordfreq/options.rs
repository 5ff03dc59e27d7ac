//! Reads the command line, and reports everything wrong with it before the work starts.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::{env, thread};

pub(crate) const HELP: &str = "\
Counts the words of every UTF-8 text under PATH, with Greyspan as the allocator.

usage: wordfreq [--threads N] [--json FILE] [PATH]

  PATH          a directory or a file; default: the project's own folder, or the current one where that is gone
  --threads N   worker threads, 1 to 1024, half of them readers, half counters, at least one of each; default: one a core
  --json FILE   also writes {\"words\":N,\"distinct\":M,\"top\":[[\"the\",123],..]} to FILE
  --help        this text

A word is a maximal run of Unicode alphanumeric characters, each lower-cased by itself. Below PATH every regular file
is read, hidden ones and build folders too, but FILE; symbolic links are not followed. What is skipped is counted.
";

/// The options of the command line.
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    /// The file for the result, already opened.
    pub(crate) json: Option<(PathBuf, File)>,
    /// The number of readers and counters together, at least two.
    pub(crate) threads: usize,
}

/// Reads the command line; `None` asks for the help text.
pub(crate) fn options() -> Result<Option<Options>, String> {
    let (mut path, mut json, mut threads) = (None, None, None);
    let mut args = env::args_os().skip(1);
    let mut flags = true;
    while let Some(arg) = args.next() {
        let text = arg
            .to_str()
            .filter(|text| flags && text.len() > 1 && text.starts_with('-'));
        let Some(text) = text else {
            if path.replace(PathBuf::from(arg)).is_some() {
                return Err("more than one path; --help shows the usage".into());
            }
            continue;
        };
        let (flag, inline) = text
            .split_once('=')
            .map_or((text, None), |(flag, value)| (flag, Some(value.into())));
        let mut value = || {
            inline
                .clone()
                .or_else(|| args.next())
                .ok_or(format!("{flag} needs a value; --help shows the usage"))
        };
        match flag {
            "--help" | "-h" => return Ok(None),
            "--" => flags = false,
            "--json" => json = Some(PathBuf::from(value()?)),
            "--threads" => {
                let value = value()?;
                let number = value
                    .to_str()
                    .and_then(|text| text.parse().ok())
                    .filter(|n| (1..=1024).contains(n));
                threads = Some(number.ok_or(format!(
                    "--threads takes a number from 1 to 1024, not {}",
                    value.display()
                ))?);
            }
            _ => return Err(format!("unknown option {flag}; --help shows the usage")),
        }
    }
    let path = path.unwrap_or_else(|| {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        if project.is_dir() {
            project.into()
        } else {
            PathBuf::from(".")
        }
    });
    let cannot =
        |what: &str, path: &Path, error: &dyn std::fmt::Display| format!("cannot {what} {}: {error}", path.display());
    let kind = fs::metadata(&path)
        .map_err(|error| cannot("read", &path, &error))?
        .file_type();
    match () {
        () if kind.is_dir() => drop(fs::read_dir(&path).map_err(|error| cannot("read", &path, &error))?),
        () if kind.is_file() => drop(File::open(&path).map_err(|error| cannot("read", &path, &error))?),
        () => return Err(cannot("read", &path, &"neither a directory nor a regular file")),
    }
    if let Some(json) = &json
        && fs::canonicalize(json).is_ok_and(|json| fs::canonicalize(&path).is_ok_and(|path| path == json))
    {
        return Err(cannot("write", json, &"it is the file to count"));
    }
    // Opens the file before the work, so that a bad path is reported at once. It is truncated only
    // when the result is ready.
    let open = |path: PathBuf| match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(cannot("write", &path, &error)),
    };
    let json = json.map(open).transpose()?;
    let cores = || thread::available_parallelism().map_or(2, usize::from);
    Ok(Some(Options {
        path,
        json,
        threads: threads.unwrap_or_else(cores).max(2),
    }))
}
