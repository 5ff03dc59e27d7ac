//! Parsers of the kernel's texts about control groups and about pressure. They read bytes and know
//! no files. `cgroup` calls them.

#![forbid(unsafe_code)]

use super::Version;

/// Returns the version and the path of a line of `/proc/self/cgroup` that concerns memory:
/// `0::/path`, or `4:memory:/path` for version 1.
pub(super) fn group(line: &[u8]) -> Option<(Version, &[u8])> {
    let mut parts = line.splitn(3, |&byte| byte == b':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let version = match (number, controllers) {
        (b"0", b"") => Version::Two,
        _ if has_memory(controllers) => Version::One,
        _ => return None,
    };
    path.starts_with(b"/").then_some((version, path))
}

/// Whether a list with commas has the word `memory`.
fn has_memory(list: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|word| word == b"memory")
}

/// Returns the version, the root and the mount point of a line of `/proc/self/mountinfo` that
/// mounts a hierarchy of control groups with memory in it. Both paths have escapes.
///
/// ```text
/// 42 31 0:35 /group /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
/// ```
pub(super) fn mount(line: &[u8]) -> Option<(Version, &[u8], &[u8])> {
    let mut words = line.split(|&byte| byte == b' ').skip(3);
    let (root, point) = (words.next()?, words.next()?);
    words.find(|word| *word == b"-")?;
    let version = match words.next()? {
        b"cgroup2" => Version::Two,
        // The next words are the source and the hierarchy's controllers.
        b"cgroup" if has_memory(words.nth(1)?) => Version::One,
        _ => return None,
    };
    Some((version, root, point))
}

/// Returns the path of the group `own` below a mount of the group `root`: empty, or with a slash at
/// its front. `None`: the mount does not show the group.
///
/// Both are relative to the root of the process's cgroup namespace, and begin with `/..` where they
/// lie outside of it.
pub(super) fn below<'a>(own: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    // The mount shows a group above the namespace. Which of its children leads to `own` is not
    // known, but the limits of the mount's root hold for all of them.
    if climbs(root) > climbs(own) && root.len() == climbs(root) * UP.len() {
        return Some(b"");
    }
    let rest = if root == b"/" { own } else { own.strip_prefix(root)? };
    match rest {
        b"" | b"/" => Some(b""),
        _ if rest.starts_with(b"/") && climbs(rest) == 0 => Some(rest),
        _ => None,
    }
}

/// The step from a group to the one above.
const UP: &[u8] = b"/..";

/// Returns the number of steps up at the front of a path.
fn climbs(path: &[u8]) -> usize {
    let mut rest = path;
    core::iter::from_fn(|| {
        rest = rest
            .strip_prefix(UP)
            .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
        Some(())
    })
    .count()
}

/// Returns the bytes of a path of `/proc/self/mountinfo`, in which `\040` stands for a space.
pub(super) fn unescaped(path: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = path;
    core::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        let octal = |digit: &u8| matches!(digit, b'0'..=b'7');
        if let (b'\\', Some((code, behind))) = (first, others.split_at_checked(3))
            && code.iter().all(octal)
        {
            rest = behind;
            let code = code.iter().fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
            return u8::try_from(code).ok();
        }
        rest = others;
        Some(*first)
    })
}

/// Returns the bytes of a limit; `None` for `max`, and for texts that are no number.
pub(super) fn limit(text: &[u8]) -> Option<usize> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = text.iter().map(|digit| usize::from(digit - b'0'));
    Some(digits.fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(digit)))
}

/// Returns the hundredths of a percent of the last ten seconds in which some task waited for
/// memory: `avg10` of the line `some`.
pub(super) fn pressure(text: &[u8]) -> Option<u32> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"some "))?;
    let value = line
        .split(|&byte| byte == b' ')
        .find_map(|word| word.strip_prefix(b"avg10="))?;
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let (whole, part) = (limit(parts.next()?)?, parts.next()?);
    let part = limit(part).filter(|_| part.len() == 2)?;
    u32::try_from(whole.checked_mul(100)?.checked_add(part)?).ok()
}
