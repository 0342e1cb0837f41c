//! What every store must do, whatever its engine: each property is a function over a
//! [`Bench`], and a test of its own on each engine. What takes two hosts has nothing to
//! do on SQLite, which has one.

use crate::database::Engine;
use bench::Bench;

mod batches;
mod bench;
mod bulk;
mod cancels;
mod claims;
mod clocks;
mod crowd;
mod deliveries;
mod ends;
mod held;
mod leases;
mod lists;
mod log;
mod migrations;
mod minutes;
mod order;
mod pruning;
mod quota;
mod rates;
mod registry;
mod search;
mod state;
mod versions;
mod walk;
mod window;

/// The properties of one engine; nothing, where there is no server for it.
macro_rules! on_engine {
    ($engine:ident, $kind:ident, $($group:ident: [$($property:ident),* $(,)?])*) => {
        mod $engine {
            $(mod $group {
                use crate::store::{Bench, Engine, $group as properties};

                $(#[tokio::test(flavor = "multi_thread")]
                async fn $property() {
                    if Engine::$kind.is_here() {
                        properties::$property(Bench::on(Engine::$kind).await).await;
                    }
                })*
            })*
        }
    };
}

/// The same properties of every engine.
macro_rules! conformance {
    ($($properties:tt)*) => {
        on_engine!(sqlite, Sqlite, $($properties)*);
        on_engine!(postgres, Postgres, $($properties)*);
        on_engine!(pooled, Pooled, $($properties)*);
    };
}

