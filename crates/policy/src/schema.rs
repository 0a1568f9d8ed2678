//! The schema of policy.toml: which tables there are, and what each key may say.
//!
//! One pass reads every table and collects what is wrong with each value;
//! [`references`] then checks what only the whole can tell. A model is built
//! even from a faulty text, so that both passes report in one run, but it only
//! leaves this module when nothing at all is wrong.

mod accounts;
mod ca;
mod mfa;
mod narrowing;
mod recording;
mod references;
mod rules;
mod warnings;

use crate::diagnostics::{PolicyErrors, Problems, Source, Warning, quoted, suggestion};
use crate::document::{Node, Section, filled_list, integer, string, strings, table};
use crate::model::{Model, SessionSettings, Span};
use crate::names::account_name;
use crate::values::duration;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The version of the format.
const VERSION: u32 = 1;

/// Default of `[host] group`.
const HOST_GROUP: &str = "jump-users";

/// Default of `[host] gid`.
const HOST_GID: u32 = 66_000;

/// Where things stand that the model itself has no place for.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// `[host]`, or the last of its keys that names the group.
    host: Span,
    /// The value of each user's `uid`.
    uids: BTreeMap<String, Span>,
    /// The value of each group's `gid`.
    gids: BTreeMap<String, Span>,
    /// Each entry of `system_groups`.
    system_groups: Vec<(String, Span)>,
    /// Each name that must exist somewhere else in the file.
    references: Vec<Reference>,
}

/// A name that must exist.
#[derive(Debug)]
struct Reference {
    kind: Kind,
    name: String,
    span: Span,
}

/// What a name refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Group,
    /// Of the policy, or of another source and named by a rule.
    AnyGroup,
    Target,
    Window,
    Rule,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group | Self::AnyGroup => "group",
            Self::Target => "target",
            Self::Window => "window",
            Self::Rule => "rule",
        }
    }
}

/// What every reader of a table needs at hand.
struct Reader {
    problems: Problems,
    places: Places,
    timezone: TimeZone,
}

impl Reader {
    fn refer(&mut self, kind: Kind, name: &str, span: &Span) {
        self.places.references.push(Reference {
            kind,
            name: name.to_owned(),
            span: span.clone(),
        });
    }

    /// A non-empty list of names that must exist.
    fn references(&mut self, kind: Kind, key: &'static str, node: Node<'_>) -> Vec<String> {
        let names = strings(node, key, &mut self.problems).unwrap_or_default();
        for (name, span) in &names {
            self.refer(kind, name, span);
        }
        names.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Tables by name, as in `[users.alice]`, with the place of the name.
    fn named_tables<'t>(
        &mut self,
        kind: &str,
        node: Option<Node<'t>>,
    ) -> Vec<(&'t str, Section<'t>)> {
        let Some(node) = node else {
            return Vec::new();
        };
        let DeValue::Table(tables) = node.get_ref() else {
            self.problems.add_help(
                &node.span(),
                format!("`{kind}` is not a table of tables"),
                format!("write [{kind}.NAME] and the keys below it"),
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for (key, value) in tables {
            let name: &str = key.get_ref();
            let DeValue::Table(table) = value.get_ref() else {
                self.problems.add_help(
                    &key.span(),
                    format!("{} is not a table", quoted(&format!("{kind}.{name}"))),
                    format!("write [{kind}.NAME] and the keys below it"),
                );
                continue;
            };
            let title = format!("[{kind}.{}]", crate::diagnostics::visible(name));
            out.push((name, Section::new(table, key.span(), title)));
        }
        out
    }

    /// Tables of a list, as in `[[rules]]`.
    fn listed_tables<'t>(&mut self, kind: &str, node: Option<Node<'t>>) -> Vec<Section<'t>> {
        let Some(node) = node else {
            return Vec::new();
        };
        let DeValue::Array(entries) = node.get_ref() else {
            self.problems.add_help(
                &node.span(),
                format!("`{kind}` is not a list of tables"),
                format!("write [[{kind}]] with two brackets"),
            );
            return Vec::new();
        };
        let title = format!("[[{kind}]]");
        entries
            .iter()
            .filter_map(|entry| {
                let found = table(entry, &mut self.problems)?;
                Some(Section::new(found, entry.span(), title.clone()))
            })
            .collect()
    }
}

