use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tokenizers::normalizers::NFC;
use tokenizers::{DecoderWrapper, OffsetReferential, OffsetType, Token};

use crate::approximate;
use crate::gguf::{self, GgufVocab};
use crate::library::Library;
use crate::pieces::{Pieces, byte_level_bytes};
use crate::sentencepiece::SentencePiece;
use crate::{Result, StreamDecoder, TokenizerError};

/// Text ⇄ ids. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Tokenizer(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub engine: Engine,
    pub pieces: Pieces,
    pub detokenizer: Detokenizer,
}

pub(crate) enum Engine {
    Library(Box<Library>),
    SentencePiece(Box<SentencePiece>),
    /// Ids spell out what they stand for.
    Approximate,
}

/// How ids become text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detokenizer {
    /// Tokens stand for bytes, whatever their neighbours.
    Bytes {
        /// The first token's leading space is not the text's.
        strip_space: bool,
    },
    /// Only the library knows.
    Library,
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`.
    pub fn from_json(tokenizer_json: &[u8]) -> Result<Self> {
        let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer_json).map_err(|error| TokenizerError::Json(error.to_string()))?;
        Self::from_library(tokenizer)
    }

    /// Reads the vocabulary of a GGUF file: byte-level BPE (`gpt2`) and SentencePiece (`llama`).
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self> {
        gguf::build(vocab)
    }

    /// A tokenizer without a vocabulary, for a model whose own is not at hand: reversible, and its counts are meant to be too high
    /// rather than too low. It knows no special tokens, and its ids mean nothing to a model.
    ///
    /// Its counts over those of Qwen3's tokenizer, for whole texts of 0.2–1.2 MB (in brackets the lowest among their stretches of a
    /// thousand tokens): English speeches 1.30 (1.15), READMEs 1.16 (0.97), Rust 1.13 (1.03), Python 1.22 (1.03), JavaScript 1.16
    /// (0.91, in a table of character sets), C headers 1.48 (0.95), JSON 1.14 (1.03), Chinese news 1.53 (1.29), Chinese reviews 1.54
    /// (1.24). For the Universal Declaration of Human Rights: French, Spanish, Portuguese 1.14–1.20, German, Swedish, Polish, Turkish
    /// 1.00–1.07, Russian 1.82, Arabic 1.52, Japanese 1.42, Korean 1.23, Vietnamese 2.56. Too low: Italian, Hungarian, Czech
    /// 0.93–0.95, Hindi, Amharic, Georgian, Dutch 0.87–0.89, Bengali, Tamil, Finnish, Indonesian 0.78–0.83, Swahili, Zulu 0.65, and
    /// base64 0.90. For those leave room, or take the model's own tokenizer.
    pub fn approximate() -> Self {
        Self::from_parts(Engine::Approximate, Pieces::default(), Detokenizer::Bytes { strip_space: false })
    }

    /// Whether it is [`approximate`](Self::approximate): its counts are estimates.
    pub fn is_approximate(&self) -> bool {
        matches!(self.0.engine, Engine::Approximate)
    }

    pub(crate) fn from_library(tokenizer: tokenizers::Tokenizer) -> Result<Self> {
        let mut tokens: Vec<Option<String>> = Vec::new();
        let vocab = tokenizer.get_vocab(true);
        let count = vocab.len();
        for (token, id) in vocab {
            let at = id as usize;
            if at >= tokens.len() {
                // A corrupt id must not become a 4-billion-element table; real vocabularies have few holes.
                if at > count * 2 + 1024 {
                    return Err(TokenizerError::Json(format!("token `{token}` has id {id} in a vocabulary of {count}")));
                }
                tokens.resize(at + 1, None);
            }
            tokens[at] = Some(token);
        }
        if tokens.is_empty() {
            return Err(TokenizerError::Json("its vocabulary is empty".into()));
        }
        let added = tokenizer.get_added_vocabulary();
        let mut pieces = Pieces::default();
        for token in &tokens {
            let token = token.as_deref().unwrap_or_default();
            pieces.push(&byte_level_bytes(token), added.is_special_token(token));
        }
        let detokenizer = match tokenizer.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => Detokenizer::Bytes { strip_space: false },
            _ => Detokenizer::Library,
        };
        Ok(Self::from_parts(Engine::Library(Box::new(Library::new(tokenizer)?)), pieces, detokenizer))
    }

    pub(crate) fn from_parts(engine: Engine, pieces: Pieces, detokenizer: Detokenizer) -> Self {
        Self(Arc::new(Inner { engine, pieces, detokenizer }))
    }

    /// The ids of text as data: what spells a special token stays ordinary text, and nothing is added at either end.
    ///
    /// A byte-level vocabulary may lack a token for a byte (SmolLM2's lacks a few control characters): such a byte is dropped, as
    /// Transformers and llama.cpp do. Added tokens that are *not* special (Qwen3's `<think>`) are matched whole, as Transformers and llama.cpp do.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_either(text, false)
    }

    /// The ids of a rendered chat template: special tokens are parsed; nothing is added (a template that wants BOS writes it).
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_either(text, true)
    }

    fn encode_either(&self, text: &str, specials: bool) -> Result<Vec<u32>> {
        match &self.0.engine {
            Engine::Library(library) => library.encode(text, specials),
            Engine::SentencePiece(model) => model.encode(text, specials),
            Engine::Approximate => Ok(approximate::encode(text)),
        }
    }

    /// How many ids [`encode`](Self::encode) gives.
    pub fn count(&self, text: &str) -> Result<usize> {
        Ok(self.encode(text)?.len())
    }

    /// The text of `ids`; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        for &id in ids {
            self.check(id)?;
        }
        match (&self.0.engine, self.0.detokenizer) {
            (Engine::Library(library), Detokenizer::Library) => {
                library.tokenizer.decode(ids, skip_special).map_err(|error| TokenizerError::Decode(error.to_string()))
            }
            (_, detokenizer) => {
                let strip_space = detokenizer == Detokenizer::Bytes { strip_space: true };
                let mut bytes = Vec::new();
                let mut at_start = true;
                for &id in ids {
                    let special = self.is_special(id);
                    if special && skip_special {
                        continue;
                    }
                    let piece = self.piece(id)?;
                    let strip = at_start && strip_space && !special;
                    at_start &= special;
                    bytes.extend_from_slice(if strip { piece.strip_prefix(b" ").unwrap_or(&piece) } else { &piece });
                }
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// Decodes ids as they come.
    pub fn decoder(&self) -> StreamDecoder {
        StreamDecoder::new(self.clone())
    }

    /// One more than the largest id. A model's embedding may have more rows, padded to a round number.
    pub fn vocab_size(&self) -> usize {
        if self.is_approximate() { approximate::SIZE } else { self.0.pieces.len() }
    }

    /// The id of a token as the vocabulary spells it (`<|im_end|>`, `Ġthe`).
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.0.engine {
            Engine::Library(library) => library.tokenizer.token_to_id(token),
            Engine::SentencePiece(model) => model.id(token),
            Engine::Approximate => None,
        }
    }

    /// Whether `id` is a control token (`<|im_end|>`), which is not part of what the model says.
    pub fn is_special(&self, id: u32) -> bool {
        self.0.pieces.is_special(id)
    }

    pub(crate) fn check(&self, id: u32) -> Result<()> {
        self.piece(id).map(|_| ())
    }

    pub(crate) fn piece(&self, id: u32) -> Result<Cow<'_, [u8]>> {
        if self.is_approximate() { approximate::piece(id) } else { self.0.pieces.get(id).map(Cow::Borrowed) }
    }

    pub(crate) fn detokenizer(&self) -> Detokenizer {
        self.0.detokenizer
    }

    /// The added tokens in `text`, first to last, and the text between them.
    fn split_added(&self, text: &str) -> Vec<(Range<usize>, Option<u32>)> {
        let added = match &self.0.engine {
            Engine::Library(library) => &library.written,
            Engine::SentencePiece(model) => model.added(true),
            // It knows no special tokens.
            Engine::Approximate => return vec![(0..text.len(), None)],
        };
        let splits = added.extract_and_normalize(None::<&NFC>, text);
        let splits = splits.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let id = |tokens: &Option<Vec<Token>>| tokens.as_ref().and_then(|tokens| tokens.first()).map(|token| token.id);
        splits.into_iter().map(|(_, (start, end), tokens)| (start..end, id(tokens))).collect()
    }

    /// `text` with `guard` put into every special token it spells, so that none is left.
    pub(crate) fn guard(&self, text: &str, guard: char) -> Result<String> {
        let mut guarded = text.to_owned();
        // Breaking one token may bring out another that overlapped it, so look again until there is none.
        loop {
            let mut at = Vec::new();
            for (span, id) in self.split_added(&guarded) {
                let Some(id) = id.filter(|&id| self.is_special(id)) else { continue };
                // The span may include white space the token takes along.
                let piece = self.piece(id)?;
                let token = std::str::from_utf8(&piece).unwrap_or_default();
                let start = span.start + guarded[span.clone()].find(token).unwrap_or(0);
                at.push(start + guarded[start..].chars().next().map_or(0, char::len_utf8));
            }
            if at.is_empty() {
                return Ok(guarded);
            }
            for at in at.into_iter().rev() {
                guarded.insert(at, guard);
            }
        }
    }

    /// The ids of a rendered template whose messages went through [`guard`](Self::guard).
    pub(crate) fn encode_guarded(&self, text: &str, guard: char) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (span, id) in self.split_added(text) {
            match id {
                Some(id) => ids.push(id),
                None => ids.extend(self.encode(&text[span].replace(guard, ""))?),
            }
        }
        Ok(ids)
    }
}

/// Token → id, refusing a vocabulary that names one token twice.
pub(crate) fn index(tokens: &[String]) -> Result<HashMap<String, u32>> {
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = ids.insert(token.clone(), id as u32) {
            return Err(TokenizerError::Vocabulary(format!("tokens {first} and {id} are both `{token}`")));
        }
    }
    Ok(ids)
}
