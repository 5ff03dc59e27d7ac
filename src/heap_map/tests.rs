use super::cells::{cells, pages_per_cell};
use super::*;

const PAGE: u64 = HeapMap::PAGE_BYTES;

/// Returns a map of one arena with these runs.
fn map(runs: &[(u64, Usage)]) -> HeapMap {
    let base = 1 << 30;
    let mut arena = Arena::new(base, 1 << 40, 1 << 16);
    let mut address = base + HeapMap::HUGE_BYTES;
    for &(pages, usage) in runs {
        arena.push(Run::new(address, pages, usage));
        address += pages * PAGE;
    }
    arena.huge = vec![false; arena.ready().div_ceil(HeapMap::HUGE_BYTES) as usize];
    HeapMap {
        arenas: vec![arena],
        has_served: true,
    }
}

fn small(size: u64, objects: u64, live: u64) -> Usage {
    Usage::Small { size, objects, live }
}

/// Returns a map of one huge page with some pages of every kind.
fn mixed() -> HeapMap {
    map(&[
        (4, small(64, 512, 512)),
        (4, small(64, 512, 128)),
        (8, small(1024, 64, 1)),
        (40, Usage::Large { bytes: 300_000 }),
        (24, Usage::Room),
        (
            8,
            Usage::Managed {
                size: 32,
                objects: 2000,
            },
        ),
        (4, Usage::Spare),
        (4, Usage::Changing),
        (32, Usage::Free),
        (128, Usage::Released),
    ])
}

#[test]
fn sums_are_those_of_the_runs() {
    let map = mixed();
    assert_eq!(map.ready(), HeapMap::HUGE_BYTES);
    assert_eq!(map.bytes(Kind::Small), 16 * PAGE);
    assert_eq!(map.in_use(), (16 + 40 + 8 + 4 + 4) * PAGE);
    assert_eq!(Kind::ALL.map(|kind| map.bytes(kind)).iter().sum::<u64>(), map.ready());
    let classes = map.classes();
    assert_eq!(classes.iter().map(|class| class.size).collect::<Vec<_>>(), [64, 1024]);
    assert_eq!((classes[0].spans, classes[0].objects, classes[0].live), (2, 1024, 640));
    assert_eq!(classes[1].bytes, 8 * PAGE);
}

#[test]
fn kinds_stand_at_their_own_places() {
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, index, "cells count by place");
    }
}

#[test]
fn free_pages_become_one_run_and_spans_stay_apart() {
    let map = map(&[
        (1, Usage::Free),
        (2, Usage::Free),
        (4, Usage::Spare),
        (4, Usage::Spare),
        (5, Usage::Released),
        (5, Usage::Released),
    ]);
    let pages: Vec<u64> = map.runs().map(|run| run.pages).collect();
    assert_eq!(pages, [3, 4, 4, 10]);
}

#[test]
fn cells_cover_every_page_once_and_show_what_most_of_theirs_are() {
    let map = mixed();
    for pages in [1, 2, 4, 8, 64, 1024] {
        let cells: Vec<_> = cells(&map.arenas[0], pages).collect();
        assert_eq!(cells.iter().map(|cell| cell.pages).sum::<u64>(), 256, "{pages}");
        assert_eq!(cells.iter().map(|cell| cell.used).sum::<u64>() * PAGE, map.in_use());
        assert_eq!(cells.len() as u64, 256_u64.div_ceil(pages));
    }
    let by_four: Vec<_> = cells(&map.arenas[0], 4).collect();
    assert_eq!(by_four[0].quarter(), 4, "full");
    assert_eq!(by_four[1].quarter(), 1, "a quarter");
    assert_eq!(by_four[2].quarter(), 1, "nearly empty shows all the same");
    assert_eq!(by_four[4].kind, Kind::Large);
    assert!(by_four[4].begins && !by_four[5].begins);
    let by_64: Vec<_> = cells(&map.arenas[0], 64).collect();
    let kinds: Vec<Kind> = by_64.iter().map(|cell| cell.kind).collect();
    assert_eq!(kinds, [Kind::Large, Kind::Free, Kind::Released, Kind::Released]);
}

