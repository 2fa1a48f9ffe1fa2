use crate::tokenizer::{Detokenizer, Tokenizer};
use crate::{Result, TokenizerError};

/// Turns ids into text one by one: [`push`](Self::push) returns the text that became complete, and the returned texts joined are
/// [`Tokenizer::decode`] of all ids, special tokens skipped. (Where the last character was never completed, byte tokens before it may be
/// shown as the characters they were, which a library's decoder takes back.)
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    /// Bytes of a character whose last token has not come.
    pending: Vec<u8>,
    /// Nothing has been emitted yet: a SentencePiece text starts with a space that is not the text's.
    at_start: bool,
    /// For vocabularies only the library can decode.
    window: Window,
}

/// The last ids, decoded together: a decoder that treats a token by its neighbours needs them.
#[derive(Default)]
struct Window {
    ids: Vec<u32>,
    /// How many of `ids` have been emitted.
    emitted: usize,
}

impl StreamDecoder {
    pub(crate) fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), at_start: true, window: Window::default() }
    }

    /// The text `id` completes; empty in the middle of a character and for a special token.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.tokenizer.check(id)?;
        if self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        match self.tokenizer.detokenizer() {
            Detokenizer::Library => self.push_window(id),
            Detokenizer::Bytes { strip_space } => {
                let piece = self.tokenizer.piece(id)?;
                let strip = std::mem::take(&mut self.at_start) && strip_space;
                self.pending.extend_from_slice(if strip { piece.strip_prefix(b" ").unwrap_or(&piece) } else { &piece });
                Ok(take_complete(&mut self.pending))
            }
        }
    }

    /// What is left of a character that was never completed: one U+FFFD, or nothing.
    pub fn finish(&mut self) -> Result<String> {
        let mut rest = String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned();
        let Window { ids, emitted } = &self.window;
        if *emitted < ids.len() {
            let (before, all) = (self.tokenizer.decode(&ids[..*emitted], true)?, self.tokenizer.decode(ids, true)?);
            match all.strip_prefix(before.as_str()) {
                Some(text) => rest.push_str(text),
                // A character that breaks off spoils those that byte tokens wrote before it, which were given already.
                None => rest.push_str(&self.tokenizer.decode(&ids[*emitted..], true)?),
            }
        }
        self.window = Window::default();
        self.at_start = true;
        Ok(rest)
    }

    fn push_window(&mut self, id: u32) -> Result<String> {
        self.window.ids.push(id);
        let before = self.tokenizer.decode(&self.window.ids[..self.window.emitted], true)?;
        let all = self.tokenizer.decode(&self.window.ids, true)?;
        // A replacement character at the end may be the first bytes of a character; until it is there, whole characters that byte tokens
        // wrote before it are replacement characters too.
        if all.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        let text = all.strip_prefix(before.as_str());
        let text = text.ok_or_else(|| TokenizerError::Decode("the decoder rewrites text it has already given".into()))?;
        if !text.is_empty() {
            // Keep what was just emitted as the context of what comes.
            self.window.ids.drain(..self.window.emitted);
            self.window.emitted = self.window.ids.len();
        }
        Ok(text.to_owned())
    }
}

/// Removes the complete characters from the front of `bytes`; bytes that can never become one turn into U+FFFD as
/// `String::from_utf8_lossy` would have it.
fn take_complete(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut taken = 0;
    loop {
        match std::str::from_utf8(&bytes[taken..]) {
            Ok(rest) => {
                text.push_str(rest);
                taken = bytes.len();
                break;
            }
            Err(error) => {
                let valid = taken + error.valid_up_to();
                // `valid_up_to` bounds the valid part, so nothing is replaced here.
                text.push_str(&String::from_utf8_lossy(&bytes[taken..valid]));
                taken = valid;
                match error.error_len() {
                    Some(len) => {
                        text.push('\u{fffd}');
                        taken += len;
                    }
                    None => break,
                }
            }
        }
    }
    bytes.drain(..taken);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_by_pieces_are_the_lossy_whole(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40), cut in 1usize..5) {
            let mut pending = Vec::new();
            let mut text = String::new();
            for piece in bytes.chunks(cut) {
                pending.extend_from_slice(piece);
                text.push_str(&take_complete(&mut pending));
            }
            text.push_str(&String::from_utf8_lossy(&pending));
            proptest::prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
