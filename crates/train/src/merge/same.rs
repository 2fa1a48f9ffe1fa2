//! Whether models can be merged at all: one architecture, one shape, one vocabulary.

use std::collections::BTreeMap;

use model::source::{Origin, TokenizerMaterial};
use model::{Checkpoint, ModelConfig, Role};
use serde_json::Value;

use super::{MergeError, Result, Source};

/// Errors unless every model has the base's tensors and tokens. Returned: what a person should know of what differs all the same.
pub fn check(base: &Source, models: &[Source]) -> Result<Vec<String>> {
    let mut notes = vec![];
    for source in std::iter::once(base).chain(models) {
        let checkpoint = source.weights.base();
        if matches!(checkpoint.origin(), Origin::Gguf(_)) {
            return Err(MergeError::Gguf(checkpoint.name().into()));
        }
    }
    for model in models {
        shapes(base, model)?;
        settings(base, model, &mut notes)?;
        tokenizers(base, model, &mut notes)?;
    }
    Ok(notes)
}

fn shapes(base: &Source, model: &Source) -> Result<()> {
    let (ours, theirs) = (base.weights.base().config(), model.weights.base().config());
    let (base, model) = (base.name.clone(), model.name.clone());
    if ours.architecture != theirs.architecture {
        let (found, expected) = (theirs.architecture.hf_name(), ours.architecture.hf_name());
        return Err(MergeError::Architecture { model, found, base, expected });
    }
    let shape = |config: &ModelConfig, role: Role, layer: usize| {
        let has = (role.is_global() || layer < config.layers) && role.exists(config, layer);
        has.then(|| role.shape(config))
    };
    let layers = (0..ours.layers.max(theirs.layers)).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    for (role, layer) in Role::GLOBAL.into_iter().map(|role| (role, 0)).chain(layers) {
        let tensor = role.canonical(layer);
        match (shape(theirs, role, layer), shape(ours, role, layer)) {
            (Some(found), Some(expected)) if found != expected => return Err(MergeError::Shape { tensor, found, model, expected, base }),
            (Some(shape), None) => return Err(MergeError::Missing { tensor, shape, has: model, lacks: base }),
            (None, Some(shape)) => return Err(MergeError::Missing { tensor, shape, has: base, lacks: model }),
            _ => {}
        }
    }
    Ok(())
}

/// What shapes do not show. Heads of another width make weights mean something else; the rest is the base's and noted.
fn settings(base: &Source, model: &Source, notes: &mut Vec<String>) -> Result<()> {
    let (ours, theirs) = (base.weights.base().config(), model.weights.base().config());
    let heads = |config: &ModelConfig| (config.heads, config.kv_heads, config.head_dim);
    let ((q, kv, width), (base_q, base_kv, base_width)) = (heads(theirs), heads(ours));
    if (q, kv, width) != (base_q, base_kv, base_width) {
        let (model, base) = (&model.name, &base.name);
        return Err(MergeError::Settings(format!(
            "{model} has {q} heads ({kv} of keys and values) of width {width}, {base} {base_q} ({base_kv}) of {base_width}: only models of one shape can be merged"
        )));
    }
    let mut differs = |what: &str, theirs: String, ours: String| {
        if theirs != ours {
            notes.push(format!("{what} of {} is {theirs}; the base's stays: {ours}", model.name));
        }
    };
    differs("RoPE's base", theirs.rope_theta.to_string(), ours.rope_theta.to_string());
    differs("RoPE's scaling", format!("{:?}", theirs.rope), format!("{:?}", ours.rope));
    differs("the norms' epsilon", theirs.rms_eps.to_string(), ours.rms_eps.to_string());
    if let (Some(theirs), Some(ours)) = (&theirs.moe, &ours.moe) {
        differs("the number of experts for a token", theirs.top_k.to_string(), ours.top_k.to_string());
        differs("norm_topk_prob", theirs.renormalise.to_string(), ours.renormalise.to_string());
    }
    Ok(())
}

fn tokenizers(base: &Source, model: &Source, notes: &mut Vec<String>) -> Result<()> {
    let (Some(ours), Some(theirs)) = (tokenizer_json(base.weights.base()), tokenizer_json(model.weights.base())) else {
        let lacking = [base, model].into_iter().filter(|source| tokenizer_json(source.weights.base()).is_none());
        let names: Vec<&str> = lacking.map(|source| source.name.as_str()).collect();
        notes.push(format!("no tokenizer.json in {}: whether the tokens are the same was not checked", names.join(" and ")));
        return Ok(());
    };
    if ours == theirs {
        return Ok(());
    }
    let parse = |source: &Source, bytes: &[u8]| {
        serde_json::from_slice::<Value>(bytes)
            .map_err(|error| MergeError::Settings(format!("tokenizer.json of {} cannot be read: {error}", source.name)))
    };
    let (ours, theirs) = (parse(base, ours)?, parse(model, theirs)?);
    let (model, base) = (model.name.clone(), base.name.clone());
    if let Some((id, found, expected)) = first_token(&tokens(&theirs), &tokens(&ours)) {
        return Err(MergeError::Token { id, found, model, expected, base });
    }
    if let Some((number, found, expected)) = first_rule(&theirs, &ours) {
        return Err(MergeError::Rule { number, found, model, expected, base });
    }
    if ours != theirs {
        notes.push(format!("tokenizer.json of {model} has the base's tokens and rules, and differs elsewhere: the base's is written"));
    }
    Ok(())
}

