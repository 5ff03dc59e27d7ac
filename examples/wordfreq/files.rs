//! Finds the files under a path, reads those that are text, and tells why the others are not
//! counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// After this many bytes of a file, `read` checks whether it is text before it goes on.
const PROBE: u64 = 64 << 10;

/// Why a file was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    NotUtf8,
    Unreadable,
    UnreadableFolder,
    Link,
    NotRegular,
    OwnJson,
}

impl Skip {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not UTF-8",
            Self::Unreadable => "unreadable",
            Self::UnreadableFolder => "unreadable directory",
            Self::Link => "symbolic link, not followed",
            Self::NotRegular => "not a regular file",
            Self::OwnJson => "the file that --json writes",
        }
    }
}

pub(crate) type Skips = BTreeMap<Skip, u64>;

/// Returns all regular files at or below `path` except `own`, and counts all others in `skips`.
pub(crate) fn walk(path: &Path, own: Option<&Path>, skips: &mut Skips) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let own = own.and_then(|own| fs::canonicalize(own).ok());
    // The costly comparison of real paths is needed only if the names are equal.
    let is_own = |path: &Path| {
        own.as_ref().is_some_and(|own| {
            own.file_name() == path.file_name() && fs::canonicalize(path).is_ok_and(|path| path == *own)
        })
    };
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            *skips.entry(Skip::UnreadableFolder).or_default() += 1;
            continue;
        };
        for entry in entries {
            let skip = match entry.and_then(|entry| Ok((entry.file_type()?, entry.path()))) {
                Ok((kind, path)) if kind.is_dir() => {
                    folders.push(path);
                    continue;
                }
                Ok((kind, path)) if kind.is_file() && !is_own(&path) => {
                    files.push(path);
                    continue;
                }
                Ok((kind, _)) if kind.is_file() => Skip::OwnJson,
                Ok((kind, _)) if kind.is_symlink() => Skip::Link,
                Ok(_) => Skip::NotRegular,
                Err(_) => Skip::Unreadable,
            };
            *skips.entry(skip).or_default() += 1;
        }
    }
    files
}

/// Reads the text of a file. If its beginning is not text, it does not read the rest.
pub(crate) fn read(path: &Path) -> Result<String, Skip> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|_| Skip::Unreadable)?;
    Read::by_ref(&mut file)
        .take(PROBE)
        .read_to_end(&mut bytes)
        .map_err(|_| Skip::Unreadable)?;
    if std::str::from_utf8(&bytes).is_err_and(|error| error.error_len().is_some()) {
        return Err(Skip::NotUtf8);
    }
    file.read_to_end(&mut bytes).map_err(|_| Skip::Unreadable)?;
    String::from_utf8(bytes).map_err(|_| Skip::NotUtf8)
}
