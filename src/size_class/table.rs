//! The class sizes and the look-up tables, computed at compile time.
//!
//! - Spacing: every 8 bytes up to 128, then 8 size classes per doubling up to 32 KiB.
//! - Waste: 8 classes per doubling bound the internal waste by 1/9 of the object (allocators with
//!   four: 1/5). Over requests of 16 B to 32 KiB whose logarithm is uniform, 4.3 % of the bytes are
//!   waste. With four classes per doubling above 4 KiB it would be 7.7 %.
//! - Odd multiples of 8 serve requests aligned to 8 at the most. `Layout` states the alignment,
//!   where C's `malloc` must assume 16.
//! - Sizes that would be multiples of 4096 are a cache line longer (SIZE-3). The last 8 classes
//!   are those multiples.
//! - The first spans of a class that a thread takes are shorter ([`SPAN_PAGES`]), since most
//!   threads have few objects of most classes.
//!
//! Columns: class, bytes of an object, bytes of a whole span, objects in it, bytes left at its end,
//! mean waste in percent of an object.
//!
//! ```text
//!     0        8    32768     4096      0    43.75
//!     1       16    32768     2048      0    21.88
//!     2       24    32768     1365      8    14.58
//!     3       32    32768     1024      0    10.94
//!     4       40    32768      819      8     8.75
//!     5       48    32768      682     32     7.29
//!     6       56    32768      585      8     6.25
//!     7       64    32768      512      0     5.47
//!     8       72    32768      455      8     4.86
//!     9       80    32768      409     48     4.38
//!    10       88    32768      372     32     3.98
//!    11       96    32768      341     32     3.65
//!    12      104    32768      315      8     3.37
//!    13      112    32768      292     64     3.12
//!    14      120    32768      273      8     2.92
//!    15      128    32768      256      0     2.73
//!    16      144    32768      227     80     5.21
//!    17      160    32768      204    128     4.69
//!    18      176    32768      186     32     4.26
//!    19      192    32768      170    128     3.91
//!    20      208    32768      157    112     3.61
//!    21      224    32768      146     64     3.35
//!    22      240    32768      136    128     3.12
//!    23      256    32768      128      0     2.93
//!    24      288    32768      113    224     5.38
//!    25      320    32768      102    128     4.84
//!    26      352    32768       93     32     4.40
//!    27      384    32768       85    128     4.04
//!    28      416    32768       78    320     3.73
//!    29      448    32768       73     64     3.46
//!    30      480    32768       68    128     3.23
//!    31      512    32768       64      0     3.03
//!    32      576    32768       56    512     5.47
//!    33      640    32768       51    128     4.92
//!    34      704    32768       46    384     4.47
//!    35      768    32768       42    512     4.10
//!    36      832    32768       39    320     3.79
//!    37      896    32768       36    512     3.52
//!    38      960    32768       34    128     3.28
//!    39     1024    32768       32      0     3.08
//!    40     1152    65536       56   1024     5.51
//!    41     1280    65536       51    256     4.96
//!    42     1408    65536       46    768     4.51
//!    43     1536    65536       42   1024     4.13
//!    44     1664    65536       39    640     3.82
//!    45     1792    65536       36   1024     3.54
//!    46     1920    65536       34    256     3.31
//!    47     2048    65536       32      0     3.10
//!    48     2304    65536       28   1024     5.53
//!    49     2560    65536       25   1536     4.98
//!    50     2816    65536       23    768     4.53
//!    51     3072    65536       21   1024     4.15
//!    52     3328    65536       19   2304     3.83
//!    53     3584    65536       18   1024     3.56
//!    54     3840    65536       17    256     3.32
//!    55     4160    65536       15   3136     4.60
//!    56     4608    65536       14   1024     5.54
//!    57     5120    65536       12   4096     4.99
//!    58     5632    65536       11   3584     4.54
//!    59     6144    65536       10   4096     4.16
//!    60     6656    73728       11    512     3.84
//!    61     7168    65536        9   1024     3.56
//!    62     7680    65536        8   4096     3.33
//!    63     8256   122880       14   7296     3.87
//!    64     9216   131072       14   2048     5.55
//!    65    10240   131072       12   8192     5.00
//!    66    11264   131072       11   7168     4.54
//!    67    12352   131072       10   7552     4.66
//!    68    13312   139264       10   6144     3.84
//!    69    14336   131072        9   2048     3.57
//!    70    15360   131072        8   8192     3.33
//!    71    16448   139264        8   7680     3.50
//!    72    18432   262144       14   4096     5.55
//!    73    20544   262144       12  15616     5.29
//!    74    22528   262144       11  14336     4.54
//!    75    24640   262144       10  15744     4.41
//!    76    26624   270336       10   4096     3.84
//!    77    28736   262144        9   3520     3.78
//!    78    30720   262144        8  16384     3.33
//!    79    32832   270336        8   7680     3.31
//!    80     4096    65536       16      0     3.11
//!    81     8192    65536        8      0    24.99
//!    82    12288   131072       10   8192    16.66
//!    83    16384   131072        8      0    12.50
//!    84    20480   262144       12  16384    10.00
//!    85    24576   262144       10  16384     8.33
//!    86    28672   262144        9   4096     7.14
//!    87    32768   262144        8      0     6.25
//! ```

