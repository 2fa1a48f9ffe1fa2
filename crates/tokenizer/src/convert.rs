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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    const JSON: &str = r#"{"added_tokens":[{"id":5,"content":"<|im_end|>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
        {"id":6,"content":"<|fim|>","special":false,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false},
        {"id":7,"content":"<think>","special":false,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
        "normalizer":null,"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
            {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4},"merges":[["a","b"],["Ġ","ab"]]}}"#;

    #[test]
    fn tokenizer_json_becomes_gguf_keys() {
        let vocab = GgufVocab::from_json(JSON.as_bytes(), 10).unwrap();
        assert_eq!(vocab.tokens, ["a", "b", "Ġ", "ab", "Ġab", "<|im_end|>", "<|fim|>", "<think>", "[PAD8]", "[PAD9]"]);
        assert_eq!(vocab.types, [NORMAL, NORMAL, NORMAL, NORMAL, NORMAL, CONTROL, CONTROL, USER_DEFINED, UNUSED, UNUSED]);
        assert_eq!((vocab.merges.as_slice(), vocab.pre.as_deref()), (&["a b".to_owned(), "Ġ ab".to_owned()][..], Some("smollm")));
        let (theirs, ours) = (Tokenizer::from_json(JSON.as_bytes()).unwrap(), Tokenizer::from_gguf(vocab.clone()).unwrap());
        for text in ["ab ab", "a<think>b", "ab<|im_end|> ab"] {
            assert_eq!(ours.encode_with_specials(text).unwrap(), theirs.encode_with_specials(text).unwrap());
        }
        // The older way to write merges.
        let older = JSON.replace(r#"[["a","b"],["Ġ","ab"]]"#, r#"["a b","Ġ ab"]"#);
        assert_eq!(GgufVocab::from_json(older.as_bytes(), 10).unwrap().merges, vocab.merges);
        let back = vocab.clone().to_json().unwrap();
        assert_eq!(GgufVocab::from_json(back.as_bytes(), 10).unwrap().types, vocab.types);
    }

    #[test]
    fn what_a_gguf_file_cannot_say_is_refused() {
        let refused = |from: &str, to: &str, words: &str| {
            let json = JSON.replacen(from, to, 1);
            assert_ne!(json, JSON);
            let error = GgufVocab::from_json(json.as_bytes(), 10).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        refused(r#""type":"Digits","individual_digits":true"#, r#""type":"Digits","individual_digits":false"#, "llama.cpp has a name for");
        refused(r#""type":"BPE""#, r#""type":"BPE","byte_fallback":true"#, "SentencePiece");
        refused(r#""type":"BPE""#, r#""type":"BPE","ignore_merges":true"#, "llama.cpp has a name for");
        refused(r#""merges":["#, r#""merges":[3,"#, "does not name two tokens");
        refused(r#""id":7"#, r#""id":10"#, "the model has 10 rows");
        let unigram = GgufVocab { model: "llama".into(), tokens: vec!["a".into()], scores: vec![0.0], ..GgufVocab::default() };
        assert!(matches!(unigram.to_json(), Err(TokenizerError::Convert(_))));
    }
}
