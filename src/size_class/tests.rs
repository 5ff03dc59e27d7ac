use super::table::SIZES;
use super::*;

/// Returns the rows of the table in `table.rs`, with its columns. The mean waste is that of the
/// requests that fall into the class, in percent of the object.
fn rows() -> Vec<String> {
    let mut below = 0;
    SizeClass::all()
        .map(|class| {
            let (size, span) = (class.size(), class.span_bytes());
            // The largest and the smallest request.
            let most = if size > ALIGNED_STEP && size % ALIGNED_STEP == CACHE_LINE {
                size - CACHE_LINE
            } else {
                size
            };
            let least = if class.index() < PACKED {
                below
            } else {
                PACKED_MAX.max(size - ALIGNED_STEP)
            };
            let mean = (most + least + 1) as f64 / 2.0;
            let waste = 100.0 * (size as f64 - mean) / size as f64;
            below = most;
            let left = span - class.objects() * size;
            format!(
                "//! {:>5} {size:>8} {span:>8} {:>8} {left:>6} {waste:>8.2}",
                class.index(),
                class.objects()
            )
        })
        .collect()
}

#[test]
fn the_comment_shows_the_table_in_force() {
    let source = include_str!("table.rs");
    for row in rows() {
        assert!(
            source.contains(&row),
            "table.rs should hold the line\n{row}\nall rows:\n{}",
            rows().join("\n")
        );
    }
}

#[test]
fn every_size_gets_the_smallest_class_that_holds_it() {
    for n in 1..=SMALL_MAX {
        let class = SizeClass::holding(n);
        assert!(class.size() >= n);
        // A class may be a cache line longer only to begin its objects at many cache lines
        // (SIZE-3).
        assert!(
            class.index() == 0 || (SIZES[class.index() - 1] as usize) < n + CACHE_LINE,
            "{n} bytes fit a smaller class"
        );
    }
    for class in 1..PACKED {
        assert!(SIZES[class - 1] < SIZES[class]);
    }
}

#[test]
fn a_class_is_aligned_as_its_requests_are() {
    for shift in 0..=PAGE.ilog2() {
        let align = 1 << shift;
        for n in (align..=SMALL_MAX).step_by(align) {
            let class = SizeClass::serving(n, align).expect("small enough for a class");
            assert!(class.size() >= n);
            if align <= CACHE_LINE || n <= PACKED_MAX {
                assert_eq!(class, SizeClass::holding(n));
            }
            assert_eq!(Some(class), SizeClass::freed(n, align));
            assert_eq!(Some(class), SizeClass::serving(n - align + 1, align));
            assert_eq!(class.size() % align, 0, "{n} bytes at {align}");
        }
    }
}

#[test]
fn a_freed_block_holds_what_its_bin_gives_out() {
    for shift in 0..=PAGE.ilog2() {
        let align = 1 << shift;
        for n in 1..=SMALL_MAX {
            let Some(class) = SizeClass::serving(n, align) else {
                continue;
            };
            let bin = SizeClass::freed(n, align).expect("a class for every served request");
            assert!(bin.size() <= class.size(), "{n} bytes at {align}: {bin:?} of {class:?}");
            let (of_bin, of_class) = (bin.size().trailing_zeros(), class.size().trailing_zeros());
            assert!(
                bin == class || of_bin.min(PAGE.ilog2()) <= of_class,
                "{n} bytes at {align}"
            );
        }
    }
}

#[test]
fn objects_of_a_class_begin_at_many_cache_lines_of_a_page() {
    for class in SizeClass::all().take(PACKED) {
        let lines: std::collections::BTreeSet<usize> =
            (0..64).map(|index| index * class.size() % 4096 / CACHE_LINE).collect();
        assert!(lines.len() > 1, "{class:?}");
    }
}

#[test]
fn what_no_class_can_serve_goes_to_pages() {
    assert_eq!(SizeClass::serving(SMALL_MAX + 1, 1), None);
    assert_eq!(SizeClass::serving(SMALL_MAX, 2 * PAGE), None);
    assert_eq!(SizeClass::serving(1, 2 * PAGE), None);
    assert_eq!(SizeClass::serving(0, 8), None);
    assert!(SizeClass::serving(1, PAGE).is_some());
    assert_eq!(SizeClass::serving(isize::MAX as usize, 1), None);
}

