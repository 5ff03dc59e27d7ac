//! The soft limit and the early purges that follow from the system, on files in a folder.

use crate::base::geometry::PAGE;
use crate::heap::Heap;
use crate::heap::system::{PERIOD, decide};
use crate::mheap::MHeap;
use crate::options::{Found, SoftLimit};
use crate::os::cgroup::{Caps, Version};
use crate::os::sim::Sim;
use std::fs;
use std::path::PathBuf;

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// A heap in a container of version 2 whose files lie in a folder.
struct Boxed {
    heap: &'static Heap,
    sim: &'static Sim,
    folder: PathBuf,
    now: u64,
}

impl Boxed {
    fn new(name: &str, wanted: Option<SoftLimit>) -> Self {
        let folder = std::env::temp_dir().join(format!("greyspan-{name}-{}", std::process::id()));
        let sim = Sim::new();
        let mut heap = Box::new(Heap::new(sim));
        heap.system.root = folder.as_os_str().as_encoded_bytes().to_vec().leak();
        let heap: &'static Heap = Box::leak(heap);
        heap.tiers.mheap.set_window(64 * MIB);
        if let Some(wanted) = wanted {
            heap.follow_system(wanted);
        }
        let boxed = Self {
            heap,
            sim,
            folder,
            now: 1,
        };
        boxed.write("proc/self/cgroup", "0::/\n");
        boxed.write(
            "proc/self/mountinfo",
            "26 23 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        );
        boxed
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn resize(&self, bytes: usize) {
        self.write("sys/fs/cgroup/memory.max", &format!("{bytes}\n"));
    }

    fn press(&self, percent: &str) {
        let text = format!("some avg10={percent} avg60=0.00 avg300=0.00 total=1\n");
        self.write("proc/pressure/memory", &text);
    }

    fn mheap(&self) -> &'static MHeap {
        &self.heap.tiers.mheap
    }

    /// The background thread looks once more, after the files are due again.
    fn look(&mut self) -> Option<usize> {
        self.now += PERIOD;
        self.heap.heed_system_at(self.now);
        self.soft()
    }

    fn soft(&self) -> Option<usize> {
        let [soft, _] = self.mheap().limits();
        soft
    }

    /// Makes so many bytes of pages idle.
    fn idle(&self, bytes: usize) {
        let span = self.mheap().take_large(bytes, bytes / PAGE, 1, 0).expect("memory");
        self.mheap().give(span);
    }
}

impl Drop for Boxed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        // SAFETY: the test is over, and no other code knows the heap.
        unsafe { self.sim.tear_down() };
    }
}

#[test]
fn the_limit_is_a_share_of_the_least_that_the_system_grants() {
    let caps = |max, high| Caps {
        version: Version::Two,
        max,
        high,
    };
    let found = |bytes, source, percent| Some(Found { bytes, source, percent });
    let (max, high, machine) = ("cgroup memory.max", "cgroup memory.high", "the machine's memory");
    for (wanted, caps, expected) in [
        (SoftLimit::Auto, caps(None, None), None),
        (SoftLimit::Auto, caps(Some(1000), None), found(950, max, Some(95))),
        (SoftLimit::Auto, caps(Some(1000), Some(970)), found(950, max, Some(95))),
        (SoftLimit::Auto, caps(Some(1000), Some(940)), found(940, high, None)),
        (SoftLimit::Auto, caps(None, Some(940)), found(940, high, None)),
        (SoftLimit::Auto, caps(Some(0), None), found(0, max, Some(95))),
        // Not below the machine's memory: no limit.
        (SoftLimit::Auto, caps(Some(GIB), Some(GIB)), None),
        (SoftLimit::Auto, caps(Some(usize::MAX), None), None),
        (
            SoftLimit::Percent(50),
            caps(Some(1001), None),
            found(500, max, Some(50)),
        ),
        (
            SoftLimit::Percent(50),
            caps(Some(1000), Some(400)),
            found(400, high, None),
        ),
        (
            SoftLimit::Percent(90),
            caps(None, None),
            found(966_367_641, machine, Some(90)),
        ),
        (
            SoftLimit::Percent(100),
            caps(Some(usize::MAX), None),
            found(GIB, machine, Some(100)),
        ),
        (SoftLimit::Percent(90), caps(None, Some(5)), found(5, high, None)),
    ] {
        assert_eq!(decide(wanted, caps, GIB), expected, "{wanted:?} {caps:?}");
    }
    let one = Caps {
        version: Version::One,
        max: Some(200),
        high: None,
    };
    let old = found(190, "cgroup memory.limit_in_bytes", Some(95));
    assert_eq!(decide(SoftLimit::Auto, one, GIB), old);
}

