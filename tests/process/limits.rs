//! The limits over the real system: requests near them, and the memory of the process
//! meanwhile.

use crate::harness::{DONE, Next, Scenario};
use crate::probe::{free, free_all, make, memory};
use crate::support::rng::Rng;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::new("limits::a_vector_grows_beside_idle_memory_by_its_growth_alone", grows),
    Scenario::new(
        "limits::requests_near_the_hard_limit_leave_other_memory_idle",
        leaves_idle,
    ),
    Scenario::new("limits::churn_near_the_soft_limit_stays_near_it", churns),
];

const MIB: usize = 1 << 20;

/// Memory of the process that is not the heap's and may come meanwhile, such as code.
const BESIDE: usize = 3 * MIB;

/// Returns the heap's bytes of memory, and those that are idle.
fn heap() -> (usize, usize) {
    let stats = greyspan::stats();
    let idle = stats.heap_idle - stats.heap_released;
    (stats.resident as usize, idle as usize)
}

fn filled(bytes: usize) -> Vec<u8> {
    vec![1; bytes]
}

fn grows() -> Next {
    for moves in [false, true] {
        let (before, resident) = (heap().0, memory().resident);
        let idle = filled(32 * MIB);
        let mut vector = filled(60 * MIB);
        let behind = moves.then(|| filled(MIB));
        drop(idle);
        greyspan::set_hard_limit(Some(before + 100 * MIB));
        let grown = vector.try_reserve_exact(10 * MIB);
        greyspan::set_hard_limit(None);
        assert!(grown.is_ok(), "moves: {moves}");
        vector.resize(70 * MIB, 1);
        assert!(vector.iter().all(|&byte| byte == 1));
        let more = memory().resident - resident;
        assert!(more <= 100 * MIB + BESIDE, "{more} bytes");
        drop((vector, behind));
        greyspan::purge();
    }
    DONE
}

fn leaves_idle() -> Next {
    let mut row: Vec<_> = (0..12).map(|seed| make(8 * MIB, seed)).collect();
    // Six that do not touch.
    for index in (0..6).rev() {
        free(row.remove(2 * index));
    }
    let ((before, idle), resident) = (heap(), memory().resident);
    assert!(idle >= 48 * MIB, "{idle}");
    greyspan::set_hard_limit(Some(before + 4 * MIB));
    // They need no more memory than lies idle.
    (0..20).for_each(|seed| free(make(8 * MIB, seed)));
    let left = heap().1;
    assert!(left >= 40 * MIB, "{left} of {idle} bytes are idle still");
    // Nothing idle is so long.
    let long = make(12 * MIB, 1);
    let left = heap().1;
    let more = memory().resident.saturating_sub(resident);
    greyspan::set_hard_limit(None);
    assert!(left >= 28 * MIB, "{left} of {idle} bytes are idle still");
    assert!(more <= 4 * MIB + BESIDE, "{more} bytes");
    free(long);
    free_all(row);
    DONE
}

fn churns() -> Next {
    let mut rng = Rng::new(7);
    let mut size = || match rng.below(100) {
        0..90 => 16 + rng.below(1000),
        90..98 => 1024 + rng.below(31_000),
        _ => 40_000 + rng.below(1_000_000),
    };
    let (before, resident) = (heap().0, memory().resident);
    let (mut row, mut bytes) = (Vec::new(), 0);
    while bytes < 64 * MIB {
        let block = filled(size());
        bytes += block.len();
        row.push(block);
    }
    let limit = (heap().0 - before) / 10 * 11;
    greyspan::set_memory_limit(Some(before + limit));
    let mut rng = Rng::new(8);
    let mut most = 0;
    for turn in 0..60_000 {
        let index = rng.below(row.len());
        let old = std::mem::take(&mut row[index]).len();
        let new = if bytes > 64 * MIB { size().min(old) } else { size() };
        row[index] = filled(new);
        bytes = bytes + new - old;
        if turn % 500 == 0 {
            most = most.max(memory().resident - resident);
        }
    }
    greyspan::set_memory_limit(None);
    assert!(
        most <= limit / 20 * 21 + BESIDE,
        "{most} bytes, and the limit is {limit}"
    );
    DONE
}
