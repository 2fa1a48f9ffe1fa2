//! A tokenizer between tokenizer.json with its companions and the keys of a GGUF file.

use model::Checkpoint;
use model::source::{GgufTokenizer, TokenizerMaterial};
use serde_json::{Value, json};
use tokenizer::GgufVocab;

use super::metadata::Keys;
use super::{ExportError, Format, Result};

/// The files of a GGUF file's vocabulary; what cannot be said in them goes to `notes`.
pub(super) fn to_hf(base: &Checkpoint, material: &GgufTokenizer, notes: &mut Vec<String>) -> Vec<(String, Vec<u8>)> {
    let vocab = &material.vocab;
    let mut files = vec![];
    match vocab.clone().to_json() {
        Ok(json) => files.push(("tokenizer.json".to_owned(), json.into_bytes())),
        Err(error) => notes.push(format!("no tokenizer.json was written: {error}. Take the one of the model this file was made from")),
    }
    let token = |id: Option<u32>| id.and_then(|id| vocab.tokens.get(id as usize));
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token(vocab.bos),
        "eos_token": token(vocab.eos),
        "unk_token": token(vocab.unk),
        "pad_token": token(material.padding),
        "clean_up_tokenization_spaces": false,
        "model_max_length": base.config().max_positions,
    });
    if let Some(add_bos) = material.add_bos {
        config["add_bos_token"] = json!(add_bos);
        if add_bos {
            notes.push(
                "texts begin with the BOS token: add_bos_token says so, but a rebuilt tokenizer.json has no rule that adds it".into(),
            );
        }
    }
    if let Some(template) = &material.chat_template {
        config["chat_template"] = json!(template);
    }
    files.push(("tokenizer_config.json".into(), format!("{config:#}\n").into_bytes()));
    files
}

/// The `tokenizer.*` keys of a Hugging Face folder.
pub(super) fn to_gguf(base: &Checkpoint, keys: &mut Keys, notes: &mut Vec<String>) -> Result<()> {
    let TokenizerMaterial::HuggingFace { tokenizer_json: Some(json), tokenizer_config, chat_template } = base.tokenizer() else {
        notes.push("the base has no tokenizer.json: the file has weights and no vocabulary".into());
        keys.text("tokenizer.ggml.model", "none");
        return Ok(());
    };
    let size = base.config().vocab;
    let vocab = GgufVocab::from_json(json.as_slice(), size)
        .map_err(|error| ExportError::unsupported("tokenizer.json", Format::Gguf, error.to_string()))?;
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null);
    let json = parse(json.as_slice());
    let config = tokenizer_config.as_ref().map_or(Value::Null, |bytes| parse(bytes.as_slice()));
    let id_of = |token: &str| vocab.tokens.iter().position(|other| other == token);
    // A token is its text, or an object with it.
    let named = |key: &str| config[key].as_str().or_else(|| config[key]["content"].as_str()).and_then(id_of);

    keys.text("tokenizer.ggml.model", &vocab.model);
    keys.text("tokenizer.ggml.pre", vocab.pre.as_deref().unwrap_or("default"));
    keys.texts("tokenizer.ggml.tokens", &vocab.tokens);
    keys.i32s("tokenizer.ggml.token_type", &vocab.types);
    keys.texts("tokenizer.ggml.merges", &vocab.merges);
    let mut put = |kind: &str, id: Option<usize>| {
        if let Some(id) = id.filter(|&id| id < size) {
            keys.u32(format!("tokenizer.ggml.{kind}_token_id"), id);
        }
    };
    let ends: Vec<usize> = base.config().eos.iter().map(|&id| id as usize).collect();
    let bos = named("bos_token").or(base.config().bos.map(|id| id as usize));
    let eos = named("eos_token").or(ends.first().copied());
    put("bos", bos);
    put("eos", eos);
    put("padding", named("pad_token"));
    put("unknown", named("unk_token"));
    // A model may have several tokens that end a completion; GGUF has names for three.
    let text = |id: usize| vocab.tokens.get(id).map_or("", String::as_str);
    let (eom, others): (Vec<usize>, Vec<usize>) = ends.into_iter().filter(|&id| Some(id) != eos).partition(|&id| text(id).contains("eom"));
    let mut others = others.into_iter();
    put("eot", others.next());
    put("eom", eom.first().copied().or_else(|| others.next()));
    if let Some(id) = others.next() {
        notes.push(format!("token {id} ends completions too, and a GGUF file names three such tokens at most"));
    }
    let adds_bos =
        config["add_bos_token"].as_bool().unwrap_or_else(|| bos.is_some_and(|bos| begins_with(&json["post_processor"], text(bos))));
    keys.flag("tokenizer.ggml.add_bos_token", adds_bos);
    let template = match (chat_template, &config["chat_template"]) {
        (Some(bytes), _) => Some(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        (None, Value::String(text)) => Some(text.clone()),
        // Several by name: the default.
        (None, Value::Array(several)) => {
            several.iter().find(|one| one["name"] == "default").and_then(|one| Some(one["template"].as_str()?.to_owned()))
        }
        _ => None,
    };
    match template {
        Some(template) => keys.text("tokenizer.chat_template", &template),
        None => notes.push("the base has no chat template: the file has none".into()),
    }
    Ok(())
}

/// Whether a post-processor, or one of its steps, puts `token` before a single text.
fn begins_with(post: &Value, token: &str) -> bool {
    let steps = post["processors"].as_array().map_or(std::slice::from_ref(post), Vec::as_slice);
    steps.iter().any(|step| step["type"] == "TemplateProcessing" && step["single"][0]["SpecialToken"]["id"] == token)
}
