//! A profile on its way to a file: messages of `profile.proto` in gzip's stored blocks, in memory
//! of the call alone.

use crate::os::errno;
use core::ffi::c_int;

/// A file being written.
pub(super) struct Out {
    file: c_int,
    buffer: [u8; 4096],
    len: usize,
    crc: u32,
    total: u32,
    /// The number of texts so far.
    texts: u64,
    /// The system's first error; 0 if there is none.
    error: c_int,
}

/// A message of limited length. It would cut a longer one, but no message here is so long.
pub(super) struct Message {
    bytes: [u8; 1024],
    len: usize,
}

impl Message {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; 1024],
            len: 0,
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    /// Adds field `number` as an integer.
    pub(super) fn number(&mut self, number: u64, value: u64) {
        self.varint(number << 3);
        self.varint(value);
    }

    /// Adds field `number` as a message.
    pub(super) fn message(&mut self, number: u64, value: &Self) {
        self.varint(number << 3 | 2);
        self.varint(value.len as u64);
        for &byte in value.written() {
            self.byte(byte);
        }
    }

    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Out {
    pub(super) fn new(file: c_int) -> Self {
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

    /// Writes the buffer's contents as a stored block.
    fn flush(&mut self, last: bool) {
        let [low, high] = (self.len as u16).to_le_bytes();
        self.system_write(&[u8::from(last), low, high, !low, !high]);
        let (buffer, len) = (self.buffer, core::mem::take(&mut self.len));
        self.system_write(buffer.get(..len).unwrap_or_default());
    }

    /// Writes field `number` of the profile as bytes.
    pub(super) fn field(&mut self, number: u64, bytes: &[u8]) {
        let mut head = Message::new();
        head.varint(number << 3 | 2);
        head.varint(bytes.len() as u64);
        self.bytes(head.written());
        self.bytes(bytes);
    }

    /// Adds a text to the table. Returns its number.
    pub(super) fn text(&mut self, text: &[u8]) -> u64 {
        self.field(6, text);
        self.texts += 1;
        self.texts - 1
    }

    /// Writes field `number` of the profile as an integer.
    pub(super) fn number(&mut self, number: u64, value: u64) {
        let mut message = Message::new();
        message.number(number, value);
        self.bytes(message.written());
    }

    pub(super) fn kind(&mut self, field: u64, kind: u64, unit: u64) {
        let mut message = Message::new();
        message.number(1, kind);
        message.number(2, unit);
        self.field(field, message.written());
    }

    /// Ends the file. Returns 0, or the system's error.
    pub(super) fn finish(mut self) -> c_int {
        self.flush(true);
        let (crc, total) = (!self.crc, self.total);
        self.system_write(&crc.to_le_bytes());
        self.system_write(&total.to_le_bytes());
        self.error
    }
}
