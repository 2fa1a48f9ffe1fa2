//! A model's tokens by the bytes they add to a text.

use std::sync::OnceLock;

use tokenizer::Tokenizer;

use super::automaton::{Frame, Stack};
use super::grammar::Grammar;
use super::text::{Next, PHASES, Phase};
use super::trie::Trie;
use crate::error::{ModelError, Result};

/// What every reply in JSON may need; each must be a token of its own, so that a reply never comes to a place that no token leads out of.
const NEEDED: &[u8] = b"{}[]:,\"0123456789";

/// The tokens of a model, ready to be searched for those that go on with a text.
pub struct Vocabulary {
    /// Tokens the model draws from.
    width: usize,
    /// Every token's bytes; token `id` has `bytes[ends[id - 1]..ends[id]]`.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// All tokens that have bytes.
    pub(super) trie: Trie,
    /// Bytes that are tokens of their own.
    single: [bool; 256],
    /// Phases of a string that single bytes lead out of.
    alive: [bool; PHASES],
    /// What each token does within a string, from the phase it begins in; made when first asked for.
    texts: [OnceLock<TextTable>; PHASES],
}

/// What tokens do that begin within a string: it does not depend on what follows the string, so it is found once for all schemas.
pub struct TextTable {
    /// The tokens that stay within it, as a mask.
    pub mask: Vec<u32>,
    /// These, with the number of characters each begins.
    pub inside: Vec<(u32, u32)>,
    /// The most characters of any token.
    pub longest: u32,
    /// Tokens with the closing quote as their last byte, with their characters before it.
    pub closing: Vec<(u32, u32)>,
    /// The bytes behind the quote of those that go on after it; the items count in `beyond`.
    pub rest: Trie,
    /// Their tokens, with their characters before the quote.
    pub beyond: Vec<(u32, u32)>,
}

impl Vocabulary {
    /// Of a model that draws from `width` tokens. What the tokenizer does not know, and special tokens, are never part of a text.
    ///
    /// # Errors
    /// A tokenizer whose tokens do not stand for bytes one by one, or without tokens for JSON's own characters.
    pub fn new(tokenizer: &Tokenizer, width: usize) -> Result<Self> {
        let unfit = |message: String| ModelError::unsupported("tokenizer", format!("cannot hold a reply to a form: {message}"));
        let mut spellings = tokenizer.spellings().map_err(|error| unfit(error.to_string()))?;
        spellings.resize(width, None);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(width));
        let mut single = [false; 256];
        for spelling in &spellings {
            let spelling = spelling.as_deref().unwrap_or_default();
            if let [byte] = spelling {
                single[*byte as usize] = true;
            }
            bytes.extend_from_slice(spelling);
            ends.push(bytes.len() as u32);
        }
        if let Some(&byte) = NEEDED.iter().find(|&&byte| !single[byte as usize]) {
            return Err(unfit(format!("no token is `{}`", char::from(byte))));
        }
        let entries = spellings.iter().zip(0..).filter_map(|(spelling, id)| Some((spelling.as_deref()?, id))).collect();
        let trie = Trie::new(entries);
        Ok(Self { width, bytes, ends, trie, single, alive: alive(&single), texts: [const { OnceLock::new() }; PHASES] })
    }

    /// Tokens the model draws from.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What a token adds to a text; empty for one that may not stand in it.
    pub(super) fn spelling(&self, id: u32) -> &[u8] {
        let at = id as usize;
        let Some(&end) = self.ends.get(at) else { return &[] };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// Whether tokens lead out of wherever a stack may be: only characters that are bytes of several tokens may leave none.
    pub(super) fn leads_on(&self, stack: &Stack) -> bool {
        !matches!(stack.last(), Some(Frame::Text { phase, .. }) if !self.alive[*phase as usize])
    }

    /// Whether a token of its own spells a text's byte.
    pub(super) fn is_single(&self, byte: u8) -> bool {
        self.single[byte as usize]
    }

    /// Errors with a byte of the grammar's fixed texts that no token spells.
    pub(super) fn check(&self, grammar: &Grammar) -> Result<()> {
        match grammar.literal_bytes().find(|&byte| !self.single[byte as usize]) {
            Some(byte) => {
                Err(ModelError::Request(format!("the model has no token for the byte {byte:#04x} of a key or value of the schema")))
            }
            None => Ok(()),
        }
    }

    /// What tokens do from a phase of a string.
    pub(super) fn text(&self, phase: Phase) -> &TextTable {
        self.texts[phase as usize].get_or_init(|| TextTable::new(self, phase))
    }
}

impl TextTable {
    fn new(vocabulary: &Vocabulary, phase: Phase) -> Self {
        #[derive(Clone, Copy)]
        enum At {
            In(Phase, u32),
            Closed(u32),
        }
        impl Default for At {
            fn default() -> Self {
                Self::Closed(0)
            }
        }
        let (mut inside, mut closing, mut beyond, mut rests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let step = |from: &At, byte: u8, to: &mut At| match *from {
            At::In(phase, characters) => match phase.next(byte) {
                Some(Next::In(phase, begins)) => {
                    *to = At::In(phase, characters + u32::from(begins));
                    true
                }
                Some(Next::Closed) => {
                    *to = At::Closed(characters);
                    true
                }
                None => false,
            },
            At::Closed(_) => false,
        };
        vocabulary.trie.walk(At::In(phase, 0), step, |at, seen| match *at {
            At::In(phase, characters) => {
                if vocabulary.alive[phase as usize] {
                    inside.extend(seen.own.iter().map(|&id| (id, characters)));
                }
                true
            }
            At::Closed(characters) => {
                closing.extend(seen.own.iter().map(|&id| (id, characters)));
                for &id in &seen.all[seen.own.len()..] {
                    rests.push((&vocabulary.spelling(id)[seen.length..], beyond.len() as u32));
                    beyond.push((id, characters));
                }
                false
            }
        });
        let mut mask = vec![0; kernels::sample::mask_words(vocabulary.width)];
        inside.iter().for_each(|&(id, _)| allow(&mut mask, id));
        let longest = inside.iter().map(|entry| entry.1).max().unwrap_or(0);
        Self { mask, inside, longest, closing, rest: Trie::new(rests), beyond }
    }
}

/// Sets a token's bit.
pub fn allow(mask: &mut [u32], id: u32) {
    mask[id as usize / 32] |= 1 << (id % 32);
}

/// The phases that single bytes lead out of, to the end of a character at least.
fn alive(single: &[bool; 256]) -> [bool; PHASES] {
    let mut alive = [false; PHASES];
    alive[Phase::Between as usize] = true;
    // As many rounds as the longest way has steps, and more.
    for _ in 0..PHASES {
        for phase in Phase::all() {
            let leads = |byte: u8| matches!(phase.next(byte), Some(Next::In(next, _)) if alive[next as usize]);
            alive[phase as usize] |= (0..=255).any(|byte| single[byte as usize] && leads(byte));
        }
    }
    alive
}
