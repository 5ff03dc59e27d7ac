//! Reads small files of the kernel (procfs, cgroups) without allocating: into buffers of the
//! caller, by system calls that are no points at which a thread may be cancelled.
//!
//! The caller asks `sandbox` first whether the process may open files. Every call keeps `errno`.

use super::errno::KeepErrno;
use core::ffi::{CStr, c_long};

/// Bytes that a path may have, its end included.
const PATH: usize = 1024;
/// Bytes of a line; longer lines are left out.
const LINE: usize = 1024;
/// Tries of one read that signals interrupt.
const TRIES: usize = 16;

/// A path that grows and shrinks in place.
pub(super) struct Path {
    /// Zero behind `len`.
    bytes: [u8; PATH],
    len: usize,
}

impl Path {
    /// Returns the path of `parts`, one behind the other. `None`: it is too long.
    pub(super) fn of(parts: &[&[u8]]) -> Option<Self> {
        let mut path = Self {
            bytes: [0; PATH],
            len: 0,
        };
        parts.iter().all(|part| path.push(part)).then_some(path)
    }

    /// Adds `part` at the end. `false`: there is no room for it, and the path is unusable.
    pub(super) fn push(&mut self, part: &[u8]) -> bool {
        let end = self.len + part.len();
        // The last byte stays zero.
        let Some(room) = self.bytes.get_mut(self.len..end).filter(|_| end < PATH) else {
            return false;
        };
        room.iter_mut().zip(part).for_each(|(place, byte)| *place = *byte);
        self.len = end;
        true
    }

    /// Cuts the path to its first `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.bytes.iter_mut().skip(len).for_each(|byte| *byte = 0);
        self.len = self.len.min(len);
    }

    /// Returns the bytes without the end.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// An open file.
struct File(c_long);

impl File {
    /// Opens a file to read. `Err`: the kernel's error.
    fn open(path: &CStr) -> Result<Self, i32> {
        // The program may have announced a filter since the caller asked.
        if super::sandbox::is_announced() {
            return Err(libc::EINTR);
        }
        let errno = KeepErrno::new();
        let mode = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the path is a C string.
        let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), mode, 0) };
        if file < 0 { Err(errno.now()) } else { Ok(Self(file)) }
    }

    /// Reads the next bytes. Returns their number, which is 0 at the end of the file.
    fn read(&self, room: &mut [u8]) -> Result<usize, i32> {
        let errno = KeepErrno::new();
        for _ in 0..TRIES {
            // SAFETY: the pointer and the length are those of a slice.
            let got = unsafe { libc::syscall(libc::SYS_read, self.0, room.as_mut_ptr(), room.len()) };
            match usize::try_from(got) {
                Ok(got) => return Ok(got),
                Err(_) if errno.now() == libc::EINTR => {}
                Err(_) => break,
            }
        }
        Err(errno.now())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _errno = KeepErrno::new();
        // SAFETY: this value opened the file, and is its only user.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

/// Reads a file into `room`, up to its size. Returns the bytes read; `Err`: the kernel's error.
pub(super) fn contents<'a>(path: &Path, room: &'a mut [u8]) -> Result<&'a [u8], i32> {
    let file = File::open(path.text())?;
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            got => len += got,
        }
    }
    Ok(room.get(..len).unwrap_or_default())
}

/// Calls `take` with each line of a file, without its end, until it returns `true`. `Err`: the
/// kernel's error.
pub(super) fn lines(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), i32> {
    let file = File::open(path.text())?;
    let (mut room, mut line, mut len) = ([0u8; 1024], [0u8; LINE], 0);
    loop {
        let got = file.read(&mut room)?;
        for &byte in room.iter().take(got) {
            if byte != b'\n' {
                if let Some(place) = line.get_mut(len) {
                    *place = byte;
                }
                len += 1;
                continue;
            }
            // A line that was longer than the buffer has no such part.
            if line.get(..len).is_some_and(&mut take) {
                return Ok(());
            }
            len = 0;
        }
        if got == 0 {
            if let Some(last) = line.get(..len).filter(|last| !last.is_empty()) {
                take(last);
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::errno;

    fn all_lines(text: &str) -> Vec<String> {
        let place = std::env::temp_dir().join(format!("greyspan-lines-{}", std::process::id()));
        std::fs::write(&place, text).expect("a file");
        let path = Path::of(&[place.as_os_str().as_encoded_bytes()]).expect("short");
        let mut found = Vec::new();
        lines(&path, |line| {
            found.push(String::from_utf8_lossy(line).into_owned());
            line == b"stop"
        })
        .expect("it opens");
        std::fs::remove_file(place).expect("the file");
        found
    }

    #[test]
    fn lines_come_whole_and_lines_that_are_too_long_do_not_come() {
        let (fits, long) = ("x".repeat(LINE), "x".repeat(LINE + 1));
        assert_eq!(all_lines("a\n\nbc"), ["a", "", "bc"]);
        assert_eq!(all_lines(&format!("{long}\n{fits}\n{long}")), [fits]);
        assert_eq!(all_lines("a\nstop\nb\n"), ["a", "stop"]);
    }

    #[test]
    fn a_path_that_is_too_long_is_none() {
        assert!(Path::of(&[&[b'x'; PATH - 1]]).is_some_and(|path| path.text().count_bytes() == PATH - 1));
        assert!(Path::of(&[&[b'x'; PATH - 1], b"x"]).is_none());
        let mut path = Path::of(&[b"/a", b"/bc"]).expect("short");
        path.cut(2);
        assert!(path.bytes() == b"/a" && path.push(b"/d") && path.text() == c"/a/d");
    }

    #[test]
    fn a_file_is_read_as_far_as_there_is_room_and_errors_keep_errno() {
        let path = Path::of(&[b"/proc/self/stat"]).expect("short");
        let (mut small, mut large) = ([0; 3], [0; 4096]);
        assert_eq!(contents(&path, &mut small).map(<[u8]>::len), Ok(3));
        assert!(contents(&path, &mut large).is_ok_and(|text| text.len() > 50 && text.ends_with(b"\n")));
        errno::set(7);
        let (missing, folder) = (Path::of(&[b"/proc/self/none"]), Path::of(&[b"/proc/self"]));
        assert_eq!(contents(&missing.expect("short"), &mut small).err(), Some(libc::ENOENT));
        assert_eq!(contents(&folder.expect("short"), &mut small).err(), Some(libc::EISDIR));
        assert_eq!(errno::get(), 7);
    }
}
