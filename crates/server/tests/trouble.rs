//! Failures, retries, limits and budgets.

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{QuickClock, Server, answer, chat, delta, request, stream, stream_head};
use data::{ChatError, ChatModel};
use serde_json::json;
use server::{ApiKey, Budget, Client, ClientSettings, Concurrency};

fn quick(settings: ClientSettings) -> (Client, Arc<QuickClock>) {
    let clock = Arc::new(QuickClock::default());
    (Client::connect_with(settings, None, clock.clone()).unwrap(), clock)
}

fn slept(clock: &QuickClock) -> Vec<u64> {
    clock.slept.lock().unwrap().iter().map(|duration| duration.as_millis() as u64).collect()
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let server = Server::start(|number, _, out| if number < 2 { answer(out, 500, "", "oops") } else { stream(out, &["ok"]) });
    let (client, clock) = quick(server.settings());
    assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "ok");
    assert_eq!(slept(&clock), [1000, 2000]);
    let totals = client.totals();
    assert_eq!((totals.calls, totals.retries, totals.failures), (1, 2, 0));
}

#[test]
fn tries_come_to_an_end() {
    let server = Server::start(|_, _, out| answer(out, 503, "", "{\"error\":{\"message\":\"loading model\"}}"));
    let (client, clock) = quick(server.settings());
    let (reply, _) = chat(&client, &request("hi"));
    let Err(ChatError::Failed(message)) = reply else { panic!("{reply:?}") };
    assert!(message.contains("loading model") && message.contains("after 6 attempts"), "{message}");
    assert_eq!(server.requests().len(), 6);
    assert_eq!(slept(&clock), [1000, 2000, 4000, 8000, 16_000]);
    assert_eq!((client.totals().calls, client.totals().failures), (0, 1));
    // 4 → 2 → 1, and no lower.
    assert_eq!(client.concurrency(), 1);
}

#[test]
fn the_server_says_when_to_come_back() {
    let server = Server::start(|number, _, out| match number {
        0 => answer(out, 429, "Retry-After: 7\r\n", "{\"error\":{\"message\":\"slow down\"}}"),
        // The quick clock's date and 23 seconds.
        1 => answer(out, 429, "Retry-After: Sun, 06 Nov 1994 08:50:00 GMT\r\n", ""),
        _ => stream(out, &["ok"]),
    });
    let (client, clock) = quick(server.settings());
    assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "ok");
    // What was asked for and at most a second on top.
    assert_eq!(slept(&clock), [8000, 24_000]);
    assert_eq!(client.concurrency(), 2);
}

#[test]
fn a_wait_beyond_patience_ends_the_call() {
    let server = Server::start(|_, _, out| answer(out, 429, "Retry-After: 86400\r\n", "daily limit"));
    let (client, clock) = quick(server.settings());
    let (reply, _) = chat(&client, &request("hi"));
    assert!(
        matches!(&reply, Err(ChatError::Failed(message)) if message.contains("86400 s") && message.contains("daily limit")),
        "{reply:?}"
    );
    assert_eq!((server.requests().len(), slept(&clock).len()), (1, 0));
}

#[test]
fn errors_that_last_stop_at_once() {
    for (status, body, says) in [
        (401, json!({"error": {"message": "Incorrect API key provided: sk-hidden"}}), "LONGHAND_API_KEY"),
        (400, json!({"error": {"message": "bad messages"}}), "bad messages"),
        (404, json!({"error": {"message": "The model `m` does not exist"}}), "does not exist"),
        (422, json!({"detail": [{"loc": ["body", "temperature"], "msg": "too hot"}]}), "temperature: too hot"),
    ] {
        let server = Server::start(move |_, _, out| answer(out, status, "content-type: application/json\r\n", &body.to_string()));
        let mut settings = server.settings();
        settings.api_key = Some(ApiKey::new("sk-hidden").unwrap());
        let (client, _) = quick(settings);
        let (reply, _) = chat(&client, &request("hi"));
        let Err(ChatError::Invalid(message)) = reply else { panic!("{status}: {reply:?}") };
        assert!(message.contains(says) && !message.contains("sk-hidden"), "{message}");
        assert_eq!(server.requests().len(), 1, "{status}");
        assert!(server.requests()[0].headers.iter().any(|header| header.eq_ignore_ascii_case("authorization: bearer sk-hidden")));
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::start(|_, _, out| stream(out, &["caught"]));
    let to = other.url.clone();
    let server = Server::start(move |_, _, out| answer(out, 307, &format!("location: {to}/chat/completions\r\n"), ""));
    let (reply, _) = chat(&server.client(), &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Invalid(message)) if message.contains(&other.url)), "{reply:?}");
    assert_eq!(other.requests().len(), 0);
}

#[test]
fn an_empty_account_stops_at_once() {
    let body = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}});
    let server = Server::start(move |_, _, out| answer(out, 429, "", &body.to_string()));
    let (client, _) = quick(server.settings());
    let (reply, _) = chat(&client, &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Budget(message)) if message.contains("current quota")), "{reply:?}");
    assert_eq!((server.requests().len(), client.concurrency()), (1, 4));
}

