//! Tests programs under seccomp filters, which kill a process for a system call that they do not
//! allow. The cases are in `tests/c/sandbox.c`.

use crate::harness::case;

macro_rules! cases {
    ($($name:ident: $case:literal)*) => {$(
        #[test]
        fn $name() {
            let end = case("sandbox.c", &[$case]);
            end.assert_well();
            assert_eq!((end.out.as_str(), end.err.as_str()), ("well\n", ""));
        }
    )*};
}

cases! {
    a_program_confines_itself_by_prctl: "by_prctl"
    a_program_with_a_large_heap_confines_all_its_threads: "by_syscall"
    the_library_does_not_see_the_filter_come: "unseen"
    a_program_is_started_under_a_filter: "inherited"
    a_child_confines_itself: "forked"
    a_call_that_is_tried_in_vain_changes_nothing: "probes"
    children_without_hooks_wait_for_no_thread: "children_without_hooks"
    strict_mode_is_that_of_one_thread: "strict_thread"
    in_strict_mode_there_is_no_more_memory: "strict"
    prctl_and_syscall_are_those_of_the_c_library: "functions"
}
