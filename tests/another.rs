//! A program whose global allocator is another one: the statistics and the heap map report that
//! they do not describe it.

use greyspan::{Greyspan, Stats, heap_map, stats};
use std::alloc::{GlobalAlloc, Layout};

/// A single test, so that no other test allocates from the heap before it takes the statistics.
#[test]
fn a_program_with_another_allocator_is_told_until_it_allocates_here() {
    let kept: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    greyspan::purge();
    greyspan::thread_idle();
    greyspan::set_memory_limit(Some(1 << 40));
    #[cfg(feature = "gc")]
    {
        let heap = greyspan::gc::Heap::new();
        heap.enter(|m| (0..10_000u64).for_each(|number| assert_eq!(*m.alloc(number), number)));
        heap.collect();
        assert!(heap_map().ready() > 0 || Stats::FORWARDS, "the collector has pages");
    }
    let (now, map) = (stats(), heap_map());
    assert!(!now.has_served && !map.has_served);
    let why = if Stats::FORWARDS {
        "forwards to"
    } else {
        "the program's global allocator is another one"
    };
    assert!(now.to_string().contains(why), "{now}");
    assert!(map.to_string().contains(why) && map.to_svg().contains(why), "{map}");
    assert!(now.to_json().contains("\"has_served\":0") && map.to_json().contains("\"has_served\":0"));
    assert!(now.to_prometheus().contains("\ngreyspan_has_served 0\n"));

    let layout = Layout::new::<[u64; 5]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { Greyspan.alloc(layout) };
    let (now, map) = (stats(), heap_map());
    // SAFETY: allocated above with this layout.
    unsafe { Greyspan.dealloc(block, layout) };
    assert!(now.has_served != Stats::FORWARDS && map.has_served != Stats::FORWARDS);
    assert_eq!(now.to_string().contains("in these figures"), Stats::FORWARDS);
    assert_eq!(kept.len(), 10_000);
}
