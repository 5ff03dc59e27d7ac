//! Lists the files whose code the process has mapped, with their build ids. Offline tools need
//! these to name addresses.
//!
//! Called when a profile is written. Asks the loader, which allocates nothing.

pub(super) use super::loader::each;

/// The bytes kept of a build id; SHA-1 has 20.
pub(super) const ID_MAX: usize = 32;

/// One executable part of a file.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) offset: usize,
    /// The file's path, without a zero byte; empty for the program itself.
    pub(crate) path: &'static [u8],
    pub(crate) id: [u8; ID_MAX],
    pub(crate) id_len: usize,
}

impl Mapping {
    /// Returns the build id; empty if there is none.
    pub(crate) fn build_id(&self) -> &[u8] {
        self.id.get(..self.id_len).unwrap_or_default()
    }
}