#[test]
fn a_container_is_followed_while_it_is_resized() {
    let mut boxed = Boxed::new("resized", Some(SoftLimit::Auto));
    boxed.resize(100 * MIB);
    assert_eq!(boxed.soft(), None, "nothing is read before the first look");
    assert_eq!(boxed.look(), Some(95 * MIB));
    boxed.resize(200 * MIB);
    boxed.heap.heed_system_at(boxed.now + PERIOD - 1);
    assert_eq!(boxed.soft(), Some(95 * MIB), "it is not due yet");
    assert_eq!(boxed.look(), Some(190 * MIB));
    boxed.write("sys/fs/cgroup/memory.high", &format!("{}\n", 50 * MIB));
    assert_eq!(boxed.look(), Some(50 * MIB));
    // Without an answer the last one holds.
    fs::remove_file(boxed.folder.join("proc/self/cgroup")).expect("the file");
    assert_eq!(boxed.look(), Some(50 * MIB));
    boxed.write("proc/self/cgroup", "0::/\n");
    boxed.write("sys/fs/cgroup/memory.high", "max\n");
    boxed.write("sys/fs/cgroup/memory.max", "max\n");
    assert_eq!(boxed.look(), None);
}

#[test]
fn a_smaller_container_gets_its_idle_pages_back_at_once() {
    let mut boxed = Boxed::new("smaller", Some(SoftLimit::Auto));
    boxed.resize(100 * MIB);
    boxed.look();
    boxed.idle(12 * MIB);
    boxed.mheap().attend();
    assert!(boxed.mheap().idle_bytes() >= 12 * MIB && boxed.mheap().keeps_free_pages());
    let purges = || boxed.heap.tiers.purges.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(purges(), 0);
    boxed.resize(8 * MIB);
    boxed.heap.heed_system_at(boxed.now + PERIOD);
    boxed.mheap().attend();
    assert!(boxed.mheap().idle_bytes() <= 8 * MIB);
    assert!(!boxed.mheap().keeps_free_pages());
    assert_eq!(purges(), 1, "thread caches trim themselves");
}

#[test]
fn pages_are_kept_until_the_footprint_is_near_the_systems_limit() {
    let mut boxed = Boxed::new("near", Some(SoftLimit::Percent(50)));
    boxed.resize(64 * MIB);
    assert_eq!(boxed.look(), Some(32 * MIB));
    let take = |bytes: usize| boxed.mheap().take_large(bytes, bytes / PAGE, 1, 0).expect("memory");
    take(26 * MIB);
    assert!(boxed.mheap().keeps_free_pages());
    take(4 * MIB);
    assert!(!boxed.mheap().keeps_free_pages());
}

#[test]
fn a_limit_that_the_program_has_set_stays() {
    let mut boxed = Boxed::new("own", Some(SoftLimit::Auto));
    boxed.resize(100 * MIB);
    boxed.look();
    boxed.mheap().set_soft_limit(Some(7 * MIB));
    assert_eq!(boxed.look(), Some(7 * MIB));
    assert!(!boxed.mheap().keeps_free_pages());
    boxed.mheap().set_soft_limit(None);
    assert_eq!(boxed.look(), None);
    assert!(boxed.mheap().keeps_free_pages());
}

#[test]
fn free_pages_go_back_at_once_while_the_system_is_short_of_memory() {
    let mut boxed = Boxed::new("pressed", Some(SoftLimit::Auto));
    boxed.idle(12 * MIB);
    boxed.press("9.99");
    boxed.look();
    assert!(boxed.mheap().idle_bytes() >= 12 * MIB);
    boxed.press("10.00");
    boxed.look();
    assert_eq!(boxed.mheap().idle_bytes(), 0);
    // It holds until the next look at the file, at each look after pages.
    boxed.idle(12 * MIB);
    boxed.heap.heed_system_at(boxed.now + 1);
    assert_eq!(boxed.mheap().idle_bytes(), 0);
    boxed.press("0.00");
    boxed.look();
    boxed.idle(12 * MIB);
    boxed.heap.heed_system_at(boxed.now + 1);
    assert!(boxed.mheap().idle_bytes() >= 12 * MIB);
    // Without any limit the file is not read.
    boxed.press("50.00");
    boxed.mheap().set_soft_limit(None);
    boxed.look();
    assert!(boxed.mheap().idle_bytes() >= 12 * MIB);
    boxed.mheap().set_soft_limit(Some(GIB));
    boxed.look();
    assert_eq!(boxed.mheap().idle_bytes(), 0);
}
