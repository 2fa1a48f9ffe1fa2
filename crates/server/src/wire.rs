//! A chat in the server's words: requests out, replies in.

use data::{ChatRequest, StopReason, Usage};
use serde_json::{Map, Value, json};

/// What a server turned out not to know. Each is found out once, by its refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `max_completion_tokens` instead of `max_tokens` (newer models of OpenAI's).
    pub completion_bound: bool,
    /// No `stream_options`: the last event may not tell the usage.
    pub no_options: bool,
    /// A schema as `{"type": "json_object", "schema": …}` (llama-cpp-python).
    pub object_schema: bool,
}

/// A request's body.
///
/// - `seed` is sent when something is drawn, folded to 31 bits: servers keep it in 32 or 63, and llama.cpp takes 2³² − 1 as "any";
/// - `top_p`, `top_k` and `min_p` are sent when they do something; the last two are not OpenAI's own, which refuses them.
pub(crate) fn body(request: &ChatRequest, model: &str, dialect: Dialect, stream: bool) -> Vec<u8> {
    let sampling = request.sampling;
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), json!(request.messages));
    body.insert("stream".into(), stream.into());
    if stream && !dialect.no_options {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    body.insert(if dialect.completion_bound { "max_completion_tokens" } else { "max_tokens" }.into(), request.max_tokens.into());
    body.insert("temperature".into(), number(sampling.temperature));
    if sampling.temperature > 0.0 {
        body.insert("seed".into(), ((sampling.seed ^ (sampling.seed >> 32)) & 0x7fff_ffff).into());
        if sampling.top_p < 1.0 {
            body.insert("top_p".into(), number(sampling.top_p));
        }
        if sampling.top_k > 0 {
            body.insert("top_k".into(), sampling.top_k.into());
        }
        if sampling.min_p > 0.0 {
            body.insert("min_p".into(), number(sampling.min_p));
        }
    }
    if !request.stop.is_empty() {
        body.insert("stop".into(), json!(request.stop));
    }
    if let Some(schema) = &request.schema {
        let format = if dialect.object_schema {
            json!({"type": "json_object", "schema": schema.schema})
        } else {
            json!({"type": "json_schema", "json_schema": {"name": schema.name, "schema": schema.schema, "strict": true}})
        };
        body.insert("response_format".into(), format);
    }
    Value::Object(body).to_string().into_bytes()
}

/// 0.7 and not 0.699999988079071.
fn number(value: f32) -> Value {
    let short: f64 = value.to_string().parse().unwrap_or(0.0);
    json!(short)
}

/// A reply as it comes together.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Its text, thinking between `<think>` and `</think>`.
    pub text: String,
    /// What the server counted.
    pub usage: Option<Usage>,
    /// Why it ended, once it has.
    pub stop: Option<StopReason>,
    /// `[DONE]` has come.
    pub done: bool,
    /// A `<think>` of ours is open.
    thinking: bool,
}

/// What an event may be instead of a part of the reply.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// An error object, whole.
    Error(Value),
    /// A filter ended the reply.
    Filtered,
    /// It is not JSON, or not of a chat.
    Garbage(String),
}

impl Reply {
    /// Takes an event's data; returns where the new text starts.
    pub fn take_event(&mut self, name: &str, data: &str) -> Result<usize, Refusal> {
        let before = self.text.len();
        match serde_json::from_str::<Value>(data) {
            Ok(value) => self.take(&value, "delta")?,
            Err(_) if data.trim() == "[DONE]" => self.done = true,
            Err(_) if data.trim().is_empty() => {}
            Err(_) if name == "error" => return Err(Refusal::Error(json!({"error": data}))),
            // Servers that leave the blank lines out give several events as one.
            Err(_) if data.contains('\n') => {
                for line in data.lines() {
                    self.take_event(name, line)?;
                }
            }
            Err(_) => return Err(Refusal::Garbage(data.to_string())),
        }
        Ok(before)
    }

    /// Takes a whole reply, from a server that does not stream.
    pub fn take_whole(&mut self, value: &Value) -> Result<(), Refusal> {
        if !value["choices"].is_array() && value.get("error").is_none() && value["object"] != "error" {
            return Err(Refusal::Garbage(value.to_string()));
        }
        self.take(value, "message")?;
        self.done = true;
        Ok(())
    }

