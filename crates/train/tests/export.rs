//! Exported models, read back: every weight, every key, the logits; and what cannot be exported.

mod weights;

use std::collections::BTreeMap;
use std::fs;

use kernels::DType;
use kernels::cpu::dequant::dequantize;
use model::source::TokenizerMaterial;
use model::{Checkpoint, Role, RopeScaling};
use safetensors::SafeTensors;
use serde_json::json;
use train::export::quantise::encode;
use train::export::{Card, Export, ExportError, Format, Overrides, Weights, export};
use weights::*;

const F32: [&str; 8] = ["qwen3_moe", "qwen3_moe_fused", "qwen3_moe_v4", "qwen3", "qwen3_odd", "qwen2", "qwen2_odd", "llama"];
const IDS: [u32; 12] = [3, 48, 41, 69, 97, 26, 36, 75, 32, 91, 48, 109];

#[test]
fn a_folder_comes_back_as_it_was() {
    for name in F32.iter().chain(&["qwen3_moe_bf16", "llama_linear", "llama_f16", "gguf_llama", "gguf_qwen2", "gguf_qwen3moe"]) {
        let folder = tempfile::tempdir().unwrap();
        let base = open(golden(name));
        write(Weights::new(&base), Format::Safetensors, DType::F32, folder.path()).unwrap();
        let back = open(folder.path());
        assert_eq!(all_values(&back), all_values(&base), "{name}");
        assert_eq!(back.config().eos, base.config().eos, "{name}");
        let (found, expected) = (back.config(), base.config());
        assert_eq!((found.architecture, &found.moe, found.rms_eps), (expected.architecture, &expected.moe, expected.rms_eps), "{name}");
        // To the bit where the rotary frequencies are said the same way; a GGUF file's divisors are f32.
        let (found, expected) = (logits(&back, &IDS), logits(&base, &IDS));
        if expected.iter().zip(&found).any(|(a, b)| a.to_bits() != b.to_bits()) {
            panic!("{name}: the logits differ by {:e}", distance(&found, &expected));
        }
    }
}

#[test]
fn a_gguf_file_comes_back_as_it_was() {
    for name in F32.iter().filter(|name| **name != "qwen3_moe_v4").chain(&["qwen3_moe_bf16", "llama_linear", "llama_f16", "gguf_llama"]) {
        let folder = tempfile::tempdir().unwrap();
        let base = open(golden(name));
        let written = write(Weights::new(&base), Format::Gguf, DType::F32, &folder.path().join("m.gguf")).unwrap();
        let back = open(&written.files[0]);
        assert_eq!(all_values(&back), all_values(&base), "{name}");
        let (found, expected) = (back.config(), base.config());
        assert_eq!((found.architecture, &found.moe, found.rms_eps), (expected.architecture, &expected.moe, expected.rms_eps), "{name}");
        assert_eq!((found.max_positions, found.rope_theta), (expected.max_positions, expected.rope_theta), "{name}");
        let (frequencies, scale) = found.inv_freq();
        let (expected_frequencies, expected_scale) = expected.inv_freq();
        assert!((scale / expected_scale - 1.0).abs() < 1e-6, "{name}");
        frequencies.iter().zip(&expected_frequencies).for_each(|(f, e)| assert!((f / e - 1.0).abs() < 1e-6, "{name}: {f} {e}"));
        let distance = distance(&logits(&back, &IDS), &logits(&base, &IDS));
        let bound = if matches!(expected.rope, RopeScaling::Default) && expected.rope_factors.is_none() { 0.0 } else { 1e-5 };
        assert!(distance <= bound, "{name}: {distance:e}");
    }
}

