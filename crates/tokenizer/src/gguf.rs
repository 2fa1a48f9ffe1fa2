use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use crate::split::{DIGIT, GPT2, LLAMA3, QWEN2, QWEN35};
use crate::tokenizer::{Tokenizer, index};
use crate::{Result, TokenizerError, sentencepiece};

/// The vocabulary of a GGUF file: the values of its `tokenizer.ggml.*` keys, as read.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: String,
    /// `tokenizer.ggml.pre`: how `gpt2` vocabularies split text before merging; absent means `default`, as in llama.cpp.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.merges`, best first; `gpt2` only.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.scores`; `llama` only.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`; empty means all normal.
    pub types: Vec<i32>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.add_space_prefix`; absent means true, and only `llama` vocabularies look.
    pub add_space_prefix: Option<bool>,
}

/// What GGUF says a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenType {
    fn from_gguf(code: i32) -> Option<Self> {
        // 0 is "undefined"; llama.cpp gives such a token no attribute, which makes it a plain one.
        Some(match code {
            0 | 1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Never produced by data, skipped when decoding.
    pub fn is_special(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }

    /// Matched whole before anything else looks at the text.
    pub fn is_added(self) -> bool {
        self.is_special() || self == Self::UserDefined
    }
}

/// Builds the tokenizer.
pub(crate) fn build(vocab: GgufVocab) -> Result<Tokenizer> {
    let types = checked(&vocab)?;
    if vocab.model == "llama" { sentencepiece::build(vocab, types) } else { Tokenizer::from_library(byte_level(vocab, &types)?) }
}

/// The library's tokenizer of a byte-level vocabulary.
pub(crate) fn library(vocab: GgufVocab) -> Result<tokenizers::Tokenizer> {
    let types = checked(&vocab)?;
    if vocab.model == "llama" {
        return Err(TokenizerError::Convert("it is SentencePiece's (`llama`), whose scores tokenizer.json has no place for".into()));
    }
    byte_level(vocab, &types)
}

/// Checks what all vocabularies share; the tokens' types.
fn checked(vocab: &GgufVocab) -> Result<Vec<TokenType>> {
    let size = vocab.tokens.len();
    if !matches!(vocab.model.as_str(), "gpt2" | "llama") {
        return Err(TokenizerError::UnknownModel(vocab.model.clone()));
    }
    if size == 0 {
        return Err(corrupt("it has no tokens"));
    }
    if !vocab.types.is_empty() && vocab.types.len() != size {
        return Err(corrupt(format!("{size} tokens have {} types", vocab.types.len())));
    }
    for (name, id) in [("bos", vocab.bos), ("eos", vocab.eos), ("unknown", vocab.unk)] {
        if let Some(id) = id.filter(|&id| id as usize >= size) {
            return Err(corrupt(format!("the {name} token is {id}, and there are {size} tokens")));
        }
    }
    if vocab.types.is_empty() {
        return Ok(vec![TokenType::Normal; size]);
    }
    let read = |(id, &code): (usize, &i32)| TokenType::from_gguf(code).ok_or_else(|| corrupt(format!("token {id} has type {code}")));
    vocab.types.iter().enumerate().map(read).collect()
}

pub(crate) fn corrupt(what: impl Into<String>) -> TokenizerError {
    TokenizerError::Vocabulary(what.into())
}

/// How a `gpt2` vocabulary's text is split, by the name llama.cpp gives the rule. Text is not normalised: Qwen's tokenizer.json
/// composes characters first (NFC), a GGUF file does not say so, and llama.cpp does not.
struct Pre {
    name: &'static str,
    /// Applied one after the other, each to the pieces of the one before.
    splits: &'static [&'static str],
    /// A piece that is a token needs no merges to be one.
    ignore_merges: bool,
}

const PRES: &[Pre] = &[
    Pre { name: "qwen2", splits: &[QWEN2], ignore_merges: false },
    Pre { name: "deepseek-r1-qwen", splits: &[QWEN2], ignore_merges: false },
    Pre { name: "qwen35", splits: &[QWEN35], ignore_merges: false },
    Pre { name: "llama-bpe", splits: &[LLAMA3], ignore_merges: true },
    Pre { name: "smollm", splits: &[DIGIT, GPT2], ignore_merges: false },
    Pre { name: "gpt-2", splits: &[GPT2], ignore_merges: false },
    Pre { name: "default", splits: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"], ignore_merges: false },
];

/// The name of the rule that splits by these expressions.
pub(crate) fn pre_name(splits: &[&str], ignore_merges: bool) -> Option<&'static str> {
    PRES.iter().find(|pre| pre.splits == splits && pre.ignore_merges == ignore_merges).map(|pre| pre.name)
}

fn byte_level(vocab: GgufVocab, types: &[TokenType]) -> Result<tokenizers::Tokenizer> {
    let name = vocab.pre.as_deref().unwrap_or("default");
    let pre = PRES.iter().find(|pre| pre.name == name).ok_or_else(|| TokenizerError::UnknownPre {
        name: name.to_owned(),
        known: PRES.iter().map(|pre| format!("`{}`", pre.name)).collect::<Vec<_>>().join(", "),
    })?;
    let ids: Vocab = index(&vocab.tokens)?.into_iter().collect();
    let merge = |merge: &String| {
        // The first token may not be empty, so a space at the front belongs to it.
        let space = merge.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
        let (left, right) = merge.split_at(space.ok_or_else(|| corrupt(format!("merge `{merge}` does not name two tokens")))?);
        Ok((left.to_owned(), right[1..].to_owned()))
    };
    let merges = vocab.merges.iter().map(merge).collect::<Result<Vec<_>>>()?;
    let bpe = BPE::builder()
        .vocab_and_merges(ids, merges)
        .ignore_merges(pre.ignore_merges)
        .build()
        .map_err(|error| corrupt(error.to_string()))?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(splitter(pre.splits)?));
    tokenizer.with_decoder(Some(byte_alphabet()));
    let added = vocab.tokens.iter().zip(types).filter(|(_, kind)| kind.is_added());
    let added: Vec<AddedToken> = added.map(|(token, kind)| AddedToken::from(token.as_str(), kind.is_special()).normalized(false)).collect();
    tokenizer.add_tokens(&added);
    Ok(tokenizer)
}

/// Only the byte alphabet: no space before the text, no pattern of its own.
fn byte_alphabet() -> ByteLevel {
    ByteLevel::new(false, true, false)
}

pub(crate) fn splitter(patterns: &[&str]) -> Result<PreTokenizerWrapper> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for pattern in patterns {
        let split = Split::new(SplitPattern::Regex((*pattern).to_owned()), SplitDelimiterBehavior::Isolated, false);
        steps.push(split.map_err(|error| TokenizerError::Encode(error.to_string()))?.into());
    }
    steps.push(byte_alphabet().into());
    Ok(Sequence::new(steps).into())
}
