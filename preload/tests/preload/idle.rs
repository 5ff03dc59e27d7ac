//! Memory that goes back, with a thread in the background and without; the cases are in
//! `tests/c/idle.c`.

use crate::harness::{End, preloaded, program, run};

fn case(name: &str) -> End {
    // The program's functions come before those of the C library, for the library too.
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

/// Only root can lock so much memory, or a user who was allowed to.
#[test]
fn locked_pages_go_back() {
    let end = case("locked");
    end.assert_well();
    if !end.err.is_empty() {
        assert!(end.err.starts_with("skipped"), "{}", end.err);
        eprint!("{}", end.err);
    }
}
