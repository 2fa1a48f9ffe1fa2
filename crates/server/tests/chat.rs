//! Calls against a server that streams well, badly, or not at all.

mod common;

use std::io::Write;
use std::time::Duration;

use common::{Server, answer, chat, delta, ending, request, stream, stream_head};
use data::{ChatError, ChatModel, JsonSchema, StopReason, Usage};
use serde_json::json;

#[test]
fn a_reply_streams() {
    let server = Server::start(|_, _, out| stream(out, &["Hel", "lo", "!"]));
    let client = server.client();
    let (reply, texts) = chat(&client, &request("hi"));
    let reply = reply.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("Hello!", StopReason::Eos));
    assert_eq!(reply.usage, Usage { prompt_tokens: 7, completion_tokens: 3 });
    assert_eq!(texts.concat(), "Hello!");
    let sent = &server.requests()[0];
    assert_eq!(sent.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!((&sent.body["model"], &sent.body["stream"], &sent.body["max_tokens"]), (&json!("m"), &json!(true), &json!(100)));
    let totals = client.totals();
    assert_eq!((totals.calls, totals.tokens(), totals.estimated, totals.failures), (1, 10, 0, 0));
}
