//! Writes a profile in pprof's format: `profile.proto` of <https://github.com/google/pprof>, in
//! gzip.

#![forbid(unsafe_code)]

use super::maps::{self, Mapping};
use super::proto::Message;
use super::snapshot::{Profile, View};
use super::symbol::{Function, Symbols, call_site};
use crate::sync::blocking::Arc;
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use std::collections::HashMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// Texts by number; number 0 is the empty text.
struct Strings {
    numbers: HashMap<String, u64>,
    texts: Vec<String>,
}

impl Strings {
    fn new() -> Self {
        let mut strings = Self {
            numbers: HashMap::new(),
            texts: Vec::new(),
        };
        strings.number("");
        strings
    }

    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// A profile being written. Numbers of functions, locations and mappings begin with 1.
struct Writer<'a> {
    profile: Message,
    strings: Strings,
    symbols: &'a Symbols,
    /// A mapping, its file's path, and the information about its locations; `None` if it has no
    /// location.
    mappings: Vec<(Mapping, String, Option<Known>)>,
    functions: HashMap<[Arc<str>; 2], u64>,
    locations: HashMap<usize, u64>,
}

/// The information that the locations in a mapping have.
#[derive(Clone, Copy)]
struct Known {
    /// All have functions.
    functions: bool,
    /// Some have files, and some have lines. A few functions, such as `_start`, have none in any
    /// build.
    files: bool,
    lines: bool,
}

impl Known {
    /// Returns the information of one location with these functions.
    fn of(functions: &[Function]) -> Self {
        Self {
            functions: !functions.is_empty(),
            files: functions.iter().any(|function| !function.file.is_empty()),
            lines: functions.iter().any(|function| function.line != 0),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            functions: self.functions && other.functions,
            files: self.files || other.files,
            lines: self.lines || other.lines,
        }
    }

    /// Returns the mapping's flags: functions, files, lines, and inlined functions, which are known
    /// if lines are.
    fn flags(self) -> [bool; 4] {
        [true, self.files, self.lines, self.lines].map(|known| known && self.functions)
    }
}

pub(crate) fn write(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let symbols = Symbols::of(profile.stacks.iter().map(|stack| stack.frames.as_slice()));
    let mut writer = Writer {
        profile: Message::default(),
        strings: Strings::new(),
        symbols: &symbols,
        mappings: Vec::new(),
        functions: HashMap::new(),
        locations: HashMap::new(),
    };
    for view in View::ALL {
        let kind = writer.kind(view.name());
        writer.profile.message(1, &kind);
    }
    // A short process often ends without a sample, and then pays nothing for mappings.
    if !profile.stacks.is_empty() {
        writer.find_mappings();
    }
    for stack in &profile.stacks {
        let places: Vec<u64> = symbols
            .visible(&stack.frames)
            .iter()
            .map(|&frame| writer.location(frame))
            .collect();
        let mut sample = Message::default();
        sample.packed(1, places.into_iter());
        sample.packed(2, View::ALL.iter().map(|&view| stack.value(view).cast_unsigned()));
        writer.profile.message(2, &sample);
    }
    writer.write_mappings();
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(0);
    let period = writer.kind(("space", "bytes"));
    let view = writer.strings.number(profile.view().name().0);
    if profile.lost() > 0 {
        let lost = format!("{} samples were lost: the tables were full", profile.lost());
        let lost = writer.strings.number(&lost);
        writer.profile.packed(13, [lost].into_iter());
    }
    let all = &mut writer.profile;
    all.number(9, nanos(profile.taken.duration_since(UNIX_EPOCH).unwrap_or_default()));
    all.number(10, nanos(profile.span));
    all.message(11, &period);
    all.number(12, profile.rate as u64);
    all.number(14, view);
    for text in &writer.strings.texts {
        all.bytes(6, text.as_bytes());
    }
    compress(all.as_bytes(), out)
}

