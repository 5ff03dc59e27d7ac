//! Tests `fork` with the library preloaded: handlers of other libraries allocate and free, and
//! signal handlers fork. The cases are in `tests/c/forks.c`.

use crate::harness::{case, preloaded, program, run};

macro_rules! cases {
    ($($name:ident: $case:literal)*) => {$(
        #[test]
        fn $name() {
            let end = case("forks.c", &[$case]);
            end.assert_well();
            assert_eq!(end.err, "");
        }
    )*};
}

#[test]
fn signal_handlers_fork_while_a_free_looks_after_free_pages() {
    let mut command = preloaded(program("forks.c", &[]));
    command.arg("signals_fork_while_frees_look");
    command.env("GREYSPAN_BACKGROUND", "0").env("GREYSPAN_PURGE_DELAY", "1");
    let end = run(command);
    end.assert_well();
    assert_eq!(end.err, "");
}

cases! {
    blocks_that_the_handlers_of_the_program_free_serve_again: "early_handlers_free"
    blocks_that_the_handlers_of_a_library_free_serve_again: "late_handlers_free"
    handlers_of_the_program_keep_as_many_blocks_as_they_like_at_no_extra_cost: "early_handlers_keep"
    handlers_of_a_library_keep_as_many_blocks_as_they_like_at_no_extra_cost: "late_handlers_keep"
    handlers_wait_for_threads_that_allocate: "handlers_wait_for_threads"
    handlers_fork: "handlers_fork"
    signal_handlers_fork_in_the_middle_of_a_fork: "signals_fork_during_fork"
    signal_handlers_fork_in_the_middle_of_a_call_which_the_child_ends: "signals_fork_during_malloc"
    signal_handlers_fork_in_the_middle_of_a_call_under_load: "signals_fork_during_malloc_under_load"
    threads_fork_at_once: "threads_fork_at_once"
}