#[test]
fn what_is_stored_so_already_is_copied() {
    for name in ["gguf_llama", "gguf_qwen2", "gguf_qwen3moe"] {
        let folder = tempfile::tempdir().unwrap();
        let base = open(golden(name));
        let written = write(Weights::new(&base), Format::Gguf, DType::Q8_0, folder.path()).unwrap();
        let back = open(&written.files[0]);
        let tensors = |checkpoint: &Checkpoint| -> BTreeMap<String, (DType, Vec<usize>, Vec<u8>)> {
            let each = checkpoint
                .tensors()
                .iter()
                .map(|t| (t.name.clone(), (t.dtype, t.shape.clone(), t.bytes.load().unwrap().as_slice().to_vec())));
            each.collect()
        };
        assert_eq!(tensors(&back), tensors(&base), "{name}");
        let (TokenizerMaterial::Gguf(found), TokenizerMaterial::Gguf(expected)) = (back.tokenizer(), base.tokenizer()) else {
            panic!("{name}")
        };
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{name}");
    }
}

#[test]
fn sixteen_bits_round_to_nearest_even() {
    let values = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 1.0 + 1.001 / 256.0, -0.0, 1e-40, 3.0e38];
    let mut bytes = [0; 12];
    assert!(encode(DType::BF16, &values, &mut bytes));
    let halves: Vec<u16> = bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two)).collect();
    assert_eq!(halves, [0x3f80, 0x3f82, 0x3f81, 0x8000, 0x0001, 0x7f62]);
    for (dtype, relative) in [(DType::BF16, 1.0 / 256.0), (DType::F16, 1.0 / 2048.0)] {
        let folder = tempfile::tempdir().unwrap();
        let base = open(golden("qwen3"));
        write(Weights::new(&base), Format::Safetensors, dtype, folder.path()).unwrap();
        let back = open(folder.path());
        assert_eq!(back.config().dtype_hint, Some(dtype));
        for ((role, layer), expected) in all_values(&base) {
            let off = |(a, b): (&f32, &f32)| (a - b).abs() > relative * b.abs().max(1e-4);
            assert!(!values_of(&back, role, layer, dtype).iter().zip(&expected).any(off), "{role:?}");
        }
    }
}

fn values_of(checkpoint: &Checkpoint, role: Role, layer: usize, dtype: DType) -> Vec<f32> {
    assert_eq!(checkpoint.stored(role, layer).unwrap().0, dtype);
    values(checkpoint, role, layer)
}

/// Rows that ggml's own quantisers saw, with the bytes they gave (quantised/make.py).
#[test]
fn quantisers_do_what_ggmls_do() {
    let file = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/quantised/ggml.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let x: Vec<f32> = file.tensor("x").unwrap().data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    for (dtype, same_at_least) in [(DType::Q8_0, 1.0), (DType::Q4_K, 0.8), (DType::Q6_K, 0.8)] {
        let theirs = file.tensor(&dtype.name().to_uppercase()).unwrap();
        let row_bytes = dtype.row_bytes(512).unwrap();
        let (mut same, mut blocks) = (0, 0);
        for (number, (row, theirs)) in x.chunks_exact(512).zip(theirs.data().chunks_exact(row_bytes.next_multiple_of(4))).enumerate() {
            let mut ours = vec![0; row_bytes];
            assert!(encode(dtype, row, &mut ours));
            let block = dtype.block_bytes();
            blocks += row_bytes / block;
            same += ours.chunks_exact(block).zip(theirs.chunks_exact(block)).filter(|(a, b)| a == b).count();
            let error = |bytes: &[u8]| {
                let mut back = vec![0.0; 512];
                dequantize(dtype, bytes, &mut back).unwrap();
                row.iter().zip(back).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
            };
            let (ours_off, theirs_off) = (error(&ours), error(&theirs[..row_bytes]));
            assert!(ours_off <= theirs_off * 1.002, "{}: {ours_off} for ggml's {theirs_off}", dtype.name());
            if number >= 4 {
                continue; // one large value is most of the error of the others: a fault in small ones does not show
            }
            // What the comparison is for: a scale off by a hundredth, or nibbles in the wrong order, are no quantiser.
            let mut faulty = ours.clone();
            let scale = if dtype == DType::Q6_K { 208 } else { 0 };
            faulty.chunks_exact_mut(block).for_each(|block| {
                let larger = bumped([block[scale], block[scale + 1]]);
                block[scale..scale + 2].copy_from_slice(&larger);
            });
            assert!(error(&faulty) > theirs_off * 1.002, "{}: a wrong scale is accepted", dtype.name());
            let mut turned = ours.clone();
            let quants = if dtype == DType::Q4_K { 16..144 } else { 2..34 };
            turned.chunks_exact_mut(block).for_each(|block| block[quants.clone()].reverse());
            assert!(error(&turned) > theirs_off * 1.002, "{}: quants in the wrong order are accepted", dtype.name());
        }
        assert!(same as f64 >= same_at_least * blocks as f64, "{}: {same} of {blocks} blocks are ggml's", dtype.name());
        println!("{}: {same} of {blocks} blocks are ggml's to the bit", dtype.name());
    }
}

