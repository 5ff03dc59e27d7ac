//! The written formats: pprof, folded stacks, flame graph, differences.

use crate::decode::Decoded;
use greyspan::profile::{self, Profile, View};
use std::hint::black_box;

#[inline(never)]
fn the_leak(kept: &mut Vec<Box<[u8]>>) {
    kept.push(black_box(vec![1u8; 1024]).into_boxed_slice());
}

#[inline(never)]
fn the_churn() {
    black_box((0..100u32).fold(String::new(), |line, cell| format!("{line}{cell}, ")));
}

/// Leaks and churns; returns the blocks that it keeps.
fn run(requests: usize) -> Vec<Box<[u8]>> {
    let mut kept = Vec::with_capacity(requests);
    for _ in 0..requests {
        the_leak(&mut kept);
        the_churn();
    }
    kept
}

fn pprof(profile: &Profile) -> Decoded {
    let mut file = Vec::new();
    profile.write_pprof(&mut file).unwrap();
    Decoded::new(&file)
}

pub(crate) fn pprof_files_name_what_leaks_and_what_churns_first() {
    profile::start(16 << 10).unwrap();
    let before = Profile::take();
    let kept = run(2_000);
    let delta = profile::diff(&Profile::take(), &before);
    profile::stop();
    let decoded = pprof(&delta);
    let kinds = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"];
    assert!(decoded.kinds.iter().map(|(name, _)| name.as_str()).eq(kinds));
    assert!(
        decoded
            .kinds
            .iter()
            .map(|(_, unit)| unit.as_str())
            .eq(["count", "bytes", "count", "bytes"])
    );
    assert_eq!(decoded.default, "inuse_space");
    assert_eq!((decoded.period, decoded.period_kind.0.as_str()), (16 << 10, "space"));
    let in_use = decoded.top("inuse_space");
    assert!(in_use[0].0.contains("the_leak"), "{in_use:?}");
    assert!((1_500_000..2_700_000).contains(&in_use[0].1), "{in_use:?}");
    let allocated = decoded.top("alloc_space");
    assert!(allocated[0].0.contains("the_churn"), "{allocated:?}");
    let leak = decoded
        .samples
        .iter()
        .find(|sample| sample.functions[0].contains("the_leak"))
        .unwrap();
    assert!(
        leak.functions.iter().any(|name| name.contains("output::run")),
        "{:?}",
        leak.functions
    );
    assert!(leak.depth > 3 && leak.depth <= leak.functions.len());
    let program = std::env::current_exe().unwrap().display().to_string();
    assert!(decoded.mappings.iter().any(|(file, _)| *file == program));
    assert!(
        decoded
            .mappings
            .iter()
            .any(|(file, id)| file.contains("libc") && id.len() >= 16)
    );
    drop(kept);
}

pub(crate) fn an_allocs_profile_shows_allocated_bytes_first() {
    let allocs = pprof(&Profile::take().with_view(View::AllocSpace));
    assert_eq!(allocs.default, "alloc_space");
}

pub(crate) fn a_difference_has_what_was_freed_with_a_minus() {
    profile::start(4 << 10).unwrap();
    let kept = run(500);
    // The snapshots' own memory must not be sampled.
    profile::stop();
    let full = Profile::take();
    drop(kept);
    let delta = Profile::take().diff(&full);
    assert!(
        delta.total(View::InuseSpace) < -400_000,
        "{}",
        delta.total(View::InuseSpace)
    );
    let top = pprof(&delta).top("inuse_space");
    let last = top.last().unwrap();
    assert!(last.0.contains("the_leak") && last.1 < -300_000, "{top:?}");
    assert_eq!(full.diff(&full).total(View::AllocObjects), 0);
}

/// Short data is not compressed.
pub(crate) fn a_profile_without_samples_is_whole() {
    let none = Profile::take();
    let none = none.diff(&none);
    let mut bytes = Vec::new();
    none.write_pprof(&mut bytes).unwrap();
    assert!(bytes.len() < 300, "{}", bytes.len());
    let read = pprof(&none);
    assert_eq!(read.top("inuse_space"), []);
    assert_eq!(read.default, "inuse_space");
}

pub(crate) fn folded_stacks_go_from_the_outermost_function_to_the_innermost() {
    profile::start(4 << 10).unwrap();
    let before = Profile::take();
    let kept = run(500);
    let delta = Profile::take().diff(&before);
    profile::stop();
    let mut text = Vec::new();
    delta.write_folded(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut sum = 0;
    for line in text.lines() {
        let (path, value) = line.rsplit_once(' ').expect("path and value");
        sum += value.parse::<i64>().unwrap();
        if path.contains("the_leak") {
            let run = path.find("output::run").expect("the caller");
            assert!(
                run < path.find("the_leak").unwrap() && path.ends_with("the_leak"),
                "{path}"
            );
        }
    }
    assert!(text.contains("the_leak"), "{text}");
    let total = delta.total(View::InuseSpace);
    // Folded stacks leave out negative values: blocks that were freed since the first profile.
    assert!(sum >= total && sum - total < 50_000, "{sum} of {total}");
    let mut free = Vec::new();
    profile::write_folded(&mut free).unwrap();
    assert!(String::from_utf8(free).unwrap().contains("the_leak"));
    drop(kept);
}

pub(crate) fn a_flame_graph_is_a_whole_picture_that_asks_for_nothing_from_outside() {
    profile::start(4 << 10).unwrap();
    let kept = run(500);
    let mut picture = Vec::new();
    profile::write_flamegraph(&mut picture).unwrap();
    profile::stop();
    let picture = String::from_utf8(picture).unwrap();
    assert!(picture.starts_with("<?xml") && picture.trim_end().ends_with("</svg>"));
    assert!(picture.contains("the_leak") && picture.contains("inuse_space"));
    assert_eq!(picture.matches("<g ").count(), picture.matches("</g>").count());
    // The only address is the name of SVG itself.
    assert_eq!(picture.matches("http").count(), 1, "{picture}");
    drop(kept);
}

pub(crate) fn a_rate_of_zero_is_refused_with_a_reason_and_changes_nothing() {
    let error = profile::start(0).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("0"), "{error}");
    assert!(!profile::is_active() && profile::rate().is_none());
}

pub(crate) fn what_cannot_be_written_is_an_error_of_the_caller() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    profile::start(1 << 10).unwrap();
    let kept = run(10);
    for written in [
        profile::write_pprof(&mut Full),
        profile::write_folded(&mut Full),
        profile::write_flamegraph(&mut Full),
    ] {
        assert_eq!(written.unwrap_err().to_string(), "the disk is full");
    }
    profile::stop();
    drop(kept);
}
