//! The stories, in the order in which a newcomer would read them.

use crate::turns::How;
use anyhow::{Result, ensure};
use faults::{clock, journal, killed, names, state, stopped, upgrade};
use jump_lab::lab::Lab;
use jump_lab::seat::{Seat, append};

mod agreement;
pub(crate) mod clients;
mod enrolment;
mod events;
pub(crate) mod factors;
mod failures;
mod faults;
mod forwards;
mod guard;
mod hops;
mod installation;
mod layers;
mod logins;
mod policy;
mod recordings;
mod records;
mod revocation;
mod saving;
mod sealing;
mod shell;

/// One story.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// Its name, a sentence in snake_case.
    pub(crate) name: &'static str,
    /// How it bears others.
    pub(crate) how: How,
    /// Tells it.
    pub(crate) tell: fn(&Lab) -> Result<()>,
}

macro_rules! stories {
    ($($how:ident $module:ident :: $name:ident,)*) => {
        /// All of them, each with [`How`] it bears others.
        pub(crate) const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            how: $crate::turns::how!($how),
            tell: $module::$name,
        },)*];
    };
}

stories! {
    beside installation::the_lab_itself_is_sound,
    elsewhere installation::a_package_touches_nothing_before_setup_and_leaves_nothing_after_purge,
    beside installation::every_service_is_confined,
    elsewhere installation::names_are_known_inside_nscd_sudo_and_cron,
    beside logins::alice_is_on_db1_with_her_key_and_her_code,
    beside logins::a_user_has_no_line_in_etc_passwd,
    beside logins::a_wrong_code_is_refused,
    beside logins::a_code_is_good_once,
    elsewhere records::a_record_put_back_makes_no_used_code_good_again,
    beside records::a_record_of_another_host_is_refused_and_does_not_open,
    elsewhere records::a_restored_bastion_takes_no_code_that_was_used,
    elsewhere records::a_reboot_forgets_what_was_remembered_and_nothing_else,
    elsewhere records::a_new_key_for_all_records_disturbs_nobody,
    elsewhere sealing::a_rekey_that_is_cut_short_is_finished_by_the_next,
    elsewhere sealing::a_restore_that_is_cut_short_is_done_by_the_next,
    elsewhere sealing::a_key_that_does_not_open_lets_nobody_in,
    beside logins::a_recovery_code_is_good_once,
    beside logins::five_wrong_codes_lock_the_user_until_an_operator_unlocks,
    beside logins::without_an_enrolment_nobody_gets_in,
    beside logins::outside_the_window_one_sentence_says_when_it_opens,
    alone logins::an_automation_user_needs_key_and_source_and_no_code,
    alone logins::a_login_without_keyboard_interactive_is_refused,
    beside enrolment::an_admin_enrols_a_user_at_a_terminal,
    beside enrolment::an_invited_user_enrols_at_the_prompt,
    elsewhere enrolment::a_code_is_remembered_for_its_key_and_address,
    beside enrolment::whoever_guesses_elsewhere_keeps_nobody_out,
    beside factors::a_rule_for_security_keys_serves_no_other_session,
    beside factors::what_is_not_taken_is_answered_like_a_wrong_code,
    alone factors::a_security_key_must_have_verified_its_user_where_that_is_demanded,
    alone factors::a_key_file_of_another_source_makes_no_security_key_weaker,
    beside factors::codes_of_another_kind_let_in,
    beside forwards::scp_rsync_and_sftp_go_through,
    beside forwards::bytes_and_duration_are_exact,
    beside forwards::local_and_dynamic_forwards_go_to_targets_only,
    beside clients::other_clients_log_in_forward_and_are_refused_alike,
    beside clients::ansible_reaches_a_target_through_proxyjump,
    alone clients::a_name_that_only_dns_knows_goes_where_dns_says_and_not_to_the_bastion,
    beside shell::the_bastion_alone_gives_the_restricted_shell,
    beside shell::at_a_terminal_a_line_is_edited_and_ones_own_is_at_hand,
    beside shell::connect_serves_as_proxy_command,
    beside shell::a_rule_that_records_grants_no_plain_connection,
    beside hops::a_hop_carries_every_byte_and_the_exit_status,
    beside hops::a_hop_at_a_terminal_is_a_terminal_there,
    beside hops::a_hop_goes_only_where_and_as_whom_the_rule_says,
    elsewhere hops::an_unknown_host_key_is_refused,
    beside hops::a_hop_ends_with_its_right,
    elsewhere hops::a_new_ca_key_is_trusted_before_it_signs,
    elsewhere hops::a_hop_logs_in_with_the_admins_own_agent_where_the_rule_says_so,
    beside recordings::a_recorded_hop_is_found_and_verified,
    elsewhere recordings::what_is_changed_in_a_recording_is_told,
    elsewhere recordings::a_sealed_recording_is_read_with_the_auditors_key_only,
    elsewhere recordings::fault_a_hop_dies_with_its_recorder_and_outlives_an_upgrade,
    elsewhere recordings::what_is_kept_no_longer_is_deleted_and_said_so,
    beside policy::a_broken_edit_changes_nothing,
    beside policy::what_a_saved_edit_forbids_is_cut,
    beside policy::explain_says_what_the_guard_does,
    beside agreement::explain_pam_and_the_guard_agree,
    beside saving::every_save_comes_into_force,
    elsewhere saving::a_save_that_nobody_noticed_comes_into_force,
    elsewhere saving::a_policy_that_cannot_be_read_names_its_cure,
    beside layers::the_packaged_module_cannot_be_weakened,
    beside layers::landlock_alone_stops_every_tcp_connect,
    beside layers::the_filter_alone_stops_every_way,
    beside layers::the_packet_filter_alone_bounds_sessions_to_the_policy,
    beside layers::the_packet_filter_follows_a_name,
    beside events::the_whole_trail_of_a_session_is_in_the_journal,
    beside revocation::a_target_taken_away_cuts_only_its_connections,
    beside revocation::a_window_that_closes_takes_what_it_gave_and_no_more,
    beside revocation::an_end_by_the_clock_takes_everything,
    beside revocation::a_lock_out_ends_the_sessions_of_its_user,
    beside revocation::the_user_is_told_before_the_end,
    alone revocation::a_session_that_nobody_uses_ends,
    alone revocation::a_session_opens_no_more_connections_than_it_may,
    beside guard::a_session_dies_with_its_guard,
    beside guard::an_operator_ends_a_session_without_a_channel,
    alone guard::without_a_guard_no_session_stays,
    alone guard::a_missing_session_line_ends_the_login,
    alone failures::with_jumpd_unable_to_start_users_are_refused_and_root_logs_in,
    alone failures::a_restart_of_everything_keeps_sessions_and_their_rules,
    alone failures::a_journal_that_cannot_be_written_refuses_logins,
    elsewhere killed::fault_a_killed_jumpd_comes_back_and_knows_its_sessions,
    elsewhere killed::fault_a_killed_listener_leaves_the_guards_at_their_posts,
    elsewhere killed::fault_a_session_dies_with_its_guard_wherever_it_is_hit,
    elsewhere killed::fault_a_session_without_sshds_monitor_is_guarded_and_ends,
    elsewhere stopped::fault_a_stopped_jumpd_refuses_in_time,
    elsewhere stopped::fault_a_stopped_listener_refuses_logins_in_time,
    elsewhere stopped::fault_a_stopped_guard_keeps_nobody_waiting,
    elsewhere names::fault_a_resolver_that_never_answers_holds_nobody_up,
    elsewhere journal::fault_a_full_journal_allows_what_syslog_takes_and_then_nothing,
    elsewhere journal::fault_without_journald_syslog_must_take_the_event,
    elsewhere state::fault_a_state_that_cannot_be_written_lets_nobody_in,
    elsewhere state::fault_state_that_lost_its_end_opens_nothing,
    elsewhere clock::fault_a_stepped_clock_ends_what_is_over_and_brings_nothing_back,
    elsewhere clock::fault_a_clock_stepped_back_gives_a_session_no_more_time,
    elsewhere clock::fault_a_clock_behind_the_last_code_is_told,
    elsewhere upgrade::fault_restarts_and_upgrades_leave_sessions_alone,
    last events::the_chain_of_events_has_no_gap,
}

/// Root logs in to the bastion with a key, as before there was a jump server.
pub(crate) fn root_logs_in(lab: &Lab, seat: &Seat) -> Result<()> {
    append(&lab.bastion, "/root/.ssh/authorized_keys", seat.key())?;
    let output = seat
        .command("ssh")
        .args(["root@bastion", "id -u"])
        .run()?
        .success()?;
    ensure!(output.text() == "0", "{output}");
    Ok(())
}
