//! SentencePiece BPE: characters merge into the neighbouring pair whose token scores best, and what stays unknown is spelled in
//! byte tokens.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use tokenizers::normalizers::NFC;
use tokenizers::{AddedToken, AddedVocabulary, OffsetReferential, OffsetType};

use crate::gguf::{GgufVocab, TokenType, corrupt};
use crate::library::matcher;
use crate::pieces::Pieces;
use crate::tokenizer::{Detokenizer, Engine, Tokenizer, index};
use crate::{Result, TokenizerError};

/// SentencePiece writes a space as this.
const SPACE: char = '▁';

pub(crate) struct SentencePiece {
    ids: HashMap<String, u32>,
    scores: Vec<f32>,
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
    add_space_prefix: bool,
    data: AddedVocabulary,
    template: AddedVocabulary,
}

pub(crate) fn build(vocab: GgufVocab, types: Vec<TokenType>) -> Result<Tokenizer> {
    let size = vocab.tokens.len();
    if vocab.scores.len() != size {
        return Err(corrupt(format!("{size} tokens have {} scores", vocab.scores.len())));
    }
    if let Some(id) = vocab.scores.iter().position(|score| score.is_nan()) {
        return Err(corrupt(format!("the score of token {id} is not a number")));
    }
    let ids = index(&vocab.tokens)?;
    let mut bytes = [None; 256];
    let mut pieces = Pieces::default();
    for (id, (token, &kind)) in vocab.tokens.iter().zip(&types).enumerate() {
        match kind {
            TokenType::Byte => {
                let byte = byte_of(token).ok_or_else(|| corrupt(format!("byte token {id} is `{token}`, not like `<0x0A>`")))?;
                bytes[byte as usize] = Some(id as u32);
                pieces.push(&[byte], false);
            }
            kind if kind.is_added() => pieces.push(token.as_bytes(), kind.is_special()),
            _ => pieces.push(token.replace(SPACE, " ").as_bytes(), false),
        }
    }
    let unknown = vocab.unk.or_else(|| types.iter().position(|&kind| kind == TokenType::Unknown).map(|id| id as u32));
    if unknown.is_none() && bytes.iter().any(Option::is_none) {
        return Err(corrupt("it has neither a token for every byte nor an unknown token"));
    }
    let added = vocab.tokens.iter().zip(&types).enumerate().filter(|(_, (_, kind))| kind.is_added());
    let template = matcher(added.map(|(id, (token, kind))| (id as u32, AddedToken::from(token.as_str(), kind.is_special()))))?;
    let mut data = template.clone();
    data.set_encode_special_tokens(true);
    let add_space_prefix = vocab.add_space_prefix.unwrap_or(true);
    let model = SentencePiece { ids, scores: vocab.scores, bytes, unknown, add_space_prefix, data, template };
    let detokenizer = Detokenizer::Bytes { strip_space: add_space_prefix };
    Ok(Tokenizer::from_parts(Engine::SentencePiece(Box::new(model)), pieces, detokenizer))
}

/// `<0x0A>` → 10.
pub(crate) fn byte_of(token: &str) -> Option<u8> {
    u8::from_str_radix(token.strip_prefix("<0x")?.strip_suffix('>').filter(|hex| hex.len() == 2)?, 16).ok()
}

/// A run of text that is, or may become, one token; linked to its neighbours.
struct Symbol {
    start: usize,
    /// Zero once merged into the symbol before it.
    len: usize,
    prev: usize,
    next: usize,
}

/// No neighbour.
const NONE: usize = usize::MAX;

/// Two neighbouring symbols that together are a token.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Their length when the pair was found: another length means it no longer exists.
    len: usize,
}

impl Ord for Pair {
    /// The best score first, of equals the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl SentencePiece {
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The matcher of added tokens, special ones among them where `specials`.
    pub fn added(&self, specials: bool) -> &AddedVocabulary {
        if specials { &self.template } else { &self.data }
    }

    pub fn encode(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let pieces = self.added(specials).extract_and_normalize(None::<&NFC>, text);
        for (piece, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            match tokens {
                Some(tokens) => ids.extend(tokens.iter().map(|token| token.id)),
                // Every piece follows an added token or the start, so each takes the space a first word has.
                None => {
                    let mut escaped = String::with_capacity(piece.len() + 3);
                    if self.add_space_prefix {
                        escaped.push(SPACE);
                    }
                    escaped.extend(piece.chars().map(|c| if c == ' ' { SPACE } else { c }));
                    self.merge(&escaped, &mut ids)?;
                }
            }
        }
        Ok(ids)
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut symbols: Vec<Symbol> = (text.char_indices().enumerate())
            .map(|(at, (start, c))| Symbol { start, len: c.len_utf8(), prev: at.wrapping_sub(1), next: at + 1 })
            .collect();
        match symbols.last_mut() {
            Some(last) => last.next = NONE,
            None => return Ok(()),
        }
        let mut pairs: BinaryHeap<Pair> = (1..symbols.len()).filter_map(|right| self.pair(text, &symbols, right - 1, right)).collect();
        while let Some(Pair { left, right, len, .. }) = pairs.pop() {
            let gone = symbols[left].len == 0 || symbols[right].len == 0;
            if gone || symbols[left].len + symbols[right].len != len {
                continue;
            }
            symbols[left].len = len;
            symbols[right].len = 0;
            let next = symbols[right].next;
            symbols[left].next = next;
            if next != NONE {
                symbols[next].prev = left;
                pairs.extend(self.pair(text, &symbols, left, next));
            }
            let prev = symbols[left].prev;
            if prev != NONE {
                pairs.extend(self.pair(text, &symbols, prev, left));
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.len > 0) {
            let piece = &text[symbol.start..symbol.start + symbol.len];
            match self.id(piece) {
                Some(id) => ids.push(id),
                None => self.spell(piece, ids)?,
            }
        }
        Ok(())
    }

    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let len = symbols[left].len + symbols[right].len;
        let start = symbols[left].start;
        let id = self.id(&text[start..start + len])?;
        Some(Pair { score: self.scores[id as usize], left, right, len })
    }

    /// One character no token spells: its bytes, or the unknown token where the vocabulary has no bytes.
    fn spell(&self, piece: &str, ids: &mut Vec<u32>) -> Result<()> {
        let bytes: Option<Vec<u32>> = piece.bytes().map(|byte| self.bytes[byte as usize]).collect();
        match bytes {
            Some(bytes) => ids.extend(bytes),
            None => ids.push(self.unknown.ok_or_else(|| TokenizerError::Encode(format!("no token spells `{piece}`")))?),
        }
        Ok(())
    }
}
