//! Tests the heap together with threads, forks, signals, plug-ins and limits. The cases are in
//! `tests/c/survival.c`, and those of C++ in `tests/c/operators.cc`. A number in a test's name is
//! that of a case in the catalogue of bad input.

use crate::harness::{End, case, library, preloaded, program, run};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

macro_rules! cases {
    ($source:literal: $($name:ident: $case:literal)*) => {$(
        #[test]
        fn $name() {
            let end = case($source, &[$case]);
            end.assert_well();
            assert_eq!(end.err, "");
        }
    )*};
}

cases! { "survival.c":
    c50_c51_at_the_limit_of_address_space_there_is_enomem_and_after_frees_memory_again: "limited"
    a_limit_that_the_program_sets_on_itself_means_what_it_says: "limits_itself"
    c57_what_is_not_handed_out_is_not_committed: "commits_what_it_needs"
    c56_a_process_with_all_its_mappings_used_up_goes_on: "mappings_used_up"
    c58_children_of_a_fork_under_load_allocate_free_and_fork: "fork_under_load"
    c58_fork_while_files_are_flushed_and_lines_read: "fork_while_files_are_flushed"
    frees_start_no_thread: "frees_start_no_thread"
    c59_signal_handlers_fork_and_fork_handlers_allocate: "fork_from_handlers"
    c60_vfork_spawn_and_daemon_under_load: "vfork_and_spawn"
    what_nobody_wrote_is_copied: "what_nobody_wrote_is_copied"
    c61_a_signal_handler_allocates_in_the_middle_of_any_call: "signals"
    c61_blocks_of_signal_handlers_live_on: "signals_that_keep_blocks"
    c61_signals_while_other_threads_allocate: "signals_under_load"
    c63_c64_blocks_outlive_their_threads_and_memory_does_not_grow: "blocks_outlive_threads"
    c65_threads_are_cancelled: "cancelled_threads"
    c66_destructors_of_keys_allocate_in_every_round: "destructors_of_keys"
    c67_the_process_exits_while_threads_allocate_and_handlers_too: "exit_while_threads_run"
    c69_threads_with_16_kib_of_stack: "little_stacks"
    c71_calls_that_a_filter_forbids_are_done_without: "forbidden_calls"
    c73_blocks_of_the_c_librarys_own_allocator_are_left_in_peace: "foreign_blocks"
    no_register_keeps_what_marks_a_block_as_free: "no_register_keeps_a_mark"
}

cases! { "locked.c":
    a_user_with_little_to_lock_can_lock_the_process: "locks_itself"
}

cases! { "operators.cc":
    operator_new_that_fails_throws_bad_alloc: "failing_new_throws"
    a_nothrow_new_that_fails_gives_null: "failing_nothrow_new_gives_null"
    new_handlers_are_called_until_they_give_up_or_throw: "new_handlers_are_called"
    every_new_has_its_delete: "all_forms_pair_up"
    exceptions_pass_through: "exceptions_pass"
    c66_thread_locals_of_cpp_allocate_when_they_end: "thread_locals_end_well"
}

fn plugin(hungry: bool) -> PathBuf {
    let arguments: &[&str] = if hungry {
        &["-shared", "-fPIC", "-DHUNGRY=1500"]
    } else {
        &["-shared", "-fPIC"]
    };
    program(if hungry { "hungry.c" } else { "plugin.c" }, arguments)
}

#[test]
fn c68_plugins_and_big_libraries_come_and_go() {
    let mut command = preloaded(program("survival.c", &[]));
    command.arg("plugins").arg(plugin(false));
    run(command).assert_well();
}

#[test]
fn c68_the_library_is_loaded_late_where_slots_are_scarce_and_stays_when_it_is_closed() {
    let mut command = Command::new(program("survival.c", &[]));
    command.arg("loaded_late").arg(library()).env("HUNGRY", plugin(true));
    run(command).assert_well();
}

#[test]
fn c70_who_allocates_before_anything_is_ready_is_served() {
    let end = run(preloaded(program("early.c", &[])));
    end.assert_well();
    assert_eq!(end.err, "");
}

/// A static program has no loader that could preload the library: the program's own allocator
/// serves it.
#[test]
fn c71_programs_without_a_loader_do_not_notice_the_library() {
    for kind in ["-static", "-static-pie"] {
        let mut command = preloaded(program("semantics.c", &[kind]));
        command
            .arg("realloc_keeps_what_both_sizes_hold")
            .env("GREYSPAN_VERBOSE", "1");
        let end = run(command);
        end.assert_well();
        assert_eq!(end.err, "", "{kind}");
    }
}

#[test]
fn c71_with_standard_error_closed_a_wrong_free_aborts_all_the_same() {
    let end = case("survival.c", &["closed_standard_error"]);
    assert_eq!((end.signal, end.err.as_str()), (Some(libc::SIGABRT), ""));
}

/// Returns a command that runs a program linked with the library, with `GREYSPAN_VERBOSE` set.
fn linked(name: &str) -> Command {
    let library = library();
    let folder = library.parent().expect("a folder").display().to_string();
    let path = format!("-Wl,-rpath,{folder}");
    let mut command = Command::new(program("linked.c", &["-L", &folder, "-lgreyspan", &path]));
    command.arg(name).env("GREYSPAN_VERBOSE", "1");
    command
}

#[test]
fn a_program_that_is_linked_with_the_library_finds_its_functions() {
    let end = run(linked("functions"));
    end.assert_well();
    assert!(
        end.err.contains("greyspan"),
        "GREYSPAN_VERBOSE prints nothing: {}",
        end.err
    );
}

/// Only root can make a program that runs as another user.
#[test]
fn c71_a_program_with_other_rights_than_its_callers_ignores_the_environment() {
    // SAFETY: `geteuid` has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can make a program that runs as another user");
        return;
    }
    let plain = linked("functions");
    let copy = PathBuf::from(format!("{}-setuid", plain.get_program().display()));
    // Another process copies: threads of this one fork, and their children would hold the copy open
    // for writing.
    let copied = Command::new("cp").arg(plain.get_program()).arg(&copy).status();
    assert!(copied.expect("cp").success());
    chown(&copy, Some(65534), None).expect("another owner");
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o4755)).expect("its rights");
    let mut command = Command::new(&copy);
    command.arg("who").env("GREYSPAN_VERBOSE", "1");
    let end: End = run(command);
    end.assert_well();
    if end.out.trim() == "65534" {
        assert_eq!(end.err, "");
    } else {
        eprintln!("skipped: the file system does not let programs run as another user");
    }
}
