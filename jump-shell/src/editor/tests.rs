use super::*;
use crate::keys;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

/// What comes of typing `bytes`, key by key.
fn typed(editor: &mut Editor, bytes: &str) -> Vec<Pressed> {
    let mut waiting = bytes.as_bytes().to_vec();
    let mut came = Vec::new();
    while let Some(key) = keys::take(&mut waiting) {
        match editor.press(key) {
            Pressed::Edited => {}
            other => came.push(other),
        }
    }
    came
}

/// The line that `bytes` make, with a bar where the cursor is.
fn line(bytes: &str) -> String {
    let mut editor = Editor::default();
    assert_eq!(typed(&mut editor, bytes), []);
    format!("{}|{}", editor.before_cursor(), editor.after_cursor())
}

#[test]
fn the_keys_of_emacs_edit() {
    for (bytes, result) in [
        ("whoami", "whoami|"),
        ("hoami\x01w", "w|hoami"),
        ("ab\x02\x02\x06c", "ac|b"),
        ("ab\x01\x05c", "abc|"),
        ("abc\x7f\x08", "a|"),
        ("abc\x01\x04", "|bc"),
        ("abc\x02\x0b", "ab|"),
        ("abc\x02\x15", "|c"),
        ("connect db1 22\x17", "connect db1 |"),
        ("connect db1  \x17", "connect |"),
        ("connect db1\x17\x17x", "x|"),
        ("one two\x01\x1bd", "| two"),
        ("one two\x1bb\x1bb\x1bf", "one| two"),
        ("one two\x15\x19\x19", "one twoone two|"),
        ("ab\x14", "ba|"),
        ("abc\x02\x14", "acb|"),
        ("a\x14", "a|"),
        ("x\x01\x7f\x15", "|x"),
    ] {
        assert_eq!(line(bytes), result, "{bytes:?}");
    }
}

#[test]
fn the_arrows_do_too() {
    assert_eq!(line("hoami\x1b[Hw\x1b[F!"), "whoami!|");
    assert_eq!(line("ab\x1b[D\x1bODx\x1b[C"), "xa|b");
    assert_eq!(line("ab\x1b[D\x1b[3~"), "a|");
    assert_eq!(line("one two\x1b[1;5D"), "one |two");
}

#[test]
fn a_character_goes_with_what_combines_with_it() {
    assert_eq!(line("ae\u{301}\x7f"), "a|");
    assert_eq!(line("e\u{301}x\x02\x02"), "|e\u{301}x");
    assert_eq!(line("東京\x02\x04"), "東|");
}

#[test]
fn ctrl_d_ends_only_an_empty_line() {
    let mut editor = Editor::default();
    assert_eq!(typed(&mut editor, "\x04"), [Pressed::End]);
    assert_eq!(typed(&mut editor, "a\x04"), []);
    assert_eq!(
        typed(&mut editor, "\x03\x04"),
        [Pressed::Interrupted, Pressed::End]
    );
}

#[test]
fn the_history_is_walked_and_the_new_line_found_again() {
    let mut editor = Editor::default();
    typed(&mut editor, "one\rtwo\rtwo\r \r");
    typed(&mut editor, "thr\x1b[A");
    assert_eq!(editor.text, "two");
    typed(&mut editor, "\x10");
    assert_eq!(editor.text, "one");
    typed(&mut editor, "\x10\x0e\x0e");
    assert_eq!(editor.text, "thr");
    typed(&mut editor, "\x0e");
    assert_eq!(editor.text, "thr");
    assert_eq!(
        typed(&mut editor, "\x10\x10!\r"),
        [Pressed::Line("one!".to_owned())]
    );
    assert_eq!(editor.history, ["one", "two", "one!"]);
}

#[test]
fn the_history_is_bounded() {
    let mut editor = Editor::default();
    for number in 0..HISTORY_MAX + 5 {
        typed(&mut editor, &format!("{number}\r"));
    }
    assert_eq!(editor.history.len(), HISTORY_MAX);
    assert_eq!(editor.history[0], "5");
}

