//! Clients that are not OpenSSH, and names that only DNS knows.

mod alike;
mod ansible;
mod names;
mod trail;

pub(crate) use alike::other_clients_log_in_forward_and_are_refused_alike;
pub(crate) use ansible::ansible_reaches_a_target_through_proxyjump;
pub(crate) use names::a_name_that_only_dns_knows_goes_where_dns_says_and_not_to_the_bastion;

/// The scenarios for which the workbench is booted.
pub(crate) const NEED_WORKBENCH: &[&str] = &[
    "other_clients_log_in_forward_and_are_refused_alike",
    "ansible_reaches_a_target_through_proxyjump",
    "a_name_that_only_dns_knows_goes_where_dns_says_and_not_to_the_bastion",
    "an_invited_user_enrols_at_the_prompt",
];
