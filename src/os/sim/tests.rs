use super::*;
use crate::os::tests as contract;
use contract::{at, fill, free, holds, is_readable, ready_range};

#[test]
fn the_simulated_system_keeps_the_contract() {
    let sim = Sim::new();
    contract::the_page_size_is_the_kernels(sim);
    contract::new_memory_is_zero_and_writable_and_zero_again_after_release(sim);
    contract::freed_memory_is_unmapped_and_its_neighbours_stay(sim);
    contract::every_alignment_up_to_a_gibibyte_is_kept(sim);
    assert_eq!(sim.violations(), Vec::<String>::new());
    assert_eq!((sim.reserved_bytes(), sim.ready_bytes(), sim.refusals()), (0, 0, 0));
}

#[test]
fn only_ready_pages_can_be_accessed() {
    let sim = Sim::new();
    let page = sim.page_size();
    let base = sim.reserve(page, page).unwrap();
    assert!(!is_readable(base));
    // SAFETY: the page is Reserved and ours.
    assert!(unsafe { sim.prepare(base, page) });
    assert!(!is_readable(base));
    // SAFETY: the page is Prepared and ours.
    assert!(unsafe { sim.ready(base, page) });
    assert!(is_readable(base));
    // SAFETY: the page is Ready and ours, and no reference points into it.
    assert!(unsafe { sim.release(base, page) });
    assert!(!is_readable(base));
}

#[test]
fn the_books_follow_pieces_of_a_reservation() {
    let sim = Sim::new();
    let page = sim.page_size();
    let base = ready_range(sim, 10 * page);
    // SAFETY: the pages are Ready and ours, and no reference points into them.
    assert!(unsafe { sim.release(at(base, 2 * page), 3 * page) });
    assert_eq!((sim.reserved_bytes(), sim.ready_bytes()), (10 * page, 7 * page));
    // SAFETY: one Prepared page in the middle.
    assert!(unsafe { sim.ready(at(base, 3 * page), page) });
    assert_eq!(sim.ready_bytes(), 8 * page);
    free(sim, at(base, page), 4 * page);
    assert_eq!((sim.reserved_bytes(), sim.ready_bytes()), (6 * page, 6 * page));
    assert_eq!(sim.violations(), Vec::<String>::new());
}

#[test]
fn every_call_in_the_wrong_state_is_a_violation_and_changes_nothing() {
    let sim = Sim::new();
    let page = sim.page_size();
    let reserved = sim.reserve(page, page).unwrap();
    let prepared = sim.reserve(page, page).unwrap();
    // SAFETY: the page is Reserved and ours.
    assert!(unsafe { sim.prepare(prepared, page) });
    let ready = ready_range(sim, page);
    let lost = ready_range(sim, page);
    free(sim, lost, page);
    let before = (sim.calls(), sim.reserved_bytes(), sim.ready_bytes());
    let mut expected = 0;
    for wrong in [prepared, ready, lost] {
        // SAFETY: the simulated system refuses the wrong state, which this test is about.
        assert!(!unsafe { sim.prepare(wrong, page) });
        expected += 1;
    }
    for wrong in [reserved, lost] {
        // SAFETY: the simulated system refuses the wrong state.
        assert!(!unsafe { sim.ready(wrong, page) });
        expected += 1;
    }
    for wrong in [reserved, lost] {
        // SAFETY: the simulated system refuses the wrong state.
        assert!(!unsafe { sim.release(wrong, page) });
        // SAFETY: the simulated system refuses the wrong state.
        assert!(!unsafe { sim.remap(wrong, ready, page) });
        expected += 2;
    }
    for wrong in [reserved, lost, ready] {
        // SAFETY: the simulated system refuses the wrong state; the last range overlaps with
        // itself.
        assert!(!unsafe { sim.remap(ready, wrong, page) });
        expected += 1;
    }
    free(sim, lost, page);
    assert!(!sim.advise_huge(lost, page, true));
    // SAFETY: the simulated system refuses a part of a page.
    assert!(!unsafe { sim.release(ready, page - 1) });
    assert_eq!(sim.reserve(page + 1, page), None);
    assert_eq!(sim.violations().len(), expected + 4, "{:#?}", sim.violations());
    assert_eq!((sim.calls(), sim.reserved_bytes(), sim.ready_bytes()), before);
}

