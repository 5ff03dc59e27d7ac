//! Tests the sampling heap profiler from outside: this program is the profiled one.
//!
//! It is its own harness and runs the tests one after another in one thread. The profiler covers
//! the whole process, so the allocations of other threads would be in the figures. It takes
//! substrings that select tests, and `--exact`.

mod decode;
mod exit;
mod life;
mod output;
mod own;

use greyspan::Greyspan;
use std::panic::catch_unwind;
use std::process::ExitCode;

#[global_allocator]
static GLOBAL: Greyspan = Greyspan::new();

macro_rules! tests {
    ($($module:ident: $($test:ident),+;)+) => {
        &[$($((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),+),+]
    };
}

const TESTS: &[(&str, fn())] = tests! {
    exit:
        does_something,
        a_program_writes_the_profile_that_its_environment_asks_for_when_it_exits,
        a_target_that_is_wrong_is_told_in_one_line_and_the_program_goes_on;
    life:
        sampled_objects_of_every_size_and_alignment_hold_what_they_should_and_can_be_freed,
        zeroed_objects_are_zero_whether_they_are_sampled_or_not,
        resized_objects_keep_what_they_hold_and_the_profile_follows_their_size,
        objects_that_other_threads_free_are_counted_as_freed,
        small_objects_with_a_large_alignment_are_counted_as_freed,
        what_was_sampled_before_a_stop_is_counted_when_it_is_freed_after_it,
        threads_may_end_while_all_they_do_is_sampled,
        snapshots_may_be_taken_while_other_threads_allocate_and_the_profile_starts_and_stops,
        a_fork_child_goes_on_with_the_profile,
        a_sample_is_taken_without_the_help_of_the_allocator_it_is_taken_in,
        an_object_that_grows_into_an_idle_run_is_sampled_like_any_other;
    output:
        pprof_files_name_what_leaks_and_what_churns_first,
        an_allocs_profile_shows_allocated_bytes_first,
        a_difference_has_what_was_freed_with_a_minus,
        a_profile_without_samples_is_whole,
        folded_stacks_go_from_the_outermost_function_to_the_innermost,
        a_flame_graph_is_a_whole_picture_that_asks_for_nothing_from_outside,
        a_rate_of_zero_is_refused_with_a_reason_and_changes_nothing,
        what_cannot_be_written_is_an_error_of_the_caller;
    own:
        the_profiler_is_in_no_profile,
        writes_profiles_of_new_stacks,
        what_a_profile_took_to_be_written_is_given_back;
};

fn main() -> ExitCode {
    let (options, wanted): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let exact = options.iter().any(|option| option == "--exact");
    let selected = |name: &str| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|want| if exact { name == want } else { name.contains(&**want) })
    };
    let mut failed = Vec::new();
    for &(name, test) in TESTS.iter().filter(|(name, _)| selected(name)) {
        println!("test {name}");
        // The same random draws in each run.
        greyspan::profile::seed(5);
        if catch_unwind(test).is_err() {
            failed.push(name);
        }
    }
    for name in &failed {
        println!("FAILED: {name}");
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}