/// An f16 some hundredths larger.
fn bumped(bytes: [u8; 2]) -> [u8; 2] {
    half::f16::from_f32(half::f16::from_le_bytes(bytes).to_f32() * 1.05).to_le_bytes()
}

#[test]
fn hostile_rows_are_quantised_or_refused_and_never_panic() {
    let rows: [&dyn Fn(usize) -> f32; 8] = [
        &|_| 0.0,
        &|_| -0.0,
        &|i| if i == 5 { 1e-38 } else { 0.0 },
        &|i| if i % 2 == 0 { f32::MIN_POSITIVE / 4.0 } else { -f32::MIN_POSITIVE },
        &|i| if i == 0 { f32::MAX } else { f32::MIN },
        &|i| [f32::NAN, f32::INFINITY, 1.0][i % 3],
        &|_| 1.0,
        &|i| (i as f32 - 128.0) * 1e7,
    ];
    for row in rows {
        let values: Vec<f32> = (0..256).map(row).collect();
        for dtype in train::export::quantise::WRITABLE {
            let mut bytes = vec![0xff; dtype.row_bytes(256).unwrap()];
            assert!(encode(dtype, &values, &mut bytes));
        }
    }
    assert!(!encode(DType::Q4_K, &[0.0; 32], &mut [0; 18]));
    assert!(!encode(DType::Q5_K, &[0.0; 256], &mut [0; 176]));
}

#[test]
fn q4_k_is_llama_cpps_mix() {
    let folder = tempfile::tempdir().unwrap();
    random_llama(folder.path(), 256, 320, 8, json!({}));
    let base = open(folder.path());
    let written = write(Weights::new(&base), Format::Gguf, DType::Q4_K, &folder.path().join("m.gguf")).unwrap();
    let back = open(&written.files[0]);
    let stored = |role: Role, layer: usize| back.stored(role, layer).unwrap().0;
    // As llama_model_quantize gave them for a model of this shape (llama.cpp of llama-cpp-python 0.3.36), but for the fallback.
    for layer in 0..8 {
        assert_eq!(stored(Role::Q, layer), DType::Q4_K);
        assert_eq!(stored(Role::V, layer), if [0, 3, 6, 7].contains(&layer) { DType::Q6_K } else { DType::Q4_K }, "layer {layer}");
        assert_eq!(stored(Role::Down, layer), DType::Q8_0);
        assert_eq!(stored(Role::AttentionNorm, layer), DType::F32);
    }
    assert_eq!((stored(Role::Embedding, 0), stored(Role::OutputHead, 0)), (DType::Q4_K, DType::Q6_K));
    assert!(written.notes.iter().any(|note| note.contains("rows of 320 weights") && note.contains("q8_0")), "{:?}", written.notes);
    for (role, layer) in places(base.config()) {
        let distance = distance(&values(&back, role, layer), &values(&base, role, layer));
        let bound = match stored(role, layer) {
            DType::Q4_K => 0.09,
            DType::Q6_K => 0.02,
            DType::Q8_0 => 0.006,
            _ => 0.0,
        };
        assert!(distance <= bound, "{role:?} of layer {layer}: {distance}");
    }
}

