//! What each token adds to a text, for who must know it before a token is drawn.

use serde_json::Value;

use crate::pieces::byte_level_bytes;
use crate::tokenizer::{Detokenizer, Engine, Tokenizer};
use crate::{Result, TokenizerError};

impl Tokenizer {
    /// The bytes each id adds to a text, whatever its neighbours; `None` for special tokens and for ids that add nothing. A text's first
    /// token may lose its leading space when it is decoded (SentencePiece's).
    ///
    /// # Errors
    /// A decoder that does not treat tokens one by one, as WordPiece's, and the approximate tokenizer, whose ids mean nothing to a model.
    pub fn spellings(&self) -> Result<Vec<Option<Vec<u8>>>> {
        if self.is_approximate() {
            return Err(TokenizerError::Decode("an approximate tokenizer spells no model's tokens".into()));
        }
        let steps = match (&self.0.engine, self.detokenizer()) {
            (Engine::Library(library), Detokenizer::Library) => {
                let decoder = library.tokenizer.get_decoder().map(serde_json::to_value).transpose();
                let decoder = decoder.map_err(|error| TokenizerError::Decode(error.to_string()))?;
                Some(steps(decoder.as_ref().unwrap_or(&Value::Null))?)
            }
            _ => None,
        };
        let spell = |id: u32| -> Result<Option<Vec<u8>>> {
            if self.is_special(id) {
                return Ok(None);
            }
            let bytes = match (&steps, &self.0.engine) {
                (Some(steps), Engine::Library(library)) => {
                    library.tokenizer.id_to_token(id).map_or_else(Vec::new, |token| steps.iter().fold(Spelt::Text(token), apply).bytes())
                }
                _ => self.piece(id)?.into_owned(),
            };
            Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
        };
        (0..self.vocab_size() as u32).map(spell).collect()
    }
}

/// A step of a decoder that treats tokens one by one.
enum Step {
    /// Every occurrence of a text becomes another.
    Replace(String, String),
    /// `<0x0A>` is a byte.
    ByteFallback,
    /// GPT-2's byte alphabet.
    ByteLevel,
}

/// A token on its way through the steps.
enum Spelt {
    Text(String),
    Bytes(Vec<u8>),
}

impl Spelt {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

fn apply(spelt: Spelt, step: &Step) -> Spelt {
    let Spelt::Text(text) = spelt else { return spelt };
    match step {
        Step::Replace(from, to) => Spelt::Text(text.replace(from, to)),
        Step::ByteFallback => match crate::sentencepiece::byte_of(&text) {
            Some(byte) => Spelt::Bytes(vec![byte]),
            None => Spelt::Text(text),
        },
        Step::ByteLevel => Spelt::Bytes(byte_level_bytes(&text)),
    }
}

/// The steps of a decoder as `tokenizer.json` writes it.
fn steps(decoder: &Value) -> Result<Vec<Step>> {
    let refuse =
        |what: &str| Err(TokenizerError::Decode(format!("what a token stands for depends on its neighbours: the decoder is {what}")));
    let one = std::slice::from_ref(decoder);
    let parts = match decoder["type"].as_str() {
        Some("Sequence") => decoder["decoders"].as_array().map_or(&[][..], Vec::as_slice),
        _ => one,
    };
    let (mut steps, mut fused) = (Vec::new(), false);
    for part in parts {
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        match part["type"].as_str() {
            Some("Replace") if part["pattern"]["String"].is_string() => {
                steps.push(Step::Replace(part["pattern"]["String"].as_str().unwrap_or_default().to_owned(), text("content")));
            }
            Some("Metaspace") => steps.push(Step::Replace(text("replacement"), " ".into())),
            Some("ByteFallback") => steps.push(Step::ByteFallback),
            Some("ByteLevel") => steps.push(Step::ByteLevel),
            Some("Fuse") => fused = true,
            // Of the whole text: the space that its first word has.
            Some("Strip") if fused && part["content"] == " " && part["stop"] == 0 => {}
            Some(other) => return refuse(other),
            None => return refuse("missing"),
        }
    }
    Ok(steps)
}