    fn take(&mut self, value: &Value, part: &str) -> Result<(), Refusal> {
        if value.get("error").is_some_and(|error| !error.is_null()) || value["object"] == "error" {
            return Err(Refusal::Error(value.clone()));
        }
        let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        if let (Some(prompt_tokens), Some(completion_tokens)) =
            (count(&value["usage"]["prompt_tokens"]), count(&value["usage"]["completion_tokens"]))
        {
            self.usage = Some(Usage { prompt_tokens, completion_tokens });
        }
        let first = |choice: &&Value| choice["index"].as_u64().unwrap_or(0) == 0;
        let Some(choice) = value["choices"].as_array().and_then(|choices| choices.iter().find(first)) else { return Ok(()) };
        let said = &choice[part];
        // Some servers send the thinking under both names.
        let thought =
            [&said["reasoning_content"], &said["reasoning"]].into_iter().find_map(|text| text.as_str().filter(|text| !text.is_empty()));
        self.think(thought.unwrap_or_default());
        match &said["content"] {
            Value::String(text) => self.say(text),
            // Mistral's thinking models answer in parts.
            Value::Array(parts) => {
                for part in parts {
                    match (&part["type"], &part["text"], &part["thinking"]) {
                        (_, Value::String(text), _) => self.say(text),
                        (_, _, Value::Array(thoughts)) => {
                            thoughts.iter().filter_map(|part| part["text"].as_str()).for_each(|text| self.think(text))
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        match choice["finish_reason"].as_str() {
            None => {}
            Some("length" | "max_tokens" | "model_length") => self.stop = Some(StopReason::Length),
            Some("content_filter") => return Err(Refusal::Filtered),
            Some("error") => return Err(Refusal::Error(value.clone())),
            Some(_) => {
                self.stop = Some(StopReason::Eos);
                self.close();
            }
        }
        Ok(())
    }

    fn think(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.thinking, true) {
            self.text.push_str("<think>\n");
        }
        self.text.push_str(text);
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.close();
            self.text.push_str(text);
        }
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.thinking) {
            self.text.push_str("\n</think>\n\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use data::{JsonSchema, Message, Sampling};

    use super::*;

    fn of(events: &[&str]) -> Result<Reply, Refusal> {
        let mut reply = Reply::default();
        for event in events {
            reply.take_event("", event)?;
        }
        Ok(reply)
    }

    #[test]
    fn a_request_says_what_matters() {
        let mut request = ChatRequest::new(vec![Message::user("hi")], Sampling::PAPER, 5);
        request.sampling.seed = 0xffff_ffff_0000_0001;
        let body = |request: &ChatRequest, dialect| serde_json::from_slice::<Value>(&super::body(request, "m", dialect, true)).unwrap();
        assert_eq!(
            body(&request, Dialect::default()),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options": {"include_usage": true},
                "max_tokens": 5, "temperature": 0.7, "seed": 0x7fff_fffe, "top_p": 0.95})
        );
        request.sampling = Sampling::GREEDY;
        request.schema = Some(JsonSchema { name: "s".into(), schema: json!({"type": "object"}) });
        let dialect = Dialect { completion_bound: true, no_options: true, object_schema: false };
        assert_eq!(
            body(&request, dialect),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true, "max_completion_tokens": 5, "temperature": 0.0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}}})
        );
        let format = body(&request, Dialect { object_schema: true, ..dialect })["response_format"].clone();
        assert_eq!(format, json!({"type": "json_object", "schema": {"type": "object"}}));
    }

    #[test]
    fn thinking_is_put_into_tags() {
        let reply = of(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm","reasoning":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning":"m","content":""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"another choice"}},{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
            "[DONE]",
        ])
        .unwrap();
        assert_eq!(reply.text, "<think>\nhmm\n</think>\n\nyes");
        assert_eq!((reply.stop, reply.done), (Some(StopReason::Eos), true));
        assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 4 }));
        let cut = of(&[r#"{"choices":[{"delta":{"reasoning":"still"},"finish_reason":"length"}]}"#]).unwrap();
        assert_eq!((cut.text.as_str(), cut.stop), ("<think>\nstill", Some(StopReason::Length)));
        let parts = of(&[
            r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}]}}]}"#,
        ]);
        assert_eq!(parts.unwrap().text, "<think>\nt\n</think>\n\na");
    }

    #[test]
    fn what_is_no_reply_is_said_to_be_none() {
        assert!(matches!(of(&[r#"{"error":{"message":"boom"}}"#]), Err(Refusal::Error(_))));
        assert!(matches!(of(&[r#"{"object":"error","message":"boom"}"#]), Err(Refusal::Error(_))));
        assert!(of(&[r#"{"error":null,"choices":[]}"#]).is_ok());
        assert!(matches!(of(&[r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#]), Err(Refusal::Filtered)));
        assert!(matches!(of(&["{not json"]), Err(Refusal::Garbage(_))));
        assert_eq!(
            of(&["{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n[DONE]"]).unwrap().text,
            "ab"
        );
        assert!(matches!(Reply::default().take_whole(&json!({"hello": 1})), Err(Refusal::Garbage(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_json_is_taken_or_refused(value in json_values()) {
            let mut reply = Reply::default();
            let _ = reply.take_event("", &value.to_string());
            let _ = reply.take_whole(&value);
        }

        #[test]
        fn any_text_is_taken_or_refused(text in "(?s).{0,60}") {
            let _ = Reply::default().take_event("", &text);
        }
    }

    /// Values of the right and the wrong kinds under the names that are looked at.
    fn json_values() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,5}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let names = prop_oneof![
                Just("choices"),
                Just("delta"),
                Just("message"),
                Just("content"),
                Just("reasoning"),
                Just("finish_reason"),
                Just("usage"),
                Just("prompt_tokens"),
                Just("error"),
                Just("index"),
                Just("text"),
                Just("thinking")
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((names, inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect())),
            ]
        })
    }
}
