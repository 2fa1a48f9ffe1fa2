//! Real vocabularies against Transformers (Qwen3) and llama.cpp (SmolLM2, Qwen2.5-Coder).

mod common;

use common::{gguf_metadata, gguf_vocab, model_file, qwen3, truth};
use data::{Message, Role};
use serde_json::Value;
use tokenizer::{ChatTemplate, GgufVocab, TemplateOptions, Tokenizer};

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The texts whose ids differ from the truth's.
fn differences(tokenizer: &Tokenizer, truth: &Value) -> Vec<String> {
    let samples = truth["samples"].as_array().unwrap();
    assert!(samples.len() > 50);
    let mut wrong = Vec::new();
    for sample in samples {
        let text = sample["text"].as_str().unwrap();
        let want = ids(&sample["ids"]);
        let got = tokenizer.encode_with_specials(text).unwrap();
        let decoded = tokenizer.decode(&want, false).unwrap();
        let mut decoder = tokenizer.decoder();
        let mut streamed: String = want.iter().map(|&id| decoder.push(id).unwrap()).collect();
        streamed.push_str(&decoder.finish().unwrap());
        assert_eq!(streamed, tokenizer.decode(&want, true).unwrap());
        if got != want || decoded != sample["decoded"].as_str().unwrap() {
            wrong.push(format!("{text:?}: {got:?} instead of {want:?}, decoded {decoded:?}"));
        }
    }
    wrong
}

fn gguf(name: &str) -> Option<GgufVocab> {
    Some(gguf_vocab(&gguf_metadata(&model_file(name)?)))
}

#[test]
fn qwen3_ids_are_those_of_transformers() {
    let Some(tokenizer) = qwen3() else { return };
    assert_eq!(differences(&tokenizer, &truth("qwen3.json")), Vec::<String>::new());
    assert_eq!(tokenizer.vocab_size(), 151_669);
    // Planted fault: two merges change places.
    let mut json: Value = serde_json::from_slice(&model_file("qwen3-tokenizer/tokenizer.json").unwrap()).unwrap();
    json["model"]["merges"].as_array_mut().unwrap().swap(0, 500);
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert!(!differences(&tokenizer, &truth("qwen3.json")).is_empty());
}

#[test]
fn every_pre_tokenizer_splits_as_in_llama_cpp() {
    let Some(vocab) = gguf("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let truth = truth("pre.json");
    for (pre, samples) in truth.as_object().unwrap() {
        let tokenizer = Tokenizer::from_gguf(GgufVocab { pre: Some(pre.clone()), ..vocab.clone() }).unwrap();
        for sample in samples.as_array().unwrap() {
            let text = sample["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode_with_specials(text).unwrap(), ids(&sample["ids"]), "{pre}: {text:?}");
        }
    }
}

#[test]
fn smollm2_ids_are_those_of_llama_cpp() {
    let Some(mut vocab) = gguf("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let truth = truth("smollm2.json");
    let tokenizer = Tokenizer::from_gguf(vocab.clone()).unwrap();
    assert_eq!(differences(&tokenizer, &truth), Vec::<String>::new());
    // Planted fault: two merges change places, and the comparison must see it.
    vocab.merges.swap(0, 500);
    assert!(!differences(&Tokenizer::from_gguf(vocab).unwrap(), &truth).is_empty());
}

#[test]
fn qwen2_ids_are_those_of_llama_cpp() {
    let Some(mut vocab) = gguf("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf") else { return };
    let truth = truth("qwen2.5-coder.json");
    assert_eq!(differences(&Tokenizer::from_gguf(vocab.clone()).unwrap(), &truth), Vec::<String>::new());
    // Planted fault: another rule for splitting.
    vocab.pre = Some("gpt-2".into());
    assert!(!differences(&Tokenizer::from_gguf(vocab).unwrap(), &truth).is_empty());
}

#[test]
fn qwen3_chats_are_those_of_transformers() {
    let Some(tokenizer) = qwen3() else { return };
    let Some(config) = model_file("qwen3-tokenizer/tokenizer_config.json") else { return };
    let config: Value = serde_json::from_slice(&config).unwrap();
    let template = ChatTemplate::new(config["chat_template"].as_str().unwrap(), None, config["eos_token"].as_str()).unwrap();
    let truth = truth("qwen3.json");
    let mut rendered = 0;
    for chat in truth["chats"].as_array().unwrap() {
        // Our messages have no tools and keep thinking inside the content.
        let plain = |turn: &Value| turn.as_object().unwrap().len() == 2 && turn["role"] != "tool";
        if chat["options"].get("tools").is_some() || !chat["messages"].as_array().unwrap().iter().all(plain) {
            continue;
        }
        let messages: Vec<Message> = serde_json::from_value(chat["messages"].clone()).unwrap();
        let option = |name| chat["options"].get(name).and_then(Value::as_bool);
        let options = TemplateOptions {
            add_generation_prompt: option("add_generation_prompt").unwrap_or(false),
            enable_thinking: option("enable_thinking"),
        };
        let text = template.render(&messages, &options).unwrap();
        assert_eq!(text, chat["text"].as_str().unwrap());
        assert_eq!(tokenizer.encode_with_specials(&text).unwrap(), ids(&chat["ids"]));
        let guarded = template.encode(&tokenizer, &messages, &options).unwrap();
        if messages.iter().any(|turn| turn.content.contains("<|im_end|>")) {
            assert_eq!(guarded.len(), ids(&chat["ids"]).len() - 1 + tokenizer.count("<|im_end|>").unwrap());
            assert_eq!(tokenizer.decode(&guarded, false).unwrap(), text);
        } else {
            assert_eq!(guarded, ids(&chat["ids"]));
        }
        rendered += 1;
    }
    assert!(rendered >= 12, "{rendered}");
}

#[test]
fn templates_in_gguf_files_render() {
    let messages = [Message { role: Role::User, content: "What does page 3 say?".into() }];
    let options = TemplateOptions { add_generation_prompt: true, enable_thinking: None };
    for (file, system) in [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        ("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    ] {
        let Some(file) = model_file(file) else { continue };
        let common::Value::Text(source) = gguf_metadata(&file)["tokenizer.chat_template"].clone() else { panic!() };
        let text = ChatTemplate::new(&source, None, Some("<|im_end|>")).unwrap().render(&messages, &options).unwrap();
        assert_eq!(
            text,
            format!("<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nWhat does page 3 say?<|im_end|>\n<|im_start|>assistant\n")
        );
    }
}
