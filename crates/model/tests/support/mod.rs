//! A writer of small GGUF and safetensors files, and mutations of bytes.
#![allow(dead_code)]

use kernels::DType;
use proptest::prelude::*;

/// name, dimensions innermost first, type, offset, bytes
pub type Written = (String, Vec<u64>, u32, u64, Vec<u8>);

/// A GGUF file in the making; fields are free to be wrong.
pub struct GgufWriter {
    pub version: u32,
    pub keys: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<Written>,
    pub alignment: usize,
}

pub fn text(value: &str) -> Vec<u8> {
    [8u32.to_le_bytes().to_vec(), (value.len() as u64).to_le_bytes().to_vec(), value.into()].concat()
}

pub fn u32_value(value: u32) -> Vec<u8> {
    [4u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub fn f32_value(value: f32) -> Vec<u8> {
    [6u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub fn texts(values: &[&str]) -> Vec<u8> {
    let mut bytes = [9u32.to_le_bytes(), 8u32.to_le_bytes()].concat();
    bytes.extend((values.len() as u64).to_le_bytes());
    values.iter().for_each(|value| bytes.extend_from_slice(&text(value)[4..]));
    bytes
}

impl GgufWriter {
    /// A Llama of one layer, hidden 8, one head, f32.
    pub fn llama() -> Self {
        let mut writer = Self { version: 3, keys: vec![], tensors: vec![], alignment: 32 };
        writer.key("general.architecture", text("llama"));
        for (key, value) in [
            ("embedding_length", 8),
            ("block_count", 1),
            ("attention.head_count", 1),
            ("attention.head_count_kv", 1),
            ("feed_forward_length", 4),
            ("context_length", 64),
        ] {
            writer.key(&format!("llama.{key}"), u32_value(value));
        }
        writer.key("llama.attention.layer_norm_rms_epsilon", f32_value(1e-5));
        writer.key("llama.rope.freq_base", f32_value(1e4));
        writer.key("tokenizer.ggml.model", text("gpt2"));
        writer.key("tokenizer.ggml.tokens", texts(&["a", "b", "ab"]));
        writer.key("tokenizer.ggml.merges", texts(&["a b"]));
        writer.key("tokenizer.ggml.eos_token_id", u32_value(2));
        for (name, shape) in [
            ("token_embd.weight", vec![3, 8]),
            ("output_norm.weight", vec![8]),
            ("blk.0.attn_norm.weight", vec![8]),
            ("blk.0.attn_q.weight", vec![8, 8]),
            ("blk.0.attn_k.weight", vec![8, 8]),
            ("blk.0.attn_v.weight", vec![8, 8]),
            ("blk.0.attn_output.weight", vec![8, 8]),
            ("blk.0.ffn_norm.weight", vec![8]),
            ("blk.0.ffn_gate.weight", vec![4, 8]),
            ("blk.0.ffn_up.weight", vec![4, 8]),
            ("blk.0.ffn_down.weight", vec![8, 4]),
        ] {
            writer.tensor(name, &shape);
        }
        writer
    }

    pub fn key(&mut self, key: &str, value: Vec<u8>) {
        self.keys.retain(|(other, _)| other != key);
        self.keys.push((key.into(), value));
    }

    /// An f32 tensor after the others, each element its row-major number.
    pub fn tensor(&mut self, name: &str, shape: &[u64]) {
        let end = self.tensors.last().map_or(0, |last| last.3 as usize + last.4.len());
        let offset = end.next_multiple_of(self.alignment) as u64;
        let bytes = (0..shape.iter().product::<u64>()).flat_map(|value| (value as f32).to_le_bytes()).collect();
        self.tensors.push((name.into(), shape.iter().rev().copied().collect(), 0, offset, bytes));
    }

    pub fn find(&mut self, name: &str) -> &mut Written {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            out.extend_from_slice(&text(key)[4..]);
            out.extend_from_slice(value);
        }
        for (name, dimensions, kind, offset, _) in &self.tensors {
            out.extend_from_slice(&text(name)[4..]);
            out.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|side| out.extend(side.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        let start = out.len().next_multiple_of(self.alignment);
        for (_, _, _, offset, bytes) in &self.tensors {
            let from = start.saturating_add(*offset as usize);
            if from < 1 << 20 {
                out.resize(out.len().max(from + bytes.len()), 0);
                out[from..from + bytes.len()].copy_from_slice(bytes);
            }
        }
        out
    }
}

/// A safetensors file of f32 tensors counting from 0.
pub fn safetensors_file(tensors: &[(&str, Vec<usize>)]) -> Vec<u8> {
    let values: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| (0..shape.iter().product::<usize>()).flat_map(|value| (value as f32).to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&values).map(|((name, shape), bytes)| {
        (*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// One change to a file.
#[derive(Clone, Debug)]
pub enum Mutation {
    Flip(prop::sample::Index, u8),
    Word(prop::sample::Index, u64),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

/// Changes that parsers stumble over: flipped bits, lengths near the limits of integers, lost and repeated runs.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<prop::sample::Index>;
    let word = prop_oneof![
        any::<u64>(),
        prop::sample::select(vec![
            0,
            1,
            7,
            255,
            1 << 16,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            1 << 60,
            1 << 62,
            1 << 63,
            u64::MAX - 7,
            u64::MAX
        ]),
    ];
    let one = prop_oneof![
        4 => (at(), 1u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        3 => (at(), word).prop_map(|(at, word)| Mutation::Word(at, word)),
        1 => at().prop_map(Mutation::Cut),
        1 => (at(), 1usize..64).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (at(), 1usize..64).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ];
    prop::collection::vec(one, 1..4)
}

/// Applies mutations within the first `reach` bytes, where the headers are (cuts: anywhere).
pub fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation], reach: usize) -> Vec<u8> {
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let reach = reach.min(bytes.len());
        match mutation {
            Mutation::Flip(at, bits) => bytes[at.index(reach)] ^= bits,
            Mutation::Word(at, word) => {
                let at = at.index(reach);
                let length = 8.min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&word.to_le_bytes()[..length]);
            }
            Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Remove(at, length) => {
                let at = at.index(reach);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Mutation::Repeat(at, length) => {
                let at = at.index(reach);
                let run = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, run);
            }
        }
    }
    bytes
}

/// Every weight format, for tables.
pub fn plain(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}
