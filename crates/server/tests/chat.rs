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

#[test]
fn cuts_anywhere_in_the_stream_change_nothing() {
    // Chunked transfer, a byte at a time, with keep-alives, CRLF and characters of several bytes.
    let server = Server::start(|_, _, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let events = format!(": hello\r\n\r\n{}{}", delta("三😀é").replace('\n', "\r\n"), ending("length", None));
        for byte in events.as_bytes() {
            out.write_all(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n'])?;
        }
        out.write_all(b"0\r\n\r\n")
    });
    let client = server.client();
    let (reply, texts) = chat(&client, &request("hi"));
    let reply = reply.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("三😀é", StopReason::Length));
    assert_eq!(texts.concat(), "三😀é");
    // The server did not count, so we did.
    assert!(reply.usage.prompt_tokens > 0 && reply.usage.completion_tokens > 0);
    assert_eq!(client.totals().estimated, 1);
}

#[test]
fn a_slow_stream_arrives_as_it_comes() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        for text in ["a", "b", "c"] {
            out.write_all(delta(text).as_bytes())?;
            std::thread::sleep(Duration::from_millis(150));
        }
        out.write_all(ending("stop", None).as_bytes())
    });
    let mut settings = server.settings();
    // Longer than any gap, shorter than the whole.
    settings.timeouts.between_bytes = Duration::from_millis(400);
    settings.timeouts.first_byte = Duration::from_millis(400);
    let client = server::Client::connect(settings, None).unwrap();
    let start = std::time::Instant::now();
    let mut times = Vec::new();
    let mut on_text = |_: &str| times.push(start.elapsed());
    let request = request("hi");
    let reply = pollster::block_on(client.chat(&request, &mut on_text)).unwrap();
    assert_eq!(reply.text, "abc");
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times[2] - times[0] >= Duration::from_millis(250), "{times:?}");
}

#[test]
fn thinking_comes_in_tags() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        for delta in
            [json!({"role": "assistant", "content": ""}), json!({"reasoning_content": "Let me"}), json!({"reasoning_content": " see."})]
        {
            write!(out, "data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]}))?;
        }
        out.write_all(delta("Four.").as_bytes())?;
        out.write_all(ending("stop", Some((1, 9))).as_bytes())
    });
    let (reply, texts) = chat(&server.client(), &request("2+2"));
    assert_eq!(reply.unwrap().text, "<think>\nLet me see.\n</think>\n\nFour.");
    assert_eq!(texts.concat(), "<think>\nLet me see.\n</think>\n\nFour.");
}

#[test]
fn a_server_that_does_not_stream_will_do() {
    let body = json!({"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "All at once.", "reasoning": "hm"},
        "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 6}});
    let server = Server::start(move |_, _, out| answer(out, 200, "content-type: application/json\r\n", &body.to_string()));
    let (reply, texts) = chat(&server.client(), &request("hi"));
    let reply = reply.unwrap();
    assert_eq!(reply.text, "<think>\nhm\n</think>\n\nAll at once.");
    assert_eq!(reply.usage, Usage { prompt_tokens: 5, completion_tokens: 6 });
    assert_eq!(texts.concat(), reply.text);
}

#[test]
fn a_stream_without_its_last_line_counts_if_it_said_why_it_ended() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        out.write_all(delta("x").as_bytes())?;
        // No [DONE], and the last event lacks its blank line.
        write!(out, "data: {}", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    });
    assert_eq!(chat(&server.client(), &request("hi")).0.unwrap().text, "x");
}

#[test]
fn a_reply_that_another_request_interrupted_is_none() {
    // All llama-cpp-python sends then is its last line.
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        out.write_all(delta("half of").as_bytes())?;
        write!(out, "data: [DONE]\n\n")
    });
    let client = server.client();
    let (reply, _) = chat(&client, &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Failed(message)) if message.contains("--interrupt_requests")), "{reply:?}");
    // One call less at a time may be the cure.
    assert_eq!((server.requests().len(), client.concurrency()), (1, 2));
}

#[test]
fn a_stream_cut_in_the_middle_is_an_error_and_not_paid_twice() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        out.write_all(delta("half of it").as_bytes())
    });
    let client = server.client();
    let (reply, texts) = chat(&client, &request("hi"));
    let Err(ChatError::Failed(message)) = reply else { panic!("{reply:?}") };
    assert!(message.contains("broke off after about 3 tokens"), "{message}");
    assert_eq!(texts.concat(), "half of it");
    assert_eq!(server.requests().len(), 1);
    // What came is booked.
    let totals = client.totals();
    assert_eq!((totals.calls, totals.completion_tokens, totals.failures, totals.estimated), (1, 3, 1, 1));
    assert!(totals.prompt_tokens > 0);
}

#[test]
fn a_chunked_stream_cut_in_the_middle_is_an_error_too() {
    let server = Server::start(|_, _, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let event = delta("half");
        write!(out, "{:x}\r\n{event}\r\n", event.len())
    });
    let (reply, _) = chat(&server.client(), &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Failed(message)) if message.contains("broke off")), "{reply:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_error_inside_the_stream_is_the_calls_error() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        out.write_all(delta("so far").as_bytes())?;
        out.write_all(
            b"data: {\"error\": {\"message\": \"CUDA out of memory\", \"type\": \"internal_error\", \"code\": 500}}\n\ndata: [DONE]\n\n",
        )
    });
    let (reply, _) = chat(&server.client(), &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Failed(message)) if message.contains("CUDA out of memory")), "{reply:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_no_chat_reply_is_said_to_be_none() {
    for (content, body) in [
        ("application/json", "{\"choices\": [{\"mess"),
        ("application/json", "{\"status\": \"ok\"}"),
        ("text/html", "<!doctype html><html><body><h1>Welcome to nginx!</h1></body></html>"),
        ("text/event-stream", "data: {\"choices\": [{\"del\n\n"),
        ("text/event-stream", "data: \u{0}\u{1}\n\n"),
    ] {
        let server = Server::start(move |_, _, out| answer(out, 200, &format!("content-type: {content}\r\n"), body));
        let (reply, _) = chat(&server.client(), &request("hi"));
        let Err(ChatError::Failed(message)) = reply else { panic!("{body}: {reply:?}") };
        assert!(message.contains("no chat reply") && message.contains("/v1"), "{body}: {message}");
        assert_eq!(server.requests().len(), 1, "{body}");
    }
}