/// Reads and checks a text.
pub(crate) fn read(
    source: &Source<'_>,
    text: &str,
    host_timezone: &str,
) -> Result<(Model, Vec<Warning>), PolicyErrors> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        problems: Problems::default(),
        places: Places::default(),
        timezone: TimeZone::UTC,
    };
    // What follows a syntax error is guesswork; a repeated key hides nothing.
    let mut readable = true;
    for error in &syntax {
        let repeated = error.message().starts_with("duplicate key");
        readable &= repeated;
        let span = error.span().unwrap_or(0..0);
        if repeated {
            let message = format!(
                "{} is set twice",
                quoted(text.get(span.clone()).unwrap_or("a key"))
            );
            reader
                .problems
                .add_help(&span, message, "remove one of the two");
        } else {
            reader.problems.add(&span, error.message());
        }
    }
    if !readable {
        reader.problems.into_errors(source)?;
        reader.problems = Problems::default();
    }
    let model = document_model(&mut reader, &document, host_timezone);
    let Reader {
        mut problems,
        places,
        ..
    } = reader;
    references::check(&model, &places, &mut problems);
    narrowing::check(&model, &mut problems);
    problems.into_errors(source)?;
    let mut remarks = Problems::default();
    warnings::collect(&model, &mut remarks);
    narrowing::remark(&model, &mut remarks);
    recording::remark(&model, &mut remarks);
    Ok((model, remarks.into_warnings(source)))
}

fn document_model(
    reader: &mut Reader,
    document: &Spanned<DeTable<'_>>,
    host_timezone: &str,
) -> Model {
    let root = Section::new(document.get_ref(), 0..0, "the policy");
    version(reader, &root);
    let (host_group, host_gid) = host(reader, root.optional("host"), host_timezone);
    let mfa = mfa::settings(reader, root.optional("mfa"));
    let session = session(reader, root.optional("session"));
    let recording = recording::settings(reader, root.optional("recording"));
    let model = Model {
        timezone: reader.timezone.clone(),
        host_group,
        host_gid,
        mfa,
        session,
        recording,
        ca: ca::settings(reader, root.optional("ca")),
        users: accounts::users(reader, root.optional("users")),
        groups: accounts::groups(reader, root.optional("groups")),
        targets: rules::targets(reader, root.optional("targets")),
        windows: rules::windows(reader, root.optional("windows")),
        rules: rules::rules(reader, root.optional("rules")),
        tests: rules::tests(reader, root.optional("tests")),
    };
    root.finish(&mut reader.problems);
    model
}

fn version(reader: &mut Reader, root: &Section<'_>) {
    let Some(node) = root.optional("version") else {
        reader.problems.add_help(
            root.span(),
            "the policy does not say its version",
            format!("begin the file with `version = {VERSION}`"),
        );
        return;
    };
    if let Some(version) = integer(node, 0..=u32::MAX, &mut reader.problems)
        && version != VERSION
    {
        reader.problems.add_help(
            &node.span(),
            format!("version {version} of the format is not known"),
            format!("this program reads version {VERSION}"),
        );
    }
}