conformance! {
    deliveries: [
        deliveries_are_known_for_their_window,
        what_only_a_conflict_had_is_known,
        equal_bodies_are_the_same_where_that_is_wanted,
        a_batch_knows_itself,
        many_deliveries_at_once_are_decided_alike,
        what_is_over_is_forgotten_in_slices,
    ]
    window: [
        whatever_was_seen_is_known_for_its_window,
        what_the_database_refuses_holds_nothing_else_up,
    ]
    batches: [
        the_same_batch_again_changes_nothing,
        the_same_batch_again_on_another_host_changes_nothing,
        hosts_that_get_the_same_deliveries_store_each_once,
        another_body_is_kept_once_by_all_hosts,
        batches_in_opposite_order_do_not_wait_for_each_other,
        an_expired_key_is_new_on_one_host,
        texts_that_no_database_takes_are_stored_all_the_same,
        what_is_stored_is_said_though_others_cannot_be_decided_on,
    ]
    claims: [
        claims_take_what_is_due_oldest_first,
        a_run_waits_by_the_stores_own_clock,
        what_is_given_back_has_used_up_nothing,
        a_dead_hosts_runs_are_due_at_once,
        what_is_given_back_is_found_among_many,
        a_claim_that_the_database_forgot_ends_nothing,
        a_run_that_the_database_forgot_ends_no_other,
        a_host_can_ask_what_it_holds,
    ]
    clocks: [
        a_clock_set_ahead_takes_no_run_from_its_host,
        a_clock_set_back_makes_nothing_wait,
        what_was_seen_is_known_until_the_clock_was_gone_by,
        deliveries_are_known_whatever_the_clock_does,
    ]
    order: [
        only_the_first_of_a_key_can_be_claimed,
        a_retry_keeps_the_key,
        a_dead_run_lets_the_next_one_go,
        a_dead_run_blocks_its_key_where_that_is_wanted,
        a_dead_run_blocks_nothing_when_others_of_its_key_succeed,
        a_replay_goes_last,
        keys_and_plugins_do_not_hold_each_other_up,
        a_run_that_is_given_back_is_the_first_again,
        a_cancelled_run_lets_the_next_one_go,
        a_large_batch_keeps_the_order_of_its_events,
        events_with_two_keys_of_deduplication_are_in_order_too,
    ]
    lists: [
        lists_are_whole_however_many_kinds_there_are,
        a_page_looks_at_so_many_events_and_says_how_far,
    ]
    minutes: [
        attempts_are_summed_by_plugin_and_counted_since_a_success,
    ]
    search: [
        a_value_is_found_behind_any_number_of_others,
        bodies_are_looked_into_where_nobody_waits,
    ]
    walk: [
        whatever_happens_is_as_the_model_says,
    ]
    crowd: [
        many_tasks_on_two_hosts_keep_every_order,
    ]
    bulk: [
        retries_of_two_hosts_and_ends_do_not_wait_for_each_other,
    ]
    held: [
        days_that_cannot_be_made_now_leave_nothing_open,
        a_day_that_somebody_reads_stays_and_nothing_is_left_open,
    ]
    leases: [
        a_host_keeps_its_runs_as_long_as_its_lease,
        a_silent_hosts_runs_are_due_at_once,
        a_host_that_ends_its_lease_gives_its_runs_away,
        a_host_that_is_not_in_the_registry_has_no_runs,
        a_run_that_is_held_too_long_is_freed,
        a_run_that_kills_its_hosts_is_ended,
        a_run_that_was_only_claimed_ahead_kills_nobody,
        a_host_that_stops_in_good_order_was_not_killed,
        an_attempt_that_ends_clears_its_run,
        a_run_that_killed_its_hosts_frees_its_key,
        rescues_at_once_rescue_each_run_once,
    ]
    ends: [
        who_has_lost_a_run_changes_nothing,
        writes_are_kept_only_with_their_run,
        what_was_read_must_still_stand,
        ends_at_the_same_time_all_count,
        a_dead_run_lives_again_and_a_finished_one_does_not,
        texts_that_no_database_takes_do_not_hold_up_an_end,
        what_follows_from_a_success_is_stored_with_it,
        what_would_follow_from_an_end_without_success_is_not_stored,
    ]
    state: [
        increments_of_two_hosts_merge,
        read_and_write_on_two_hosts_is_in_some_order,
        whatever_was_read_must_still_stand_on_another_host,
        a_counter_that_is_none_ends_its_run,
        plugins_do_not_see_each_others_state,
    ]
    quota: [
        a_plugin_keeps_no_more_bytes_than_its_quota,
        a_plugin_keeps_no_more_keys_than_its_quota,
        ends_at_the_same_time_share_one_quota,
    ]
    pruning: [
        two_that_prune_at_once_remove_each_once,
        what_was_stored_by_a_clock_that_was_ahead_keeps_nothing_else,
    ]
    cancels: [
        a_live_run_can_be_ended_in_any_state,
        who_executes_a_cancelled_run_is_fenced,
        what_is_over_or_unknown_cannot_be_ended,
        an_end_and_a_cancel_at_once_are_one_of_the_two,
    ]
    rates: [
        a_rate_bounds_what_is_claimed_and_says_when_more_is,
        what_is_due_later_is_not_due_for_a_rate,
        a_rate_without_runs_is_not_used_up,
        one_plugins_rate_does_not_hold_up_another,
        hosts_share_a_rate,
    ]
    registry: [
        a_plugin_keeps_its_number_and_every_version,
        hosts_that_register_at_once_agree,
        a_pause_is_one_row_and_survives_a_new_version,
        live_hosts_say_what_they_can_run,
        a_plugin_is_known_once_every_other_live_host_says_so,
        counts_outlive_the_hosts_that_made_them,
    ]
    versions: [
        versions_are_known_in_the_order_they_were_active,
        a_version_that_is_active_again_was_so_first_when_it_was,
        a_pin_is_kept_until_it_is_taken_away,
        a_forgotten_plugins_runs_are_cancelled_and_its_name_is_free,
        a_forgotten_plugins_last_runs_end_by_themselves,
        many_runs_are_cancelled_in_slices_and_once,
        a_plugin_that_another_host_has_is_not_forgotten,
        a_plugin_that_comes_back_catches_up_anew,
        a_replay_starts_no_run_of_a_plugin_that_is_forgotten_meanwhile,
    ]
}
