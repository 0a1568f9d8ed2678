//! `[targets]`, `[windows]`, `[[rules]]` and `[[tests]]`: what is granted, where, when.

use super::{Kind, Places, Reader, accounts, distinct, mfa, timezone, unknown_word};
use crate::address::{AddressError, parse_address, parse_host, parse_source};
use crate::decision::Destination;
use crate::diagnostics::{Problems, quoted};
use crate::document::{Node, Section, boolean, list, string, strings};
use crate::model::{Effect, HopAgent, PolicyTest, Rule, Span, Target};
use crate::names::{label, principal, system_group_name};
use crate::values::{date, days, duration, hours, instant, ports};
use crate::window::Window;
use jiff::civil::Weekday;
use jump_proto::Via;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) fn report<T>(
    result: Result<T, AddressError>,
    span: &Span,
    problems: &mut Problems,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(AddressError { message, help }) => {
            match help {
                Some(help) => problems.add_help(span, message, help),
                None => problems.add(span, message),
            }
            None
        }
    }
}

pub(super) fn targets(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, Target> {
    let mut out = BTreeMap::new();
    for (name, section) in reader.named_tables("targets", node) {
        let problems = &mut reader.problems;
        label(name, section.span(), problems);
        let hosts = section.required("hosts", problems).map(|node| {
            distinct(node, "hosts", problems, |entry, problems| {
                report(
                    parse_host(string(entry, problems)?),
                    &entry.span(),
                    problems,
                )
            })
        });
        let ports = section
            .required("ports", problems)
            .map(|node| distinct(node, "ports", problems, ports));
        let mut keys = |key| {
            let node = section.optional(key);
            node.map(|node| distinct(node, key, problems, accounts::key))
                .unwrap_or_default()
        };
        let (host_keys, host_ca) = (keys("host_keys"), keys("host_ca"));
        let target = Target {
            name: name.to_owned(),
            hosts: hosts.unwrap_or_default(),
            ports: ports.unwrap_or_default(),
            host_keys,
            host_ca,
            span: section.span().clone(),
        };
        section.finish(problems);
        out.insert(name.to_owned(), target);
    }
    out
}

pub(super) fn windows(reader: &mut Reader, node: Option<Node<'_>>) -> BTreeMap<String, Window> {
    let mut out = BTreeMap::new();
    for (name, section) in reader.named_tables("windows", node) {
        let window = window(reader, name, section);
        out.insert(name.to_owned(), window);
    }
    out
}

fn window(reader: &mut Reader, name: &str, section: Section<'_>) -> Window {
    let problems = &mut reader.problems;
    label(name, section.span(), problems);
    let mut all_days: Vec<Weekday> = Vec::new();
    if let Some(node) = section.required("days", problems) {
        for (text, span) in strings(node, "days", problems).unwrap_or_default() {
            match days(text) {
                Ok(named) => all_days.extend(named),
                Err((message, help)) => problems.add_help(&span, message, help),
            }
        }
    }
    all_days.sort_unstable_by_key(|day| day.to_monday_zero_offset());
    all_days.dedup();
    let mut all_hours = Vec::new();
    if let Some(node) = section.required("hours", problems) {
        for (text, span) in strings(node, "hours", problems).unwrap_or_default() {
            match hours(text) {
                Ok(range) => all_hours.push(range),
                Err((message, help)) => problems.add_help(&span, message, help),
            }
        }
    }
    let zone = match section.optional("timezone") {
        Some(node) => {
            string(node, problems).and_then(|name| timezone(name, &node.span(), problems))
        }
        None => None,
    };
    let mut except: Vec<_> = section
        .optional("except")
        .and_then(|node| list(node, problems))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| date(entry, problems))
        .collect();
    except.sort_unstable();
    except.dedup();
    let window = Window {
        name: name.to_owned(),
        days: all_days,
        hours: all_hours,
        except,
        timezone: zone.unwrap_or_else(|| reader.timezone.clone()),
        span: section.span().clone(),
    };
    section.finish(&mut reader.problems);
    window
}

pub(super) fn rules(reader: &mut Reader, node: Option<Node<'_>>) -> Vec<Rule> {
    reader
        .listed_tables("rules", node)
        .into_iter()
        .filter_map(|section| rule(reader, section))
        .collect()
}