#[test]
fn large_maps_have_longer_cells_and_not_more_rows() {
    let tera = map(&[(1 << 27, Usage::Large { bytes: 1 << 40 })]);
    let pages = pages_per_cell(&tera, 64, 4, 48);
    assert!(pages.is_power_of_two());
    assert!((1_u64 << 27).div_ceil(pages * 64) <= 48);
    assert!((1_u64 << 27).div_ceil(pages * 64) > 24, "not longer than needed");
    assert_eq!(pages_per_cell(&mixed(), 64, 4, 48), 4);
    assert_eq!(pages_per_cell(&HeapMap::default(), 64, 4, 48), 4);
}

#[test]
fn the_text_has_a_legend_and_rows_of_one_width() {
    let text = mixed().to_string();
    let row: Vec<&str> = text.lines().filter(|line| line.contains('|')).collect();
    assert_eq!(row.len(), 1, "{text}");
    let marks = row[0].split('|').nth(1).expect("between bars");
    assert_eq!(marks.chars().count(), 64);
    assert_eq!(
        marks,
        format!(
            "█░░░{}{}ggo?{}{}",
            "=".repeat(10),
            ":".repeat(6),
            "-".repeat(8),
            ".".repeat(32)
        )
    );
    for kind in Kind::ALL {
        assert!(text.contains(kind.meaning()), "{text}");
    }
    assert!(row[0].ends_with("|    28 %"), "{text}");
    assert!(HeapMap::default().to_string().contains("none"));
}

/// Reads one JSON value that begins at `at`, as strictly as this test needs. Returns its end.
fn value(text: &[u8], at: usize) -> usize {
    match text[at] {
        open @ (b'{' | b'[') => {
            let close = if open == b'{' { b'}' } else { b']' };
            let mut at = at + 1;
            if text[at] == close {
                return at + 1;
            }
            loop {
                if open == b'{' {
                    assert_eq!(text[at], b'"');
                    at = value(text, at);
                    assert_eq!(text[at], b':');
                    at += 1;
                }
                at = value(text, at);
                match text[at] {
                    b',' => at += 1,
                    end => {
                        assert_eq!(end, close);
                        return at + 1;
                    }
                }
            }
        }
        b'"' => {
            at + 2
                + text[at + 1..]
                    .iter()
                    .position(|&byte| byte == b'"')
                    .expect("a string ends")
        }
        _ => {
            let length = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            assert!(length > 0, "a number at {at}");
            at + length
        }
    }
}

#[test]
fn the_json_is_json_and_has_all_runs() {
    for map in [mixed(), HeapMap::default()] {
        let text = map.to_json();
        assert_eq!(value(text.as_bytes(), 0), text.len(), "{text}");
    }
    let text = mixed().to_json();
    for part in [
        "{\"version\":1,\"page\":8192,",
        "[4,\"small\",64,512,128],",
        "[40,\"large\",300000],",
        "[8,\"managed\",32,2000],",
        "[128,\"released\"]]",
        "\"huge\":\"0\"",
        "\"first\":\"0x40200000\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Checks that every tag of the picture is closed in order, and returns the names.
fn tags(svg: &str) -> Vec<&str> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('&') && !text.contains('>'), "{text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{svg}");
            continue;
        }
        let name = tag.split([' ', '/']).next().expect("a name");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        all.push(name);
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn the_picture_is_well_formed_and_needs_nothing_from_outside() {
    let mut map = mixed();
    map.arenas[0].huge[0] = true;
    let svg = map.to_svg();
    let tags = tags(&svg);
    assert!(!tags.contains(&"script") && !tags.contains(&"image"));
    assert_eq!(svg.matches("http").count(), 1, "the name space alone");
    assert!(svg.contains("prefers-color-scheme:dark"));
    for kind in Kind::ALL {
        assert!(svg.contains(kind.meaning()), "{}", kind.name());
        if kind != Kind::Small {
            assert!(svg.contains(&format!("class=\"{}\"", kind.name())), "{}", kind.name());
        }
    }
    assert!(svg.contains("a large object of 300000 bytes"));
    self::tags(&HeapMap::default().to_svg());
}

#[test]
fn every_form_says_whether_the_program_allocates_here() {
    let (served, not) = (mixed(), HeapMap::default());
    let says = |text: &str| text.contains("in these figures");
    assert!(!says(&served.to_string()) && !says(&served.to_svg()));
    assert!(says(&not.to_string()) && says(&not.to_svg()));
    assert!(served.to_json().contains("\"has_served\":1,") && not.to_json().contains("\"has_served\":0,"));
}
