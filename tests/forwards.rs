//! A program whose `Greyspan` forwards to the system's allocator: with the feature `passthrough`,
//! or where the heap is not supported. `--cfg greyspan_unsupported` makes Linux such a system. The
//! whole interface exists and reports that it forwards.
#![cfg(any(feature = "passthrough", not(greyspan_heap)))]

use greyspan::{Greyspan, Stats, events, heap_map, stats};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

/// Allocates, grows, shrinks and frees through the program's allocator.
fn churn() -> usize {
    let mut texts: Vec<String> = (0..20_000)
        .map(|number| number.to_string().repeat(number % 9))
        .collect();
    texts.retain(|text| text.len() % 3 != 0);
    texts.shrink_to_fit();
    let zeroed = vec![0u8; 3 << 20];
    texts.iter().map(String::len).sum::<usize>() + zeroed.iter().map(|&byte| usize::from(byte)).sum::<usize>()
}

#[test]
fn the_program_allocates_and_the_statistics_say_where() {
    const { assert!(Stats::FORWARDS) };
    assert!(churn() > 100_000);
    let now = stats();
    assert_eq!((now.mallocs, now.total_alloc), (0, 0));
    assert!(now.to_string().contains("forwards to the system's allocator"), "{now}");
    assert!(now.to_json().contains("\"forwards\":1"));
    assert!(now.to_prometheus().contains("\ngreyspan_forwards 1\n"));
}

#[test]
fn a_block_is_the_systems() {
    let layout = Layout::from_size_align(100, 8).unwrap();
    // SAFETY: the layout is not empty.
    let block = NonNull::new(unsafe { GLOBAL.alloc(layout) }).unwrap();
    // The heap would round the size up; here the program may use only the requested bytes.
    assert_eq!(greyspan::usable_size(block, layout), 100);
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the C library allocated the block. It would end the process for any other block.
        let block = unsafe { libc::realloc(block.as_ptr().cast(), 5000) };
        // SAFETY: `block` came from the C library's `realloc` and is freed once.
        unsafe { libc::free(block) };
    }
    #[cfg(not(target_os = "linux"))]
    // SAFETY: allocated above with this layout.
    unsafe {
        GLOBAL.dealloc(block.as_ptr(), layout);
    };
}

#[test]
fn every_call_of_the_interface_is_there() {
    greyspan::set_memory_limit(Some(1 << 20));
    greyspan::set_hard_limit(Some(64 << 20));
    assert_eq!(
        (greyspan::memory_limit(), greyspan::hard_limit()),
        (Some(1 << 20), Some(64 << 20))
    );
    // Beyond the limit: only the heap obeys it. The collector's test runs at the same time, within
    // the limit.
    assert_eq!(vec![0u8; 128 << 20].len(), 128 << 20);
    greyspan::set_hard_limit(None);
    assert_eq!(greyspan::hard_limit(), None);
    greyspan::thread_idle();
    greyspan::purge();
    assert!(!greyspan::version().is_empty());
    let map = heap_map();
    assert!(map.classes().is_empty() && map.to_svg().ends_with("</svg>\n") && map.to_json().contains("\"small\":0"));
    let _ = events::drain(&mut |_| ());
    assert_eq!(events::Reader::new().read(&mut |_| ()), 0);
}

#[cfg(feature = "profiling")]
#[test]
fn profiling_is_refused_and_profiles_are_empty() {
    use greyspan::profile::{self, Profile, View};
    let refusal = profile::start(1 << 10).unwrap_err();
    assert_eq!(refusal.kind(), std::io::ErrorKind::Unsupported, "{refusal}");
    churn();
    assert!(!profile::is_active() && profile::rate().is_none());
    profile::stop();
    assert_eq!(Profile::take().total(View::AllocSpace), 0);
    let mut out = Vec::new();
    profile::write_pprof(&mut out).unwrap();
    profile::write_folded(&mut out).unwrap();
    profile::write_flamegraph(&mut out).unwrap();
}

/// With the feature, the environment variables that the allocator reads still take effect, if the
/// heap exists to read them.
#[cfg(greyspan_heap)]
#[test]
fn the_table_at_exit_says_that_it_forwards() {
    let own = std::env::current_exe().unwrap();
    let output = std::process::Command::new(own)
        .args(["--exact", "a_block_is_the_systems"])
        .env("GREYSPAN_SHOW_STATS", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("forwards to the system's allocator"),
        "{said}"
    );
}

#[cfg(feature = "gc")]
#[test]
fn the_collector_works_on_its_own_pages() {
    use greyspan::gc::{Gc, GcCell, Heap, Mutator, Root, Rootable, Trace};

    #[derive(Trace)]
    struct Node<'gc> {
        number: usize,
        next: GcCell<'gc, Node<'gc>>,
    }
    fn node<'gc>(m: &'gc Mutator<'gc>, number: usize, next: Option<Gc<'gc, Node<'gc>>>) -> Gc<'gc, Node<'gc>> {
        m.alloc(Node {
            number,
            next: GcCell::new(next),
        })
    }
    let heap = Heap::new();
    let root: Root<Rootable![Node<'_>]> = heap.enter(|m| {
        for garbage in 0..50_000 {
            node(m, garbage, None);
        }
        let last = node(m, 2, None);
        let first = node(m, 1, Some(last));
        last.next.set(m, Some(first));
        Root::new(m, first)
    });
    heap.collect();
    heap.verify().unwrap();
    assert!(heap.stats().live_bytes < 10_000, "{:?}", heap.stats());
    heap.enter(|m| {
        let first = root.get(m);
        let last = first.next.get().unwrap();
        assert_eq!((first.number, last.number), (1, 2));
        assert!(last.next.get().unwrap().ptr_eq(first));
    });
}
