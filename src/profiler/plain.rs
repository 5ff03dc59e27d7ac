//! The writer of libgreyspan.so: the same file as `pprof` writes, by a library that must neither allocate nor bring the means to report panics.
//!
//! Text goes out as it is made, in gzip's stored blocks. What must be known of all stacks first, the distinct addresses in them, lies in
//! memory of the system for the time of the call. Functions are named where the loader knows them; mappings and build ids let pprof find
//! the others.
//!
//! - O1. The stacks that are written are those that were noted first: others may come meanwhile.
//! - O2. Functions, locations and mappings are numbered from 1 without a gap. pprof gives a
//!   function that it finds itself the number behind theirs.
//! - O3. A mapping says that its functions are known where each location in it has one: pprof looks
//!   for functions in the others alone.

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

/// The first texts of the table; their places are their numbers.
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

/// Files with code that a profile can name.
const MAPPINGS: usize = 1024;

/// What the loader knows of an address: where its file is mapped, and the function.
fn loader(address: usize) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the place is valid; any address may be asked for.
    let found = unsafe { libc::dladdr(code_at(address), info.as_mut_ptr()) } != 0;
    // SAFETY: zeroes are a value of it, and so is what was found.
    found.then(|| unsafe { info.assume_init() })
}

/// The frames of a stack without those of this library at its inner end.
fn visible(node: &Node) -> &[usize] {
    // The table of stacks lies in this library, too.
    let own = loader((&raw const DEPOT).addr()).map(|info| info.dli_fbase);
    let inside = |frame: &&usize| own.is_some() && loader(**frame - 1).map(|info| info.dli_fbase) == own;
    let skipped = node.frames().iter().take_while(inside).count();
    node.frames()
        .get(skipped..)
        .filter(|rest| !rest.is_empty())
        .unwrap_or(node.frames())
}

/// Writes the profile as it is now to the file `path`. 0, or the system's error.
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
    // SAFETY: opened above, and nobody else's.
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
        // O1.
        if count == stacks {
            break;
        }
        count += 1;
        for &frame in visible(node) {
            room &= frames.push(frame - 1);
        }
        // Newer, longer stacks have taken the room of older ones, which then come with the next profile.
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

/// The executable parts of files, three words each: where one begins and ends, and what is known of
/// it. Its number is its place.
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

    /// Learns of a mapping, where there is room.
    fn note(&mut self, mapping: &Mapping) {
        if self.0.words().len() < 3 * MAPPINGS {
            for word in [mapping.start, mapping.end, 0] {
                self.0.push(word);
            }
        }
    }

    /// The mappings by number.
    fn all(&mut self) -> impl Iterator<Item = (u64, &mut [usize; 3])> {
        (1..).zip(self.0.words().as_chunks_mut().0)
    }

    /// The number of the mapping in which a location lies, which has a function or none; 0 where it
    /// is in no mapping.
    fn number(&mut self, address: usize, named: bool) -> u64 {
        let found = self
            .all()
            .find(|(_, [start, end, _])| (*start..*end).contains(&address));
        found.map_or(0, |(number, [_, _, known])| {
            *known |= if named { ASKED } else { ASKED | UNNAMED };
            number
        })
    }

    /// Writes them, with what the loader says of each now. A file that was unloaded meanwhile has
    /// no name.
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
    // O3. The loader knows of no files and no lines.
    message.number(7, u64::from(*known & (ASKED | UNNAMED) == ASKED));
    out.field(3, message.written());
    *known |= WRITTEN;
}

fn write_location(out: &mut Out, files: &mut Files, functions: &mut Numbers, number: u64, address: usize) {
    // One symbol has one name, and all its addresses the same place of it.
    let name = loader(address).map_or(core::ptr::null(), |info| info.dli_sname);
    let function = functions.number(name.addr());
    let mut message = Message::new();
    message.number(1, number);
    message.number(2, files.number(address, function.is_some()));
    message.number(3, address as u64);
    if let Some((function, new)) = function {
        if new {
            // SAFETY: the loader's table of names; a program that unloads code at this moment races
            // with its own profile.
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