#[test]
fn spans_hold_at_least_eight_objects_and_are_whole_pages() {
    for class in SizeClass::all() {
        assert!(class.objects() >= 8);
        assert!((class.span_bytes() - class.objects() * class.size()) * 16 <= class.span_bytes());
        assert!(
            class.span_bytes() / 8 < usize::from(u16::MAX),
            "offsets in units of 8 bytes fit 16 bits"
        );
    }
}

#[test]
fn short_spans_hold_two_objects_and_leave_a_sixth_at_the_most() {
    for class in SizeClass::all() {
        let lengths = class.lengths();
        assert!(lengths.is_sorted(), "{class:?}: {lengths:?}");
        assert_eq!(lengths.last(), Some(&class.span_pages()));
        for (row, pages) in lengths.into_iter().enumerate() {
            let bytes = pages * PAGE;
            let objects = class.objects_in(bytes);
            assert!(
                objects >= 2 && objects * class.size() <= bytes,
                "{class:?} in {pages} pages"
            );
            assert!(
                (bytes - objects * class.size()) * 6 <= bytes,
                "{class:?} in {pages} pages"
            );
            // About as long as the row says; some pages more if fewer would leave much over.
            let named = (class.span_pages() >> (lengths.len() - 1 - row)).max(1);
            assert!(pages <= named + 5, "{class:?}: {lengths:?}");
        }
    }
}

#[test]
fn mean_internal_waste_of_log_uniform_sizes_is_below_six_percent() {
    // Requests of 16 B to 32 KiB whose logarithm is uniform: the density of size n is 1/n.
    let (mut asked, mut given) = (0.0, 0.0);
    for n in 16..=SMALL_MAX {
        let weight = 1.0 / n as f64;
        asked += weight * n as f64;
        given += weight * SizeClass::holding(n).size() as f64;
    }
    let by_bytes = 1.0 - asked / given;
    let (mut waste, mut total) = (0.0, 0.0);
    for n in 16..=SMALL_MAX {
        let weight = 1.0 / n as f64;
        waste += weight * (1.0 - n as f64 / SizeClass::holding(n).size() as f64);
        total += weight;
    }
    let by_request = waste / total;
    println!(
        "mean waste: {:.2} % of the bytes, {:.2} % of a request",
        100.0 * by_bytes,
        100.0 * by_request
    );
    assert!(by_bytes < 0.06 && by_request < 0.06, "{by_bytes} {by_request}");
}

#[test]
fn every_offset_of_a_span_is_told_from_where_an_object_begins() {
    for class in SizeClass::all() {
        for offset in 0..class.span_bytes() {
            let begins = offset.is_multiple_of(class.size()) && offset / class.size() < class.objects();
            assert_eq!(class.begins_object(offset), begins, "{class:?} at {offset}");
        }
        assert!(!begins_object(0, 0));
    }
}

#[test]
fn the_first_objects_of_a_span_begin_at_multiples_of_their_size_and_nowhere_else() {
    for class in SizeClass::all() {
        let all = class.objects();
        for count in [0, 1, all / 2, all] {
            let first = First::new(class, count as u32);
            let wanted = |offset: usize| offset.is_multiple_of(class.size()) && offset < count * class.size();
            for offset in 0..2 * class.span_bytes().min(64 << 10) {
                assert_eq!(first.begins(offset), wanted(offset), "{class:?}: {count} at {offset}");
            }
            for far in (0..48).map(|bit| 1_usize << bit).chain([(1 << 48) - 1]) {
                for near in (0..=64).chain([class.size(), class.span_bytes()]) {
                    let below = (far - near.min(far)).wrapping_neg();
                    assert_eq!(
                        first.begins(below),
                        below == 0 && count > 0,
                        "{class:?}: {count} at {below:#x}"
                    );
                    let multiple = far / class.size() * class.size();
                    for offset in [far - near.min(far), multiple, multiple.wrapping_neg()] {
                        assert_eq!(
                            first.begins(offset),
                            wanted(offset),
                            "{class:?}: {count} at {offset:#x}"
                        );
                    }
                }
            }
        }
    }
}
