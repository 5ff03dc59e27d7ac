//! The class sizes and the look-up tables, computed at compile time.
//!
//! 8, 16 and 24 bytes, then every 16 bytes to 128, then 8 classes a doubling to 4 KiB and 4 a doubling to 32 KiB. Eight a doubling
//! bound the internal waste by 1/9 of the object (C peers with four: 1/5); above 4 KiB, four keep the number of partly filled
//! spans down. 24 serves requests aligned to 8 at the most: `Layout` tells, where C's `malloc` must assume 16.
//!
//! TABLE

use crate::base::geometry::{PAGE, SMALL_MAX};

/// How many size classes there are.
pub(crate) const COUNT: usize = 62;

const fn sizes() -> [u32; 64] {
    let mut sizes = [0; 64];
    let (mut index, mut size) = (0, 8);
    while size <= SMALL_MAX {
        sizes[index] = size as u32;
        index += 1;
        size += step(size);
    }
    assert!(index == COUNT);
    sizes
}

/// Bytes from the class of `size` to the next.
const fn step(size: usize) -> usize {
    let doubling = 1 << size.ilog2();
    match size {
        0..32 => 8,
        32..128 => 16,
        128..4096 => doubling / 8,
        _ => doubling / 4,
    }
}

/// Spans hold at least 8 objects, and 64 KiB of small ones; the resident cost is what is touched, not the size of the span.
const fn span_pages() -> [u8; 64] {
    let mut pages = [0; 64];
    let mut index = 0;
    while index < COUNT {
        pages[index] = match SIZES[index] {
            0..=1024 => (64 << 10) / PAGE,
            1025..=8192 => (128 << 10) / PAGE,
            _ => (256 << 10) / PAGE,
        } as u8;
        index += 1;
    }
    pages
}

/// Class number of the smallest class that holds `slot * granule` bytes, for each slot.
const fn look_up<const N: usize>(granule: usize) -> [u8; N] {
    let mut table = [0; N];
    let (mut slot, mut class) = (0, 0);
    while slot < N {
        while (SIZES[class] as usize) < slot * granule {
            class += 1;
        }
        table[slot] = class as u8;
        slot += 1;
    }
    table
}

/// Bytes of an object of each class; padded with zeros to a power of two so that an index can be masked.
pub(super) const SIZES: [u32; 64] = sizes();
/// Pages of a span of each class, padded likewise.
pub(super) const SPAN_PAGES: [u8; 64] = span_pages();
/// Class by size in units of 8 bytes, to 1 KiB.
pub(super) const SMALL: [u8; 129] = look_up(8);
/// Class by size in units of 128 bytes, to 32 KiB.
pub(super) const MEDIUM: [u8; 257] = look_up(128);
