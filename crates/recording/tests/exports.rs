//! Exports: what others read, and what hostile screens do not do to them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;

use jump_recording::export::{cast, html, text};
use jump_recording::{Keys, Kind, Problem, Reader};
use serde_json::Value;
use shared::{TEXT, header, keys, recording, writer};
use std::io::Cursor;

fn reader(bytes: &[u8]) -> Reader<Cursor<&[u8]>> {
    Reader::open(Cursor::new(bytes), &keys()).unwrap()
}

fn exported_cast(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    assert!(cast(&mut reader(bytes), &mut out).unwrap().is_none());
    String::from_utf8(out).unwrap()
}

fn parsed(cast: &str) -> Vec<Value> {
    cast.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn exported_html(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    html(reader(bytes), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_cast_is_asciicast_v3_with_times_relative_to_the_event_before() {
    let cast = exported_cast(&recording(true));
    let header = &parsed(&cast)[0];
    assert_eq!(header["version"], 3);
    assert_eq!(header["term"]["cols"], 80);
    assert_eq!(header["term"]["type"], "xterm");
    assert_eq!(header["jump"]["user"], "alice");
    assert_eq!(header["jump"]["login"], "admin");
    let events: Vec<&str> = cast.lines().skip(1).collect();
    assert_eq!(
        events,
        [
            r#"[0.000001, "o", "login\r\n"]"#,
            r#"[0.000001, "o", "the secret plan of db1"]"#,
            "[359.999998, \"o\", \"\u{fffd}\u{fffd}\\u0000\"]",
            r#"[0.000001, "r", "100x40"]"#,
            r#"[419.999999, "o", "exit\r\n"]"#,
            r#"[0.000001, "x", "0"]"#,
        ]
    );
}

#[test]
fn a_character_in_two_frames_is_one_and_a_broken_one_is_marked() {
    let mut writer = writer(false);
    let euro = "€".as_bytes();
    writer.write(1, Kind::Output, &euro[..1]).unwrap();
    writer.write(2, Kind::Output, &euro[1..]).unwrap();
    writer.write(3, Kind::Gap, b"disk").unwrap();
    writer.write(4, Kind::Output, &euro[..2]).unwrap();
    let (bytes, _) = writer.end(5).unwrap();
    let lines = parsed(&exported_cast(&bytes));
    assert_eq!(lines[1][2], "€");
    assert_eq!(
        (&lines[2][1], &lines[2][2]),
        (&"m".into(), &"not recorded: disk".into())
    );
    assert_eq!(lines[3][2], "\u{fffd}");
}

#[test]
fn a_transcript_has_the_facts_and_each_line_with_its_time() {
    let mut out = Vec::new();
    text(&mut reader(&recording(true)), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("# user: alice (uid 70001)\n"), "{text}");
    assert!(text.contains("# target: db1 (10.20.0.1:22)\n"), "{text}");
    assert!(text.contains("# login: admin\n"), "{text}");
    assert!(exported_html(&recording(false)).contains("alice on admin@db1"));
    assert!(text.contains("\n0:00:00.000  login\n"), "{text}");
    assert!(text.contains(TEXT), "{text}");
}

#[test]
fn half_a_recording_is_exported_and_says_so() {
    let whole = recording(false);
    let cut = &whole[..whole.len() - 40];
    let mut out = Vec::new();
    let fault = cast(&mut reader(cut), &mut out).unwrap().unwrap();
    assert!(matches!(fault.problem, Problem::Cut), "{fault}");
    let said = String::from_utf8(out).unwrap();
    assert!(
        said.lines()
            .last()
            .unwrap()
            .starts_with("# it ends here, at byte "),
        "{said}"
    );
    let page = exported_html(cut);
    assert!(page.contains("<p class=\"fault\">It ends at byte") && page.ends_with("</html>\n"));
    let mut out = Vec::new();
    let sealed = recording(true);
    let none = Reader::open(&sealed[..], &Keys::none());
    let fault = text(&mut none.unwrap(), &mut out).unwrap().unwrap();
    assert!(matches!(fault.problem, Problem::NoKey), "{fault}");
}

/// The parts of the page between these tags, and the rest.
fn between<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let from = page.find(open).unwrap() + open.len();
    &page[from..from + page[from..].find(close).unwrap()]
}

#[test]
fn a_page_is_alone_and_its_policy_lets_nothing_in_or_out() {
    let page = exported_html(&recording(true));
    assert!(page.contains("default-src 'none'; script-src 'sha256-"));
    assert!(!page.contains("unsafe-inline") && !page.contains("unsafe-eval"));
    for outside in [
        "http://", "https://", "src=", "href=", "@import", "url(", "fetch(", "XMLHttp",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    for dangerous in [
        "innerHTML",
        "outerHTML",
        "document.write",
        "eval(",
        "insertAdjacent",
    ] {
        assert!(!page.contains(dangerous), "{dangerous}");
    }
    assert!(page.contains(TEXT) && page.contains("alice (uid 70001)"));
    let pictures = between(&page, "id=\"pictures\">", "</script>");
    let pictures: Value = serde_json::from_str(pictures).unwrap();
    assert_eq!(pictures["end"], 780_000_002);
    let pictures = pictures["pictures"].as_array().unwrap();
    assert_eq!(pictures[0]["size"], serde_json::json!([80, 24]));
    assert!(
        pictures
            .iter()
            .any(|p| p["size"] == serde_json::json!([100, 40]))
    );
    let note = serde_json::json!({ "kind": "exit", "text": "exit status 0" });
    assert_eq!(pictures.last().unwrap()["note"], note);
    assert!(
        pictures
            .iter()
            .any(|p| p["rows"][0][1][0][0] == TEXT || p["rows"][1][1][0][0] == TEXT)
    );
}

const HOSTILE: &[&str] = &[
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]></script >",
    "</pre><svg onload=alert(1)>",
    "\"'><a href=javascript:alert(1)>",
    "&lt;b&gt; &#60;script&#62;",
    "\u{2028}alert(1)\u{2029}",
    "\\u003cscript\\u003e ${alert(1)} `",
    "\u{202e}txet desrever\u{2066}",
];

#[test]
fn hostile_screens_and_facts_become_no_markup() {
    let clean = exported_html(&recording(false));
    let tags = |page: &str| page.matches('<').count();
    for hostile in HOSTILE {
        let mut header = header();
        header.facts.target = (*hostile).to_owned();
        header.facts.rule = (*hostile).to_owned();
        header.facts.login = Some((*hostile).to_owned());
        let mut writer = jump_recording::Writer::begin(Vec::new(), &header, None).unwrap();
        writer
            .write(
                1,
                Kind::Output,
                format!("{hostile}\r\n\u{1b}[31m{hostile}").as_bytes(),
            )
            .unwrap();
        writer.write(2, Kind::Marker, hostile.as_bytes()).unwrap();
        writer.write(3, Kind::Gap, hostile.as_bytes()).unwrap();
        writer.write(4, Kind::Exit, hostile.as_bytes()).unwrap();
        let (bytes, _) = writer.end(5).unwrap();
        let page = exported_html(&bytes);
        // As many tags as a page has, two for each line of the transcript and two for its time; and one gap.
        let own = |page: &str| {
            4 * page.matches("<p data-at=").count()
                + 2 * page.matches("<p class=\"fault\">").count()
        };
        assert_eq!(
            tags(&page) - own(&page),
            tags(&clean) - own(&clean),
            "{hostile}"
        );
        assert!(page.contains("Something was not recorded"));
        assert_eq!(page.matches("</script>").count(), 2, "{hostile}");
        let json = between(&page, "id=\"pictures\">", "</script>");
        assert!(
            !json.contains(['<', '>', '&', '\u{2028}', '\u{202e}']),
            "{hostile}"
        );
        let pictures: Value = serde_json::from_str(json).unwrap();
        let drawn = pictures.to_string();
        if hostile.contains("alert(1)") {
            assert!(
                drawn.contains("alert(1)"),
                "what was on the screen is shown: {drawn}"
            );
        }
        // The script is the page's own, byte for byte.
        let script = |page: &str| page.rsplit_once("<script>").unwrap().1.to_owned();
        assert_eq!(script(&page), script(&clean));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(32))]
    #[test]
    fn no_screen_makes_an_export_fail(
        pieces in proptest::collection::vec(proptest::collection::vec(proptest::prop_oneof![
            2 => proptest::sample::select(b"<>&\"'/scriptimg \x1b[]0;31mHJ\r\n\xe2\x80\xa8".to_vec()),
            1 => proptest::num::u8::ANY,
        ], 0..80), 0..8),
    ) {
        let mut writer = writer(false);
        for (at, piece) in (0..).zip(&pieces) {
            writer.write(at * 50_000, Kind::Output, piece).unwrap();
        }
        let (bytes, _) = writer.end(0).unwrap();
        parsed(&exported_cast(&bytes));
        let page = exported_html(&bytes);
        assert_eq!(page.matches("<script").count(), 2);
        let json = between(&page, "id=\"pictures\">", "</script>");
        serde_json::from_str::<Value>(json).unwrap();
        text(&mut reader(&bytes), &mut Vec::new()).unwrap();
    }
}
