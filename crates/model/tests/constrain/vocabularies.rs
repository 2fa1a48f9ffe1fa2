//! Small vocabularies of every kind the tokenizer knows, all with a stop token and with tokens that reach across JSON's own characters.

use serde_json::{Map, json};
use tokenizer::{GgufVocab, Parts, Tokenizer, train_bpe};

/// A tokenizer and what a model has for it.
pub struct Words {
    pub name: &'static str,
    pub tokenizer: Tokenizer,
    /// Tokens the model draws from: more than the tokenizer has.
    pub width: usize,
    pub stop: u32,
}

impl Words {
    fn new(name: &'static str, tokenizer: Tokenizer, stop: &str) -> Self {
        let stop = tokenizer.id(stop).unwrap();
        Self { name, width: tokenizer.vocab_size() + 11, tokenizer, stop }
    }
}

/// Pieces that begin, end or cross strings, halves of escapes, characters of several bytes.
const PIECES: [&str; 52] = [
    "{\"",
    "\":",
    "\":▁",
    "\",▁\"",
    "\",\"",
    "\"}",
    "\"]",
    "\"},",
    "}}",
    "]}",
    "[\"",
    "[[",
    "]]",
    "},▁{",
    "▁\"",
    "▁{",
    "▁",
    "▁▁",
    "\n",
    "{\n",
    ",\n",
    "é",
    "中",
    "😀",
    "▁the",
    "name",
    "\"name\":▁\"",
    "val",
    "ue",
    "\\n",
    "\\\"",
    "\\\\",
    "\\u00",
    "\\ud83d",
    "de00",
    "true",
    "tru",
    "false",
    "null",
    "nul",
    "12",
    "1.5",
    "e-",
    "-",
    "0,",
    ".5",
    "red",
    "reddish",
    "\"re",
    "a\"",
    "中\"",
    "\\",
];

/// One of each kind.
pub fn all() -> Vec<Words> {
    vec![byte_level(), sentencepiece(), byte_fallback(), without_continuations()]
}

/// Byte-level out of a GGUF file, with bytes that begin a character of several and none that go on with it; a few characters are whole.
fn without_continuations() -> Words {
    // In GPT-2's alphabet: printable ASCII is itself, Ã is C3, ä E4, © A9, Ġ a space, Ċ a line end.
    let letters = (0x21..=0x7e_u8).map(|byte| char::from(byte).to_string());
    let others = ["Ġ", "Ċ", "Ã", "ä", "ð", "Ã©", "\"Ã", "\",\"", "\":", "Ġ\"", "{\"", "}}", "]}", "\\u"].map(str::to_owned);
    let mut tokens: Vec<String> = letters.chain(others).collect();
    tokens.push("<|end|>".into());
    let types = tokens.iter().map(|token| if token == "<|end|>" { 3 } else { 1 }).collect();
    let vocab = GgufVocab { model: "gpt2".into(), pre: Some("qwen2".into()), tokens, types, ..GgufVocab::default() };
    Words::new("without continuations", Tokenizer::from_gguf(vocab).unwrap(), "<|end|>")
}

/// Byte-level BPE as `tokenizer.json`: its merges cut characters of several bytes.
pub fn byte_level() -> Words {
    let texts: Vec<String> = (0..60)
        .map(|at| {
            let name = ["red", "reddish", "中文", "😀"][at % 4];
            let value = json!({"name": name, "value": at, "list": [at % 7, "a\n", null, true, {"é": "\u{1}\""}]});
            if at % 2 == 0 { value.to_string() } else { format!("{value:#}") }
        })
        .collect();
    let json = train_bpe(texts.iter(), Parts::Digits, 380, &["<|end|>", "<|im_start|>"]).unwrap();
    Words::new("byte-level", Tokenizer::from_json(json.as_bytes()).unwrap(), "<|end|>")
}

fn tokens() -> Vec<(String, i32)> {
    let specials = [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(token, kind)| (token.to_string(), kind));
    let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let pieces = PIECES.iter().map(|piece| (piece.to_string(), 1));
    // Characters that are pieces and bytes too.
    let letters = "abcdefn\"{}[]:,0123456789".chars().map(|letter| (letter.to_string(), 1));
    specials.into_iter().chain(bytes).chain(pieces).chain(letters).collect()
}

/// SentencePiece out of a GGUF file.
pub fn sentencepiece() -> Words {
    let (tokens, types): (Vec<String>, Vec<i32>) = tokens().into_iter().unzip();
    let scores = (0..tokens.len()).map(|at| -(at as f32)).collect();
    let vocab = GgufVocab { model: "llama".into(), tokens, types, scores, unk: Some(0), eos: Some(2), ..GgufVocab::default() };
    Words::new("sentencepiece", Tokenizer::from_gguf(vocab).unwrap(), "</s>")
}

/// The same as `tokenizer.json`, decoded by the library.
pub fn byte_fallback() -> Words {
    let vocab: Map<_, _> = tokens().into_iter().zip(0..).map(|((token, _), id)| (token, json!(id))).collect();
    let special = |id: u32, token: &str| json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let json = json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": []},
    });
    Words::new("byte fallback", Tokenizer::from_json(json.to_string().as_bytes()).unwrap(), "</s>")
}
