//! The `tokenizers` crate behind our two ways to encode, and a short cut through it for the byte-level vocabularies everyone uses.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Mutex;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::{
    AddedToken, AddedVocabulary, Model, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizer,
};

use crate::pieces::byte_to_char;
use crate::split::{DIGIT, GPT2, Rule};
use crate::{Result, TokenizerError};

/// A tokenizer of the `tokenizers` crate with its added tokens twice: once for data, once for rendered templates. Cloning the
/// added tokens is cheap; cloning the model (150,000 strings) would not be.
pub(crate) struct Library {
    pub tokenizer: tokenizers::Tokenizer,
    data: AddedVocabulary,
    template: AddedVocabulary,
    /// The added tokens as they are written, whatever normalisation they are matched in.
    pub written: AddedVocabulary,
    short_cut: Option<ShortCut>,
}

impl Library {
    pub fn new(tokenizer: tokenizers::Tokenizer) -> Result<Self> {
        let mut data = tokenizer.get_added_vocabulary().clone();
        // The crate's name for "spell special tokens out as ordinary text".
        data.set_encode_special_tokens(true);
        let mut template = data.clone();
        template.set_encode_special_tokens(false);
        let written = matcher(data.get_added_tokens_decoder().iter().map(|(&id, token)| (id, token.clone())))?;
        let short_cut = ShortCut::new(&tokenizer);
        Ok(Self { tokenizer, data, template, written, short_cut })
    }

    pub fn encode(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        match &self.short_cut {
            Some(short_cut) => short_cut.encode(&self.tokenizer, text, specials),
            None => self.encode_by_library(text, specials),
        }
    }

    /// The library's `encode_fast` without its post-processor (which would add BOS), truncation and padding.
    pub fn encode_by_library(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        let encode = || -> tokenizers::Result<Vec<u32>> {
            let mut pieces = self.added(specials).extract_and_normalize(self.tokenizer.get_normalizer(), text);
            if let Some(pre) = self.tokenizer.get_pre_tokenizer() {
                pre.pre_tokenize(&mut pieces)?;
            }
            pieces.tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get()))?;
            let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
            Ok(splits.iter().flat_map(|(_, _, tokens)| tokens.iter().flatten()).map(|token| token.id).collect())
        };
        encode().map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    /// The matcher of added tokens, special ones among them where `specials`.
    fn added(&self, specials: bool) -> &AddedVocabulary {
        if specials { &self.template } else { &self.data }
    }
}

/// The library's matcher, of these tokens as they are written. It asks a model for their ids: one that knows these tokens and no
/// merges will do.
pub(crate) fn matcher(tokens: impl Iterator<Item = (u32, AddedToken)>) -> Result<AddedVocabulary> {
    let (ids, tokens): (Vec<u32>, Vec<AddedToken>) = tokens.map(|(id, token)| (id, token.normalized(false))).unzip();
    let vocab: Vocab = tokens.iter().map(|token| token.content.clone()).zip(ids).collect();
    let model = BPE::builder().vocab_and_merges(vocab, Vec::new()).build();
    let model = model.map_err(|error| TokenizerError::Vocabulary(error.to_string()))?;
    let mut matcher = AddedVocabulary::new();
    matcher.add_tokens(&tokens, &model, None::<&NFC>);
    Ok(matcher)
}

/// Byte-level BPE without the library's bookkeeping: it keeps 16 bytes of alignment for each byte of text and a string for each
/// token, none of which ids need. Ids are the library's own, by test.
struct ShortCut {
    rule: Rule,
    compose: bool,
    added: Vec<Added>,
    /// Where in `added` the tokens starting with a byte are.
    by_first: Vec<Range<usize>>,
    /// Pieces seen before. Text repeats itself.
    seen: Mutex<Seen>,
}

type Seen = HashMap<Box<str>, Box<[u32]>, BuildHasherDefault<PieceHasher>>;

struct Added {
    token: String,
    id: u32,
    special: bool,
}

/// Beyond these, pieces are no longer remembered.
const SEEN_PIECES: usize = 1 << 16;
/// Longer pieces rarely come twice.
const SEEN_BYTES: usize = 48;

