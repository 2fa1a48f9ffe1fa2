use std::collections::HashMap;
use std::sync::Arc;

use tokenizers::DecoderWrapper;

use crate::gguf::{self, GgufVocab};
use crate::library::Library;
use crate::pieces::{Pieces, byte_level_bytes};
use crate::sentencepiece::SentencePiece;
use crate::{Result, StreamDecoder, TokenizerError};

/// Text ⇄ ids. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

pub(crate) struct Inner {
    pub engine: Engine,
    pub pieces: Pieces,
    pub detokenizer: Detokenizer,
}

pub(crate) enum Engine {
    Library(Box<Library>),
    SentencePiece(Box<SentencePiece>),
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
        Ok(Self::from_parts(Engine::Library(Box::new(Library::new(tokenizer))), pieces, detokenizer))
    }

    pub(crate) fn from_parts(engine: Engine, pieces: Pieces, detokenizer: Detokenizer) -> Self {
        Self(Arc::new(Inner { engine, pieces, detokenizer }))
    }

    /// The ids of text as data: what spells a special token stays ordinary text, and nothing is added at either end.
    ///
    /// Added tokens that are *not* special (Qwen3's `<think>`) are matched whole, as Transformers and llama.cpp do.
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
                    bytes.extend_from_slice(if strip { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece });
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
        self.0.pieces.len()
    }

    /// The id of a token as the vocabulary spells it (`<|im_end|>`, `Ġthe`).
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.0.engine {
            Engine::Library(library) => library.tokenizer.token_to_id(token),
            Engine::SentencePiece(model) => model.id(token),
        }
    }

    /// Whether `id` is a control token (`<|im_end|>`), which is not part of what the model says.
    pub fn is_special(&self, id: u32) -> bool {
        self.0.pieces.is_special(id)
    }

    pub(crate) fn check(&self, id: u32) -> Result<()> {
        self.piece(id).map(|_| ())
    }

    pub(crate) fn piece(&self, id: u32) -> Result<&[u8]> {
        self.0.pieces.get(id)
    }

    pub(crate) fn detokenizer(&self) -> Detokenizer {
        self.0.detokenizer
    }

    /// The special tokens as text, for whoever must keep them out of text.
    pub(crate) fn special_tokens(&self) -> impl Iterator<Item = &str> {
        (0..self.vocab_size() as u32).filter(|&id| self.is_special(id)).filter_map(|id| std::str::from_utf8(self.piece(id).ok()?).ok())
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
