//! The attacks on jump servers, by number. The number stays.
//!
//! Each is tried for real in the lab: first where the defence is absent (a
//! stock host, [`Lab::stock`]; a bastion that lets any program run inside a
//! session, [`Lab::open_bastion`]; one defence switched off), where it must
//! work; then on the bastion, where it must fail and the journal must say so.
//! `docs/known-attacks.md` is printed from this list (`cargo xtask docs`).
//!
//! [`Lab::stock`]: jump_lab::lab::Lab::stock
//! [`Lab::open_bastion`]: jump_lab::lab::Lab::open_bastion

use crate::list::{List, Row, rows};

mod a01;
mod a02;
mod a03;
mod a04;
mod a05;
mod a06;
mod a07;
mod a08;
mod a09;
mod a10;
mod a11;
mod a12;
mod a13;
mod a14;
mod a15;
mod a16;
mod a17;
mod a18;
mod a19;
mod a20;
mod a21;
mod a22;
mod a23;
mod a24;
mod a25;
mod a26;
mod a27;
mod a28;
mod a29;
mod a30;
mod a31;
mod a32;
mod a33;
mod a34;
mod a35;
mod a36;
mod a37;
mod a38;
mod a39;
mod a40;
mod a41;
mod a42;
mod a43;
mod a44;
mod a45;
mod a46;
mod a47;
mod way;

const INTRODUCTION: &str = "\
# Known attacks

Attacks on jump servers, by number. The number stays. \"What stops it\" says where to look in the source. \"Test\" names the folder and the tests
that try the attack, or the part of it that this folder must stop. The lab's (`cargo xtask lab bookworm a05`) try it for real, first where the
defence is absent, where it works, then on the bastion; the others run with `cargo test -p` and the crate's name, and all of them with
`cargo xtask test`. This file is written by `cargo xtask docs`, from the tests.

| # | attack | what stops it | test |
|---|---|---|---|
";

/// All of them.
pub(crate) const ATTACKS: List = List {
    name: "known-attacks",
    letter: 'A',
    last: 47,
    introduction: INTRODUCTION,
    rows: ROWS,
    not_tested: &[],
};