#[test]
fn a_proxys_error_page_is_read() {
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body></html>";
    let server = Server::start(move |_, _, out| answer(out, 502, "content-type: text/html\r\n", page));
    let mut settings = server.settings();
    settings.max_retries = 1;
    let (client, _) = quick(settings);
    let (reply, _) = chat(&client, &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Failed(message)) if message.contains("a web page: 502 Bad Gateway nginx")), "{reply:?}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn nobody_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = ClientSettings::new(&format!("http://127.0.0.1:{port}/v1")).unwrap();
    (settings.model, settings.window, settings.max_retries) = (Some("m".into()), Some(100), 2);
    let (client, clock) = quick(settings.clone());
    let (reply, _) = chat(&client, &request("hi"));
    let Err(ChatError::Failed(message)) = reply else { panic!("{reply:?}") };
    assert!(message.contains("is the server running") && message.contains("3 attempts"), "{message}");
    assert_eq!(slept(&clock), [1000, 2000]);
    // Asked for its models, it says the same.
    settings.model = None;
    let error = Client::connect(settings, None).err().unwrap().to_string();
    assert!(error.contains("is the server running"), "{error}");
}

#[test]
fn a_connection_closed_without_an_answer_is_tried_again() {
    let server = Server::start(|number, _, out| match number {
        0 => Ok(()),
        // A head and nothing else: no token has come.
        1 => stream_head(out),
        _ => stream(out, &["ok"]),
    });
    let (client, _) = quick(server.settings());
    assert_eq!(chat(&client, &request("hi")).0.unwrap().text, "ok");
    assert_eq!(client.totals().retries, 2);
}

#[test]
fn a_stream_that_ends_without_a_word_is_asked_why() {
    // As llama-cpp-python does with a prompt that is too long.
    let server = Server::start(|_, request, out| match request.body["stream"].as_bool() {
        Some(true) => stream_head(out),
        _ => answer(
            out,
            400,
            "",
            "{\"error\":{\"message\":\"This model's maximum context length is 2048 tokens, however you requested 2847 tokens (2747 in your prompt; 100 for the completion).\",\"code\":\"context_length_exceeded\"}}",
        ),
    });
    let (client, _) = quick(server.settings());
    assert_eq!(chat(&client, &request("hi")).0, Err(ChatError::TooLong { prompt: 2847, window: 2048 }));
    assert_eq!((server.requests().len(), client.totals().calls), (2, 0));
}

#[test]
fn silence_ends_the_call() {
    let hang = |out: &mut std::net::TcpStream| {
        let _ = std::io::Read::read(out, &mut [0]);
        Ok(())
    };
    let server = Server::start(move |number, _, out| {
        match number {
            0 => {}
            // Comments keep a connection open, not a call.
            1 => {
                stream_head(out)?;
                for _ in 0..100 {
                    out.write_all(b": ping\n\n")?;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            _ => {
                stream_head(out)?;
                out.write_all(delta("some text").as_bytes())?;
            }
        }
        hang(out)
    });
    let mut settings = server.settings();
    settings.timeouts.connect = Duration::from_millis(100);
    (settings.timeouts.first_byte, settings.timeouts.between_bytes) = (Duration::from_millis(150), Duration::from_millis(150));
    let client = Client::connect(settings, None).unwrap();
    for (says, limit) in [("sent nothing", 2), ("sent nothing", 1), ("stopped sending", 1)] {
        let start = Instant::now();
        let (reply, _) = chat(&client, &request("hi"));
        let Err(ChatError::Failed(message)) = reply else { panic!("{reply:?}") };
        assert!(message.contains(says), "{message}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(client.concurrency(), limit);
    }
    // A prompt that may have been read is not sent again unasked, and counts.
    assert_eq!((server.requests().len(), client.totals().calls, client.totals().estimated), (3, 3, 3));
}

#[test]
fn the_budget_holds() {
    let server = Server::start(|_, _, out| stream(out, &["a", "b"]));
    let mut settings = server.settings();
    settings.budget = Budget { tokens: None, calls: Some(2) };
    let client = Client::connect(settings.clone(), None).unwrap();
    for _ in 0..2 {
        chat(&client, &request("hi")).0.unwrap();
    }
    let (reply, _) = chat(&client, &request("hi"));
    assert!(matches!(&reply, Err(ChatError::Budget(message)) if message.contains("2 calls")), "{reply:?}");
    assert_eq!(server.requests().len(), 2);

    // A call costs 9 tokens here, and its prompt is taken for about 41.
    let prompt = client.count_prompt(&request("hi").messages).unwrap() as u64;
    settings.budget = Budget { tokens: Some(prompt + 20), calls: None };
    let client = Client::connect(settings, None).unwrap();
    let outcomes: Vec<bool> = (0..4).map(|_| chat(&client, &request("hi")).0.is_ok()).collect();
    assert_eq!(outcomes, [true, true, true, false]);
    assert_eq!(client.totals().tokens(), 27);
}

#[test]
fn no_more_calls_run_at_a_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let server = Server::start(move |_, _, out| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(60));
        running.fetch_sub(1, Ordering::SeqCst);
        stream(out, &["ok"])
    });
    let mut settings = server.settings();
    settings.concurrency = Concurrency { start: 2, min: 1, max: 3 };
    let client = Client::connect(settings, None).unwrap();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let client = &client;
            scope.spawn(move || chat(client, &request(&number.to_string())).0.unwrap());
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!((client.concurrency(), client.totals().calls), (3, 12));
}