use crate::base::geometry::{CACHE_LINE, PAGE, SMALL_MAX};

/// Up to here, in bytes, every multiple of 8 is a class: a request's class number is that of its
/// last unit of 8 bytes.
const EVERY_8: usize = 128;
/// The number of size classes for requests at up to a cache line.
pub(super) const PACKED: usize = 80;
/// Up to here, in bytes, requests at more than a cache line have the same classes.
pub(super) const PACKED_MAX: usize = 3840;
/// The spacing in bytes of the classes for larger requests at more than a cache line.
pub(super) const ALIGNED_STEP: usize = 4096;
/// The number of size classes.
pub(crate) const COUNT: usize = PACKED + SMALL_MAX / ALIGNED_STEP;

/// Returns the largest request of each of the first [`PACKED`] classes.
const fn requests() -> [u32; PACKED] {
    let mut sizes = [0; PACKED];
    let (mut index, mut size) = (0, 8);
    while size <= SMALL_MAX {
        sizes[index] = size as u32;
        index += 1;
        size += step(size);
    }
    assert!(index == PACKED);
    sizes
}

/// Returns the bytes from the class of `size` to the next.
const fn step(size: usize) -> usize {
    if size < EVERY_8 { 8 } else { (1 << size.ilog2()) / 8 }
}

const fn sizes() -> [u32; 128] {
    let mut sizes = [0; 128];
    let mut index = 0;
    while index < COUNT {
        sizes[index] = if index >= PACKED {
            (index - PACKED + 1) * ALIGNED_STEP
        } else if (REQUESTS[index] as usize).is_multiple_of(ALIGNED_STEP) {
            REQUESTS[index] as usize + CACHE_LINE
        } else {
            REQUESTS[index] as usize
        } as u32;
        index += 1;
    }
    sizes
}

/// The number of lengths that the spans of a class have.
pub(super) const LENGTHS: usize = 4;

/// Returns the pages of spans, one row per length: about an eighth, a quarter and a half of a whole
/// span, and a whole one. A span shorter than a whole one is lengthened until it holds at least 2
/// objects and leaves at most a sixth at its end.
const fn span_pages() -> [[u8; 128]; LENGTHS] {
    let mut all = [[0; 128]; LENGTHS];
    all[LENGTHS - 1] = whole_pages();
    let mut row = 0;
    while row < LENGTHS - 1 {
        let mut index = 0;
        while index < COUNT {
            let (size, whole) = (SIZES[index] as usize, all[LENGTHS - 1][index]);
            let mut pages = whole >> (LENGTHS - 1 - row);
            if pages == 0 {
                pages = 1;
            }
            while pages < whole && !fits_well(pages as usize * PAGE, size) {
                pages += 1;
            }
            all[row][index] = pages;
            index += 1;
        }
        row += 1;
    }
    all
}

const fn fits_well(bytes: usize, size: usize) -> bool {
    bytes >= 2 * size && bytes % size <= bytes / 6
}

/// Returns the pages of whole spans. They hold at least 8 objects, and of small ones 32 KiB. At
/// most a sixteenth is left at the end.
///
/// Longer spans would need fewer records. But the program touches all pages of a span in time, and
/// threads that come and go would touch more of them.
const fn whole_pages() -> [u8; 128] {
    let mut all = [0; 128];
    let mut index = 0;
    while index < COUNT {
        let size = SIZES[index] as usize;
        let mut pages = match size {
            0..=1024 => (32 << 10) / PAGE,
            1025..=8256 => (64 << 10) / PAGE,
            8257..=16_448 => (128 << 10) / PAGE,
            _ => (256 << 10) / PAGE,
        };
        while pages * PAGE % size > pages * PAGE / 16 {
            pages += 1;
        }
        all[index] = pages as u8;
        index += 1;
    }
    all
}

/// Returns for each slot the number of the smallest class that holds more than `slot * granule`
/// bytes.
const fn look_up<const N: usize>(granule: usize) -> [u8; N] {
    let mut table = [0; N];
    let (mut slot, mut class) = (0, 0);
    while slot < N {
        while REQUESTS[class] as usize <= slot * granule {
            class += 1;
        }
        table[slot] = class as u8;
        slot += 1;
    }
    table
}

const fn by_size() -> [u8; 1025] {
    let mut table = [0; 1025];
    let (mut size, mut class) = (0, 0);
    while size < table.len() {
        while (REQUESTS[class] as usize) < size {
            class += 1;
        }
        table[size] = class as u8;
        size += 1;
    }
    table
}

const REQUESTS: [u32; PACKED] = requests();
/// The bytes of an object of each class, padded with zeros to a power of two so that an index can
/// be masked.
pub(super) const SIZES: [u32; 128] = sizes();
/// The pages of a span of each class by length, padded with zeros to a power of two.
pub(super) const SPAN_PAGES: [[u8; 128]; LENGTHS] = span_pages();
/// The class by the number of bytes, up to 1 KiB.
pub(super) const SMALL: &[u8; 1025] = &by_size();
/// The class by the last byte's offset in units of 128 bytes, below 32 KiB. Right for requests
/// above 1 KiB.
pub(super) const MEDIUM: &[u8; 256] = &look_up(128);
