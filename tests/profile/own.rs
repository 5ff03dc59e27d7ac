//! The profiler's own memory: it is in no profile, and the profiler returns it.

use crate::decode::{Decoded, Sample};
use greyspan::profile::{self, Profile, View};
use std::hint::black_box;
use std::process::Command;

#[inline(never)]
fn hoard(kept: &mut Vec<Box<[u8]>>) {
    // A size that other tests do not use: the linker may merge equal functions.
    kept.push(black_box(vec![5u8; 700]).into_boxed_slice());
}

/// Writes a profile in each format.
fn write_all() -> Vec<u8> {
    let (mut pprof, mut folded, mut flames) = (Vec::new(), Vec::new(), Vec::new());
    profile::write_pprof(&mut pprof).unwrap();
    profile::write_folded(&mut folded).unwrap();
    profile::write_flamegraph(&mut flames).unwrap();
    pprof
}

pub(crate) fn the_profiler_is_in_no_profile() {
    // Samples each request.
    profile::start(1).unwrap();
    let mut kept = Vec::with_capacity(500);
    (0..500).for_each(|_| hoard(&mut kept));
    let before = Profile::take();
    let files = [write_all(), write_all()];
    let again = before.clone().diff(&before);
    let made = Profile::take().diff(&before);
    profile::stop();
    for change in [again, made] {
        assert_eq!(change.total(View::AllocObjects), 0);
    }
    let second = Decoded::new(&files[1]);
    for sample in &second.samples {
        let stranger = sample.functions.iter().find(|name| {
            ["greyspan::", "backtrace", "addr2line", "gimli", "flate2", "miniz"]
                .iter()
                .any(|module| name.trim_start_matches('<').starts_with(module))
        });
        assert_eq!(stranger, None, "{:?}", sample.functions);
    }
    let hoard = |sample: &Sample| sample.functions.iter().any(|name| name.contains("hoard"));
    assert!(second.samples.iter().any(hoard));
    drop(kept);
}

/// For each `N`, has stacks whose names no earlier profile has looked up.
#[inline(never)]
fn hoard_anew<const N: usize>(kept: &mut Vec<Vec<u8>>) {
    kept.push(black_box(vec![N as u8; 4096 + N]));
    kept.push(black_box(vec![N as u8; 4096 - N]));
}

/// Prints by how many bytes the use has grown after each written profile.
pub(crate) fn writes_profiles_of_new_stacks() {
    let in_use = || {
        let stats = greyspan::stats();
        stats.heap_inuse.max(stats.allocated)
    };
    profile::start(1).unwrap();
    let (mut kept, before) = (Vec::with_capacity(64), in_use());
    for more in [
        hoard_anew::<1>,
        hoard_anew::<2>,
        hoard_anew::<3>,
        hoard_anew::<4>,
        hoard_anew::<5>,
        hoard_anew::<6>,
    ] {
        more(&mut kept);
        write_all();
        println!("more: {}", in_use().saturating_sub(before));
    }
    profile::stop();
}

pub(crate) fn what_a_profile_took_to_be_written_is_given_back() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "own::writes_profiles_of_new_stacks"]);
    let out = String::from_utf8(child.output().unwrap().stdout).unwrap();
    let more: Vec<usize> = out
        .lines()
        .filter_map(|line| line.strip_prefix("more: ")?.parse().ok())
        .collect();
    assert_eq!(more.len(), 6, "{out}");
    // Names and free room in spans take some MiB; the debug information would take 40.
    assert!(more.iter().all(|&bytes| bytes < 16 << 20), "{more:?}");
}
