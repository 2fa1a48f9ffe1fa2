//! What a tokenizer is built from, as plain data: this crate does not interpret it.

use kernels::Bytes;
use serde_json::Value;
use tokenizer::GgufVocab;

use crate::config::{eos_ids, json_error};
use crate::error::{ModelError, Result};
use crate::gguf::{Array, Gguf};

/// A checkpoint's tokenizer files or vocabulary.
#[derive(Clone)]
pub enum TokenizerMaterial {
    /// Weights only.
    None,
    /// Files of a Hugging Face folder, those that are there.
    HuggingFace {
        /// tokenizer.json
        tokenizer_json: Option<Bytes>,
        /// tokenizer_config.json, which may hold the chat template.
        tokenizer_config: Option<Bytes>,
        /// chat_template.jinja, which wins over it.
        chat_template: Option<Bytes>,
    },
    /// The `tokenizer.*` keys of a GGUF file.
    Gguf(GgufTokenizer),
}

/// The `tokenizer.*` keys of a GGUF file.
#[derive(Clone, Debug)]
pub struct GgufTokenizer {
    /// What [`tokenizer::Tokenizer::from_gguf`] takes.
    pub vocab: GgufVocab,
    /// Ends a turn.
    pub eot: Option<u32>,
    /// Pads a batch.
    pub padding: Option<u32>,
    /// Whether the beginning-of-text token goes before every text.
    pub add_bos: Option<bool>,
    /// Whether the end-of-text token goes after every text.
    pub add_eos: Option<bool>,
    /// Jinja source.
    pub chat_template: Option<String>,
}

impl GgufTokenizer {
    /// Reads the keys; `None` for a file without a vocabulary.
    pub(super) fn read(gguf: &Gguf) -> Result<Option<Self>> {
        let key = |rest: &str| format!("tokenizer.ggml.{rest}");
        let Some(model) = gguf.text(&key("model"))?.filter(|&model| model != "none" && model != "no_vocab") else { return Ok(None) };
        let wrong = |rest: &str, expected: &str| ModelError::config(&gguf.file, key(rest), format!("is not {expected}"));
        let texts = |rest: &str| match gguf.array(&key(rest))? {
            None => Ok(vec![]),
            Some(array) if array.is_empty() => Ok(vec![]),
            Some(array) => array.texts().map(<[String]>::to_vec).ok_or_else(|| wrong(rest, "an array of strings")),
        };
        let tokens = texts("tokens")?;
        let per_token = |rest: &str, length: usize| match length {
            0 => Ok(()),
            length if length == tokens.len() => Ok(()),
            length => {
                let message = format!("has {length} entries, the vocabulary {}", tokens.len());
                Err(ModelError::config(&gguf.file, key(rest), message))
            }
        };
        let token_types: Vec<i32> = match gguf.array(&key("token_type"))? {
            None => vec![],
            Some(Array::Signed(types)) => types.iter().map(|&kind| kind as i32).collect(),
            Some(Array::Unsigned(types)) => types.iter().map(|&kind| kind as i32).collect(),
            Some(_) => return Err(wrong("token_type", "an array of integers")),
        };
        per_token("token_type", token_types.len())?;
        let scores: Vec<f32> = match gguf.array(&key("scores"))? {
            None => vec![],
            Some(Array::Float(scores)) => scores.iter().map(|&score| score as f32).collect(),
            Some(_) => return Err(wrong("scores", "an array of floats")),
        };
        per_token("scores", scores.len())?;
        let id = |kind: &str| -> Result<Option<u32>> {
            let id = gguf.unsigned(&key(&format!("{kind}_token_id")))?;
            Ok(id.and_then(|id| u32::try_from(id).ok()).filter(|&id| (id as usize) < tokens.len()))
        };
        let merges = texts("merges")?;
        let (bos, eos, unk) = (id("bos")?, id("eos")?, id("unknown")?);
        Ok(Some(Self {
            eot: id("eot")?,
            padding: id("padding")?,
            add_bos: gguf.flag(&key("add_bos_token"))?,
            add_eos: gguf.flag(&key("add_eos_token"))?,
            chat_template: gguf.text("tokenizer.chat_template")?.map(str::to_owned),
            vocab: GgufVocab {
                model: model.into(),
                pre: gguf.text(&key("pre"))?.map(str::to_owned),
                add_space_prefix: gguf.flag(&key("add_space_prefix"))?,
                tokens,
                merges,
                scores,
                types: token_types,
                bos,
                eos,
                unk,
            },
        }))
    }
}

/// End-of-text ids of a generation_config.json.
pub(super) fn generation_eos(json: &[u8]) -> Result<Vec<u32>> {
    const FILE: &str = "generation_config.json";
    match serde_json::from_slice(json).map_err(|error| json_error(FILE, json, &error))? {
        Value::Object(map) => eos_ids(FILE, &map),
        _ => Err(ModelError::format(FILE, 0, "a JSON object was expected")),
    }
}