/// Writes `bytes` in gzip. Short input goes out in a stored block, since the compressor starts with
/// a third of a megabyte of tables.
fn compress(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    const SHORT: u16 = 4096;
    let short = u16::try_from(bytes.len()).ok().filter(|&len| len <= SHORT);
    if let Some(len) = short {
        let mut crc = Crc::new();
        crc.update(bytes);
        // Deflate, no name, no time, unknown system; one block, which is the last.
        out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1])?;
        out.write_all(&len.to_le_bytes())?;
        out.write_all(&(!len).to_le_bytes())?;
        out.write_all(bytes)?;
        out.write_all(&crc.sum().to_le_bytes())?;
        out.write_all(&u32::from(len).to_le_bytes())?;
        return out.flush();
    }
    let mut zip = GzEncoder::new(out, Compression::default());
    zip.write_all(bytes)?;
    zip.finish()?.flush()
}

impl Writer<'_> {
    /// Returns the message for a column's type and unit.
    fn kind(&mut self, (kind, unit): (&str, &str)) -> Message {
        let mut message = Message::default();
        message.number(1, self.strings.number(kind));
        message.number(2, self.strings.number(unit));
        message
    }

    fn find_mappings(&mut self) {
        let program = std::env::current_exe().map_or(String::new(), |path| path.display().to_string());
        maps::each(|mapping| {
            let path = match mapping.path {
                [] => program.clone(),
                path => String::from_utf8_lossy(path).into_owned(),
            };
            // The loader owns the path.
            self.mappings.push((Mapping { path: &[], ..mapping }, path, None));
        });
    }

    fn write_mappings(&mut self) {
        for (index, (mapping, path, known)) in core::mem::take(&mut self.mappings).into_iter().enumerate() {
            let id: String = mapping.build_id().iter().map(|byte| format!("{byte:02x}")).collect();
            let mut message = Message::default();
            message.number(1, index as u64 + 1);
            message.number(2, mapping.start as u64);
            message.number(3, mapping.end as u64);
            message.number(4, mapping.offset as u64);
            message.number(5, self.strings.number(&path));
            message.number(6, self.strings.number(&id));
            // pprof looks for functions in mappings without a flag, and numbers them after ours.
            let flags = known.map_or([false; 4], Known::flags);
            for (field, flag) in (7..).zip(flags) {
                message.number(field, u64::from(flag));
            }
            self.profile.message(3, &message);
        }
    }

    fn location(&mut self, frame: usize) -> u64 {
        if let Some(&number) = self.locations.get(&frame) {
            return number;
        }
        let number = self.locations.len() as u64 + 1;
        self.locations.insert(frame, number);
        let address = call_site(frame);
        let mapping = self
            .mappings
            .iter()
            .position(|(mapping, ..)| (mapping.start..mapping.end).contains(&address));
        let mut message = Message::default();
        message.number(1, number);
        message.number(2, mapping.map_or(0, |index| index as u64 + 1));
        message.number(3, address as u64);
        let functions = self.symbols.functions(frame);
        if let Some((.., known)) = mapping.and_then(|index| self.mappings.get_mut(index)) {
            let here = Known::of(functions);
            *known = Some(known.map_or(here, |all| all.and(here)));
        }
        for function in functions {
            let mut line = Message::default();
            line.number(1, self.function(function));
            line.number(2, u64::from(function.line));
            message.message(4, &line);
        }
        self.profile.message(4, &message);
        number
    }

    fn function(&mut self, function: &Function) -> u64 {
        let key = [&function.name, &function.file].map(Arc::clone);
        if let Some(&number) = self.functions.get(&key) {
            return number;
        }
        let number = self.functions.len() as u64 + 1;
        self.functions.insert(key, number);
        let mut message = Message::default();
        message.number(1, number);
        message.number(2, self.strings.number(&function.name));
        message.number(3, self.strings.number(&function.name));
        message.number(4, self.strings.number(&function.file));
        self.profile.message(5, &message);
        number
    }
}
