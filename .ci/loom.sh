#!/usr/bin/env bash
# Checks that the loom models pass and that each deliberately broken variant of a protocol fails
# them. One build has all variants: `GREYSPAN_FAULT` names the rules that a run breaks. Takes two
# minutes, mostly to build.
#   LOOM_MAX_PREEMPTIONS   how often a model may switch away from a thread that does not wait
#                          (default 2)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# This list holds every `broken!` variant of the sources. If no model rejects a variant, the
# models have a gap.
variants=(abandon_relaxed claim_unreleased depot_blind_retry depot_freed_last depot_load_relaxed depot_store_relaxed drop_token_relaxed event_looked_at_once event_relaxed event_unfenced free_counted_relaxed handover_settled_early handover_unfenced inbox_push_relaxed leaves_noted_late lent_given_back listed_after_release opening_counted_first reopening_unseen retire_ignores_token send_relaxed strip_renewed_relaxed take_relaxed token_kept watch_leaves_blindly watch_looks_first)

# A separate target folder: these flags would rebuild everything in the usual one. Optimised but
# without LTO, because a model needs most of the speed, not all of it.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG=false
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false CARGO_PROFILE_DEV_CODEGEN_UNITS=16 RUSTFLAGS="--cfg greyspan_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
found=$(grep -rhoE 'broken!\("[a-z_]+"\)' src | sed 's/.*"\([^"]*\)".*/\1/' | sort -u)
if [[ "$found" != "$(printf '%s\n' "${variants[@]}" | sort)" ]]; then
    echo "the list in .ci/loom.sh differs from the variants in src; src has:" $found >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --package greyspan --features gc --lib models 2>&1 | tee "$log"
for model in models gc::models; do
    grep -q "^test $model::" "$log" || { echo "no model of $model ran" >&2; exit 1; }
done
binary=$(sed -n 's|.*Running unittests src/lib.rs (\(.*\)).*|\1|p' "$log")

for variant in "${variants[@]}"; do
    if GREYSPAN_FAULT="$variant" "$binary" models --skip gc::models > "$log" 2>&1; then
        echo "no model rejects the fault $variant" >&2
        exit 1
    fi
    grep -q 'test result: FAILED' "$log" || { cat "$log"; exit 1; }
    echo "the models reject $variant:" $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
done

