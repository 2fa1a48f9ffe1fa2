//! From a checkpoint's tokenizer files to a tokenizer and a chat template.

use serde_json::Value;
use tokenizer::{ChatTemplate, Tokenizer};

use crate::error::{ModelError, Result};
use crate::source::{Checkpoint, TokenizerMaterial};

/// What turns messages into ids and ids into text.
pub struct TextParts {
    /// Text ⇄ ids.
    pub tokenizer: Tokenizer,
    /// The chat template, where the checkpoint has one.
    pub template: Option<ChatTemplate>,
    /// Its Jinja source.
    pub template_source: Option<String>,
}

impl TextParts {
    /// Builds them. A checkpoint of weights alone is an error that says which file to add.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self> {
        let wrong = |error: tokenizer::TokenizerError| ModelError::unsupported(checkpoint.name(), error.to_string());
        let (tokenizer, source, bos, eos) = match checkpoint.tokenizer() {
            TokenizerMaterial::HuggingFace { tokenizer_json: Some(json), tokenizer_config, chat_template } => {
                let tokenizer = Tokenizer::from_json(json.as_slice()).map_err(wrong)?;
                let config: Value = match tokenizer_config {
                    Some(bytes) => serde_json::from_slice(bytes.as_slice())
                        .map_err(|error| ModelError::unsupported("tokenizer_config.json", format!("is not JSON: {error}")))?,
                    None => Value::Null,
                };
                let source = match chat_template {
                    Some(bytes) => Some(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
                    None => config.get("chat_template").and_then(Value::as_str).map(str::to_owned),
                };
                (tokenizer, source, special(&config, "bos_token"), special(&config, "eos_token"))
            }
            TokenizerMaterial::Gguf(material) => {
                let vocab = &material.vocab;
                let token = |id: Option<u32>| id.and_then(|id| vocab.tokens.get(id as usize)).cloned();
                let tokenizer = Tokenizer::from_gguf(vocab.clone()).map_err(wrong)?;
                (tokenizer, material.chat_template.clone(), token(vocab.bos), token(vocab.eos))
            }
            _ => return Err(ModelError::unsupported(checkpoint.name(), "has no tokenizer: put its tokenizer.json beside the weights")),
        };
        let template = match &source {
            Some(source) => Some(ChatTemplate::new(source, bos.as_deref(), eos.as_deref()).map_err(wrong)?),
            None => None,
        };
        Ok(Self { tokenizer, template, template_source: source })
    }
}

/// A special token of tokenizer_config.json: a string, or an object with `content`.
fn special(config: &Value, key: &str) -> Option<String> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}
