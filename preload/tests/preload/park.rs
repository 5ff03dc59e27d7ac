//! Tests that the keeper takes over the caches of sleeping threads, with the library preloaded. The
//! cases are in `tests/c/park.c`.

use crate::harness::{preloaded, program, run};

fn assert_well(case: &str, variable: &str, value: &str) {
    let mut command = preloaded(program("park.c", &[]));
    command.arg(case).env(variable, value);
    let end = run(command);
    end.assert_well();
    assert_eq!(end.err, "");
}

macro_rules! cases {
    ($($name:ident: $case:literal, $variable:literal = $value:literal)*) => {$(
        #[test]
        fn $name() {
            assert_well($case, $variable, $value);
        }
    )*};
}

cases! {
    threads_that_sleep_exchange_blocks_and_end_lose_none: "storm", "GREYSPAN_PURGE_DELAY" = "20"
    signal_handlers_that_allocate_and_sleep_lose_no_block: "storm_of_allocating_handlers", "GREYSPAN_PURGE_DELAY" = "20"
    the_caches_of_parked_threads_that_end_serve_again: "parked_threads_end", "GREYSPAN_PURGE_DELAY" = "20"
    a_thread_that_has_ended_gets_no_cache_again: "ended_threads_have_no_cache", "GREYSPAN_PURGE_DELAY" = "20"
    near_the_hard_limit_the_memory_of_sleeping_threads_serves: "hard_limit", "GREYSPAN_HARD_LIMIT" = "512MiB"
    idle_threads_leave_the_process_below_the_soft_limit: "soft_limit", "GREYSPAN_MEMLIMIT" = "200MiB"
}