#[test]
fn biases_of_a_llama_are_interleaved_too() {
    let folder = tempfile::tempdir().unwrap();
    random_llama(folder.path(), 32, 24, 2, json!({"attention_bias": true}));
    let base = open(folder.path());
    let written = write(Weights::new(&base), Format::Gguf, DType::F32, &folder.path().join("m.gguf")).unwrap();
    let back = open(&written.files[0]);
    assert_eq!(all_values(&back), all_values(&base));
    // In the file the second value of a head is the first of its second half.
    let stored = back.tensors().iter().find(|tensor| tensor.name == "blk.0.attn_q.bias").unwrap();
    let stored: Vec<f32> = stored.bytes.load().unwrap().as_slice().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
    let expected = values(&base, Role::QBias, 0);
    assert_eq!((stored[0], stored[1], stored[2]), (expected[0], expected[4], expected[1]));
}

#[test]
fn values_take_the_bases_place() {
    let base = open(golden("qwen3_moe"));
    let mut mine: BTreeMap<(Role, usize), Vec<f32>> = BTreeMap::new();
    for place in [(Role::Q, 1), (Role::ExpertDown, 0), (Role::FinalNorm, 0)] {
        mine.insert(place, random(9, values(&base, place.0, place.1).len()));
    }
    for (to, out) in [(Format::Safetensors, "folder"), (Format::Gguf, "m.gguf")] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join(out);
        write(Weights::new(&base).with_overrides(&mine), to, DType::F32, &out).unwrap();
        let mut expected = all_values(&base);
        expected.extend(mine.clone());
        assert_eq!(all_values(&open(&out)), expected);
    }
    let folder = tempfile::tempdir().unwrap();
    mine.insert((Role::K, 0), vec![0.0; 7]);
    let refused = write(Weights::new(&base).with_overrides(&mine), Format::Gguf, DType::F32, folder.path()).unwrap_err();
    assert!(matches!(refused, ExportError::Size { found: 7, .. }), "{refused}");
    struct Broken;
    impl Overrides for Broken {
        fn values(&self, _: Role, _: usize) -> Result<Option<std::borrow::Cow<'_, [f32]>>, Box<dyn std::error::Error + Send + Sync>> {
            Err("the checkpoint is gone".into())
        }
    }
    let refused = write(Weights::new(&base).with_overrides(&Broken), Format::Gguf, DType::F32, folder.path()).unwrap_err();
    assert!(refused.to_string().contains("the checkpoint is gone"), "{refused}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a failed export leaves nothing");
}

#[test]
fn a_vocabulary_goes_to_tokenizer_json_and_back() {
    let base = open(golden("gguf_llama"));
    let folder = tempfile::tempdir().unwrap();
    write(Weights::new(&base), Format::Safetensors, DType::F32, &folder.path().join("hf")).unwrap();
    let hf = open(folder.path().join("hf"));
    let (TokenizerMaterial::Gguf(material), TokenizerMaterial::HuggingFace { tokenizer_json: Some(json), .. }) =
        (base.tokenizer(), hf.tokenizer())
    else {
        panic!("no tokenizer")
    };
    let (theirs, ours) =
        (tokenizer::Tokenizer::from_gguf(material.vocab.clone()).unwrap(), tokenizer::Tokenizer::from_json(json.as_slice()).unwrap());
    for text in ["", " the  matter in hand\n\n12 345", "l'été <|im_end|> 汉字", "<|im_start|>user\nThe ether<|im_end|>\n"] {
        assert_eq!(ours.encode(text), theirs.encode(text));
        assert_eq!(ours.encode_with_specials(text), theirs.encode_with_specials(text));
    }
    write(Weights::new(&hf), Format::Gguf, DType::F32, &folder.path().join("m.gguf")).unwrap();
    let back = open(folder.path().join("m.gguf"));
    let TokenizerMaterial::Gguf(back) = back.tokenizer() else { panic!("no vocabulary") };
    let all = |vocab: &tokenizer::GgufVocab| {
        (vocab.tokens.clone(), vocab.merges.clone(), vocab.types.clone(), vocab.pre.clone(), vocab.bos, vocab.eos)
    };
    assert_eq!(all(&back.vocab), all(&material.vocab));
    assert_eq!(back.add_bos, material.add_bos);
}

