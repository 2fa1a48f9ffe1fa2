//! What the tests of real models share: where the models are, and just enough GGUF to take a vocabulary out of a file.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::PathBuf;

use tokenizer::{GgufVocab, Tokenizer};

/// A file under `LONGHAND_MODELS`; says so and gives `None` where there is none.
pub fn model_file(name: &str) -> Option<Vec<u8>> {
    let Some(folder) = std::env::var_os("LONGHAND_MODELS") else {
        println!("not run: LONGHAND_MODELS is not set, {name} is not tested");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    let bytes = std::fs::read(&path);
    if bytes.is_err() {
        println!("not run: {} is missing", path.display());
    }
    bytes.ok()
}

/// A fixture of `tests/golden/tokenizer`.
pub fn truth(name: &str) -> serde_json::Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/tokenizer").join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

pub fn qwen3() -> Option<Tokenizer> {
    model_file("qwen3-tokenizer/tokenizer.json").map(|json| Tokenizer::from_json(&json).unwrap())
}

/// A GGUF metadata value.
#[derive(Debug, Clone)]
pub enum Value {
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(N);
        self.0 = rest;
        head.try_into().unwrap()
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let len = self.u64() as usize;
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8(head.to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            0 => Value::Int(self.take::<1>()[0].into()),
            1 => Value::Int((self.take::<1>()[0] as i8).into()),
            7 => Value::Int(self.take::<1>()[0].into()),
            2 => Value::Int(u16::from_le_bytes(self.take()).into()),
            3 => Value::Int(i16::from_le_bytes(self.take()).into()),
            4 => Value::Int(self.u32().into()),
            5 => Value::Int((self.u32() as i32).into()),
            6 => Value::Float(f32::from_le_bytes(self.take()).into()),
            8 => Value::Text(self.text()),
            9 => {
                let (kind, len) = (self.u32(), self.u64());
                Value::List((0..len).map(|_| self.value(kind)).collect())
            }
            10 | 11 => Value::Int(self.u64() as i64),
            12 => Value::Float(f64::from_le_bytes(self.take())),
            _ => panic!("GGUF value type {kind}"),
        }
    }
}

/// The metadata at the front of a GGUF file.
pub fn gguf_metadata(file: &[u8]) -> HashMap<String, Value> {
    let mut reader = Reader(file);
    assert_eq!(&reader.take::<4>(), b"GGUF");
    reader.take::<4>();
    reader.u64();
    let count = reader.u64();
    let mut metadata = HashMap::new();
    for _ in 0..count {
        let key = reader.text();
        let kind = reader.u32();
        metadata.insert(key, reader.value(kind));
    }
    metadata
}

/// The vocabulary in a file's metadata.
pub fn gguf_vocab(metadata: &HashMap<String, Value>) -> GgufVocab {
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}")).cloned();
    let text = |key| match get(key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let int = |key| match get(key) {
        Some(Value::Int(int)) => Some(int),
        _ => None,
    };
    let list = |key| match get(key) {
        Some(Value::List(list)) => list,
        _ => Vec::new(),
    };
    let texts = |key| {
        let text = |value| match value {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        };
        list(key).into_iter().map(text).collect()
    };
    GgufVocab {
        model: text("model").unwrap(),
        pre: text("pre"),
        tokens: texts("tokens"),
        merges: texts("merges"),
        scores: list("scores").into_iter().map(|value| if let Value::Float(score) = value { score as f32 } else { f32::NAN }).collect(),
        types: list("token_type").into_iter().map(|value| if let Value::Int(kind) = value { kind as i32 } else { -1 }).collect(),
        bos: int("bos_token_id").map(|id| id as u32),
        eos: int("eos_token_id").map(|id| id as u32),
        unk: int("unknown_token_id").map(|id| id as u32),
        add_space_prefix: int("add_space_prefix").map(|flag| flag != 0),
    }
}