impl ShortCut {
    /// `None` where the tokenizer does anything this cannot do to the letter.
    fn new(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let compose = match tokenizer.get_normalizer() {
            None => false,
            Some(NormalizerWrapper::NFC(_)) => true,
            Some(_) => return None,
        };
        let patterns = patterns(&serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?)?;
        let rule = Rule::of(&patterns.iter().map(String::as_str).collect::<Vec<_>>())?;
        let tokens = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        // Tokens that look at their surroundings, or are matched in normalised text.
        if tokens.values().any(|token| token.single_word || token.lstrip || token.rstrip || (token.normalized && compose)) {
            return None;
        }
        let mut added: Vec<Added> = (tokens.iter())
            .map(|(&id, token)| Added { token: token.content.clone(), id, special: token.special })
            .filter(|added| !added.token.is_empty())
            .collect();
        let first = |added: &Added| added.token.as_bytes()[0];
        added.sort_by(|a, b| first(a).cmp(&first(b)).then(b.token.len().cmp(&a.token.len())));
        let border = |byte: u8| added.partition_point(|added| first(added) < byte);
        let by_first = (0..=255).map(|byte| border(byte)..if byte == 255 { added.len() } else { border(byte + 1) }).collect();
        Some(Self { rule, compose, added, by_first, seen: Mutex::default() })
    }

    fn encode(&self, tokenizer: &tokenizers::Tokenizer, text: &str, specials: bool) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let bytes = text.as_bytes();
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            // The longest added token here: tokens with one first byte are sorted by length.
            let here = &self.added[self.by_first[bytes[at] as usize].clone()];
            match here.iter().find(|added| bytes[at..].starts_with(added.token.as_bytes())) {
                Some(added) => {
                    let end = at + added.token.len();
                    // A special token in data is stepped over as the text it is.
                    if specials || !added.special {
                        self.plain(tokenizer, &text[from..at], &mut ids)?;
                        ids.push(added.id);
                        from = end;
                    }
                    at = end;
                }
                None => at += 1,
            }
        }
        self.plain(tokenizer, &text[from..], &mut ids)?;
        Ok(ids)
    }

    /// Text without added tokens.
    fn plain(&self, tokenizer: &tokenizers::Tokenizer, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let composed = if self.compose { compose(text)? } else { Cow::Borrowed(text) };
        // Another thread has the memory: do without.
        let mut seen = self.seen.try_lock().ok();
        let mut rest = &*composed;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.rule.first(rest));
            rest = after;
            let known = seen.as_ref().filter(|_| piece.len() <= SEEN_BYTES).and_then(|seen| seen.get(piece));
            if let Some(known) = known {
                ids.extend_from_slice(known);
                continue;
            }
            let spelled: String = piece.bytes().map(byte_to_char).collect();
            let tokens = tokenizer.get_model().tokenize(&spelled).map_err(|error| TokenizerError::Encode(error.to_string()))?;
            ids.extend(tokens.iter().map(|token| token.id));
            if let Some(seen) = seen.as_mut().filter(|seen| piece.len() <= SEEN_BYTES && seen.len() < SEEN_PIECES) {
                seen.insert(piece.into(), tokens.iter().map(|token| token.id).collect());
            }
        }
        Ok(())
    }
}

/// The expressions a pre-tokenizer splits by, if that and the byte alphabet is all it does.
pub(crate) fn patterns(pre: &Value) -> Option<Vec<String>> {
    let steps = match pre["type"].as_str()? {
        "Sequence" => pre["pretokenizers"].as_array()?.as_slice(),
        _ => std::slice::from_ref(pre),
    };
    let (last, splits) = steps.split_last()?;
    let mut patterns = Vec::new();
    for step in splits {
        match step["type"].as_str()? {
            "Split" if step["behavior"] == "Isolated" && step["invert"] == false => {
                patterns.push(step["pattern"]["Regex"].as_str()?.to_owned())
            }
            "Digits" if step["individual_digits"] == true => patterns.push(DIGIT.to_owned()),
            _ => return None,
        }
    }
    if last["type"] != "ByteLevel" || last["add_prefix_space"] != false {
        return None;
    }
    if last["use_regex"] != false {
        patterns.push(GPT2.to_owned());
    }
    Some(patterns)
}

/// NFC. Only lines with a character it could change are given to the library; a newline joins with nothing.
fn compose(text: &str) -> Result<Cow<'_, str>> {
    if text.chars().all(is_composed) {
        return Ok(Cow::Borrowed(text));
    }
    let mut composed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.chars().all(is_composed) {
            composed.push_str(line);
            continue;
        }
        let mut line = NormalizedString::from(line);
        NFC.normalize(&mut line).map_err(|error| TokenizerError::Encode(error.to_string()))?;
        composed.push_str(line.get());
    }
    Ok(Cow::Owned(composed))
}

/// Characters that NFC leaves alone beside any neighbour: Latin, Greek and Cyrillic letters, punctuation, kana, Han, Hangul
/// syllables, emoji. Some that are not here would do, too.
fn is_composed(c: char) -> bool {
    matches!(c,
        '\0'..='\u{2ff}' | '\u{3a3}'..='\u{3ff}' | '\u{400}'..='\u{482}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
        | '\u{20a0}'..='\u{20bf}' | '\u{2190}'..='\u{21ff}' | '\u{2460}'..='\u{26ff}' | '\u{3000}'..='\u{3029}'
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fe}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}')
}

