//! `[ca]`: the user CA that hops authenticate with.

use super::rules::report;
use super::{Reader, distinct};
use crate::address::parse_source;
use crate::document::{Node, Section, string, table};
use crate::model::CaSettings;

pub(super) fn settings(reader: &mut Reader, node: Option<Node<'_>>) -> CaSettings {
    let problems = &mut reader.problems;
    let Some((keys, span)) = node.and_then(|node| Some((table(node, problems)?, node.span())))
    else {
        return CaSettings::default();
    };
    let section = Section::new(keys, span, "[ca]");
    let source_addresses = section.optional("source_addresses").map(|node| {
        distinct(node, "source_addresses", problems, |entry, problems| {
            let net = report(
                parse_source(string(entry, problems)?),
                &entry.span(),
                problems,
            )?;
            if net.prefix_len() == 0 {
                problems.add_help(
                    &entry.span(),
                    "every address there is binds a certificate to nothing",
                    "name the addresses by which this jump server reaches its targets",
                );
                return None;
            }
            Some(net)
        })
    });
    section.finish(problems);
    CaSettings { source_addresses }
}