#[test]
fn what_cannot_be_exported_is_refused_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, to: Format, dtype: DType, words: &str| {
        let base = open(golden(name));
        let out = folder.path().join("refused");
        let error = write(Weights::new(&base), to, dtype, &out).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!out.join("model.safetensors").exists() && fs::read_dir(&out).is_err(), "something was written");
    };
    refused("qwen3", Format::Safetensors, DType::Q8_0, "or export to GGUF");
    refused("qwen3", Format::Gguf, DType::Q5_K, "choose bf16");
    refused("qwen3_moe_v4", Format::Gguf, DType::F32, "some of its layers are dense");

    let base = open(golden("qwen3"));
    let taken = folder.path().join("taken.gguf");
    fs::write(&taken, "mine").unwrap();
    assert!(matches!(write(Weights::new(&base), Format::Gguf, DType::F32, &taken), Err(ExportError::Exists(_))));
    assert!(matches!(write(Weights::new(&base), Format::Safetensors, DType::F32, folder.path()), Err(ExportError::Exists(_))));
    assert_eq!(fs::read(&taken).unwrap(), b"mine");

    let mut mine = BTreeMap::from([((Role::Up, 0), values(&base, Role::Up, 0))]);
    for (value, dtype, words) in
        [(f32::NAN, DType::F32, "NaN"), (1e6, DType::F16, "too large for f16"), (1e30, DType::Q8_0, "too large for q8_0")]
    {
        mine.get_mut(&(Role::Up, 0)).unwrap()[70] = value;
        let out = folder.path().join("damaged.gguf");
        let error = write(Weights::new(&base).with_overrides(&mine), Format::Gguf, dtype, &out).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("layers.0.mlp.up_proj"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a failed export leaves nothing");
    }
}

#[test]
fn the_card_says_what_it_is_and_replaces_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let base = open(golden("gguf_llama"));
    let card = Card {
        base: "owner/base".into(),
        licence: Some("apache-2.0".into()),
        training: vec!["Stage sft, 12 steps".into()],
        ..Card::default()
    };
    let make = |out: &str| {
        let out = folder.path().join(out);
        let weights = Weights::new(&base);
        let mut heard = (0, 0);
        let job = Export { weights, to: Format::Gguf, dtype: DType::Q4_K, out: &out, name: "Mine <b>", card: card.clone() };
        let written = export(&job, |done, total| heard = (done, total)).unwrap();
        assert_eq!(heard.0, heard.1);
        written
    };
    let first = make("one.gguf");
    let text = fs::read_to_string(folder.path().join("README.md")).unwrap();
    let print = train::adapter::fingerprint(&base).unwrap();
    for words in [
        "license: \"apache-2.0\"",
        "base_model: \"owner/base\"",
        "base_model_relation: finetune",
        "Stage sft, 12 steps",
        &print,
        "| q8_0 |",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(!text.contains("<b>"));
    assert_eq!(first.files.last().unwrap().file_name().unwrap(), "README.md");
    let second = make("two.gguf");
    assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), text);
    assert_eq!(second.files.last().unwrap().file_name().unwrap(), "two.README.md");
    assert!(second.notes.iter().any(|note| note.contains("two.README.md")), "{:?}", second.notes);
}