fn host(reader: &mut Reader, node: Option<Node<'_>>, host_timezone: &str) -> (String, u32) {
    let problems = &mut reader.problems;
    let mut group = HOST_GROUP.to_owned();
    let mut gid = HOST_GID;
    let mut zone = None;
    if let Some(node) = node {
        reader.places.host = node.span();
        if let Some(keys) = table(node, problems) {
            let section = Section::new(keys, node.span(), "[host]");
            zone = section.optional("timezone");
            if let Some(node) = section.optional("group") {
                reader.places.host = node.span();
                let name = string(node, problems);
                group = name
                    .filter(|name| account_name(name, &node.span(), problems))
                    .map_or(group, str::to_owned);
            }
            if let Some(node) = section.optional("gid") {
                reader.places.host = node.span();
                gid = accounts::id(node, problems).unwrap_or(gid);
            }
            section.finish(problems);
        }
    }
    reader.timezone = match zone {
        Some(node) => string(node, problems)
            .and_then(|name| timezone(name, &node.span(), problems))
            .unwrap_or(TimeZone::UTC),
        None => find_timezone(host_timezone).unwrap_or_else(|| {
            problems.add_help(
                &reader.places.host,
                format!(
                    "the host's time zone {} is not known",
                    quoted(host_timezone)
                ),
                "add `timezone = \"Europe/Paris\"`, or the like, to [host]",
            );
            TimeZone::UTC
        }),
    };
    (group, gid)
}

/// A time zone by its IANA name.
fn timezone(name: &str, span: &Span, problems: &mut Problems) -> Option<TimeZone> {
    let found = find_timezone(name);
    if found.is_none() {
        let names: Vec<String> = jiff::tz::db()
            .available()
            .map(|name| name.to_string())
            .collect();
        let message = format!("there is no time zone {}", quoted(name));
        match crate::diagnostics::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => problems.add_help(span, message, format!("did you mean `{near}`?")),
            None => problems.add_help(span, message, "write an IANA name, as `Europe/Paris`"),
        }
    }
    found
}

fn find_timezone(name: &str) -> Option<TimeZone> {
    // The database also knows POSIX rules and paths by other ways; only names are meant here.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    if name.is_empty() || !name.bytes().all(plain) {
        return None;
    }
    TimeZone::get(name).ok()
}

fn session(reader: &mut Reader, node: Option<Node<'_>>) -> SessionSettings {
    let problems = &mut reader.problems;
    let mut settings = SessionSettings::default();
    let Some((keys, span)) = node.and_then(|node| Some((table(node, problems)?, node.span())))
    else {
        return settings;
    };
    let section = Section::new(keys, span, "[session]");
    let second = Duration::from_secs(1);
    if let Some(node) = section.optional("max") {
        settings.max = duration(node, second, problems).unwrap_or(settings.max);
    }
    if let Some(node) = section.optional("idle") {
        settings.idle = duration(node, second, problems).unwrap_or(settings.idle);
    }
    if let Some(node) = section.optional("concurrent") {
        settings.concurrent = integer(node, 1..=10_000, problems).unwrap_or(settings.concurrent);
    }
    if let Some(node) = section.optional("warn") {
        settings.warn = duration(node, Duration::ZERO, problems).unwrap_or(settings.warn);
    }
    for (key, limit) in [
        ("forwards", &mut settings.forwards),
        ("forward_rate", &mut settings.forward_rate),
        ("connecting", &mut settings.connecting),
    ] {
        if let Some(node) = section.optional(key) {
            *limit = integer(node, 1..=10_000, problems).unwrap_or(*limit);
        }
    }
    section.finish(problems);
    settings
}

/// Refuses a word that is none of a closed set.
fn unknown_word<'c>(
    word: &str,
    span: &Span,
    what: &str,
    choices: impl IntoIterator<Item = &'c str> + Clone,
    problems: &mut Problems,
) {
    let message = format!("{} is not {what}", quoted(word));
    match suggestion(word, choices) {
        Some(help) => problems.add_help(span, message, help),
        None => problems.add(span, message),
    }
}

/// Reads a non-empty list entry by entry; an entry that is read twice is refused.
fn distinct<'t, T: PartialEq>(
    node: Node<'t>,
    key: &str,
    problems: &mut Problems,
    mut read: impl FnMut(Node<'t>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let mut out = Vec::new();
    for entry in filled_list(node, key, problems).unwrap_or_default() {
        let Some(value) = read(entry, problems) else {
            continue;
        };
        if out.contains(&value) {
            problems.add_help(
                &entry.span(),
                format!("this entry of `{key}` is listed twice"),
                "remove one of the two",
            );
            continue;
        }
        out.push(value);
    }
    out
}