/// A quick hash of short strings; nobody chooses them to collide who could not as well send more text.
#[derive(Default)]
struct PieceHasher(u64);

impl Hasher for PieceHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let mut padded = [0; 8];
            padded[..word.len()].copy_from_slice(word);
            let word = u64::from_le_bytes(padded) ^ word.len() as u64;
            self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_characters_stay_as_they_are() {
        let nfc = |text: &str| {
            let mut text = NormalizedString::from(text);
            NFC.normalize(&mut text).unwrap();
            text.get().to_owned()
        };
        let composed: Vec<char> = ('\0'..=char::MAX).filter(|&c| is_composed(c)).collect();
        assert!(composed.len() > 20_000);
        // In order, in reverse, and after letters that compose with many marks.
        let text: String = composed.iter().collect();
        assert_eq!(nfc(&text), text);
        let text: String = composed.iter().rev().collect();
        assert_eq!(nfc(&text), text);
        let text: String = composed.iter().flat_map(|&c| ['a', c, 'o', c, 'ω', c, '가', c]).collect();
        assert_eq!(nfc(&text), text);
        assert_eq!(compose("e\u{301}\nb").unwrap(), "é\nb");
    }

    /// All bytes, a few merges, added tokens that begin alike.
    fn small(patterns: &[&str]) -> Library {
        let merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ã", "©"), ("Ġ", "Ġ"), ("1", "2"), ("Ċ", "Ċ"), ("i", "n")];
        let tokens = (0..=255).map(|byte| byte_to_char(byte).to_string()).chain(merges.map(|(left, right)| format!("{left}{right}")));
        let ids: Vocab = tokens.enumerate().map(|(id, token)| (token, id as u32)).collect();
        let merges = merges.map(|(left, right)| (left.to_owned(), right.to_owned())).to_vec();
        let mut tokenizer = tokenizers::Tokenizer::new(BPE::builder().vocab_and_merges(ids, merges).build().unwrap());
        tokenizer.with_normalizer(Some(NFC));
        tokenizer.with_pre_tokenizer(Some(crate::gguf::splitter(patterns).unwrap()));
        let added = [("<|e|>", true), ("<|e|>>", false), ("|>>t", true), ("<think>", false), ("é", true)];
        let added = added.map(|(token, special)| AddedToken::from(token, special).normalized(false));
        tokenizer.add_tokens(&added);
        Library::new(tokenizer).unwrap()
    }

    fn same(library: &Library, text: &str) {
        assert!(library.short_cut.is_some());
        for specials in [false, true] {
            // Twice: unseen, then seen.
            for _ in 0..2 {
                assert_eq!(library.encode(text, specials).unwrap(), library.encode_by_library(text, specials).unwrap(), "{text:?}");
            }
        }
    }

    #[test]
    fn the_short_cut_gives_the_librarys_ids() {
        use crate::split::{LLAMA3, QWEN2};
        let libraries = [&[GPT2][..], &[DIGIT, GPT2], &[QWEN2], &[LLAMA3]].map(small);
        let text = "(?:<\\|e\\|>>?t?|<think>|the| the|in|12|\n|e\u{301}|[ a-f<>|é1-3]|\\PC){0,20}";
        let mut runner = proptest::test_runner::TestRunner::default();
        let outcome = runner.run(&proptest::string::string_regex(text).unwrap(), |text| {
            libraries.iter().for_each(|library| same(library, &text));
            Ok(())
        });
        outcome.unwrap();
    }

    #[test]
    fn the_short_cut_gives_qwen3s_ids() {
        let Some(folder) = std::env::var_os("LONGHAND_MODELS") else {
            println!("not run: LONGHAND_MODELS is not set");
            return;
        };
        let Ok(json) = std::fs::read(std::path::Path::new(&folder).join("qwen3-tokenizer/tokenizer.json")) else {
            println!("not run: no qwen3-tokenizer in LONGHAND_MODELS");
            return;
        };
        let library = Library::new(tokenizers::Tokenizer::from_bytes(&json).unwrap()).unwrap();
        for file in ["library.rs", "split.rs", "tokenizer.rs", "chunk.rs"] {
            same(&library, &std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap());
        }
        let all: Vec<char> = ('\0'..=char::MAX).filter(|&c| (c as u32).is_multiple_of(211) || (c as u32) < 0x1200).collect();
        for lot in all.chunks(2000) {
            same(&library, &lot.iter().flat_map(|&c| ['e', c, ' ', c, '\n']).collect::<String>());
        }
    }
}
