//! What tokens add to a text: joined, the bytes are the text that decoding gives, and no special token has any.

use serde_json::{Value, json};
use tokenizer::{GgufVocab, Tokenizer, TokenizerError};

const TEXTS: [&str; 6] = ["hello", "  two  spaces", "é😀 中文\n\t", "<0x41> <s> x</s>", "a<unk>b", "{\"k\": [1, \"v\"]}"];

/// SentencePiece: special tokens, bytes, pieces.
fn tokens() -> Vec<(String, i32)> {
    let specials = [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(token, kind)| (token.to_owned(), kind));
    let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let pieces = ["▁", "▁▁", "h", "el", "lo", "hello", "▁hello", "é", "中文", "\"▁"].map(|piece| (piece.to_owned(), 1));
    specials.into_iter().chain(bytes).chain(pieces).collect()
}

fn sentencepiece() -> Tokenizer {
    let (tokens, types): (Vec<String>, Vec<i32>) = tokens().into_iter().unzip();
    let scores = vec![0.0; tokens.len()];
    Tokenizer::from_gguf(GgufVocab { model: "llama".into(), tokens, types, scores, unk: Some(0), ..GgufVocab::default() }).unwrap()
}

/// The same vocabulary as `tokenizer.json` with a decoder.
fn library(decoder: Value) -> Tokenizer {
    let vocab: serde_json::Map<_, _> = tokens().into_iter().zip(0..).map(|((token, _), id)| (token, json!(id))).collect();
    let special = |id: u32, token: &str| json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let json = json!({
        "version": "1.0", "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": []},
    });
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

fn llama() -> Value {
    json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]})
}

fn byte_level() -> Tokenizer {
    let json = tokenizer::train_bpe(TEXTS.iter().cycle().take(40), tokenizer::Parts::Digits, 300, &["<|end|>"]).unwrap();
    Tokenizer::from_json(json.as_bytes()).unwrap()
}

#[test]
fn spellings_joined_are_the_text() {
    for (name, tokenizer, stripped) in [
        ("sentencepiece", sentencepiece(), true),
        ("llama", library(llama()), true),
        (
            "metaspace",
            library(
                json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false}]}),
            ),
            false,
        ),
        ("byte-level", byte_level(), false),
    ] {
        let spellings = tokenizer.spellings().unwrap();
        assert_eq!(spellings.len(), tokenizer.vocab_size(), "{name}");
        for id in 0..spellings.len() as u32 {
            assert_eq!(spellings[id as usize].is_none(), tokenizer.is_special(id), "{name}: token {id}");
        }
        for text in TEXTS {
            let ids = tokenizer.encode(text).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| spellings[id as usize].clone().unwrap_or_default()).collect();
            let joined = String::from_utf8(bytes).unwrap();
            let joined = if stripped { joined.strip_prefix(' ').unwrap_or(&joined) } else { &joined };
            assert_eq!(joined, tokenizer.decode(&ids, true).unwrap(), "{name}: {text:?}");
            assert!(joined.ends_with(text), "{name}: {joined:?} of {text:?}");
        }
    }
}

#[test]
fn decoders_that_look_at_neighbours_are_refused() {
    for (decoder, part) in [
        (json!({"type": "WordPiece", "prefix": "##", "cleanup": true}), "WordPiece"),
        (json!({"type": "BPEDecoder", "suffix": "</w>"}), "BPEDecoder"),
        (json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}), "Strip"),
        (Value::Null, "missing"),
    ] {
        let error = library(decoder).spellings().unwrap_err();
        assert!(matches!(&error, TokenizerError::Decode(message) if message.contains(part)), "{error}");
    }
    assert!(Tokenizer::approximate().spellings().is_err());
}

/// Characters that byte tokens write one after the other: until the second is whole, the library shows both as replacement characters.
#[test]
fn characters_of_byte_tokens_come_as_they_are_completed() {
    let tokenizer = library(llama());
    let ids = tokenizer.encode("ü😀é文x").unwrap();
    assert!(ids.len() > 9);
    let mut decoder = tokenizer.decoder();
    let pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id).unwrap()).filter(|piece| !piece.is_empty()).collect();
    assert_eq!(pieces.concat() + &decoder.finish().unwrap(), "ü😀é文x");
    assert!(pieces.len() >= 4, "{pieces:?}");
    // Cut within the second character, the first stays.
    let cut = tokenizer.encode("ü😀").unwrap();
    let mut decoder = tokenizer.decoder();
    let text: String = cut[..cut.len() - 1].iter().map(|&id| decoder.push(id).unwrap()).collect();
    let text = text + &decoder.finish().unwrap();
    assert!(text.starts_with('ü') && text.chars().skip(1).all(|c| c == '\u{fffd}'), "{text:?}");
}
