//! The mistakes that second factors make, by number. The number stays.
//!
//! Each has been made by a module in use; a test that bears its number shows
//! that it is not made here. `docs/mfa-hazards.md` is printed from this list
//! (`cargo xtask docs`).

use crate::list::{List, Row, rows};

mod logins;
mod once;
mod sessions;

const INTRODUCTION: &str = "\
# Mistakes of a second factor

What modules for second factors got wrong, by number, and what keeps it from happening here. The number stays. \"Test\" names the folder and the
tests: the lab's run with `cargo xtask lab bookworm h01`, the others with `cargo test -p` and the crate's name, all of them with `cargo xtask test`.
This file is written by `cargo xtask docs`, from the tests.

| # | mistake | what keeps it out | test |
|---|---|---|---|
";

/// All of them.
pub(crate) const HAZARDS: List = List {
    name: "mfa-hazards",
    letter: 'H',
    last: 35,
    introduction: INTRODUCTION,
    rows: ROWS,
    not_tested: &[],
};

// How each bears others: see `How` in turns.rs.
const ROWS: &[Row] = rows! {
    1: "one code accepted from several logins at once",
        stopped by "lock, read, judge, persist, unlock: `crates/mfa/src/file_store.rs`",
        tried by [
            racing once::h01_of_64_logins_through_pam_one_gets_in,
            alone once::h01_of_32_logins_through_two_sshds_one_gets_in,
        ],
        also by [
            "tests": a40_64_logins_with_one_code_let_one_in,
            "crates/mfa": h1_of_64_processes_with_one_code_one_is_accepted h1_of_64_threads_with_one_code_one_is_accepted h1_of_64_threads_with_one_recovery_code_one_is_accepted,
        ];

    2: "an older step accepted after a newer one was used",
        stopped by "the last accepted step is kept, and only a later one is accepted",
        tried by [],
        also by [
            "tests": h01_of_64_logins_through_pam_one_gets_in a23_a_used_or_older_code_is_not_taken_again,
            "crates/mfa": h2_accepted_steps_strictly_rise_and_no_code_is_accepted_twice h2_an_older_step_than_the_last_one_is_refused_though_inside_the_window,
        ];

    3: "a used code accepted again after the clock was put back or state was restored",
        stopped by "the last accepted step is on disk before the answer; a record of another time or host is refused",
        tried by [],
        also by [
            "tests": a32_a_clock_put_back_brings_no_code_back fault_a_stepped_clock_ends_what_is_over_and_brings_nothing_back a_record_put_back_makes_no_used_code_good_again a_record_of_another_host_is_refused_and_does_not_open a_restored_bastion_takes_no_code_that_was_used a_reboot_forgets_what_was_remembered_and_nothing_else,
            "crates/mfa": h3_a_clock_stepped_back_brings_no_code_back h3_a_clock_behind_the_last_accepted_code_is_told h3_a_record_of_another_host_is_refused h3_yesterdays_record_is_refused_until_a_reset_and_a_new_enrolment,
        ];

    4: "a login let in though its state could not be written",
        stopped by "persisted before the answer; else no",
        tried by [],
        also by [
            "tests": fault_a_state_that_cannot_be_written_lets_nobody_in,
            "crates/mfa": h4_what_cannot_be_kept_is_denied h4_whichever_call_fails_the_record_is_the_old_or_the_new_one,
        ];

    5: "a crash in the middle of a write spoils the secret",
        stopped by "a new file, flushed, renamed, and its directory flushed",
        tried by [],
        also by [
            "crates/mfa": h5_a_killed_process_leaves_a_whole_record h5_killed_at_whichever_call_the_record_is_the_old_or_the_new_one,
        ];

    6: "`PAM_IGNORE` or success where something inside failed",
        stopped by "`for_jump_users` in `pam_jump/src/lib.rs`: the answer is jumpd's yes, or a no",
        tried by [],
        also by [
            "pam_jump": h06_no_failing_call_of_authenticate_lets_in h06_no_failing_call_of_account_lets_in h06_no_failing_call_of_open_session_lets_in h06_no_failing_call_leaves_a_session_unguarded h06_no_answer_but_yes_is_yes h06_without_jumpd_or_index_nobody_is_ignored_but_root,
        ];

    7: "no record taken for no second factor",
        stopped by "without a record the answer is no; nobody is let in unenrolled",
        tried by [
            elsewhere sessions::h07_without_its_store_jumpd_lets_nobody_in,
        ],
        also by [
            "tests": without_an_enrolment_nobody_gets_in,
            "crates/mfa": h7_without_a_record_everybody_is_refused,
        ];

    8: "links, FIFOs or devices planted in the state's or the policy's path",
        stopped by "every open refuses links, waits for nothing and looks whose the file is",
        tried by [],
        also by [
            "tests": a_policy_that_cannot_be_read_names_its_cure,
            "crates/mfa": h8_a_planted_record_is_refused_at_once h8_a_planted_lock_is_refused_at_once,
        ];

    9: "a broken configuration grants",
        stopped by "a policy is in force as a whole or not at all",
        tried by [],
        also by [
            "tests": a_broken_edit_changes_nothing,
            "crates/policy": a_truncated_text_never_grants_more a_mutated_text_is_taken_or_refused_and_never_a_panic,
            "crates/mfa": h9_a_damaged_record_is_refused_whatever_the_damage,
        ];

    10: "a lock-out as a weapon against its user",
        stopped by "wrong codes count by key and address; without the key nobody is asked",
        tried by [
            beside logins::h10_without_the_key_nobody_is_asked_for_a_code,
        ],
        also by [
            "tests": whoever_guesses_elsewhere_keeps_nobody_out,
            "crates/mfa": h10_whoever_guesses_with_another_key_or_elsewhere_keeps_nobody_out h10_a_known_key_is_heard_from_anywhere_while_another_key_guesses h10_a_right_code_gives_others_no_second_budget,
        ];

    11: "guessing over many connections",
        stopped by "counts are on disk; each lock-out lasts longer than the one before",
        tried by [],
        also by [
            "crates/mfa": h11_ten_thousand_guesses_from_everywhere_are_heard_sixty_times_in_an_hour h11_one_place_is_heard_fifteen_times_in_the_first_hour_and_then_five_times_in_two h11_no_failure_is_lost_among_64_threads_and_no_more_than_the_limit_are_looked_at,
        ];

    12: "counts kept in a process that ends with the attempt",
        stopped by "counts are in the record",
        tried by [
            beside logins::h12_wrong_codes_of_several_connections_add_up,
        ],
        also by [
            "crates/mfa": h12_failures_are_counted_across_openings_of_the_store,
        ];

    13: "the count forgotten by cron, a login by key, or an account check alone",
        stopped by "only a code that was accepted forgives",
        tried by [
            beside logins::h13_a_service_that_asks_for_the_account_alone_forgives_nothing,
        ],
        also by [];

    14: "sshd's placeholder password counted",
        stopped by "it is told from a code, and not counted",
        tried by [],
        also by [
            "tests": a46_a_user_whom_sshd_denies_is_not_counted,
            "jumpd": h14_sshds_fake_password_is_not_counted sshds_fake_password_is_told_from_a_code,
        ];

    15: "a prompt, a text or a time that tells who is enrolled",
        stopped by "one prompt, one text; a no comes at fixed times",
        tried by [],
        also by [
            "tests": a24_nobody_learns_who_exists_or_is_enrolled,
            "jumpd": h15_enrolled_unenrolled_unknown_and_locked_users_look_alike h15_the_work_behind_a_no_does_differ,
        ];

    16: "spaces, signs or other digits taken for a code",
        stopped by "exactly the digits, compared in constant time; recovery codes have another form",
        tried by [],
        also by [
            "crates/mfa": h16_what_is_not_exactly_a_code_is_wrong only_exactly_n_ascii_digits_have_the_form_of_a_code,
        ];

    17: "a window that widens by itself",
        stopped by "one step on either side, always",
        tried by [],
        also by [
            "crates/mfa": the_window_is_one_step_on_either_side,
        ];

    18: "a remembered login bound to an address alone, or to a time that never ends",
        stopped by "bound to user, key, network and boot; a time to come is worth nothing",
        tried by [],
        also by [
            "tests": a_code_is_remembered_for_its_key_and_address,
            "jumpd": h18_it_is_for_one_user_one_key_and_one_network h18_a_time_to_come_is_worth_nothing h18_a_restart_keeps_it_and_another_boot_does_not a_remembered_code_saves_the_next_prompt_for_its_key_and_source_alone a_remembered_code_is_worth_nothing_after_a_reset_an_enrolment_or_a_lock_out a_recovery_code_is_not_remembered_and_a_skipped_prompt_prolongs_nothing,
            "crates/mfa": h18_a_standing_ends_with_the_authenticator_and_with_every_lock_out,
        ];

    19: "a host name trusted as the source",
        stopped by "the address in `SSH_CONNECTION`; `PAM_RHOST` is not read",
        tried by [
            beside logins::h19_a_host_name_is_no_source,
        ],
        also by [
            "pam_jump": h19_the_source_is_sshs_own_and_no_host_name,
        ];

    20: "secrets or decisions left in the session's environment",
        stopped by "one id, taken out when the session is opened",
        tried by [
            beside sessions::h20_nothing_of_the_login_is_in_the_environment,
        ],
        also by [
            "pam_jump": h20_the_environment_keeps_a_mark_and_then_nothing,
        ];

    21: "decisions by variables of the process",
        stopped by "none is read",
        tried by [],
        also by [
            "pam_jump": h21_no_variable_of_the_process_decides,
        ];

    22: "a panic across C, a thread left behind",
        stopped by "every hook is behind `catch_unwind`; the module starts no thread",
        tried by [
            beside sessions::h22_a_panic_is_a_refusal,
        ],
        also by [
            "pam_jump": h22_h23_h24_every_hook_leaves_the_process_as_it_was,
        ];

    23: "sshd's log, locale, signals or descriptors changed under it",
        stopped by "the module calls nothing that could",
        tried by [],
        also by [
            "pam_jump": h23_h28_it_cannot_touch_what_is_sshds h22_h23_h24_every_hook_leaves_the_process_as_it_was,
        ];

    24: "descriptors that reach the user's programs",
        stopped by "one stays, for the guard, and closes at exec",
        tried by [
            beside sessions::h24_no_descriptor_reaches_the_user,
        ],
        also by [
            "pam_jump": h24_what_stays_open_is_for_no_program_of_the_user,
        ];

    25: "a login that waits for something that does not answer",
        stopped by "every wait has an end",
        tried by [],
        also by [
            "tests": fault_a_stopped_jumpd_refuses_in_time fault_without_journald_syslog_must_take_the_event fault_a_resolver_that_never_answers_holds_nobody_up,
            "crates/mfa": h25_a_stopped_holder_of_the_lock_costs_a_bounded_wait,
        ];

    26: "forged log lines; codes in a log",
        stopped by "every field is escaped; no code is ever in an event",
        tried by [
            beside logins::h26_no_code_is_in_any_log,
        ],
        also by [
            "tests": a30_hostile_text_is_inert_in_every_record,
            "crates/audit": whatever_comes_is_one_bounded_line_of_printable_ascii,
        ];

    27: "`PAM_MAXTRIES`, after which clients ask for passwords",
        stopped by "never answered; a lock-out looks like a wrong code",
        tried by [
            beside logins::h27_a_lock_out_asks_for_codes_and_nothing_else,
        ],
        also by [
            "pam_jump": h27_a_wrong_code_is_one_prompt_and_one_sentence,
        ];

    28: "`PAM_USER` changed by the module",
        stopped by "the module cannot set an item",
        tried by [],
        also by [
            "pam_jump": h28_the_user_stays_who_sshd_says h23_h28_it_cannot_touch_what_is_sshds,
        ];

    29: "a prompt in `account`, where nobody can answer",
        stopped by "`account` asks nothing; a conversation that fails is a no",
        tried by [],
        also by [
            "pam_jump": h29_account_asks_nobody,
        ];

    30: "a login by key alone taken for one by password, because sshd lists its method too late",
        stopped by "`account` goes by the mark that `authenticate` left",
        tried by [
            beside logins::h30_account_goes_by_the_mark_whatever_sshd_lists,
        ],
        also by [
            "pam_jump": h30_account_tells_what_sshd_tells_and_demands_the_mark,
        ];

    31: "a failed `open_session` believed to end the login",
        stopped by "the user's child ends itself; the guard ends the rest",
        tried by [],
        also by [
            "tests": without_a_guard_no_session_stays fault_a_stopped_listener_refuses_logins_in_time,
            "pam_jump": h31_where_no_session_was_opened_the_users_child_ends,
        ];

    32: "`close_session` as the only end",
        stopped by "a session ends when its last process does, which the kernel tells the guard",
        tried by [],
        also by [
            "tests": fault_a_session_without_sshds_monitor_is_guarded_and_ends,
        ];

    33: "a secret shown where it stays, or replaced unasked",
        stopped by "shown once, to the operator or at an invited user's prompt; the old one stays until a code proves the new one",
        tried by [
            beside logins::h33_nothing_of_an_enrolment_is_in_the_journal,
        ],
        also by [
            "tests": an_invited_user_enrols_at_the_prompt an_admin_enrols_a_user_at_a_terminal,
            "crates/mfa": h33_the_old_secret_stays_in_force_until_the_new_one_is_confirmed a_right_code_of_the_draft_spends_the_invitation_and_nothing_else_does,
            "jumpd": an_invitation_is_spent_only_by_a_right_code,
        ];

    34: "recovery codes stored as they are, or used twice",
        stopped by "Argon2id of 80 random bits, spent under the lock of H1, an event each",
        tried by [],
        also by [
            "tests": a_recovery_code_is_good_once,
            "crates/mfa": h34_ten_recovery_codes_each_work_once_and_are_stored_as_hashes,
        ];

    35: "a PAM stack whose order lets past the module",
        stopped by "an sshd that does not ask pam_jump gets no key; `account` demands the mark; `doctor` reads the stack",
        tried by [],
        also by [
            "tests": a25_no_edit_of_the_pam_stack_lets_in_without_a_code a25_an_sshd_that_asks_nobody_gets_no_key a34_root_logs_in_with_the_module_gone,
        ];
};
