//! The peak of the footprint, the moments at which the heap wants a sample, and the sums of
//! returned memory by cause.

use super::*;

fn footprint(heap: &MHeap) -> usize {
    heap.footprint(&heap.inner.lock())
}

fn forget_peak(heap: &MHeap) {
    heap.inner.lock().growth.peak = 0;
}

#[test]
fn the_peak_is_kept_where_memory_is_handed_out() {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let pages = 4 * MIB / PAGE;
    let object = heap.take_large(4 * MIB, pages, 1, pages).expect("memory");
    assert_eq!(heap.peak(0), footprint(&heap));
    let before = footprint(&heap);
    assert_eq!(heap.grow_in_place(object, pages + pages / 2), Some(true));
    assert_eq!(heap.peak(0), footprint(&heap));
    assert_eq!(footprint(&heap) - before, 2 * MIB);
    let peak = heap.peak(0);
    heap.give(object);
    heap.purge();
    assert!(footprint(&heap) < MIB);
    assert_eq!(
        (heap.peak(0), heap.peak(peak + 1), heap.peak(0)),
        (peak, peak + 1, peak + 1)
    );
    end(sim, &heap);
}

#[test]
fn the_peak_is_not_beyond_a_hard_limit() {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let [run, apart] = [8, 1].map(|mib| large(&heap, mib * MIB, 1));
    heap.give(run);
    let limit = footprint(&heap) + 2 * MIB;
    heap.set_hard_limit(Some(limit));
    forget_peak(&heap);
    // Part of the idle run must go back first.
    let object = large(&heap, 9 * MIB, 1);
    assert!(heap.figures().purged[PurgeCause::HardLimit as usize] > 0);
    let peak = heap.peak(0);
    assert!(peak == footprint(&heap) && peak <= limit, "{peak} {limit}");
    assert!(heap.take_large(4 * MIB, 4 * MIB / PAGE, 1, 0).is_none());
    assert_eq!(heap.peak(0), peak);
    heap.set_hard_limit(None);
    [object, apart].into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn a_sample_is_due_when_the_pages_in_use_have_grown_by_a_part() {
    let (sim, heap) = heap();
    let mut out = Vec::new();
    let mut due = 0;
    for _ in 0..64 * MIB / (64 << 10) {
        out.push(large(&heap, 64 << 10, 1));
        if heap.has_grown() {
            due += 1;
            let (inuse, whole) = heap.begin_sample();
            assert_eq!((inuse, whole), (heap.figures().inuse, inuse));
            assert!(!heap.has_grown());
        }
    }
    // 8 MiB in steps of 256 KiB, then steps of a thirty-second.
    assert!((90..=110).contains(&due), "{due} samples");
    let half = out.len() / 2;
    out.drain(..half).for_each(|span| heap.give(span));
    out.extend((0..half).map(|_| large(&heap, 64 << 10, 1)));
    assert!(!heap.has_grown(), "no more than before");
    out.into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}

#[test]
fn small_spans_of_the_collector_count_as_a_whole() {
    let (sim, heap) = heap();
    let class = SizeClass::holding(1000);
    let small = heap.take_small(class, 4).expect("memory");
    let managed = heap.take_managed(3, 20, 1000).expect("memory");
    assert_eq!(heap.begin_sample(), (7 * PAGE, 3 * PAGE));
    [small, managed].into_iter().for_each(|span| heap.give(span));
    assert_eq!(heap.begin_sample(), (0, 0));
    end(sim, &heap);
}

#[test]
fn returned_memory_is_summed_by_its_cause() {
    let (sim, heap) = heap();
    heap.set_purge_delay(-1);
    let mut expected = [0; PurgeCause::COUNT];
    let mut check = |heap: &MHeap, cause: PurgeCause, bytes: usize| {
        assert!(bytes >= MIB, "{bytes} bytes: {cause}");
        expected[cause as usize] += bytes;
        assert_eq!(heap.figures().purged, expected, "{cause}");
    };
    let free = |heap: &MHeap, mib: usize| heap.give(large(heap, mib * MIB, 1));
    for _ in 0..2 {
        free(&heap, 2);
        let bytes = heap.purge();
        check(&heap, PurgeCause::Asked, bytes);
    }
    free(&heap, 3);
    let bytes = heap.purge_for_system();
    check(&heap, PurgeCause::Pressure, bytes);
    heap.set_purge_delay(0);
    free(&heap, 4);
    check(&heap, PurgeCause::Idle, 4 * MIB);
    heap.set_purge_delay(-1);
    free(&heap, 5);
    let idle = |heap: &MHeap| heap.figures().sys - heap.figures().released - heap.figures().inuse;
    let before = idle(&heap);
    heap.set_soft_limit(Some(footprint(&heap) - 2 * MIB));
    heap.attend();
    check(&heap, PurgeCause::SoftLimit, before - idle(&heap));
    heap.set_soft_limit(None);
    let bytes = heap.purge();
    check(&heap, PurgeCause::Asked, bytes);
    // A run between others: the object cannot use it.
    let [run, apart] = [3, 1].map(|mib| large(&heap, mib * MIB, 1));
    heap.give(run);
    let before = idle(&heap);
    heap.set_hard_limit(Some(footprint(&heap) + 4 * MIB));
    // No idle run is so long.
    let span = large(&heap, 6 * MIB, 1);
    check(&heap, PurgeCause::HardLimit, before - idle(&heap));
    heap.set_hard_limit(None);
    [span, apart].into_iter().for_each(|span| heap.give(span));
    end(sim, &heap);
}