#[test]
fn a_range_that_runs_past_its_pages_is_a_violation() {
    let sim = Sim::new();
    let page = sim.page_size();
    let base = ready_range(sim, 2 * page);
    free(sim, at(base, page), page);
    // SAFETY: the second page is None; the simulated system refuses.
    assert!(!unsafe { sim.release(base, 2 * page) });
    assert_eq!(sim.violations().len(), 1);
}

#[test]
fn remap_moves_contents_and_states() {
    let sim = Sim::new();
    let bytes = 4 * sim.page_size();
    let (from, to) = (ready_range(sim, bytes), sim.reserve(bytes, 1).unwrap());
    // SAFETY: the range is Reserved and ours.
    assert!(unsafe { sim.prepare(to, bytes) });
    fill(from, bytes, 0x42);
    // SAFETY: `from` is Ready, `to` Prepared; both are ours and disjoint.
    if unsafe { sim.remap(from, to, bytes) } {
        assert!(holds(to, bytes, 0x42) && !is_readable(from));
        // SAFETY: `from` is Prepared and ours.
        assert!(unsafe { sim.ready(from, bytes) });
        assert!(holds(from, bytes, 0));
    } else {
        assert!(holds(from, bytes, 0x42) && !is_readable(to));
    }
    assert_eq!(sim.violations(), Vec::<String>::new());
}

/// Reserves, prepares, readies, releases and frees one page, as far as the system lets it. Returns
/// the calls that succeeded.
fn life_of_a_page(sim: &Sim) -> Vec<Kind> {
    let page = sim.page_size();
    let mut done = Vec::new();
    let Some(base) = sim.reserve(page, page) else {
        return done;
    };
    done.push(Kind::Reserve);
    // SAFETY: the page is Reserved and ours.
    if unsafe { sim.prepare(base, page) } {
        done.push(Kind::Prepare);
        // SAFETY: the page is Prepared and ours.
        if unsafe { sim.ready(base, page) } {
            done.push(Kind::Ready);
            fill(base, page, 1);
            // SAFETY: the page is Ready and ours, and no reference points into it.
            if unsafe { sim.release(base, page) } {
                done.push(Kind::Release);
            } else {
                assert!(holds(base, page, 0xDB), "a refused release leaves unknown contents");
            }
        }
    }
    free(sim, base, page);
    done
}

#[test]
fn the_kth_call_is_refused_once() {
    let order = [Kind::Reserve, Kind::Prepare, Kind::Ready, Kind::Release];
    for (index, _) in order.iter().enumerate() {
        let sim = Sim::new();
        sim.fail_at(index + 1);
        assert_eq!(life_of_a_page(sim), order[..index]);
        assert_eq!(life_of_a_page(sim), order);
        assert_eq!((sim.refusals(), sim.reserved_bytes()), (1, 0));
    }
}

#[test]
fn calls_from_the_kth_on_are_refused_until_healed() {
    let sim = Sim::new();
    assert_eq!(life_of_a_page(sim).len(), 4);
    sim.fail_from(sim.calls() + 3);
    assert_eq!(life_of_a_page(sim), [Kind::Reserve, Kind::Prepare]);
    assert_eq!(life_of_a_page(sim), []);
    sim.heal();
    assert_eq!(life_of_a_page(sim).len(), 4);
    assert_eq!(sim.violations(), Vec::<String>::new());
}

#[test]
fn a_kind_is_refused_and_a_refused_free_loses_the_range() {
    let sim = Sim::new();
    sim.fail_kind(Kind::Ready);
    assert_eq!(life_of_a_page(sim), [Kind::Reserve, Kind::Prepare]);
    sim.fail_kind(Kind::Free);
    let base = ready_range(sim, sim.page_size());
    free(sim, base, sim.page_size());
    assert!(!is_readable(base));
    assert_eq!((sim.reserved_bytes(), sim.violations().len()), (0, 0));
}
