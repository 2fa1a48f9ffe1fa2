//! A real server, named by `LONGHAND_SERVER` (`http://127.0.0.1:8080/v1`); with one model, or the one in `LONGHAND_SERVER_MODEL`.
//! `LONGHAND_SERVER_WINDOW` is its window if it does not tell.

mod common;

use std::time::Instant;

use common::{chat, request};
use data::{ChatError, ChatModel, JsonSchema, Sampling, StopReason};
use serde_json::{Value, json};
use server::{Client, ClientSettings, models};

fn settings() -> Option<ClientSettings> {
    let Ok(url) = std::env::var("LONGHAND_SERVER") else {
        println!("not run: LONGHAND_SERVER is not set");
        return None;
    };
    let mut settings = ClientSettings::parse(&format!("openai:{url}")).unwrap();
    settings.model = std::env::var("LONGHAND_SERVER_MODEL").ok();
    settings.window = std::env::var("LONGHAND_SERVER_WINDOW").ok().map(|window| window.parse().unwrap());
    Some(settings)
}

#[test]
fn a_real_server_answers() {
    let Some(settings) = settings() else { return };
    println!("models: {:?}", models(&settings.base_url, settings.api_key.as_ref()).unwrap());
    let mut unknown = settings.clone();
    unknown.window = None;
    match Client::connect(unknown, None) {
        Ok(client) => println!("window: the server tells {}", client.window()),
        Err(error) => println!("window: {error}"),
    }
    let client = Client::connect(settings, None).unwrap();

    let mut asked = request("What is the capital of France? Answer in one sentence.");
    asked.max_tokens = 40;
    let (start, mut times) = (Instant::now(), Vec::new());
    let mut on_text = |_: &str| times.push(start.elapsed());
    let reply = pollster::block_on(client.chat(&asked, &mut on_text)).unwrap();
    println!("reply: {:?} {:?} {:?}", reply.text, reply.stop, reply.usage);
    println!(
        "{} texts between {:?} and {:?}; prompt counted here as {}",
        times.len(),
        times.first(),
        times.last(),
        client.count_prompt(&asked.messages).unwrap()
    );
    assert!(times.len() > 3 && reply.text.contains("Paris"), "{times:?}");
    assert!(client.count_prompt(&asked.messages).unwrap() >= reply.usage.prompt_tokens);

    asked.max_tokens = 5;
    assert_eq!(chat(&client, &asked).0.unwrap().stop, StopReason::Length);

    asked.sampling = Sampling { temperature: 1.0, seed: 7, ..Sampling::PAPER };
    asked.max_tokens = 24;
    let drawn: Vec<String> = (0..2).map(|_| chat(&client, &asked).0.unwrap().text).collect();
    println!("same seed, same text: {}", drawn[0] == drawn[1]);
    println!("totals: {:?}", client.totals());
}

#[test]
fn a_real_server_holds_to_a_schema() {
    let Some(settings) = settings() else { return };
    let client = Client::connect(settings, None).unwrap();
    let mut asked = request("Name a city and how many people live there.");
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "people": {"type": "integer"}}, "required": ["city", "people"]});
    asked.schema = Some(JsonSchema { name: "city".into(), schema });
    let reply = chat(&client, &asked).0.unwrap();
    println!("schema: {:?}", reply.text);
    let value: Value = serde_json::from_str(&reply.text).unwrap();
    assert!(value["city"].is_string() && value["people"].is_i64(), "{value}");
    println!("totals: {:?}", client.totals());
}

#[test]
fn a_real_server_is_asked_once() {
    let Some(mut settings) = settings() else { return };
    let folder = tempfile::tempdir().unwrap();
    settings.cache = Some(folder.path().to_path_buf());
    let mut asked = request("Say something about rivers.");
    (asked.sampling, asked.max_tokens) = (Sampling::PAPER, 30);
    let first = chat(&Client::connect(settings.clone(), None).unwrap(), &asked).0.unwrap();
    let again = Client::connect(settings, None).unwrap();
    let start = Instant::now();
    assert_eq!(chat(&again, &asked).0.unwrap(), first);
    println!("from the cache in {:?}: {:?}", start.elapsed(), again.totals());
    assert_eq!((again.totals().calls, again.totals().cached), (0, 1));
}

#[test]
fn a_real_server_refuses_what_is_too_long() {
    let Some(settings) = settings() else { return };
    let client = Client::connect(settings, None).unwrap();
    let asked = request(&"The river flows through the old town to the sea. ".repeat(client.window() / 8));
    let start = Instant::now();
    let reply = chat(&client, &asked).0;
    println!("too long, after {:?}: {reply:?}", start.elapsed());
    let expected = matches!(&reply, Err(ChatError::TooLong { window, prompt }) if *window == client.window() && prompt > window);
    assert!(expected || matches!(&reply, Err(ChatError::Invalid(_))), "{reply:?}");
    // One more to ask why, where the stream did not say.
    assert!(client.totals().retries <= 1, "{:?}", client.totals());
}

#[test]
fn a_real_server_stops_when_nobody_listens() {
    let Some(settings) = settings() else { return };
    let client = Client::connect(settings, None).unwrap();
    let mut asked = request("Count from one to a thousand in words.");
    asked.max_tokens = 1000;
    let (sender, texts) = std::sync::mpsc::channel();
    let mut on_text = move |_: &str| {
        let _ = sender.send(());
    };
    let mut call = client.chat(&asked, &mut on_text);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while texts.try_recv().is_err() {
        assert!(call.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(call);
    // A server with one slot answers the next call only when it has stopped.
    let start = Instant::now();
    let mut next = request("Hi");
    next.max_tokens = 2;
    chat(&client, &next).0.unwrap();
    println!("free again after {:?}", start.elapsed());
}

#[test]
fn a_real_server_under_several_calls() {
    let Some(settings) = settings() else { return };
    let client = Client::connect(settings, None).unwrap();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let call = |number: usize| {
            let client = &client;
            scope.spawn(move || {
                let mut asked = request(&format!("Write {number} sentences about the sea."));
                asked.max_tokens = 40;
                chat(client, &asked).0
            })
        };
        let calls: Vec<_> = (2..10).map(call).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for outcome in &outcomes {
        match outcome {
            Ok(reply) => println!("{:?} after {} tokens", reply.stop, reply.usage.completion_tokens),
            Err(error) => println!("{error}"),
        }
    }
    println!("calls at a time now: {}; totals: {:?}", client.concurrency(), client.totals());
    // A server may refuse or interrupt some; none that was cut may pass for whole.
    assert!(outcomes.iter().any(Result::is_ok));
    for reply in outcomes.iter().flatten() {
        assert!(reply.stop == StopReason::Eos || reply.usage.completion_tokens >= 30, "{reply:?}");
    }
}