fn effect(node: Node<'_>, problems: &mut Problems) -> Option<Effect> {
    match string(node, problems)? {
        "allow" => Some(Effect::Allow),
        "deny" => Some(Effect::Deny),
        other => {
            unknown_word(
                other,
                &node.span(),
                "an effect",
                ["allow", "deny"],
                problems,
            );
            None
        }
    }
}

fn via(node: Node<'_>, problems: &mut Problems) -> Option<Via> {
    let text = string(node, problems)?;
    let known = text.parse().ok();
    if known.is_none() {
        let ways = [Via::Forward, Via::Shell].map(Via::as_str);
        unknown_word(text, &node.span(), "a way", ways, problems);
    }
    known
}

fn agent(node: Node<'_>, problems: &mut Problems) -> Option<HopAgent> {
    match string(node, problems)? {
        "ca" => Some(HopAgent::Ca),
        "forwarded" => Some(HopAgent::Forwarded),
        other => {
            unknown_word(
                other,
                &node.span(),
                "an agent",
                ["ca", "forwarded"],
                problems,
            );
            None
        }
    }
}

fn rule(reader: &mut Reader, section: Section<'_>) -> Option<Rule> {
    let name = section
        .required("name", &mut reader.problems)
        .and_then(|node| Some((string(node, &mut reader.problems)?, node.span())));
    if let Some((name, span)) = &name {
        label(name, span, &mut reader.problems);
    }
    let span = name
        .as_ref()
        .map_or_else(|| section.span().clone(), |(_, span)| span.clone());
    let effect = section
        .required("effect", &mut reader.problems)
        .and_then(|node| effect(node, &mut reader.problems));
    let mut names = |key, kind| -> BTreeSet<String> {
        section
            .optional(key)
            .map(|node| reader.references(kind, key, node))
            .unwrap_or_default()
            .into_iter()
            .collect()
    };
    let users = names("users", Kind::User);
    let groups = names("groups", Kind::Group);
    let targets = section
        .optional("targets")
        .map(|node| reader.references(Kind::Target, "targets", node));
    let windows = section
        .optional("windows")
        .map(|node| reader.references(Kind::Window, "windows", node));
    let problems = &mut reader.problems;
    let system_groups = system_groups(&section, problems, &mut reader.places);
    let from = section.optional("from").map(|node| {
        distinct(node, "from", problems, |entry, problems| {
            report(
                parse_source(string(entry, problems)?),
                &entry.span(),
                problems,
            )
        })
    });
    let via_node = section.optional("via");
    let via = match via_node {
        Some(node) => distinct(node, "via", problems, via),
        None => vec![Via::Forward, Via::Shell],
    };
    let record = section
        .optional("record")
        .and_then(|node| Some((boolean(node, problems)?, node.span())));
    let mfa_node = section.optional("mfa");
    let mfa = mfa_node.map(|node| mfa::methods(node, "mfa", problems));
    let principals_node = section.optional("principals");
    let principals = principals_node.map(|node| principals(node, problems));
    let agent_node = section.optional("agent");
    let agent = agent_node.and_then(|node| agent(node, problems));
    let max_session = section.optional("max_session").map(|node| {
        (
            duration(node, Duration::from_secs(1), problems),
            node.span(),
        )
    });

    match effect {
        Some(Effect::Allow) => {
            if targets.is_none() {
                problems.add_help(
                    &span,
                    "an allow rule needs `targets`",
                    "name what it grants; only a deny rule may leave it out, for every address",
                );
            }
            if let (Some((true, span)), Some(_), [Via::Forward]) =
                (&record, via_node, via.as_slice())
            {
                problems.add_help(
                    span,
                    "this rule grants nothing: a forward cannot be recorded",
                    "add \"shell\" to `via`, or set `record = false`",
                );
            }
            let of_hops = [principals_node, agent_node].into_iter().flatten();
            for node in of_hops.filter(|_| via_node.is_some() && via == [Via::Forward]) {
                problems.add_help(
                    &node.span(),
                    "a forward logs nobody in at the target: who does is the user's own ssh",
                    "add \"shell\" to `via`, or remove the line",
                );
            }
        }
        Some(Effect::Deny) => {
            let mfa_span = mfa_node.map(|node| node.span());
            let principals_span = principals_node.map(|node| node.span());
            let agent_span = agent_node.map(|node| node.span());
            let unfit = [
                ("record", record.as_ref().map(|(_, span)| span)),
                ("max_session", max_session.as_ref().map(|(_, span)| span)),
                ("mfa", mfa_span.as_ref()),
                ("principals", principals_span.as_ref()),
                ("agent", agent_span.as_ref()),
            ];
            for (key, span) in unfit {
                if let Some(span) = span {
                    problems.add_help(
                        span,
                        format!("`{key}` has no meaning in a deny rule"),
                        "remove the line",
                    );
                }
            }
        }
        None => {}
    }
    section.finish(problems);
    Some(Rule {
        name: name?.0.to_owned(),
        // Without an effect the text is refused; a denial until then.
        effect: effect.unwrap_or(Effect::Deny),
        users,
        groups,
        system_groups,
        from,
        targets,
        windows,
        via,
        record: record.is_some_and(|(record, _)| record),
        max_session: max_session.and_then(|(max, _)| max),
        mfa,
        principals,
        agent: agent.unwrap_or_default(),
        span,
    })
}

