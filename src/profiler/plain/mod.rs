//! The writer of libgreyspan.so. It writes the same file as `pprof`, but neither allocates nor
//! contains the code that reports panics.
//!
//! Text goes out as soon as it is made, in gzip's stored blocks. The distinct addresses of all
//! stacks must be known first; they lie in memory of the system during the call. The file names the
//! functions that the loader knows. With the mappings and build ids pprof finds the others.
//!
//! - PLAIN-1. The file holds the stacks that were recorded first. Others may be added meanwhile.
//! - PLAIN-2. Functions, locations and mappings have numbers from 1 without a gap. pprof numbers
//!   the functions that it finds itself after them.
//! - PLAIN-3. A mapping claims to have functions only if each location in it has one. pprof looks
//!   for functions only in the other mappings.

mod out;
mod words;

use super::depot::Node;
use super::maps::{self, Mapping};
use super::{DEPOT, math, sampler};
use crate::base::addr::code_at;
use crate::os::errno;
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use out::{Message, Out};
use words::{Numbers, Words};

/// The first texts of the table; the place of a text is its number.
const TEXTS: [&[u8]; 8] = [
    b"",
    b"alloc_objects",
    b"count",
    b"alloc_space",
    b"bytes",
    b"inuse_objects",
    b"inuse_space",
    b"space",
];

/// The most files with code that a profile can name.
const MAPPINGS: usize = 1024;

/// Asks the loader for an address's file, its base, and its function.
fn loader(address: usize) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the place is valid, and any address is allowed.
    let found = unsafe { libc::dladdr(code_at(address), info.as_mut_ptr()) } != 0;
    // SAFETY: all zeroes are a valid value, and so is the loader's answer.
    found.then(|| unsafe { info.assume_init() })
}

/// Returns the frames of a stack without this library's frames at its inner end.
fn visible(node: &Node) -> &[usize] {
    // The table of stacks also lies in this library.
    let own = loader((&raw const DEPOT).addr()).map(|info| info.dli_fbase);
    let inside = |frame: &&usize| own.is_some() && loader(**frame - 1).map(|info| info.dli_fbase) == own;
    let skipped = node.frames().iter().take_while(inside).count();
    node.frames()
        .get(skipped..)
        .filter(|rest| !rest.is_empty())
        .unwrap_or(node.frames())
}

/// Writes the profile as it is now to the file `path`. Returns 0, or the system's error.
pub(crate) fn write(path: &CStr) -> c_int {
    // SAFETY: a C string.
    let file = unsafe {
        libc::open(
            path.as_ptr(),
            libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC,
            0o644 as libc::c_uint,
        )
    };
    if file < 0 {
        return errno::now();
    }
    let error = write_to(file);
    // SAFETY: opened above, and no other code uses it.
    if unsafe { libc::close(file) } != 0 && error == 0 {
        return errno::now();
    }
    error
}

