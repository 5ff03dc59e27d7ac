//! The class sizes and the look-up tables, computed at compile time.
//!
//! Every 8 bytes to 128, then 8 classes a doubling to 32 KiB. Eight a doubling bound the internal waste by 1/9 of the object (C peers
//! with four: 1/5). Over requests of 16 B to 32 KiB whose logarithm is uniform, 4.2 % of the bytes are waste; four a doubling above
//! 4 KiB would make it 7.7 %. The odd multiples of 8 serve requests aligned to 8 at the most: `Layout` tells, where C's `malloc` must
//! assume 16.
//!
//! Columns: class, bytes of an object, bytes of a span, objects in it, bytes left at its end, mean waste in percent of an object.
//!
//! ```text
//!     0        8    65536     8192      0    43.75
//!     1       16    65536     4096      0    21.88
//!     2       24    65536     2730     16    14.58
//!     3       32    65536     2048      0    10.94
//!     4       40    65536     1638     16     8.75
//!     5       48    65536     1365     16     7.29
//!     6       56    65536     1170     16     6.25
//!     7       64    65536     1024      0     5.47
//!     8       72    65536      910     16     4.86
//!     9       80    65536      819     16     4.38
//!    10       88    65536      744     64     3.98
//!    11       96    65536      682     64     3.65
//!    12      104    65536      630     16     3.37
//!    13      112    65536      585     16     3.12
//!    14      120    65536      546     16     2.92
//!    15      128    65536      512      0     2.73
//!    16      144    65536      455     16     5.21
//!    17      160    65536      409     96     4.69
//!    18      176    65536      372     64     4.26
//!    19      192    65536      341     64     3.91
//!    20      208    65536      315     16     3.61
//!    21      224    65536      292    128     3.35
//!    22      240    65536      273     16     3.12
//!    23      256    65536      256      0     2.93
//!    24      288    65536      227    160     5.38
//!    25      320    65536      204    256     4.84
//!    26      352    65536      186     64     4.40
//!    27      384    65536      170    256     4.04
//!    28      416    65536      157    224     3.73
//!    29      448    65536      146    128     3.46
//!    30      480    65536      136    256     3.23
//!    31      512    65536      128      0     3.03
//!    32      576    65536      113    448     5.47
//!    33      640    65536      102    256     4.92
//!    34      704    65536       93     64     4.47
//!    35      768    65536       85    256     4.10
//!    36      832    65536       78    640     3.79
//!    37      896    65536       73    128     3.52
//!    38      960    65536       68    256     3.28
//!    39     1024    65536       64      0     3.08
//!    40     1152   131072      113    896     5.51
//!    41     1280   131072      102    512     4.96
//!    42     1408   131072       93    128     4.51
//!    43     1536   131072       85    512     4.13
//!    44     1664   131072       78   1280     3.82
//!    45     1792   131072       73    256     3.54
//!    46     1920   131072       68    512     3.31
//!    47     2048   131072       64      0     3.10
//!    48     2304   131072       56   2048     5.53
//!    49     2560   131072       51    512     4.98
//!    50     2816   131072       46   1536     4.53
//!    51     3072   131072       42   2048     4.15
//!    52     3328   131072       39   1280     3.83
//!    53     3584   131072       36   2048     3.56
//!    54     3840   131072       34    512     3.32
//!    55     4096   131072       32      0     3.11
//!    56     4608   131072       28   2048     5.54
//!    57     5120   131072       25   3072     4.99
//!    58     5632   131072       23   1536     4.54
//!    59     6144   131072       21   2048     4.16
//!    60     6656   131072       19   4608     3.84
//!    61     7168   131072       18   2048     3.56
//!    62     7680   131072       17    512     3.33
//!    63     8192   131072       16      0     3.12
//!    64     9216   262144       28   4096     5.55
//!    65    10240   262144       25   6144     5.00
//!    66    11264   262144       23   3072     4.54
//!    67    12288   262144       21   4096     4.16
//!    68    13312   262144       19   9216     3.84
//!    69    14336   262144       18   4096     3.57
//!    70    15360   262144       17   1024     3.33
//!    71    16384   262144       16      0     3.12
//!    72    18432   262144       14   4096     5.55
//!    73    20480   262144       12  16384     5.00
//!    74    22528   262144       11  14336     4.54
//!    75    24576   262144       10  16384     4.16
//!    76    26624   262144        9  22528     3.84
//!    77    28672   262144        9   4096     3.57
//!    78    30720   262144        8  16384     3.33
//!    79    32768   262144        8      0     3.12
//! ```

use crate::base::geometry::{PAGE, SMALL_MAX};

/// Up to here, in bytes, every multiple of 8 is a class: the class number of a request is that of its last unit of 8 bytes.
pub(super) const EVERY_8: usize = 128;
/// How many size classes there are.
pub(crate) const COUNT: usize = 80;

const fn sizes() -> [u32; 128] {
    let mut sizes = [0; 128];
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
    if size < EVERY_8 { 8 } else { (1 << size.ilog2()) / 8 }
}

/// Spans hold at least 8 objects, and 64 KiB of small ones; the resident cost is what is touched, not the size of the span.
const fn span_pages() -> [u8; 128] {
    let mut pages = [0; 128];
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

/// Class number of the smallest class that holds more than `slot * granule` bytes, for each slot.
const fn look_up<const N: usize>(granule: usize) -> [u8; N] {
    let mut table = [0; N];
    let (mut slot, mut class) = (0, 0);
    while slot < N {
        while SIZES[class] as usize <= slot * granule {
            class += 1;
        }
        table[slot] = class as u8;
        slot += 1;
    }
    table
}

/// Bytes of an object of each class; padded with zeros to a power of two so that an index can be masked.
pub(super) const SIZES: [u32; 128] = sizes();
/// Pages of a span of each class, padded likewise.
pub(super) const SPAN_PAGES: [u8; 128] = span_pages();
/// Class by the last byte's offset in units of 16 bytes, below 1 KiB; right for requests above [`EVERY_8`].
pub(super) const SMALL: [u8; 64] = look_up(16);
/// Class by the last byte's offset in units of 128 bytes, below 32 KiB; right for requests above 1 KiB.
pub(super) const MEDIUM: [u8; 256] = look_up(128);