fn tokenizer_json(checkpoint: &Checkpoint) -> Option<&[u8]> {
    match checkpoint.tokenizer() {
        TokenizerMaterial::HuggingFace { tokenizer_json: Some(bytes), .. } => Some(bytes.as_slice()),
        _ => None,
    }
}

/// Tokens by id: the vocabulary's ({token: id}, or [[token, score]] in order) and the added ones.
fn tokens(json: &Value) -> BTreeMap<u64, &str> {
    let mut tokens = BTreeMap::new();
    match &json["model"]["vocab"] {
        Value::Object(vocab) => tokens.extend(vocab.iter().filter_map(|(token, id)| Some((id.as_u64()?, token.as_str())))),
        Value::Array(vocab) => tokens.extend((0..).zip(vocab).filter_map(|(id, token)| Some((id, token[0].as_str()?)))),
        _ => {}
    }
    let added = json["added_tokens"].as_array().into_iter().flatten();
    tokens.extend(added.filter_map(|token| Some((token["id"].as_u64()?, token["content"].as_str()?))));
    tokens
}

/// The first id with another token: (id, theirs, ours).
fn first_token(theirs: &BTreeMap<u64, &str>, ours: &BTreeMap<u64, &str>) -> Option<(u64, String, String)> {
    let shown = |token: Option<&&str>| token.map_or("nothing".to_owned(), |token| format!("{token:?}"));
    let mut ids: Vec<&u64> = theirs.keys().chain(ours.keys()).collect();
    ids.sort();
    let id = ids.into_iter().find(|id| theirs.get(id) != ours.get(id))?;
    Some((*id, shown(theirs.get(id)), shown(ours.get(id))))
}

/// The first merge rule that differs: (number, theirs, ours). A rule is "a b" or ["a", "b"].
fn first_rule(theirs: &Value, ours: &Value) -> Option<(usize, String, String)> {
    let rules = |json: &Value| -> Vec<String> {
        let rule = |rule: &Value| match rule.as_array() {
            Some(parts) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            None => rule.as_str().unwrap_or_default().to_owned(),
        };
        json["model"]["merges"].as_array().into_iter().flatten().map(rule).collect()
    };
    let (theirs, ours) = (rules(theirs), rules(ours));
    let number = (0..theirs.len().max(ours.len())).find(|&number| theirs.get(number) != ours.get(number))?;
    let shown = |rule: Option<&String>| rule.map_or("missing".to_owned(), |rule| format!("{rule:?}"));
    Some((number, shown(theirs.get(number)), shown(ours.get(number))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_token_that_differs_is_named() {
        let base = json!({"model": {"vocab": {"a": 0, "b": 1, "c": 2}}, "added_tokens": [{"id": 3, "content": "<end>"}]});
        let other = json!({"model": {"vocab": {"a": 0, "c": 1, "b": 2}}, "added_tokens": [{"id": 3, "content": "<end>"}]});
        assert_eq!(first_token(&tokens(&other), &tokens(&base)), Some((1, "\"c\"".into(), "\"b\"".into())));
        let longer = json!({"model": {"vocab": [["a", -1.0], ["b", -2.0], ["c", -3.0]]}, "added_tokens": [{"id": 3, "content": "<end>"}, {"id": 9, "content": "<more>"}]});
        assert_eq!(first_token(&tokens(&longer), &tokens(&base)), Some((9, "\"<more>\"".into(), "nothing".into())));
        assert_eq!(first_token(&tokens(&base), &tokens(&base)), None);
    }

    #[test]
    fn rules_are_the_same_in_either_form() {
        let words = json!({"model": {"merges": ["a b", "ab c"]}});
        let pairs = json!({"model": {"merges": [["a", "b"], ["ab", "c"]]}});
        assert_eq!(first_rule(&words, &pairs), None);
        let other = json!({"model": {"merges": ["a b"]}});
        assert_eq!(first_rule(&other, &pairs), Some((1, "missing".into(), "\"ab c\"".into())));
    }
}