#[test]
fn a_schema_is_sent_and_said_otherwise_where_need_be() {
    // As llama-cpp-python refuses what it does not know.
    let refusal = json!({"detail": [{"type": "literal_error", "loc": ["body", "response_format", "type"], "msg": "Input should be 'text' or 'json_object'"}]});
    let server = Server::start(move |_, request, out| match request.body["response_format"]["type"].as_str() {
        Some("json_schema") => answer(out, 422, "", &refusal.to_string()),
        Some("json_object") => stream(out, &["{\"n\":", "1}"]),
        _ => stream(out, &["free"]),
    });
    let client = server.client();
    let mut with = request("hi");
    with.schema = Some(JsonSchema { name: "n".into(), schema: json!({"type": "object", "properties": {"n": {"type": "integer"}}}) });
    for _ in 0..2 {
        assert_eq!(chat(&client, &with).0.unwrap().text, "{\"n\":1}");
    }
    let sent: Vec<_> = server.requests().iter().map(|request| request.body["response_format"].clone()).collect();
    // The second call knows better.
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0]["json_schema"]["name"], "n");
    assert_eq!(sent[1], sent[2]);
    assert_eq!(sent[1]["schema"]["properties"]["n"]["type"], "integer");
    assert_eq!(client.totals().retries, 0);
}

#[test]
fn a_dropped_call_closes_its_connection() {
    let server = Server::start(|_, _, out| {
        stream_head(out)?;
        // Until the client goes away, for ten seconds at most.
        for _ in 0..200 {
            out.write_all(delta("x").as_bytes())?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let client = server.client();
    let request = request("hi");
    let (first, got) = std::sync::mpsc::channel();
    let mut on_text = move |_: &str| {
        let _ = first.send(());
    };
    let mut call = client.chat(&request, &mut on_text);
    // Poll until the first text is there, then drop.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while got.try_recv().is_err() {
        assert!(call.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(call);
    let start = std::time::Instant::now();
    while server.broken.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        assert!(start.elapsed() < Duration::from_secs(3), "the server goes on writing");
        std::thread::sleep(Duration::from_millis(10));
    }
    // The prompt and what came are paid.
    let totals = client.totals();
    assert!((totals.calls, totals.estimated) == (1, 1) && totals.completion_tokens > 0, "{totals:?}");
}

#[test]
fn a_call_dropped_while_the_server_is_silent_closes_its_connection() {
    let (closed, when) = std::sync::mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    let server = Server::start(move |_, _, out| {
        let read = std::io::Read::read(out, &mut [0]);
        closed.lock().unwrap().send(matches!(read, Ok(0) | Err(_))).ok();
        Ok(())
    });
    let client = server.client();
    let request = request("hi");
    let mut on_text = |_: &str| {};
    let mut call = client.chat(&request, &mut on_text);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while server.requests().is_empty() {
        assert!(call.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(call);
    assert_eq!(when.recv_timeout(Duration::from_secs(3)), Ok(true));
    assert_eq!(client.totals().calls, 0);
}

#[test]
fn connections_are_used_again() {
    let server = Server::start(|_, _, out| {
        // Two requests on one connection.
        for _ in 0..2 {
            let body = format!("{}{}", delta("x"), ending("stop", None));
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )?;
            let mut buffer = [0; 4096];
            let _ = std::io::Read::read(out, &mut buffer)?;
        }
        Ok(())
    });
    let client = server.client();
    for _ in 0..2 {
        assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "x");
    }
    assert_eq!(server.requests().len(), 1, "the second call opened a connection of its own");
}

#[test]
fn a_prompt_that_cannot_fit_is_not_sent_if_the_tokenizer_is_the_models() {
    let server = Server::start(|_, _, out| stream(out, &["x"]));
    let mut settings = server.settings();
    settings.window = Some(50);
    let client = server::Client::connect(settings.clone(), None).unwrap();
    // An estimate refuses nothing.
    assert!(chat(&client, &request(&"word ".repeat(100))).0.is_ok());
    assert_eq!(client.window(), 50);
    // And a bound beyond the window is lowered to what is left.
    assert!(chat(&client, &request("word")).0.is_ok());
    let sent = server.requests()[1].body["max_tokens"].as_u64().unwrap();
    assert!((1..50).contains(&sent), "{sent}");

    let json = json!({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null, "model": {"type": "WordLevel", "vocab": {"word": 0, "?": 1}, "unk_token": "?"}});
    let exact = tokenizer::Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    let client = server::Client::connect(settings, Some(exact)).unwrap();
    let (reply, _) = chat(&client, &request(&"word ".repeat(100)));
    assert_eq!(reply, Err(ChatError::TooLong { prompt: 140, window: 50 }));
    assert_eq!(server.requests().len(), 2);
}