# The collector's models: each test with the faults of `src/gc` under which it must fail. Two faults
# joined by a comma are enabled together: the code has two safeguards there, and either one
# suffices.
models=(
    "races::after_t1_nobody_is_idle: pin_without_fence request_without_fence pin_without_recheck"
    "races::a_request_reaches_a_pinned_mutator_that_only_polls: pin_without_fence request_without_fence pin_without_recheck"
    "races::a_live_object_upgrades_while_its_span_is_swept: clear_before_epoch"
    "races::two_threads_agree_on_what_a_weak_reference_says: upgrade_in_silence"
    "races::marking_beside_a_mutator_that_moves_an_edge_loses_nothing: no_wave"
    "scripts::nothing_is_traced_before_t1: trace_before_t1"
    "races::the_world_is_held_although_a_thread_is_about_to_pin: wait_pinned"
    "races::behind_a_shut_door_nobody_works: shut_without_fence pin_without_fence looks_before_the_pin"
    "races::a_slot_is_free_only_after_its_object_was_dropped: buried_relaxed"
    "races::a_slot_counts_once_while_its_object_is_dropped: buried_uncounted"
    "scripts::new_objects_are_white_until_the_threads_own_h2: black_from_h1"
    "scripts::stores_in_pre_shade_what_they_add: no_insertion_barrier"
    "scripts::one_handshake_is_not_enough: one_handshake"
    "scripts::h2_is_acknowledged_with_empty_hands: soft_h2"
    "scripts::a_value_stored_between_load_and_store_of_another_is_shaded_too: torn_barrier"
    "scripts::a_removed_value_is_shaded_before_it_is_removed: swap_then_shade,shade_in_silence"
    "scripts::a_wave_takes_what_mutators_have_shaded: wave_without_flush"
    "scripts::dropping_a_root_keeps_its_slot_for_the_cycle: root_drop_at_once"
    "scripts::a_root_made_in_pre_shades: root_new_unshaded"
    "weak::an_upgrade_calls_the_end_of_marking_off: upgrade_in_silence,shade_in_silence"
    "scripts::an_assist_hides_nothing_from_the_end_of_marking: assist_in_wave"
    "scripts::nobody_allocates_in_a_span_that_waits_for_its_sweep: refill_any_epoch"
    "scripts::a_thread_forgets_the_spans_that_it_had_before_the_last_h3: pin_keeps_cache"
    "weak::a_writer_in_mark_shades_what_the_lock_held: lock_without_snapshot"
    "weak::an_object_with_a_lock_that_was_written_in_pre_is_scanned_again: lock_not_scanned_again"
    "races::what_a_writer_in_pre_adds_is_found_by_one_of_two_scans: lock_not_scanned_again lock_again_unfenced"
    "weak::a_writer_in_pre_shades_what_a_lock_outside_of_an_object_will_hold: lock_release_unshaded"
    "weak::the_first_writer_in_pre_shades_what_the_lock_held: lock_unshown mark_unnoted"
    "weak::a_writer_in_pre_shades_anew_when_a_thread_in_mark_has_looked: lock_look_unseen"
    "races::what_a_reader_without_a_phase_reads_for_a_thread_in_mark_stays: lock_look_unseen mark_unnoted"
    "weak::a_writer_in_mark_shades_what_a_writer_in_pre_added_after_the_tracer: lock_keeps_stamp"
    "weak::a_value_that_is_removed_from_a_weak_map_is_shaded: map_remove_unshaded"
    "weak::a_value_that_an_insertion_replaces_is_shaded: map_replace_unshaded"
    "weak::what_is_inserted_in_pre_into_a_table_of_mark_is_shaded: map_key_unshaded map_value_unshaded"
    "weak::what_an_assist_finds_of_cells_and_tables_comes_to_the_collector: found_cells_lost found_tables_lost"
    "weak::what_a_helper_finds_of_cells_and_tables_comes_to_the_collector: found_cells_lost found_tables_lost"
    "weak::the_values_of_a_table_that_an_assist_found_are_marked: found_joined_late found_tables_lost look_once"
    "weak::what_comes_back_brings_the_values_of_its_tables_and_theirs: revive_one_round"
    "weak::tables_are_looked_at_again_when_nobody_marks_any_more: look_once"
    "scripts::an_exchange_shades_what_it_may_remove: exchange_old_unshaded"
    "scripts::an_exchange_in_pre_shades_what_it_adds: exchange_new_unshaded"
    "scripts::after_the_end_of_marking_nothing_is_marked: mark_when_closed"
    "weak::an_idle_mutator_never_shades: idle_shades"
    "weak::a_guard_for_writing_delays_the_handshake: acknowledge_with_guard"
    "scripts::an_inner_enter_is_the_same_pin: inner_leave_unpins"
    "weak::weak_cells_are_cleared_before_a_slot_is_used_again: cells_uncleared"
    "weak::a_weak_reference_to_what_a_guardian_brings_back_stays_dead: revive_first,returned_cells_kept"
    "weak::a_weak_reference_that_comes_back_with_its_target_is_dead: returned_cells_kept"
    "scripts::an_object_reserved_before_a_closure_survives_the_sweep_in_it: slices_white"
    "races::a_thread_that_comes_during_a_handshake_takes_part_in_it: never_enlisted"
    "races::nobody_is_in_a_shift_behind_a_shut_gate: shut_in_a_shift"
    "races::the_sweep_waits_for_everybody_at_h3: sweep_before_t3"
    "races::a_root_that_a_foreign_thread_drops_stays_for_the_cycle: root_drop_at_once"
    "scripts::a_root_slot_that_is_used_again_within_a_cycle_keeps_its_old_object_for_the_cycle: reuse_unshaded"
    "races::a_root_slot_that_is_used_again_beside_a_cycle_loses_nothing: reuse_unshaded"
    "maps::a_thread_that_goes_through_a_map_calls_the_end_of_marking_off: walk_in_silence"
    "maps::a_thread_that_goes_through_a_map_waits_while_guardians_bring_keys_back: walk_unsettled"
    "rings::marking_goes_on_while_a_ring_holds_something: rings_unseen"
    "rings::an_assist_that_ends_early_hands_over_its_rings: edges_kept near_kept"
    "rings::two_tracers_that_mark_neighbours_at_once_make_each_grey_once: word_claimed_whole"
    "races::an_edge_that_two_mutators_exchange_is_not_lost: exchange_old_unshaded"
)
found=$(grep -rhoE 'broken\("[a-z0-9_]+"\)' src/gc | sed 's/.*"\(.*\)".*/\1/' | sort -u)
listed=$(printf '%s\n' "${models[@]#*: }" | tr ' ,' '\n\n' | sort -u)
[[ "$found" = "$listed" ]] || { echo "the list in .ci/loom.sh differs from the faults in src/gc; src/gc has:" $found >&2; exit 1; }

for line in "${models[@]}"; do
    model="gc::models::${line%%: *}"
    for fault in ${line#*: }; do
        if GREYSPAN_FAULT="$fault" "$binary" --exact "$model" > "$log" 2>&1; then
            echo "$model does not reject the fault $fault" >&2
            exit 1
        fi
        grep -q "$model" "$log" || { cat "$log"; exit 1; }
        echo "$model rejects $fault"
    done
done
