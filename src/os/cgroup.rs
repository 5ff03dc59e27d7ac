//! The memory that the process may use: the limits of its control groups, the machine's memory, and
//! the pressure for memory. The heap's background thread asks.
//!
//! Each call reads anew, because groups are resized and processes move between them. Nothing is
//! owned or kept. All files lie below a root folder, which is empty but in tests.
//!
//! 1. `/proc/self/cgroup` names the process's group. Version 1 of control groups counts if it has
//!    the memory controller, else version 2.
//! 2. `/proc/self/mountinfo` tells where that hierarchy is mounted, and which group the mount
//!    shows as its root.
//! 3. The least limit on the way from the group up to the mount's root holds.

#![forbid(unsafe_code)]

mod parse;
#[cfg(test)]
mod tests;

use super::file::{self, Path};

/// A version of control groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    One,
    Two,
}

/// The limits of the process's control groups, in bytes; `None`: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caps {
    pub(crate) version: Version,
    /// Beyond it the kernel kills processes: `memory.max`, or `memory.limit_in_bytes`.
    pub(crate) max: Option<usize>,
    /// Beyond it the kernel slows the process down: `memory.high`. Version 1 has none.
    pub(crate) high: Option<usize>,
}

/// The limits of a process that is in no group.
const FREE: Caps = Caps {
    version: Version::Two,
    max: None,
    high: None,
};

/// Reads the limits. `None`: they cannot be read, or not now.
pub(crate) fn caps(root: &[u8]) -> Option<Caps> {
    let Some((version, own)) = own_group(root)? else {
        return Some(FREE);
    };
    let Some((mut folder, top)) = folder_of(root, version, own.bytes())? else {
        return Some(FREE);
    };
    let mut caps = Caps { version, ..FREE };
    loop {
        match version {
            Version::One => caps.max = least(caps.max, limit(&mut folder, b"/memory.limit_in_bytes")?),
            Version::Two => {
                caps.max = least(caps.max, limit(&mut folder, b"/memory.max")?);
                caps.high = least(caps.high, limit(&mut folder, b"/memory.high")?);
            }
        }
        let below = folder.bytes().get(top..).unwrap_or_default();
        let Some(slash) = below.iter().rposition(|&byte| byte == b'/') else {
            return Some(caps);
        };
        folder.cut(top + slash);
    }
}

/// Returns the version and the path of the process's group; `Some(None)` if there is none.
fn own_group(root: &[u8]) -> Option<Option<(Version, Path)>> {
    let mut own = None;
    file::lines(&Path::of(&[root, b"/proc/self/cgroup"])?, |line| {
        let found = parse::group(line);
        if let Some((version, path)) = found {
            own = Path::of(&[path]).map(|path| (version, path));
        }
        // Where both versions are mounted, memory belongs to the first.
        matches!(found, Some((Version::One, _)))
    })
    .ok()?;
    Some(own)
}

/// Returns the folder of the group `own`, and the length of the part that is the mount point;
/// `Some(None)` if no mount shows the group.
fn folder_of(root: &[u8], version: Version, own: &[u8]) -> Option<Option<(Path, usize)>> {
    let mut folder = None;
    file::lines(&Path::of(&[root, b"/proc/self/mountinfo"])?, |line| {
        if let Some((of, shown, point)) = parse::mount(line)
            && of == version
            && let Some(shown) = decoded(b"", shown)
            && let Some(below) = parse::below(own, shown.bytes())
            && let Some(mut path) = decoded(root, point)
        {
            let top = path.bytes().len();
            folder = path.push(below).then_some((path, top));
        }
        folder.is_some()
    })
    .ok()?;
    Some(folder)
}

/// Returns `front` and the path of `/proc/self/mountinfo` behind it, without its escapes.
fn decoded(front: &[u8], path: &[u8]) -> Option<Path> {
    let mut whole = Path::of(&[front])?;
    parse::unescaped(path).all(|byte| whole.push(&[byte])).then_some(whole)
}

/// Returns the limit in the file `name` of the folder; `Some(None)`: none. `None`: the file cannot
/// be read now.
fn limit(folder: &mut Path, name: &[u8]) -> Option<Option<usize>> {
    let (len, mut room) = (folder.bytes().len(), [0u8; 32]);
    if !folder.push(name) {
        return Some(None);
    }
    let limit = match file::contents(folder, &mut room) {
        Ok(text) => Some(parse::limit(text)),
        // The process or the system has no file numbers or no memory left.
        Err(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR) => None,
        // The group of a whole machine has no limits, and a group may be gone.
        Err(_) => Some(None),
    };
    folder.cut(len);
    limit
}

/// Returns the lesser of two limits.
fn least(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a.into_iter().chain(b).min()
}

/// Returns the pressure for memory on the whole system: the hundredths of a percent of the last ten
/// seconds in which some task waited for memory. `None`: the kernel does not tell.
pub(crate) fn pressure(root: &[u8]) -> Option<u32> {
    let mut room = [0u8; 128];
    let path = Path::of(&[root, b"/proc/pressure/memory"])?;
    parse::pressure(file::contents(&path, &mut room).ok()?)
}