// How each bears others: see `How` in turns.rs.
const ROWS: &[Row] = rows! {
    1: "`-L`/`-W` to a host or port that is not listed, to services on the bastion itself, to cloud metadata",
        stopped by "decision by address and port; own, loopback and link-local addresses refused",
        tried by [
            beside a01::a01_a_forward_reaches_what_is_listed_and_nothing_else,
            beside a01::a01_a_program_reaches_what_is_listed_and_nothing_else,
        ],
        also by [
            "tests": local_and_dynamic_forwards_go_to_targets_only,
        ];

    2: "spellings of an address: `127.1`, `0`, `0x7f.1`, `2130706433`, `::ffff:127.0.0.1`, `[::]`, zone ids, NAT64, 6to4, port 0",
        stopped by "the kernel's own form of the address is judged; embedded addresses refused",
        tried by [
            beside a02::a02_a_spelling_changes_nothing,
            beside a02::a02_port_0_and_ports_beyond_65535_are_no_way_round,
        ],
        also by [
            "crates/policy": own_and_special_addresses_need_to_be_listed_literally the_ipv6_spelling_of_an_ipv4_address_changes_nothing,
            "jump-guard": an_address_is_judged_as_what_it_is,
        ];

    3: "a listed name re-pointed to loopback, metadata or another target",
        stopped by "jumpd resolves names itself and judges the address at connect",
        tried by [
            beside a03::a03_a_listed_name_leads_to_no_forbidden_address,
            beside a03::a03_the_address_connected_to_is_judged_not_the_name,
            beside a03::a03_a_deny_rule_holds_whatever_a_name_stands_for,
        ],
        also by [
            "crates/policy": a_name_is_judged_by_its_addresses_not_by_its_spelling,
        ];

    4: "the second address of a happy-eyeballs connect is not listed",
        stopped by "every `connect(2)` is judged",
        tried by [
            beside a04::a04_each_address_of_a_name_is_judged,
        ],
        also by [];

    5: "`direct-streamlocal` to D-Bus, docker, journald or the suite's own sockets",
        stopped by "`AllowStreamLocalForwarding no`; the guard connects no Unix stream socket but the shell's",
        tried by [
            beside a05::a05_no_unix_socket_is_reached_by_a_forward,
            alone a05::a05_the_guard_stops_what_a_changed_setting_lets_through,
            beside a05::a05_no_unix_socket_is_reached_by_a_program,
        ],
        also by [
            "jump-guard": syslog_is_reached_and_other_sockets_are_not,
        ];

    6: "`-R` in all forms, `GatewayPorts`",
        stopped by "`AllowTcpForwarding local`, `PermitListen none`; `listen(2)` refused by filter and Landlock",
        tried by [
            beside a06::a06_no_remote_forward_is_opened,
            alone a06::a06_nothing_listens_even_with_changed_settings,
            beside a06::a06_no_program_listens,
        ],
        also by [
            "crates/sys": no_socket_is_bound_or_listens,
        ];

    7: "`-w` tun devices, through gaps in `restrict` or `DisableForwarding`",
        stopped by "`PermitTunnel no`",
        tried by [
            alone a07::a07_no_tunnel_is_opened,
            alone a07::a07_no_tunnel_is_opened_even_with_a_changed_setting,
        ],
        also by [];

    8: "agent forwarding taken over by somebody else on the bastion",
        stopped by "`AllowAgentForwarding no`, `restrict` of every key, and the session filter; where a rule has an agent come along, the guard keeps it for that session's hops by that rule",
        tried by [
            beside a08::a08_no_agent_is_forwarded,
            alone a08::a08_no_agent_is_forwarded_even_with_a_changed_setting,
        ],
        also by [
            "jump-guard": a08_an_agent_that_comes_along_is_reached_by_ssh_of_hops_only a08_no_socket_listens_but_that_of_an_agent_that_may_come,
            "jumpd": only_ssh_of_a_hop_that_logs_in_so_gets_to_the_agent an_agent_comes_along_by_a_rule_only_and_the_journal_says_so_first,
        ];

    9: "X11 forwarding",
        stopped by "`X11Forwarding no`",
        tried by [
            beside a09::a09_no_display_is_forwarded,
        ],
        also by [];

    10: "`~/.ssh/rc`, `~/.ssh/environment`, `environment=`, `/etc/ssh/sshrc`",
        stopped by "home is empty and root's; `PermitUserRC no`; `restrict` on every key; a hop's ssh reads no configuration (`-F none`); what root's own `sshrc` runs is guarded, and `doctor` warns",
        tried by [
            beside a10::a10_no_rc_file_is_run,
            beside a10::a10_nobody_can_write_one,
            alone a10::a10_the_hosts_own_rc_runs_inside_the_guard,
            alone a10::a10_no_file_puts_words_into_the_environment,
        ],
        also by [];

    11: "`SendEnv` of `LD_PRELOAD`, `BASH_ENV`, `LC_*`, `TERM`, `TZ` …",
        stopped by "the shell clears its environment; a hop's ssh gets a checked `TERM` and nothing else",
        tried by [
            beside a11::a11_what_debian_accepts_is_ignored,
            beside a11::a11_a_terminal_type_is_a_plain_name_or_nothing,
            alone a11::a11_nothing_sent_steers_the_shell,
        ],
        also by [
            "jump-shell": the_environment_is_gone ssh_is_started_with_the_text_as_one_argument,
        ];

    12: "`ssh host sh`, `-c`, subsystems, `scp -t`, `rsync --server`, `git-upload-pack`",
        stopped by "`ForceCommand`; the shell runs none of it; a hop's command is one argument of ssh, for the target",
        tried by [
            beside a12::a12_every_other_command_is_refused,
            beside a12::a12_a_terminal_changes_nothing,
            beside a12::a12_no_tool_leaves_a_file,
        ],
        also by [
            "tests": a_hop_goes_only_where_and_as_whom_the_rule_says,
            "jump-shell": everything_else_is_refused_and_written_down everything_else_is_refused ssh_is_started_with_the_text_as_one_argument,
        ];

    13: "`internal-sftp`",
        stopped by "`ForceCommand` goes before subsystems; the shell's `ssh` has no `-s`",
        tried by [
            beside a13::a13_no_subsystem_is_served,
            alone a13::a13_not_even_the_one_inside_sshd,
        ],
        also by [
            "jump-shell": everything_else_is_refused_and_written_down,
        ];

    14: "client escapes (`~C -L`), ControlMaster used after the right has ended",
        stopped by "every connect is judged; an ended session, or hop, has no process left; a hop's ssh has no escapes (`EscapeChar=none`)",
        tried by [
            beside a14::a14_a_shared_connection_ends_with_the_right,
            beside a14::a14_each_channel_is_judged,
            beside a14::a14_a_forward_added_in_the_session_is_judged,
        ],
        also by [
            "tests": what_a_saved_edit_forbids_is_cut an_operator_ends_a_session_without_a_channel a_hop_ends_with_its_right,
        ];

    15: "chains a→b→a, the bastion to itself",
        stopped by "own addresses refused",
        tried by [
            beside a15::a15_a_network_never_covers_the_bastion_itself,
            beside a15::a15_who_comes_back_by_a_target_is_judged_anew,
        ],
        also by [];

    16: "forwards before the second factor is done",
        stopped by "sshd serves no channel before PAM is done; filter and guard stand before the child exists",
        tried by [
            beside a16::a16_nothing_opens_before_the_second_factor,
            beside a16::a16_nothing_opens_after_a_wrong_code,
        ],
        also by [];

    17: "`ssh -N` while PAM's session has failed: sshd keeps the connection",
        stopped by "the child ends itself if `open_session` left no mark",
        tried by [
            alone a17::a17_a_connection_does_not_outlive_its_failed_session,
            alone a17::a17_where_another_module_fails_nothing_is_forwarded,
        ],
        also by [
            "tests": without_a_guard_no_session_stays a_missing_session_line_ends_the_login,
        ];

    18: "`MSG_FASTOPEN`, `sendmsg` with an address, io_uring, i386 and x32 calls, `socketcall`, a second thread that rewrites the address, recycled process ids, passed sockets, other address families, `CLONE_NEWUSER`",
        stopped by "the session filter; the guard's single copy and its checks that the call still waits",
        tried by [
            beside a18::a18_no_line_of_the_filters_table_leads_out,
            beside a18::a18_a_call_by_another_table_ends_the_process,
            beside a18::a18_an_address_that_changes_leads_where_it_was_judged,
            beside a18::a18_no_process_outside_hands_a_socket_over,
            beside a18::a18_an_honest_session_makes_no_forbidden_call,
        ],
        also by [
            "jump-guard": a18_fast_open_reaches_nobody a18_a42_a44_every_line_of_the_table_is_made_and_written_down a18_no_row_says_what_the_kernel_would_have_said_anyway a18_calls_by_other_tables_end_the_process_and_are_written_down a18_an_address_that_changes_after_the_question_does_not_matter,
        ];

    19: "the guard killed, stopped, slow or restarted; policy changed in between",
        stopped by "kernel refuses calls of a dead guard; every wait ends; stateless questions",
        tried by [
            beside a19::a19_the_user_cannot_touch_who_watches,
            beside a19::a19_a_lost_guard_opens_nothing,
            beside a19::a19_a_policy_that_changes_under_a_question_opens_nothing,
        ],
        also by [
            "tests": a_session_dies_with_its_guard a_restart_of_everything_keeps_sessions_and_their_rules,
            "jump-guard": a19_without_jumpd_connects_are_refused_and_with_it_they_work_again a19_a_guard_that_dies_takes_the_users_child_along a19_after_the_guard_nothing_connects a_jumpd_that_hangs_means_no,
        ];

    20: "an outer seccomp listener is there already",
        stopped by "the session is refused with a message that says so",
        tried by [
            beside a20::a20_no_session_where_somebody_listens_already,
        ],
        also by [
            "jump-guard": a20_a_second_listener_is_refused_with_a_clear_message,
        ];

    21: "ptrace of one's own sshd child, core dumps, limits, stopping a recorder",
        stopped by "filter, Landlock, non-dumpable",
        tried by [
            beside a21::a21_nobody_reaches_into_ones_own_sshd,
            beside a21::a21_ones_own_limits_limit_no_guard,
        ],
        also by [
            "jump-shell": its_memory_is_closed_to_its_own_user,
        ];

    22: "survivors: `setsid`, `at`, cron, `systemd-run --user`, linger",
        stopped by "the guard ends every process of the session, also after sshd has gone; no program can be started in the first place",
        tried by [
            beside a22::a22_nothing_survives_the_end_of_its_session,
            beside a22::a22_nobody_else_runs_it_later,
        ],
        also by [
            "jump-guard": a_stopped_and_a_detached_process_end_too,
        ];

    23: "a one-time code used again: at the same instant, older, after the clock went back, after a restored file, on a full disk",
        stopped by "lock, compare with the last accepted step, write and flush, then answer",
        tried by [
            alone a23::a23_a_used_or_older_code_is_not_taken_again,
        ],
        also by [
            "crates/mfa": h2_accepted_steps_strictly_rise_and_no_code_is_accepted_twice h3_a_clock_stepped_back_brings_no_code_back h4_what_cannot_be_kept_is_denied h5_a_killed_process_leaves_a_whole_record,
        ];

    24: "guessing over many connections; finding out which users exist; locking somebody out on purpose",
        stopped by "key first; limits on disk; the same prompts for all",
        tried by [
            beside a24::a24_guesses_are_counted_over_connections_and_restarts,
            alone a24::a24_nobody_learns_who_exists_or_is_enrolled,
            beside a24::a24_nobody_without_the_key_locks_anybody_out,
        ],
        also by [
            "crates/mfa": h11_no_failure_is_lost_among_64_threads_and_no_more_than_the_limit_are_looked_at h12_failures_are_counted_across_openings_of_the_store,
        ];

    25: "keyboard-interactive through `pam_permit` alone, passwords switched on elsewhere, `UsePAM no`, order of methods",
        stopped by "`Match` settings of the drop-in; `account` demands the mark; no key for an sshd that does not ask pam_jump",
        tried by [
            beside a25::a25_edits_open_a_stock_host,
            alone a25::a25_no_edit_of_sshd_config_lets_in_without_key_and_code,
            alone a25::a25_no_edit_of_the_pam_stack_lets_in_without_a_code,
            alone a25::a25_an_sshd_that_asks_nobody_gets_no_key,
        ],
        also by [
            "tests": a_login_without_keyboard_interactive_is_refused,
        ];

    26: "a public key that was only offered taken as verified",
        stopped by "only keys sshd reports as verified count",
        tried by [
            beside a26::a26_only_the_key_that_signed_counts,
            beside a26::a26_events_name_the_key_that_signed,
        ],
        also by [
            "jumpd": the_key_is_the_one_that_sshd_verified no_key_is_read_where_none_was_verified,
        ];

    27: "certificates with empty or odd principals, wrong options, stale revocation",
        stopped by "`TrustedUserCAKeys none` for policy users",
        tried by [
            alone a27::a27_a_certificate_is_no_key_of_the_policy,
        ],
        also by [];

    28: "user names with 33 letters, `-o…`, `../`, line feeds, look-alikes, numbers, names of system users",
        stopped by "names and uids are checked in the policy and in the index reader; local files win",
        tried by [
            alone a28::a28_a_later_local_account_wins,
            beside a28::a28_no_name_and_no_id_means_somebody_else,
        ],
        also by [
            "crates/policy": names_of_users_and_groups_are_plain names_and_ids_of_local_files_are_conflicts,
            "crates/accounts": names_that_tools_would_misread_are_refused,
            "nss_jump": a_local_user_hides_ours a_tampered_index_gives_no_system_id,
        ];

    29: "the name service library inside nscd, sudo, cron; truncated or huge index; swapped while read",
        stopped by "every offset checked; one `stat` per call; no lock, no socket",
        tried by [
            alone a29::a29_users_do_not_vanish_while_the_index_is_replaced,
            alone a29::a29_a_broken_index_breaks_nobody,
        ],
        also by [
            "nss_jump": a_truncated_index_is_not_used an_index_replaced_while_threads_read_it children_of_threaded_processes_get_answers a_buffer_too_small_is_erange_and_never_overrun,
            "crates/accounts": any_bytes_at_all_are_harmless,
        ];

    30: "line feeds, escapes and bidirectional text in names, commands, versions",
        stopped by "escaped in every event and on the terminal; a recording has the bytes, and what is made of it shows none of them",
        tried by [
            beside a30::a30_hostile_text_is_inert_in_every_record,
        ],
        also by [
            "crates/audit": whatever_comes_is_one_bounded_line_of_printable_ascii,
            "jump-shell": nothing_of_a_refused_command_steers_the_terminal,
            "crates/recording": what_a_terminal_would_obey_or_answer_is_dropped nobody_is_made_to_read_from_right_to_left,
            "jumpctl": an_event_is_one_line_that_no_terminal_acts_on json_means_the_same_and_no_terminal_acts_on_it,
        ];

    31: "recorder: disk full, file renamed or truncated, last block missing",
        stopped by "a hop exists only while it is recorded; the chain, and its heads in the journal",
        tried by [
            elsewhere a31::a31_a_full_disk_leaves_no_hop_unrecorded,
        ],
        also by [
            "tests": what_is_changed_in_a_recording_is_told fault_a_hop_dies_with_its_recorder_and_outlives_an_upgrade,
        ];

    32: "time: change of clocks, windows over midnight, steps, zones",
        stopped by "time is an argument of the decision; half-open intervals in the zone of the window",
        tried by [
            alone a32::a32_the_host_clock_and_zone_count,
            alone a32::a32_a_clock_put_back_brings_no_code_back,
        ],
        also by [
            "crates/policy": the_skipped_hour_of_spring_contains_nothing the_doubled_hour_of_autumn_is_inside_both_times an_interval_over_midnight_belongs_to_the_day_it_starts_on,
        ];

    33: "resources: half-open logins, channel floods, ten thousand forwards",
        stopped by "limits per session; one guard per session; bounded waits; sshd's own limits, see [operations.md](operations.md)",
        tried by [
            beside a33::a33_a_session_opens_no_more_than_the_policy_says,
            alone a33::a33_logins_that_never_end_keep_nobody_out,
        ],
        also by [
            "jump-guard": more_connects_at_once_than_anyone_needs_are_refused a_user_who_goes_away_mid_handshake_leaves_nothing,
        ];

    34: "upgrade, downgrade, purge with sessions open; package removed and PAM line left",
        stopped by "one guard process per session; removal takes PAM back first, or stops; root is led past the module",
        tried by [
            elsewhere a34::a34_changing_the_package_neither_drops_nor_opens_access,
            alone a34::a34_root_logs_in_with_the_module_gone,
        ],
        also by [
            "tests": a_package_touches_nothing_before_setup_and_leaves_nothing_after_purge a_restart_of_everything_keeps_sessions_and_their_rules,
            "jumpctl": undo_is_byte_identical_on_any_file,
            "jumpd": a_restart_forgets_neither_a_session_nor_a_connection,
        ];

    35: "policy: duplicate keys, typos, `*` at the edge of a name, host bits in a network, empty lists",
        stopped by "strict parser",
        tried by [
            beside a35::a35_a_policy_says_what_it_means_or_is_refused,
        ],
        also by [
            "crates/policy": unknown_keys_are_refused_with_the_one_that_was_meant a_repeated_key_or_table_is_refused_and_the_rest_still_read empty_lists_are_refused_wherever_they_could_mean_all_or_none deny_beats_allow_in_any_order_and_only_where_it_applies a_truncated_text_never_grants_more,
        ];

    36: "an allowed target opens tunnels onward",
        stopped by "not stopped: see [threat-model.md](threat-model.md)",
        tried by [
            beside a36::a36_an_allowed_target_leads_onward_and_the_limit_is_told,
        ],
        also by [];

    37: "host key exchanged, algorithms downgraded, Terrapin",
        stopped by "sshd's own list of algorithms, strict key exchange, the client's known_hosts",
        tried by [
            beside a37::a37_weak_algorithms_are_not_agreed_on,
            beside a37::a37_another_host_key_ends_the_login,
        ],
        also by [];

    38: "`authorized_keys` in a home, key options smuggled in",
        stopped by "`AuthorizedKeysFile none`; keys in the policy carry no options",
        tried by [
            alone a38::a38_keys_come_from_the_policy_alone,
            beside a38::a38_options_cannot_be_smuggled_in_with_a_key,
        ],
        also by [
            "crates/policy": keys_are_lines_without_options,
        ];

    39: "`Match` precedence, order of includes, `AllowUsers`",
        stopped by "`setup` compares `sshd -T -C` with what it wrote",
        tried by [
            beside a39::a39_sshd_serves_every_policy_user_alike,
            alone a39::a39_what_comes_before_ours_is_found,
        ],
        also by [
            "jumpctl": the_text_for_every_kind_of_user only_our_keywords_in_an_earlier_match_are_in_the_way a_weaker_setting_is_named,
        ];

    40: "one valid code from 64 logins at once; the same for a recovery code",
        stopped by "as A23: exactly one wins",
        tried by [
            alone a40::a40_64_logins_with_one_code_let_one_in,
        ],
        also by [
            "tests": h01_of_64_logins_through_pam_one_gets_in h01_of_32_logins_through_two_sshds_one_gets_in,
            "crates/mfa": h1_of_64_processes_with_one_code_one_is_accepted h1_of_64_threads_with_one_recovery_code_one_is_accepted,
        ];

    41: "a Unix socket connected by the guard carries the guard's identity",
        stopped by "the guard connects no stream socket for a user but jumpd's",
        tried by [
            beside a41::a41_no_unix_connection_carries_the_guards_identity,
            beside a41::a41_a_line_in_the_log_is_its_writers,
        ],
        also by [
            "jump-guard": syslog_is_reached_and_other_sockets_are_not,
        ];

    42: "`unshare(CLONE_FILES)`, threads without shared files, `clone3`: another socket of the same number",
        stopped by "refused by the filter, or found by the thread's own pidfd",
        tried by [
            beside a42::a42_no_thread_has_files_of_its_own,
        ],
        also by [
            "jump-guard": a18_a42_a44_every_line_of_the_table_is_made_and_written_down,
            "crates/sys": clone_by_flags,
        ];

    43: "a restarting signal during a mediated connect",
        stopped by "the kernel's killable wait; where it has none, the result is remembered",
        tried by [
            alone a43::a43_an_interrupted_connect_is_made_once,
        ],
        also by [
            "jump-guard": a_restarted_call_is_answered_from_memory,
        ];

    44: "a second session of the same user: ptrace, reading memory, taking descriptors",
        stopped by "filter and Landlock domain per session",
        tried by [
            beside a44::a44_a_session_does_not_reach_into_its_neighbour,
        ],
        also by [
            "jump-guard": a18_a42_a44_every_line_of_the_table_is_made_and_written_down,
        ];

    45: "`ssh -tt host 'scp -t x; sh'` and relatives; a recorder that is idle, stopped or killed",
        stopped by "no text ever reaches a shell; a hop is recorded whatever its command, and dies with its recorder",
        tried by [
            beside a45::a45_a_transfer_that_goes_on_is_no_way_to_a_shell,
        ],
        also by [
            "tests": a12_every_other_command_is_refused a12_a_terminal_changes_nothing fault_a_hop_dies_with_its_recorder_and_outlives_an_upgrade,
            "jump-shell": everything_else_is_refused_and_written_down nothing_that_means_more_to_a_real_shell_gets_through a_recorder_that_stands_still_is_noticed_though_nothing_happens a_recorder_that_dies_ends_the_hop a_successor_is_waited_for_no_longer_than_an_upgrade_takes,
        ];

    46: "sshd's own placeholder password counted against a real account",
        stopped by "not counted",
        tried by [
            alone a46::a46_a_user_whom_sshd_denies_is_not_counted,
        ],
        also by [
            "jumpd": sshds_fake_password_is_told_from_a_code,
        ];

    47: "refusals make sshd ≥ 9.8 penalise a whole office",
        stopped by "documented in [operations.md](operations.md)",
        tried by [
            alone a47::a47_refusals_do_not_shut_out_an_office,
        ],
        also by [
            "jumpctl": penalties_are_spoken_of_only_where_they_bite,
        ];
};
