//! Between the two forms vocabularies are published in: tokenizer.json and the `tokenizer.ggml.*` keys of a GGUF file. Byte-level BPE only.

use serde_json::Value;

use crate::gguf::{self, GgufVocab};
use crate::library::patterns;
use crate::{Result, TokenizerError};

/// `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

impl GgufVocab {
    /// A tokenizer.json that splits and merges as this vocabulary does. Errors for vocabularies that are not byte-level BPE (`gpt2`) and
    /// for those [`crate::Tokenizer::from_gguf`] refuses.
    pub fn to_json(self) -> Result<String> {
        let tokenizer = gguf::library(self)?;
        tokenizer.to_string(false).map_err(|error| TokenizerError::Convert(error.to_string()))
    }

    /// The vocabulary of a tokenizer.json for a model whose embedding has `size` rows: tokens, types, merges and the name llama.cpp gives
    /// its way of splitting text. Ids without a token are `[PAD…]`, as llama.cpp's converter has them. Which tokens begin and end a text
    /// is not in that file.
    ///
    /// Added tokens that are special, or look it (`<|fim_prefix|>`), are control tokens; the others are user-defined: again the
    /// converter's rule.
    pub fn from_json(tokenizer_json: &[u8], size: usize) -> Result<Self> {
        let json: Value = serde_json::from_slice(tokenizer_json).map_err(|error| TokenizerError::Json(error.to_string()))?;
        let model = &json["model"];
        let (Some(vocab), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array()) else {
            return Err(not("it is not BPE"));
        };
        if model["byte_fallback"] == true {
            return Err(not("it is SentencePiece's (with byte fallback), not byte-level BPE"));
        }
        let splits = patterns(&json["pre_tokenizer"]).unwrap_or_default();
        let ignore_merges = model["ignore_merges"] == true;
        let pre = gguf::pre_name(&splits.iter().map(String::as_str).collect::<Vec<_>>(), ignore_merges);
        let pre = pre.ok_or_else(|| not("its way of splitting text is none that llama.cpp has a name for"))?;
        let mut tokens: Vec<Option<String>> = vec![None; size];
        let mut types = vec![UNUSED; size];
        let mut put = |token: &str, id: &Value, kind: i32| {
            let at = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|&id| id < size);
            let at = at.ok_or_else(|| not(format!("token `{token}` has id {id}, and the model has {size} rows")))?;
            (tokens[at], types[at]) = (Some(token.to_owned()), kind);
            Ok(())
        };
        for (token, id) in vocab {
            let is_padding = token.starts_with("[PAD") && *token == format!("[PAD{id}]");
            put(token, id, if is_padding { UNUSED } else { NORMAL })?;
        }
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let token = added["content"].as_str().ok_or_else(|| not("an added token has no content"))?;
            let kind = if added["special"] == true || looks_special(token) { CONTROL } else { USER_DEFINED };
            put(token, &added["id"], kind)?;
        }
        let name = |(id, token): (usize, Option<String>)| token.unwrap_or_else(|| format!("[PAD{id}]"));
        Ok(Self {
            model: "gpt2".into(),
            pre: Some(pre.into()),
            tokens: tokens.into_iter().enumerate().map(name).collect(),
            merges: merges.iter().map(merge).collect::<Result<_>>()?,
            types,
            ..Self::default()
        })
    }
}

fn not(why: impl Into<String>) -> TokenizerError {
    TokenizerError::Convert(why.into())
}

/// `["a", "b"]` or `"a b"`.
fn merge(merge: &Value) -> Result<String> {
    let text = match merge {
        Value::String(text) => Some(text.clone()),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(left), Value::String(right)] if !left.contains(' ') && !right.contains(' ') => Some(format!("{left} {right}")),
            _ => None,
        },
        _ => None,
    };
    text.ok_or_else(|| not(format!("merge {merge} does not name two tokens")))
}

/// As llama.cpp's converter sees it (`does_token_look_special`).
fn looks_special(token: &str) -> bool {
    let between = |open: &str, close: &str| token.starts_with(open) && token.ends_with(close);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&token) || between("<|", "|>") || between("<｜", "｜>") || between("<unused", ">")
}
