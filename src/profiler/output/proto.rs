//! The wire format of protocol buffers, as far as profiles need it.

#![forbid(unsafe_code)]

/// A message being built.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds field `number` as an integer. Leaves out 0, the default of an absent field.
    pub(super) fn number(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(number) << 3);
            self.varint(value);
        }
    }

    /// Adds field `number` as bytes or as a message, even an empty one.
    pub(super) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Adds field `number` as a message.
    pub(super) fn message(&mut self, number: u32, value: &Self) {
        self.bytes(number, &value.0);
    }

    /// Adds field `number` as a list of integers.
    pub(super) fn packed(&mut self, number: u32, values: impl Iterator<Item = u64>) {
        let mut list = Self::default();
        values.for_each(|value| list.varint(value));
        self.message(number, &list);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Returns the bytes written so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
