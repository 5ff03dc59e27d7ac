//! Tests that free memory goes back to the system, with the background thread and without it. The
//! cases are in `tests/c/idle.c`.

use crate::harness::{End, preloaded, program, run};

fn case(name: &str) -> End {
    // With `-rdynamic` the library calls the program's `pthread_create`, not the C library's.
    let mut command = preloaded(program("idle.c", &["-rdynamic"]));
    command.arg(name);
    run(command)
}

macro_rules! cases {
    ($($name:ident: $case:literal)*) => {$(
        #[test]
        fn $name() {
            let end = case($case);
            end.assert_well();
            assert_eq!(end.err, "");
        }
    )*};
}

cases! {
    a_program_that_only_frees_and_sleeps_gives_its_memory_back: "only_frees"
    a_thread_that_the_system_refused_is_asked_for_again: "refused_thread"
}

/// Only root, or a user with the permission, can lock so much memory.
#[test]
fn locked_pages_go_back() {
    let end = case("locked");
    end.assert_well();
    if !end.err.is_empty() {
        assert!(end.err.starts_with("skipped"), "{}", end.err);
        eprint!("{}", end.err);
    }
}
