//! Conversations whose replies are held to a schema: whole, begun, beside others, and refused where they cannot be.

#[path = "constrain/validator.rs"]
mod validator;

use std::path::Path;
use std::sync::Arc;

use data::{ChatError, ChatModel, ChatReply, ChatRequest, JsonSchema, Message, Sampling, StopReason};
use kernels::attention::KvDType;
use kernels::cpu::CpuDevice;
use kernels::{Device, Precision};
use model::{ChatEngine, Checkpoint, EngineSettings, Model};
use serde_json::{Value, json};

fn engine() -> ChatEngine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gguf_llama/model.gguf");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let device = Device::Cpu(CpuDevice::with_threads(Precision::Exact, 2));
    let model = Arc::new(Model::load(&checkpoint, device, 512, |_, _| {}).unwrap());
    let settings = EngineSettings { max_sequences: 4, cache_positions: 4 * 512, ..EngineSettings::single(512, KvDType::F32) };
    ChatEngine::new(model, &checkpoint, settings, "tiny".into()).unwrap()
}

fn request(schema: Option<Value>, seed: u64) -> ChatRequest {
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed };
    let mut request = ChatRequest::new(vec![Message::user("Who?")], sampling, 300);
    request.schema = schema.map(|schema| JsonSchema { name: "form".into(), schema });
    request
}

fn ask(engine: &ChatEngine, request: &ChatRequest) -> Result<(ChatReply, String), ChatError> {
    let mut shown = String::new();
    let reply = pollster::block_on(engine.chat(request, &mut |text| shown.push_str(text)))?;
    Ok((reply, shown))
}

fn text() -> Value {
    json!({"type": "string", "maxLength": 20})
}

/// The forms that the dataset maker asks for, with bounds so that random weights come to an end.
fn forms() -> Vec<Value> {
    let object = |properties: Value| {
        let names: Vec<Value> = properties.as_object().unwrap().keys().map(|key| json!(key)).collect();
        json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
    };
    let list = |items: Value| json!({"type": "array", "items": items, "maxItems": 2});
    let or_null = || json!({"type": ["string", "null"], "maxLength": 20});
    vec![
        object(json!({"facts": list(object(json!({"subject": or_null(), "relation": text(), "value": text(), "quote": text()})))})),
        object(json!({"fields": list(object(json!({"name": text(), "type": {"type": "string", "enum": ["number", "date", "text"]}})))})),
        object(json!({"values": object(json!({"prix en €": object(json!({"value": or_null(), "quote": or_null()}))}))})),
        object(
            json!({"reasoning": text(), "evidence": list(object(json!({"document": {"type": "integer"}, "quote": text()}))), "question": text(), "answer": text(), "options": list(text())}),
        ),
    ]
}

#[test]
fn replies_are_json_of_the_forms_that_are_asked_for() {
    let engine = engine();
    assert!(engine.holds_schemas());
    for (at, form) in forms().iter().enumerate() {
        let mut ended = 0;
        for seed in 0..6 {
            let (reply, shown) = ask(&engine, &request(Some(form.clone()), seed)).unwrap();
            assert_eq!(shown, reply.text, "what is shown is the reply");
            if reply.stop == StopReason::Length {
                assert_eq!(reply.token_ids.len(), 300);
                continue;
            }
            let value: Value = serde_json::from_str(&reply.text).unwrap_or_else(|error| panic!("{error}: {}", reply.text));
            validator::validate(form, form, &value).unwrap();
            ended += 1;
        }
        assert!(ended > 0, "form {at}: no reply came to its end");
    }
    // Without a schema the same request is no JSON.
    let (reply, _) = ask(&engine, &request(None, 0)).unwrap();
    assert!(serde_json::from_str::<Value>(&reply.text).is_err());
}

#[test]
fn a_reply_cut_by_its_bound_says_so() {
    let engine = engine();
    let mut short = request(Some(forms()[3].clone()), 1);
    short.max_tokens = 5;
    let (reply, _) = ask(&engine, &short).unwrap();
    assert_eq!((reply.stop, reply.token_ids.len()), (StopReason::Length, 5));
    assert!(reply.text.trim_start().starts_with('{'), "{}", reply.text);
}

#[test]
fn a_reply_goes_on_from_its_beginning() {
    let engine = engine();
    let form = json!({"type": "object", "properties": {"name": {"enum": ["Ann", "Anna"]}, "n": {"type": "integer"}}, "required": ["name", "n"], "additionalProperties": false});
    let mut begun = request(Some(form.clone()), 2);
    begun.messages.push(Message::assistant("{\"name\": \"Ann"));
    let (reply, _) = ask(&engine, &begun).unwrap();
    let whole = format!("{{\"name\": \"Ann{}", reply.text);
    validator::validate(&form, &form, &serde_json::from_str(&whole).unwrap()).unwrap();
    begun.messages.pop();
    begun.messages.push(Message::assistant("Here it is: {"));
    assert!(matches!(ask(&engine, &begun), Err(ChatError::Invalid(message)) if message.contains("no beginning")));
}

#[test]
fn what_cannot_be_held_is_refused() {
    let engine = engine();
    let mut stopped = request(Some(json!({})), 0);
    stopped.stop.push("}".into());
    assert!(matches!(ask(&engine, &stopped), Err(ChatError::Invalid(message)) if message.contains("stop text")));
    let refused = ask(&engine, &request(Some(json!({"type": "string", "pattern": "a"})), 0));
    assert!(matches!(refused, Err(ChatError::Invalid(message)) if message.contains("`pattern`")));
    // The engine goes on.
    ask(&engine, &request(None, 0)).unwrap();
}

#[test]
fn calls_with_and_without_a_form_share_steps() {
    let engine = engine();
    let alone: Vec<String> =
        (0..4).map(|seed| ask(&engine, &request((seed % 2 == 0).then(|| forms()[1].clone()), seed)).unwrap().0.text).collect();
    let requests: Vec<ChatRequest> = (0..4).map(|seed| request((seed % 2 == 0).then(|| forms()[1].clone()), seed)).collect();
    let mut sinks: Vec<_> = requests.iter().map(|_| |_: &str| {}).collect();
    let mut calls: Vec<_> = requests.iter().zip(&mut sinks).map(|(request, sink)| engine.chat(request, sink)).collect();
    let mut replies: Vec<Option<String>> = vec![None; 4];
    pollster::block_on(std::future::poll_fn(|context| {
        for (call, reply) in calls.iter_mut().zip(&mut replies).filter(|(_, reply)| reply.is_none()) {
            if let std::task::Poll::Ready(done) = call.as_mut().poll(context) {
                *reply = Some(done.unwrap().text);
            }
        }
        if replies.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    }));
    assert_eq!(replies.into_iter().flatten().collect::<Vec<_>>(), alone);
}
