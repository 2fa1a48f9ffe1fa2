//! Replies held to a schema: always JSON of it, whatever the weights, the schema, the vocabulary and the seed.

#[path = "constrain/schemas.rs"]
mod schemas;
#[path = "constrain/validator.rs"]
mod validator;
#[path = "constrain/vocabularies.rs"]
mod vocabularies;

use std::path::Path;
use std::sync::Arc;

use data::{Sampling, StopReason};
use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::gpu::GpuOptions;
use kernels::{DType, Device, Precision};
use model::random::RandomWeights;
use model::{Checkpoint, Constraint, Engine, EngineSettings, Generated, Model, Request, Vocabulary};
use schemas::Random;
use serde_json::{Value, json};
use vocabularies::Words;

const WINDOW: usize = 512;

fn cpu() -> Device {
    Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2))
}

fn gpu() -> Option<Device> {
    match pollster::block_on(Device::gpu(&GpuOptions { precision: Precision::Exact, ..Default::default() })) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => panic!("REQUIRE_GPU is set: {error}"),
        Err(error) => {
            println!("not run: {error}");
            None
        }
    }
}

/// Random weights with as many tokens as a vocabulary has.
fn model(words: &Words, device: Device) -> Arc<Model> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/qwen3");
    let config = model::ModelConfig { vocab: words.width, eos: vec![words.stop], ..Checkpoint::open(&path).unwrap().config().clone() };
    Arc::new(Model::load(&RandomWeights::new(config, DType::F32, 5).unwrap(), device, WINDOW, |_, _| {}).unwrap())
}

fn engine(model: &Arc<Model>, max_sequences: usize) -> Engine {
    let settings = EngineSettings {
        cache_positions: max_sequences * WINDOW,
        step_rows: 32,
        max_sequences,
        ..EngineSettings::single(WINDOW, KvDType::F32)
    };
    Engine::new(model.clone(), settings).unwrap()
}

fn vocabulary(words: &Words) -> Arc<Vocabulary> {
    Arc::new(Vocabulary::new(&words.tokenizer, words.width).unwrap())
}

/// Every way to sample; random weights are flat, so that a temperature below 1 still draws from everywhere.
fn sampling(random: &mut Random) -> Sampling {
    let (temperature, top_k, top_p, min_p) =
        random.one(&[(1.0, 0, 1.0, 0.0), (0.7, 0, 0.95, 0.0), (1.5, 40, 1.0, 0.0), (1.0, 5, 0.9, 0.05), (0.0, 0, 1.0, 0.0)]);
    Sampling { temperature, top_k, top_p, min_p, seed: random.next() }
}

/// What a reply must be; whether it came to its end.
fn check(words: &Words, schema: &Value, reply: &Generated, most: usize) -> bool {
    let text = words.tokenizer.decode(&reply.ids, true).unwrap();
    let mut decoder = words.tokenizer.decoder();
    let mut streamed: String = reply.ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    streamed.push_str(&decoder.finish().unwrap());
    if reply.stop == Some(StopReason::Length) {
        assert_eq!(reply.ids.len(), most, "{}: cut too early", words.name);
        return false;
    }
    assert_eq!(streamed, text, "{}: the stream is the whole", words.name);
    assert_eq!(reply.stop_token.map(|token| token.id), Some(words.stop));
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?} of {schema}", words.name));
    validator::validate(schema, schema, &value).unwrap_or_else(|error| panic!("{}: {error}: {text:?} of {schema}", words.name));
    true
}