#[test]
fn a_line_that_is_too_long_is_never_run_in_part() {
    let mut editor = Editor::default();
    typed(&mut editor, &"x".repeat(LINE_MAX));
    assert_eq!(typed(&mut editor, "y\x7f\x7f\r"), [Pressed::TooLong]);
    assert_eq!(editor.history, [""; 0]);
    assert_eq!(
        typed(&mut editor, "help\r"),
        [Pressed::Line("help".to_owned())]
    );
}

fn completed(line: &str, word: &str, candidates: &[&str]) -> (String, bool) {
    let mut editor = Editor::default();
    typed(&mut editor, line);
    let candidates: Vec<String> = candidates.iter().map(|c| (*c).to_owned()).collect();
    let show = editor.complete(word, &candidates);
    (
        format!("{}|{}", editor.before_cursor(), editor.after_cursor()),
        show,
    )
}

#[test]
fn a_word_is_completed_as_far_as_it_is_sure() {
    assert_eq!(
        completed("who", "who", &["whoami"]),
        ("whoami |".to_owned(), false)
    );
    assert_eq!(
        completed("connect d", "d", &["db1", "db2"]),
        ("connect db|".to_owned(), false)
    );
    assert_eq!(
        completed("connect db", "db", &["db1", "db2"]),
        ("connect db|".to_owned(), true)
    );
    assert_eq!(completed("x", "x", &[]), ("x|".to_owned(), false));
    assert_eq!(
        completed("wh 1\x02\x02", "wh", &["whoami"]),
        ("whoami| 1".to_owned(), false)
    );
    // Not in the middle of a word.
    assert_eq!(
        completed("whoami\x02\x02", "whoa", &["whoami"]),
        ("whoa|mi".to_owned(), false)
    );
}

#[test]
fn the_line_is_drawn_in_one_row() {
    let mut editor = Editor::default();
    typed(&mut editor, "who\x02");
    assert_eq!(editor.view("jump> ", 6, 80), "\rjump> who\x1b[K\r\x1b[8C");
    typed(&mut editor, "\x05ami");
    assert_eq!(
        editor.view("jump> ", 6, 0),
        "\rjump> whoami\x1b[K\r\x1b[12C"
    );
}

#[test]
fn of_a_wide_line_the_part_around_the_cursor_is_drawn() {
    let mut editor = Editor::default();
    typed(&mut editor, "0123456789abcdefghij");
    // 20 columns: six of the prompt, thirteen of the line, one free.
    assert_eq!(
        editor.view("jump> ", 6, 20),
        "\rjump> 789abcdefghij\x1b[K\r\x1b[19C"
    );
    typed(&mut editor, "\x01");
    assert_eq!(
        editor.view("jump> ", 6, 20),
        "\rjump> 0123456789abc\x1b[K\r\x1b[6C"
    );
    editor.clear();
    typed(&mut editor, &"東".repeat(10));
    assert_eq!(
        editor.view("jump> ", 6, 20),
        format!("\rjump> {}\x1b[K\r\x1b[18C", "東".repeat(6))
    );
}

proptest! {
    #[test]
    fn no_keys_break_the_line(bytes in proptest::collection::vec(any::<u8>(), 0..300), width in 0usize..200) {
        let mut editor = Editor::default();
        let mut waiting = bytes;
        while let Some(key) = keys::take(&mut waiting) {
            let _ = editor.press(key);
            prop_assert!(editor.text.is_char_boundary(editor.cursor));
            prop_assert!(editor.text.len() <= LINE_MAX);
        }
        let view = editor.view("jump> ", 6, width);
        let row = view.trim_start_matches("\rjump> ");
        let row = &row[..row.find('\x1b').unwrap()];
        let room = if width == 0 { 80 } else { width.max(20) } - 7;
        prop_assert!(row.width() <= room, "{row:?}");
        prop_assert!(row.chars().all(|c| !crate::text::is_unsafe(c)));
    }
}
