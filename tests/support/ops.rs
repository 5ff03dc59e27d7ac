//! The operations of the model test and the fuzz targets, and their encoding in [`CODE_BYTES`]
//! bytes.
//!
//! A fuzz input is a plain sequence of codes, so a stored input also runs as an ordinary test.
//! All-zero bytes, where shrinking ends, are the simplest operation.
#![forbid(unsafe_code)]

use std::alloc::Layout;

/// The bytes of one coded operation: kind, slot or alignment, scale, and three that refine the
/// size.
pub(crate) const CODE_BYTES: usize = 6;

/// One coded operation.
pub(crate) type Code = [u8; CODE_BYTES];

/// No operation that must succeed requests more than this.
pub(crate) const SERVED_MAX: usize = 64 << 20;

/// A request of at least this size exceeds the address space and must be refused.
pub(crate) const REFUSED_MIN: usize = 1 << 48;

/// A block of at least this size counts as large for [`Op::within`].
const LARGE: usize = 64 << 10;

/// One step of a test. Its slot is taken modulo the number of live blocks. Without live blocks the
/// step does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Allocate a block.
    Alloc { size: usize, align: usize },
    /// Allocate a block that must be all zero.
    AllocZeroed { size: usize, align: usize },
    /// Resize a live block.
    Realloc { slot: usize, new_size: usize },
    /// Free a live block.
    Dealloc { slot: usize },
    /// Report that this thread will be idle.
    ThreadIdle,
    /// Return free memory to the system.
    Purge,
}

impl Op {
    /// Decodes an operation; every code is valid.
    pub(crate) fn decode(code: Code) -> Self {
        let [kind, place, scale, fine @ ..] = code;
        let size = size_of_code(scale, fine);
        match kind {
            0..=89 => Self::Alloc {
                size,
                align: align_of_code(place),
            },
            90..=129 => Self::AllocZeroed {
                size,
                align: align_of_code(place),
            },
            130..=189 => Self::Realloc {
                slot: place.into(),
                new_size: size,
            },
            190..=251 => Self::Dealloc { slot: place.into() },
            252..=254 => Self::ThreadIdle,
            255 => Self::Purge,
        }
    }

    /// Returns the same operation, or one with a small block once `allowance` bytes in large blocks
    /// are used up. An input with only large blocks is slow, and slow inputs find little.
    pub(crate) fn within(self, allowance: &mut usize) -> Self {
        let mut cut = |size: usize| {
            if (LARGE..REFUSED_MIN).contains(&size) {
                match allowance.checked_sub(size) {
                    Some(left) => *allowance = left,
                    None => return size % LARGE + 1,
                }
            }
            size
        };
        match self {
            Self::Alloc { size, align } => Self::Alloc { size: cut(size), align },
            Self::AllocZeroed { size, align } => Self::AllocZeroed { size: cut(size), align },
            Self::Realloc { slot, new_size } => Self::Realloc {
                slot,
                new_size: cut(new_size),
            },
            other => other,
        }
    }

    /// Decodes the operations of a fuzz input and drops an incomplete last code.
    pub(crate) fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.as_chunks().0.iter().copied().map(Self::decode)
    }
}

/// Returns the layout of a request, cut to the largest size that this alignment allows.
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    let most = isize::MAX as usize - (align - 1);
    Layout::from_size_align(size.min(most), align).expect("clamped to the rules of `Layout`")
}

/// Returns a size: mostly log-uniform in 1 ..= 64 MiB; else at, just below or just above an edge;
/// else larger than any request that can be served.
fn size_of_code(scale: u8, [a, b, c]: [u8; 3]) -> usize {
    let fine = usize::from(b) << 8 | usize::from(a);
    match scale % 32 {
        power @ 0..=25 => {
            let floor = 1_usize << power;
            floor + ((floor * (fine << 8 | usize::from(c))) >> 24)
        }
        26..=28 => around(edge(fine), c),
        29..=30 => around((fine % (SERVED_MAX >> 12)) << 12, c),
        _ => match c % 4 {
            0 => isize::MAX as usize - fine,
            1 => (isize::MAX as usize - (fine << 12)) & !0xfff,
            2 => 1 << (48 + fine % 15),
            _ => isize::MAX as usize / 2 + fine,
        },
    }
}

/// Returns one of eight sizes in each doubling up to 64 MiB: any usual size class begins or ends
/// near one.
fn edge(index: usize) -> usize {
    let floor = 1_usize << (index % 26);
    floor + ((floor * (index / 26 % 8)) >> 3)
}

fn around(size: usize, choice: u8) -> usize {
    (size + usize::from(choice % 3)).saturating_sub(1).clamp(1, SERVED_MAX)
}

/// Returns an alignment: mostly 1 ..= 16, often up to 64 KiB, sometimes up to 1 GiB.
fn align_of_code(code: u8) -> usize {
    match code {
        0..=159 => 1 << (code % 5),
        160..=239 => 1 << (code % 17),
        _ => 1 << (code % 31),
    }
}

/// Returns sizes at which an allocator may behave differently: [`edge`]s and its reported size
/// classes, each with both neighbours.
pub(crate) fn edge_sizes(most: usize) -> Vec<usize> {
    let reported = greyspan::stats().by_size.map(|class| class.size as usize);
    let mut sizes: Vec<usize> = (0..26 * 8)
        .map(edge)
        .chain(reported)
        .flat_map(|size| [size.saturating_sub(1), size, size + 1])
        .filter(|size| (1..=most).contains(size))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}