/// Replies of random schemas; how many there were and how many came to their end.
fn replies(words: &Words, device: Device, seed: u64, cases: usize, most: usize) -> (usize, usize) {
    let (model, vocabulary) = (model(words, device), vocabulary(words));
    let mut engine = engine(&model, 8);
    let mut random = Random(seed);
    let (mut asked, mut requests) = (Vec::new(), Vec::new());
    for _ in 0..cases {
        let schema = schemas::random(&mut random);
        let constraint = Constraint::new(vocabulary.clone(), &schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
        let prompt = (0..1 + random.below(20)).map(|_| random.below(words.width) as u32).collect();
        requests.push((
            Request { prompt, max_new_tokens: most, sampling: sampling(&mut random), stop_ids: vec![words.stop] },
            Some(constraint),
        ));
        asked.push(schema);
    }
    let all = pollster::block_on(engine.generate_constrained(requests, |_, _| {})).unwrap();
    let ended = asked.iter().zip(&all).filter(|(schema, reply)| check(words, schema, reply, most)).count();
    (cases, ended)
}

#[test]
fn every_reply_is_json_of_its_schema() {
    for (words, seed) in vocabularies::all().iter().zip(1..) {
        let (cases, ended) = replies(words, cpu(), seed, 180, 160);
        println!("{}: {ended} of {cases} replies came to their end", words.name);
        assert!(ended * 10 > cases * 6, "{}: only {ended} of {cases} replies ended", words.name);
    }
}

#[test]
fn every_reply_is_json_of_its_schema_on_the_gpu() {
    for (words, seed) in vocabularies::all().iter().zip(11..) {
        let Some(device) = gpu() else { return };
        let (cases, ended) = replies(words, device, seed, 10, 48);
        println!("{}: {ended} of {cases} replies came to their end", words.name);
        assert!(ended > 0);
    }
}

/// The bits of a mask that are set.
fn allowed(mask: &[u32]) -> Vec<u32> {
    (0..mask.len() as u32 * 32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1).collect()
}

/// A walk without a model: any allowed token, now and then one that ends something.
fn walk(
    constraint: &mut Constraint,
    words: &Words,
    random: &mut Random,
    most: usize,
    mut at_each: impl FnMut(&Constraint, &[u32]),
) -> Option<Vec<u32>> {
    let mut ids = Vec::new();
    while ids.len() < most {
        let mask = constraint.mask(&[words.stop]);
        at_each(constraint, &mask);
        let allowed = allowed(&mask);
        assert!(!allowed.is_empty(), "{}: no token may follow {:?}", words.name, words.tokenizer.decode(&ids, true));
        let id = if random.below(3) == 0 && allowed.contains(&words.stop) { words.stop } else { random.one(&allowed) };
        if id == words.stop {
            return Some(ids);
        }
        constraint.accept(id).unwrap();
        ids.push(id);
    }
    None
}

/// Each bit against the automaton run over the token's bytes; stop and special tokens and those past the vocabulary too.
#[test]
fn masks_are_what_trying_every_token_gives() {
    let (mut states, mut bits) = (0, 0);
    for words in vocabularies::all() {
        let vocabulary = vocabulary(&words);
        let mut random = Random(99);
        for _ in 0..60 {
            let schema = schemas::random(&mut random);
            let mut constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
            walk(&mut constraint, &words, &mut random, 40, |constraint, mask| {
                states += 1;
                assert_eq!(mask.len(), words.width.div_ceil(32));
                for id in 0..mask.len() as u32 * 32 {
                    let bit = mask[id as usize / 32] >> (id % 32) & 1 == 1;
                    bits += usize::from(bit);
                    let want = if id == words.stop { constraint.may_end() } else { constraint.clone().accept(id).is_ok() };
                    assert_eq!(bit, want, "{}: token {id} of {schema}", words.name);
                }
            });
        }
    }
    println!("{states} states, {bits} allowed tokens");
    assert!(states > 1000 && bits > states * 10);
}

#[test]
fn walks_end_in_valid_json_and_reach_what_is_rare() {
    let (mut ended, mut seen) = (0, [0usize; 5]);
    for words in vocabularies::all() {
        let vocabulary = vocabulary(&words);
        let mut random = Random(7);
        for _ in 0..700 {
            let schema = schemas::random(&mut random);
            let mut constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
            let Some(ids) = walk(&mut constraint, &words, &mut random, 250, |_, _| {}) else { continue };
            let text = words.tokenizer.decode(&ids, true).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text:?} of {schema}", words.name));
            validator::validate(&schema, &schema, &value).unwrap_or_else(|error| panic!("{}: {error}: {text:?} of {schema}", words.name));
            ended += 1;
            let rare = [!text.is_ascii(), text.contains("\\u"), text.contains("\\\""), text.contains('\n'), text.contains("[[")];
            seen.iter_mut().zip(rare).for_each(|(count, here)| *count += usize::from(here));
        }
    }
    println!("{ended} walks ended; not ASCII, \\u, \\\", line ends, lists in lists: {seen:?}");
    assert!(ended > 1200 && seen.iter().all(|&count| count > 10), "{ended} {seen:?}");
}

/// A reply's text against a schema: `Some(whether it may end)`, `None` where it is no beginning.
fn read(schema: &Value, text: &str) -> Option<bool> {
    let words = vocabularies::byte_level();
    let mut constraint = Constraint::new(vocabulary(&words), schema).unwrap();
    constraint.begin(text).ok()?;
    Some(constraint.may_end())
}

