//! The operations of the model test and the fuzz targets, and how [`CODE_BYTES`] bytes become one of them.
//!
//! A fuzz input is a plain row of codes, so a stored input replays as an ordinary test, and all-zero bytes (where a
//! shrinking test ends) are the simplest operation.
#![forbid(unsafe_code)]

use std::alloc::Layout;

/// Bytes of one coded operation: kind, slot or alignment, scale, and three bytes that refine the size.
pub(crate) const CODE_BYTES: usize = 6;

/// One coded operation.
pub(crate) type Code = [u8; CODE_BYTES];

/// No operation that must succeed is larger than this.
pub(crate) const SERVED_MAX: usize = 64 << 20;

/// Any request of at least this size exceeds the address space and must be refused.
pub(crate) const REFUSED_MIN: usize = 1 << 48;

/// From this size on a block counts as large for [`Op::within`].
const LARGE: usize = 64 << 10;

/// One step of a test. A slot is taken modulo the number of live blocks; without live blocks the step does nothing.
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
    /// Say that this thread will be idle.
    ThreadIdle,
    /// Give free memory back.
    Purge,
}

impl Op {
    /// The operation that `code` stands for; every code stands for one.
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

    /// The same operation; but once `allowance` bytes in large blocks are used up, it gets by with a small block. An input
    /// of nothing but large blocks is a slow one, and slow inputs find little.
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

    /// The operations of a fuzz input; a last incomplete code is dropped.
    pub(crate) fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.as_chunks().0.iter().copied().map(Self::decode)
    }
}

/// The layout of a request, cut to the largest size that a layout of this alignment can have.
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    let most = isize::MAX as usize - (align - 1);
    Layout::from_size_align(size.min(most), align).expect("clamped to the rules of `Layout`")
}

/// Mostly log-uniform in 1 ..= 64 MiB; else at, just below or just above an edge; else beyond all that can be served.
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

/// One of eight steps in each doubling up to 64 MiB: any size class of any usual table begins or ends near one.
fn edge(index: usize) -> usize {
    let floor = 1_usize << (index % 26);
    floor + ((floor * (index / 26 % 8)) >> 3)
}

fn around(size: usize, choice: u8) -> usize {
    (size + usize::from(choice % 3)).saturating_sub(1).clamp(1, SERVED_MAX)
}

/// Mostly 1 ..= 16, often up to 64 KiB, at times up to 1 GiB.
fn align_of_code(code: u8) -> usize {
    match code {
        0..=159 => 1 << (code % 5),
        160..=239 => 1 << (code % 17),
        _ => 1 << (code % 31),
    }
}

/// Sizes at which an allocator may change its mind: [`edge`]s, the classes that it reports, each with both neighbours.
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
