//! The writer of libgreyspan.so: the same file as `pprof` writes, by a library that must neither allocate nor bring the means to report panics.
//!
//! Text goes out as it is made, in gzip's stored blocks. What must be known of all stacks first, the distinct addresses in them, lies in
//! memory of the system for the time of the call. Functions are named where the loader knows them; mappings and build ids let pprof find
//! the others.
//!
//! - O1. The stacks that are written are those that were noted first: others may come meanwhile.

use super::depot::Node;
use super::maps::{self, Mapping};
use super::{DEPOT, math, sampler};
use crate::base::addr::{align_up, code_at};
#[cfg_attr(any(test, loom), allow(unused_imports, reason = "there `Os` is the trait itself"))]
use crate::os::PageSource;
use crate::os::{NATIVE, Os, errno};
use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

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

/// A file that is being written.
struct Out {
    file: c_int,
    buffer: [u8; 4096],
    len: usize,
    crc: u32,
    total: u32,
    /// Texts so far.
    texts: u64,
    /// What the system said when it refused; 0 while all is well.
    error: c_int,
}

/// A message of limited length; what would be too long is cut, which the lengths here never are.
struct Message {
    bytes: [u8; 1024],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Self {
            bytes: [0; 1024],
            len: 0,
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Field `number` as an integer.
    fn number(&mut self, number: u64, value: u64) {
        self.varint(number << 3);
        self.varint(value);
    }

    /// Field `number` as a message.
    fn message(&mut self, number: u64, value: &Self) {
        self.varint(number << 3 | 2);
        self.varint(value.len as u64);
        for &byte in value.written() {
            self.byte(byte);
        }
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Out {
    fn new(file: c_int) -> Self {
        let out = Self {
            file,
            buffer: [0; 4096],
            len: 0,
            crc: u32::MAX,
            total: 0,
            texts: 0,
            error: 0,
        };
        // Deflate, no name, no time, unknown system.
        out.send(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
    }

    fn send(mut self, bytes: &[u8]) -> Self {
        self.system_write(bytes);
        self
    }

    fn system_write(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() && self.error == 0 {
            // SAFETY: the pointer and the length are those of a slice.
            let written = unsafe { libc::write(self.file, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(_) if errno::now() == libc::EINTR => {}
                Err(_) => self.error = errno::now(),
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.len == self.buffer.len() {
                self.flush(false);
            }
            if let Some(place) = self.buffer.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
            self.crc ^= u32::from(byte);
            for _ in 0..8 {
                self.crc = self.crc >> 1 ^ (0xedb8_8320 & (self.crc & 1).wrapping_neg());
            }
            self.total = self.total.wrapping_add(1);
        }
    }

    /// Writes what the buffer holds as a stored block.
    fn flush(&mut self, last: bool) {
        let [low, high] = (self.len as u16).to_le_bytes();
        self.system_write(&[u8::from(last), low, high, !low, !high]);
        let (buffer, len) = (self.buffer, core::mem::take(&mut self.len));
        self.system_write(buffer.get(..len).unwrap_or_default());
    }

    /// Field `number` of the profile as bytes.
    fn field(&mut self, number: u64, bytes: &[u8]) {
        let mut head = Message::new();
        head.varint(number << 3 | 2);
        head.varint(bytes.len() as u64);
        self.bytes(head.written());
        self.bytes(bytes);
    }

    /// A text of the table. Returns its number.
    fn text(&mut self, text: &[u8]) -> u64 {
        self.field(6, text);
        self.texts += 1;
        self.texts - 1
    }

    /// Field `number` of the profile as an integer.
    fn number(&mut self, number: u64, value: u64) {
        let mut message = Message::new();
        message.number(number, value);
        self.bytes(message.written());
    }

    fn kind(&mut self, field: u64, kind: u64, unit: u64) {
        let mut message = Message::new();
        message.number(1, kind);
        message.number(2, unit);
        self.field(field, message.written());
    }

    /// The end of the file. 0, or the system's error.
    fn finish(mut self) -> c_int {
        self.flush(true);
        let (crc, total) = (!self.crc, self.total);
        self.system_write(&crc.to_le_bytes());
        self.system_write(&total.to_le_bytes());
        self.error
    }
}

/// Words in memory of the system.
struct Words {
    base: NonNull<usize>,
    bytes: usize,
    len: usize,
}

impl Words {
    /// Room for `count` words.
    fn new(count: usize) -> Option<Self> {
        let os: &Os = &NATIVE;
        let bytes = align_up((count + 1) * size_of::<usize>(), os.page_size());
        let base = os.reserve(bytes, os.page_size())?;
        // SAFETY: reserved just now.
        let prepared = unsafe { os.prepare(base, bytes) };
        // SAFETY: prepared just now, where it is reached.
        if !(prepared && unsafe { os.ready(base, bytes) }) {
            // SAFETY: reserved just now, and nobody uses it.
            unsafe { os.free(base, bytes) };
            return None;
        }
        Some(Self {
            base: base.cast(),
            bytes,
            len: 0,
        })
    }

    fn all(&mut self) -> &mut [usize] {
        // SAFETY: so many words are this value's, and read as zero at first.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes / size_of::<usize>()) }
    }

    fn words(&mut self) -> &mut [usize] {
        let len = self.len;
        self.all().get_mut(..len).unwrap_or_default()
    }

    fn push(&mut self, word: usize) -> bool {
        let len = self.len;
        let room = self.all().get_mut(len).map(|place| *place = word).is_some();
        self.len += usize::from(room);
        room
    }

    /// Sorts the words, and drops those that are there twice. By heaps, in place: the standard library's ways may panic.
    fn sort(&mut self) {
        let words = self.words();
        let count = words.len();
        for root in (0..count / 2).rev() {
            sift(words, root);
        }
        for end in (1..count).rev() {
            words.swap_safely(0, end);
            sift(words.get_mut(..end).unwrap_or_default(), 0);
        }
        let mut kept = 0;
        for at in 0..count {
            let word = words.get(at).copied();
            if kept == 0 || word != words.get(kept - 1).copied() {
                words.swap_safely(kept, at);
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// The place of `word` among the sorted ones.
    fn place(&mut self, word: usize) -> Option<usize> {
        self.words().binary_search(&word).ok()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let os: &Os = &NATIVE;
        // SAFETY: this value's, and it ends.
        unsafe { os.free(self.base.cast(), self.bytes) };
    }
}

trait SwapSafely {
    fn swap_safely(&mut self, one: usize, other: usize);
}

impl SwapSafely for [usize] {
    fn swap_safely(&mut self, one: usize, other: usize) {
        if let (Some(&a), Some(&b)) = (self.get(one), self.get(other)) {
            if let Some(place) = self.get_mut(one) {
                *place = b;
            }
            if let Some(place) = self.get_mut(other) {
                *place = a;
            }
        }
    }
}

/// Lets the word at `root` sink to where no smaller one stands above a larger one.
fn sift(words: &mut [usize], mut root: usize) {
    loop {
        let at = |index: usize| words.get(index).copied();
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if at(right) > at(left) { right } else { left };
        if at(child) <= at(root) {
            return;
        }
        words.swap_safely(root, child);
        root = child;
    }
}

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
    let Some(mut mappings) = Words::new(3 * MAPPINGS) else {
        return libc::ENOMEM;
    };
    maps::each(|mapping| write_mapping(&mut out, &mut mappings, &mapping));
    for number in 0..frames.len {
        let address = frames.words().get(number).copied().unwrap_or(0);
        write_location(&mut out, mappings.words(), number as u64 + 1, address);
    }
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

/// Notes where the mapping lies, and writes it. Its number is that of its words by two, plus one.
fn write_mapping(out: &mut Out, mappings: &mut Words, mapping: &Mapping) {
    if !(mappings.push(mapping.start) && mappings.push(mapping.end)) {
        return;
    }
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
    let mut message = Message::new();
    message.number(1, mappings.len as u64 / 2);
    message.number(2, mapping.start as u64);
    message.number(3, mapping.end as u64);
    message.number(4, mapping.offset as u64);
    let path = out.text(path);
    message.number(5, path);
    let id = out.text(id.written());
    message.number(6, id);
    out.field(3, message.written());
}

fn write_location(out: &mut Out, mappings: &[usize], number: u64, address: usize) {
    let mut message = Message::new();
    message.number(1, number);
    let ends = mappings.iter().step_by(2).zip(mappings.iter().skip(1).step_by(2));
    for (index, (&start, &end)) in (1..).zip(ends) {
        if start <= address && address < end {
            message.number(2, index);
        }
    }
    message.number(3, address as u64);
    if let Some(info) = loader(address).filter(|info| !info.dli_sname.is_null()) {
        // SAFETY: the loader's table of names; a program that unloads code at this moment races with its own profile.
        let name = out.text(unsafe { CStr::from_ptr(info.dli_sname) }.to_bytes());
        let mut function = Message::new();
        function.number(1, number);
        function.number(2, name);
        function.number(3, name);
        out.field(5, function.written());
        let mut line = Message::new();
        line.number(1, number);
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