#[test]
fn texts_are_taken_or_refused() {
    let object = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["re", "red", "reddish"]}, "é\"": {"type": ["string", "null"], "maxLength": 2}}, "required": ["b"], "additionalProperties": false});
    let list = json!({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3});
    let any = json!({});
    for (schema, text, want) in [
        (&object, r#"{"a":1,"b":"red","é\"":null}"#, Some(true)),
        (&object, r#"{"b":"reddish"}"#, Some(true)),
        (&object, " {\n\"b\": \"re\", \"é\\\"\": \"中😀\" }", Some(true)),
        (&object, r#"{"b":"re"#, Some(false)),
        (&object, r#"{"b":"re","#, Some(false)),
        (&object, r#"{"a":-0"#, None),
        (&object, r#"{"a":1.0"#, None),
        (&object, r#"{"a":1}"#, None),
        (&object, r#"{"b":"redd","#, None),
        (&object, r#"{"b":"re","a"#, None),
        (&object, r#"{"b":"re","c"#, None),
        (&object, r#"{"b":"re","é\"":"abc"#, None),
        (&object, r#"{"b":"re"},"#, None),
        (&object, r#"{"b":"re"} "#, None),
        (&object, "{  ", None),
        (&object, "{\t", None),
        (&object, "  {", None),
        (&object, r#"{"b" :"#, None),
        (&object, r#"{}"#, None),
        (&list, "[1]", Some(true)),
        (&list, "[ -1.5e+10, 0\n]", Some(true)),
        (&list, "[1,2,3]", Some(true)),
        (&list, "[]", None),
        (&list, "[1,]", None),
        (&list, "[1,2,3,", None),
        (&list, "[1 2", None),
        (&list, "[01", None),
        (&any, "12", Some(true)),
        (&any, "-", Some(false)),
        (&any, "truth", None),
        (&any, r#""\ud800""#, None),
        (&any, r#"{"":[{"a":null}],"a":{}}"#, Some(true)),
        (&any, r#"[true,false,null,"x",1e5]"#, Some(true)),
        (&json!({"enum": [1, 10, 105]}), "10", Some(true)),
        (&json!({"enum": [1, 10, 105]}), "105", Some(true)),
        (&json!({"enum": [1, 10, 105]}), "11", None),
        (&json!({"type": "array", "items": {"enum": [1, 10, 105]}}), "[1,10, 105,1 ]", Some(true)),
        (&json!({"type": "array", "items": {"enum": [1, 10, 105]}}), "[1 0", None),
        (&json!({"const": {"a": [1, null]}}), r#"{"a":[1,null]}"#, Some(true)),
        (&json!({"type": "string", "minLength": 2}), r#""\n""#, None),
        (&json!({"type": "string", "minLength": 2}), r#""\ud83d\ude00a""#, Some(true)),
        (&json!({"type": "integer", "enum": ["a", 1.5, 3]}), "3", Some(true)),
        (&json!({"type": "integer", "enum": ["a", 1.5, 3]}), "1", None),
        (&json!({"type": "integer"}), "999999999999999999", Some(true)),
        (&json!({"type": "integer"}), "1000000000000000000", None),
    ] {
        assert_eq!(read(schema, text), want, "{text:?} of {schema}");
    }
}

#[test]
fn nesting_is_bounded_and_always_closes() {
    let words = vocabularies::byte_level();
    let vocabulary = vocabulary(&words);
    let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"k": {"type": "array", "items": {"$ref": "#/$defs/t"}, "minItems": 0}}, "required": ["k"]}}});
    for (schema, opens) in [(json!({}), "["), (json!({}), "{\"a\":"), (tree.clone(), "{\"k\":[")] {
        let mut constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
        let mut text = String::new();
        while constraint.begin(opens).is_ok() {
            text.push_str(opens);
            assert!(text.len() < 10_000, "{schema} opens without end");
        }
        assert!(text.len() > 90 * opens.len() / 2);
        // Ways out are taken where there are any.
        let spellings = words.tokenizer.spellings().unwrap();
        let closes = |id: &u32| spellings.get(*id as usize).is_some_and(|bytes| matches!(bytes.as_deref(), Some([b']' | b'}' | b'"'])));
        let (mut random, mut rest) = (Random(3), Vec::new());
        while !constraint.may_end() {
            let allowed = allowed(&constraint.mask(&[words.stop]));
            let ways: Vec<u32> = allowed.iter().copied().filter(closes).collect();
            let id = random.one(if ways.is_empty() { &allowed } else { &ways });
            constraint.accept(id).unwrap();
            rest.push(id);
            assert!(rest.len() < 2_000, "{schema} does not come to its end");
        }
        let text = text + &words.tokenizer.decode(&rest, true).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        validator::validate(&schema, &schema, &value).unwrap();
    }
    // As deep as a schema may be written out.
    let deep = |depth: usize| {
        (0..depth).fold(json!({"type": "null"}), |inner, _| json!({"type": "array", "items": inner, "minItems": 1, "maxItems": 1}))
    };
    let text = |depth: usize| format!("{}null{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read(&deep(100), &text(100)), Some(true));
    let error = Constraint::new(vocabulary, &deep(101)).err().unwrap().to_string();
    assert!(error.contains("more than 100"), "{error}");
}

#[test]
fn what_is_not_supported_or_cannot_be_is_an_error_that_names_it() {
    let words = vocabularies::byte_level();
    let vocabulary = vocabulary(&words);
    for (schema, part) in [
        (json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}), "at `/properties/a`: the keyword `pattern`"),
        (json!({"type": "integer", "minimum": 0}), "`minimum`"),
        (json!({"type": "array", "uniqueItems": true}), "`uniqueItems`"),
        (json!({"type": "string", "format": "date"}), "`format`"),
        (json!({"type": "object", "minProperties": 1}), "`minProperties`"),
        (json!({"not": {}}), "`not`"),
        (json!({"type": "text"}), "\"text\" is not one of"),
        (json!({"type": []}), "names none"),
        (json!({"type": "string", "items": {}}), "`items` is for the type `array`"),
        (json!({"type": "string", "minLength": 3, "maxLength": 2}), "no value satisfies it"),
        (json!({"type": "string", "minLength": -1}), "`minLength` is a whole number"),
        (json!({"type": "array", "items": false, "minItems": 1}), "no value satisfies it"),
        (json!({"type": "object", "properties": {"a": false}, "required": ["a"]}), "no value satisfies it"),
        (json!({"$ref": "#"}), "no value satisfies it"),
        (json!({"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"$ref": "#"}}}), "no value satisfies it"),
        (json!({"$ref": "#/$defs/no"}), "is not in the schema"),
        (json!({"$ref": "https://example.org/x"}), "only references within the schema"),
        (json!({"enum": []}), "leave no value"),
        (json!({"type": "null", "enum": [1]}), "leave no value"),
        (json!({"enum": ["a"], "maxLength": 3}), "`maxLength` beside `enum`"),
        (json!({"anyOf": [{}], "type": "object"}), "`type` beside `anyOf`"),
        (json!({"anyOf": []}), "not empty"),
        (json!({"allOf": [{}, {}]}), "only one schema"),
        (json!({"type": "object", "properties": {"a": {}}, "required": ["b"]}), "names `b`"),
        (json!({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "null"}}), "beside `properties`"),
        (json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}), "`oneOf`: a value may satisfy both 0 and 1"),
        (json!({"oneOf": [{"type": "string"}, {"properties": {"a": {"type": "null"}}, "required": ["a"]}]}), "both 0 and 1"),
        (
            json!({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"type": "object", "properties": {"b": {}}, "required": ["b"]}]}),
            "both 0 and 1",
        ),
        (json!([1]), "a schema is an object"),
    ] {
        let error = Constraint::new(vocabulary.clone(), &schema).err().unwrap_or_else(|| panic!("{schema} is taken")).to_string();
        assert!(error.contains(part), "{schema}: {error}");
    }
    // What has parts that cannot be does without them.
    assert_eq!(read(&json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}), "null"), Some(true));
    for schema in [
        json!({"type": "array", "items": false}),
        json!({"type": "object", "properties": {"a": false, "b": {"type": "null"}}}),
        json!({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}, {"type": "object", "properties": {"b": {}}, "required": ["b"], "additionalProperties": false}]}),
    ] {
        let mut random = Random(1);
        let ends = (0..50).filter(|_| {
            let mut constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
            let Some(ids) = walk(&mut constraint, &words, &mut random, 200, |_, _| {}) else { return false };
            let value: Value = serde_json::from_str(&words.tokenizer.decode(&ids, true).unwrap()).unwrap();
            validator::validate(&schema, &schema, &value).unwrap();
            true
        });
        assert!(ends.count() > 5, "{schema}");
    }
}

/// Rows with and without a form in one batch: those without have the bits they have alone, those with report what scoring recomputes.
#[test]
fn a_mixed_batch_changes_nothing_for_the_others() {
    let words = vocabularies::byte_level();
    let (model, vocabulary) = (model(&words, cpu()), vocabulary(&words));
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "list": {"type": "array", "items": {"type": "integer"}, "maxItems": 4}}, "required": ["name", "list"]});
    let long: Vec<u32> = (0..70).map(|at| at * 5 % words.width as u32).collect();
    let requests: Vec<Request> = (0..8)
        .map(|seed| {
            // All share the first pages of one prompt.
            let prompt = [long.as_slice(), &[seed as u32]].concat();
            let sampling = Sampling { temperature: 0.9, top_k: 0, top_p: 0.97, min_p: 0.0, seed };
            Request { prompt, max_new_tokens: 60, sampling, stop_ids: vec![words.stop] }
        })
        .collect();
    let alone = pollster::block_on(engine(&model, 8).generate_all(requests.clone(), |_, _| {})).unwrap();
    let constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
    let mixed = requests.iter().zip(0..).map(|(request, at)| (request.clone(), (at % 2 == 0).then(|| constraint.clone()))).collect();
    let mixed = pollster::block_on(engine(&model, 8).generate_constrained(mixed, |_, _| {})).unwrap();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut ended = 0;
    for (at, (alone, mixed)) in alone.iter().zip(&mixed).enumerate() {
        if at % 2 == 0 {
            ended += usize::from(check(&words, &schema, mixed, 60));
            assert_ne!(alone.ids, mixed.ids);
            let tokens = [requests[at].prompt.as_slice(), &mixed.ids].concat();
            let again = pollster::block_on(model.score_tokens(&tokens, 0.9, KvDType::F32, 512, false)).unwrap();
            let from = requests[at].prompt.len() - 1;
            assert_eq!(bits(&mixed.logprobs), bits(&again.logprobs[from..]), "log-probabilities are of the full vocabulary");
            assert_eq!(bits(&mixed.entropies), bits(&again.entropy[from..from + mixed.ids.len()]), "entropies too");
            assert!(mixed.nucleus_logprobs.iter().zip(&mixed.logprobs).all(|(kept, all)| kept >= all && *kept <= 0.0));
        } else {
            assert_eq!((&alone.ids, bits(&alone.logprobs), bits(&alone.cuts)), (&mixed.ids, bits(&mixed.logprobs), bits(&mixed.cuts)));
            assert_eq!((bits(&alone.masses), bits(&alone.nucleus_logprobs)), (bits(&mixed.masses), bits(&mixed.nucleus_logprobs)));
        }
    }
    assert!(ended > 0);
}

#[test]
fn a_form_that_cannot_end_or_is_of_another_model_is_refused() {
    let words = vocabularies::byte_level();
    let model = model(&words, cpu());
    let request = |stop_ids: Vec<u32>| Request { prompt: vec![1], max_new_tokens: 4, sampling: Sampling::GREEDY, stop_ids };
    let constraint = |width: usize| Constraint::new(Arc::new(Vocabulary::new(&words.tokenizer, width).unwrap()), &json!({})).unwrap();
    let letter = words.tokenizer.id("a").unwrap();
    for (stops, width, part) in [
        (vec![], words.width, "needs a token to end with"),
        (vec![letter], words.width, "its text may need it"),
        (vec![words.stop], words.width + 1, "tokens, the model has"),
    ] {
        let error = engine(&model, 1).submit_constrained(request(stops), Some(constraint(width))).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // A vocabulary of words alone has no braces.
    let poor = tokenizer::GgufVocab {
        model: "gpt2".into(),
        tokens: ["a", "b", "ab"].map(str::to_owned).to_vec(),
        merges: vec!["a b".into()],
        ..Default::default()
    };
    let error = Vocabulary::new(&tokenizer::Tokenizer::from_gguf(poor).unwrap(), 3).err().unwrap().to_string();
    assert!(error.contains("no token is `{`"), "{error}");
    let mut held = constraint(words.width);
    assert!(held.accept(words.stop).is_err() && held.accept(words.width as u32 + 5).is_err());
    let error = held.begin("so: {").unwrap_err().to_string();
    assert!(error.contains("no beginning"), "{error}");
}