/// Login names at a target.
fn principals(node: Node<'_>, problems: &mut Problems) -> Vec<String> {
    strings(node, "principals", problems)
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, span)| principal(name, span, problems))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn system_groups(
    section: &Section<'_>,
    problems: &mut Problems,
    places: &mut Places,
) -> BTreeSet<String> {
    let Some(node) = section.optional("system_groups") else {
        return BTreeSet::new();
    };
    strings(node, "system_groups", problems)
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, span)| system_group_name(name, span, problems))
        .map(|(name, span)| {
            places.system_groups.push((name.to_owned(), span));
            name.to_owned()
        })
        .collect()
}

pub(super) fn tests(reader: &mut Reader, node: Option<Node<'_>>) -> Vec<PolicyTest> {
    reader
        .listed_tables("tests", node)
        .into_iter()
        .filter_map(|section| test(reader, section))
        .collect()
}

fn test(reader: &mut Reader, section: Section<'_>) -> Option<PolicyTest> {
    let timezone = reader.timezone.clone();
    let system_groups = system_groups(&section, &mut reader.problems, &mut reader.places);
    let user = section
        .required("user", &mut reader.problems)
        .and_then(|node| Some((string(node, &mut reader.problems)?, node.span())));
    if let Some((name, span)) = &user {
        // A user of another source is known by groups only.
        if system_groups.is_empty() {
            reader.refer(Kind::User, name, span);
        }
    }
    let rule = section
        .optional("rule")
        .and_then(|node| Some((string(node, &mut reader.problems)?, node.span())));
    if let Some((name, span)) = &rule {
        reader.refer(Kind::Rule, name, span);
    }
    let problems = &mut reader.problems;
    let from = section.required("from", problems).and_then(|node| {
        report(
            parse_address(string(node, problems)?),
            &node.span(),
            problems,
        )
    });
    let target = section.required("target", problems).and_then(|node| {
        let text = string(node, problems)?;
        let parsed = Destination::parse(text, None);
        if let Err(error) = &parsed {
            problems.add_help(
                &node.span(),
                format!("{} is not a destination: {error}", quoted(text)),
                "write it as \"db1.example.internal:5432\", \"10.20.0.5:22\" or \"[2001:db8::5]:22\"",
            );
        }
        parsed.ok()
    });
    let at = section
        .required("at", problems)
        .and_then(|node| instant(node, &timezone, None, problems));
    let expect = section
        .required("expect", problems)
        .and_then(|node| effect(node, problems));
    let login = section.optional("login").and_then(|node| {
        let name = string(node, problems)?;
        principal(name, &node.span(), problems).then(|| name.to_owned())
    });
    let via = match (section.optional("via"), &login) {
        (Some(node), Some(_)) if via(node, problems) == Some(Via::Forward) => {
            problems.add_help(
                &node.span(),
                "a forward logs nobody in at the target",
                "write via = \"shell\", or remove `login`",
            );
            None
        }
        (Some(node), None) => via(node, problems),
        (_, Some(_)) => Some(Via::Shell),
        (None, None) => Some(Via::Forward),
    };
    let mfa = section
        .optional("mfa")
        .and_then(|node| mfa::method(node, problems));
    let span = section.span().clone();
    section.finish(problems);
    Some(PolicyTest {
        mfa,
        login,
        user: user?.0.to_owned(),
        system_groups: system_groups.into_iter().collect(),
        from: from?,
        target: target?,
        via: via?,
        at: at?,
        expect: expect?,
        rule: rule.map(|(name, _)| name.to_owned()),
        span,
    })
}
