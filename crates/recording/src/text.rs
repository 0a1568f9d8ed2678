//! UTF-8 that arrives in pieces: a character may begin in one frame and end in the next.

/// Turns bytes into text. What is no UTF-8 becomes U+FFFD, as
/// [`String::from_utf8_lossy`] does it for the whole.
#[derive(Debug, Default, Clone)]
pub(crate) struct Decoder {
    /// The beginning of a character: at most three bytes.
    begun: Vec<u8>,
}

impl Decoder {
    /// The text up to here; the beginning of a character waits for its end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && begins_a_character(invalid) {
                self.begun = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) -> &'static str {
        let begun = std::mem::take(&mut self.begun);
        if begun.is_empty() { "" } else { "\u{fffd}" }
    }
}

/// Whether these bytes could be the beginning of a character that is not whole yet.
fn begins_a_character(bytes: &[u8]) -> bool {
    let error = std::str::from_utf8(bytes).err();
    error.is_some_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

/// A character as it is shown to whoever reads a recording. One that turns the direction of writing, or begins
/// a line of its own, would have them read something else than what stands there.
pub(crate) fn straight(c: char) -> char {
    match c {
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pieces_give_the_text_of_the_whole(
            bytes in proptest::collection::vec(proptest::prop_oneof![
                proptest::num::u8::ANY,
                proptest::sample::select("aé€😀".as_bytes().to_vec()),
            ], 0..40),
            at in 0_usize..40,
        ) {
            let mut decoder = Decoder::default();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let text = decoder.push(one) + &decoder.push(two) + decoder.finish();
            assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