fn write_to(file: c_int) -> c_int {
    let (mut stacks, mut depth) = (0, 0);
    for node in DEPOT.all() {
        stacks += 1;
        depth += node.frames().len();
    }
    let (Some(mut nodes), Some(mut frames)) = (Words::new(stacks), Words::new(depth)) else {
        return libc::ENOMEM;
    };
    let (mut room, mut count) = (true, 0);
    for node in DEPOT.all() {
        // PLAIN-1.
        if count == stacks {
            break;
        }
        count += 1;
        for &frame in visible(node) {
            room &= frames.push(frame - 1);
        }
        // Newer, longer stacks have taken the room of older ones, which the next profile will have.
        if !room {
            break;
        }
        nodes.push(core::ptr::from_ref(node).addr());
    }
    nodes.sort();
    frames.sort();
    let mut out = Out::new(file);
    for text in TEXTS {
        out.text(text);
    }
    for (kind, unit) in [(1, 2), (3, 4), (5, 2), (6, 4)] {
        out.kind(1, kind, unit);
    }
    let (Some(mut files), Some(mut functions)) = (Files::new(), Numbers::new(frames.words().len())) else {
        return libc::ENOMEM;
    };
    maps::each(|mapping| files.note(&mapping));
    for (number, &address) in (1..).zip(frames.words().iter()) {
        write_location(&mut out, &mut files, &mut functions, number, address);
    }
    files.write(&mut out);
    for node in DEPOT.all() {
        if nodes.place(core::ptr::from_ref(node).addr()).is_some() {
            write_stack(&mut out, node, &mut frames);
        }
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    out.number(9, now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64);
    out.kind(11, 7, 4);
    out.number(12, sampler::period() as u64);
    out.number(14, 6);
    out.finish()
}

/// The executable parts of files, three words each: start, end and flags. The number of a part is
/// its place.
struct Files(Words);

/// A location lies in the mapping.
const ASKED: usize = 1;
/// A location in the mapping has no function.
const UNNAMED: usize = 2;
/// The mapping has been written.
const WRITTEN: usize = 4;

impl Files {
    fn new() -> Option<Self> {
        Words::new(3 * MAPPINGS).map(Self)
    }

    /// Adds a mapping, if there is room.
    fn note(&mut self, mapping: &Mapping) {
        if self.0.words().len() < 3 * MAPPINGS {
            for word in [mapping.start, mapping.end, 0] {
                self.0.push(word);
            }
        }
    }

    /// Returns the mappings with their numbers.
    fn all(&mut self) -> impl Iterator<Item = (u64, &mut [usize; 3])> {
        (1..).zip(self.0.words().as_chunks_mut().0)
    }

    /// Returns the number of the mapping of a location, and records whether the location has a
    /// function. 0: it is in no mapping.
    fn number(&mut self, address: usize, named: bool) -> u64 {
        let found = self
            .all()
            .find(|(_, [start, end, _])| (*start..*end).contains(&address));
        found.map_or(0, |(number, [_, _, known])| {
            *known |= if named { ASKED } else { ASKED | UNNAMED };
            number
        })
    }

    /// Writes the mappings, with the names that the loader gives them now. A file that was unloaded
    /// meanwhile has no name.
    fn write(&mut self, out: &mut Out) {
        maps::each(|mapping| {
            let same = |known: &&mut [usize; 3]| known.starts_with(&[mapping.start, mapping.end]);
            if let Some((number, known)) = self.all().find(|(_, known)| same(known)) {
                write_mapping(out, number, known, Some(&mapping));
            }
        });
        for (number, known) in self.all() {
            write_mapping(out, number, known, None);
        }
    }
}

fn write_mapping(out: &mut Out, number: u64, [start, end, known]: &mut [usize; 3], mapping: Option<&Mapping>) {
    if *known & WRITTEN != 0 {
        return;
    }
    let mut message = Message::new();
    message.number(1, number);
    message.number(2, *start as u64);
    message.number(3, *end as u64);
    if let Some(mapping) = mapping {
        message.number(4, mapping.offset as u64);
        let mut program = [0u8; 1024];
        let mut path = mapping.path;
        if path.is_empty() {
            // SAFETY: a C string, and a place of this length.
            let len = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), program.as_mut_ptr().cast(), program.len()) };
            path = program.get(..usize::try_from(len).unwrap_or(0)).unwrap_or_default();
        }
        let mut id = Message::new();
        for &byte in mapping.build_id() {
            for digit in [byte >> 4, byte & 15] {
                id.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
        message.number(5, out.text(path));
        message.number(6, out.text(id.written()));
    }
    // PLAIN-3. The loader knows no files and no lines.
    message.number(7, u64::from(*known & (ASKED | UNNAMED) == ASKED));
    out.field(3, message.written());
    *known |= WRITTEN;
}

fn write_location(out: &mut Out, files: &mut Files, functions: &mut Numbers, number: u64, address: usize) {
    // A symbol has one name, at the same address for all its locations.
    let name = loader(address).map_or(core::ptr::null(), |info| info.dli_sname);
    let function = functions.number(name.addr());
    let mut message = Message::new();
    message.number(1, number);
    message.number(2, files.number(address, function.is_some()));
    message.number(3, address as u64);
    if let Some((function, new)) = function {
        if new {
            // SAFETY: a name in the loader's table. A program that unloads code at this moment
            // races with its own profile.
            let name = out.text(unsafe { CStr::from_ptr(name) }.to_bytes());
            let mut message = Message::new();
            message.number(1, function);
            message.number(2, name);
            message.number(3, name);
            out.field(5, message.written());
        }
        let mut line = Message::new();
        line.number(1, function);
        message.message(4, &line);
    }
    out.field(4, message.written());
}

fn write_stack(out: &mut Out, node: &Node, frames: &mut Words) {
    let counted = node.counted();
    let whole = |value: u64| (value + math::SCALE as u64 / 2) / math::SCALE as u64;
    let [objects, bytes] = counted.allocated;
    let [freed_objects, freed_bytes] = counted.freed;
    let mut places = Message::new();
    for &frame in visible(node) {
        if let Some(place) = frames.place(frame - 1) {
            places.varint(place as u64 + 1);
        }
    }
    let mut values = Message::new();
    for value in [
        objects,
        bytes,
        objects.saturating_sub(freed_objects),
        bytes.saturating_sub(freed_bytes),
    ] {
        values.varint(whole(value));
    }
    let mut message = Message::new();
    message.message(1, &places);
    message.message(2, &values);
    out.field(2, message.written());
}
